"""What is known of the responses that run, each by its id, and how one ends.

A response that has ended is forgotten, but for its id: what comes late for it is dropped.
"""

from __future__ import annotations

from typing import Any

from trio_realtime.core.effects import ResponseOutcome
from trio_realtime.items import item_text
from trio_realtime.wire import UNSET, ResponseObject, StatusDetails

from .queue import METADATA_KEY, ResponseRequest
from .turns import Turn

MAX_ENDED = 256
"""Ids of ended responses that are remembered."""


class RunningResponse:
    """A response that runs.

    ``announced``: its ``response.created`` was seen. ``silenced``: its audio is not to be delivered
    any more.
    """

    __slots__ = (
        "agent",
        "announced",
        "audio",
        "beside",
        "cancel_sent",
        "id",
        "silenced",
        "texts",
        "turns",
        "wish",
    )

    def __init__(self, response_id: str, agent: Any, *, beside: bool) -> None:
        self.id: str = response_id
        self.agent: Any = agent
        self.beside: bool = beside
        self.announced: bool = False
        self.wish: ResponseRequest | None = None
        self.turns: tuple[Turn, ...] = ()
        self.silenced: bool = False
        self.cancel_sent: bool = False
        self.texts: dict[tuple[str, int], list[str]] = {}
        self.audio: list[bytes] = []

    def waiters(self, guess: ResponseRequest | None) -> tuple[str, ...]:
        """Who waits for it, or for a turn that it is of; ``guess``: the wish it is taken to be of."""
        wish = self.wish if self.wish is not None else guess
        own = () if wish is None else (*wish.waiters, *wish.turn_waiters)
        return (*own, *(waiter for turn in self.turns for waiter in turn.waiters))

    def add_text(self, item_id: str, index: int, delta: str) -> None:
        """More text or transcript, for the outcome of a response that does not end well."""
        self.texts.setdefault((item_id, index), []).append(delta)

    def text_so_far(self) -> str:
        """Text of the last part that has any."""
        for pieces in reversed(self.texts.values()):
            if pieces:
                return "".join(pieces)
        return ""


class RunningResponses:
    """All responses that run."""

    def __init__(self) -> None:
        self.running: dict[str, RunningResponse] = {}
        self._ended: dict[str, None] = {}

    def get(self, response_id: str) -> RunningResponse | None:
        """The response with this id, if it runs."""
        return self.running.get(response_id)

    def in_conversation(self) -> list[RunningResponse]:
        """What writes to the conversation: one, or more where a beginning or an end was missed."""
        return [state for state in self.running.values() if not state.beside]

    def has_ended(self, response_id: str) -> bool:
        """Whether a response of this id has run and ended."""
        return response_id in self._ended

    def begin(self, response_id: str, agent: Any, *, beside: bool) -> RunningResponse:
        """A response is seen for the first time."""
        state = self.running[response_id] = RunningResponse(response_id, agent, beside=beside)
        return state

    def end(self, response_id: str) -> RunningResponse | None:
        """Forget a response; returns what was known of it."""
        self._ended[response_id] = None
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        return self.running.pop(response_id, None)


def token_of(response: ResponseObject) -> str | None:
    """Our token in the metadata, if the response is one of ours."""
    value = (response.metadata or {}).get(METADATA_KEY)
    return value if isinstance(value, str) else None


def names_no_conversation(response: ResponseObject) -> bool:
    """Whether the server says that the response stands beside the conversation."""
    return response.conversation_id is None


def names_conversation(response: ResponseObject) -> bool:
    """Whether the server says which conversation the response belongs to."""
    return response.conversation_id not in (None, UNSET)


def outcome_of(response: ResponseObject, state: RunningResponse) -> ResponseOutcome:
    """How a response ended, from ``response.done`` and from what came before."""
    details = response.status_details or StatusDetails()
    error = details.error
    texts = [text for item in response.output if (text := item_text(item))]
    code = error.code if error else None
    return ResponseOutcome(
        response_id=response.id,
        status=response.status,
        reason=details.reason or code or (error.type if error else None),
        code=code,
        message=error.message if error else None,
        text=texts[-1] if texts else state.text_so_far(),
        items=response.output,
        usage=response.usage,
        audio=b"".join(state.audio),
    )
