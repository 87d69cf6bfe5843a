"""The responses that run, each under its id.

A response that has ended is forgotten except for its id. What arrives late for it is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

import attrs

from trio_realtime.core.effects import ResponseOutcome
from trio_realtime.core.history.items import MAX_PARTS
from trio_realtime.events import ResponseStatus
from trio_realtime.items import item_text
from trio_realtime.wire import (
    FunctionCallItem,
    Item,
    OutputAudio,
    OutputText,
    ResponseObject,
    StatusDetails,
)

from .queue import ResponseRequest
from .turns import Turn

MAX_ENDED: Final = 256
"""The number of ids of ended responses that are remembered."""

MAX_RUNNING: Final = 256
"""The number of responses that may run. Above that, the end of the oldest one counts as lost."""


PartKind: TypeAlias = type[OutputText] | type[OutputAudio]
"""What a part contains: text, or audio with a transcript."""


class PartText:
    """The text of one part so far."""

    __slots__ = ("kind", "pieces")

    def __init__(self, kind: PartKind) -> None:
        self.kind: PartKind = kind
        self.pieces: list[str] = []

    @property
    def text(self) -> str:
        """The text, or the transcript."""
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


class RunningResponse:
    """A response that runs.

    Attributes:
        id: the service's id.
        agent: the agent that was current when the response began.
        toolset: the tools that the service knew for that agent.
        out_of_band: the response is not part of the conversation.
        created_seen: its ``response.created`` was received.
        request: the request that it answers, once that is certain.
        turns: the turns that it belongs to.
        audio_suppressed: its audio is no longer delivered.
        cancel_sent: a ``response.cancel`` was sent for it.
        cancel_id: the event id of that cancel, if it has one.
        texts: the texts of the parts of each message, by item id and content index.
        arguments: the arguments of each function call so far, by item id or else by call id.
        calls: what is known of each function call, by item id and by call id.
        started_calls: the ids of the calls that were started before the end of the response.
        audio: audio of an out-of-band response.
        audio_size: bytes of that audio.
        dropped_audio: bytes of that audio that were dropped above the limit.
    """

    __slots__ = (
        "agent",
        "arguments",
        "audio",
        "audio_size",
        "audio_suppressed",
        "calls",
        "cancel_id",
        "cancel_sent",
        "created_seen",
        "dropped_audio",
        "id",
        "out_of_band",
        "request",
        "started_calls",
        "texts",
        "toolset",
        "turns",
    )

    def __init__(
        self, response_id: str, agent: Any, toolset: Any = None, *, out_of_band: bool = False
    ) -> None:
        self.id: str = response_id
        self.agent: Any = agent
        self.toolset: Any = toolset
        self.out_of_band: bool = out_of_band
        self.created_seen: bool = False
        self.request: ResponseRequest | None = None
        self.turns: tuple[Turn, ...] = ()
        self.audio_suppressed: bool = False
        self.cancel_sent: bool = False
        self.cancel_id: str | None = None
        self.texts: dict[str, dict[int, PartText]] = {}
        self.arguments: dict[str, list[str]] = {}
        self.calls: dict[str, FunctionCallItem] = {}
        self.started_calls: set[str | None] = set()
        self.audio: list[bytes] = []
        self.audio_size: int = 0
        self.dropped_audio: int = 0

    def waiters(self, probable_owner: ResponseRequest | None) -> tuple[str, ...]:
        """Return the tokens that wait for the response or for one of its turns.

        Args:
            probable_owner: the request that the response answers if none is certain.
        """
        request = self.request if self.request is not None else probable_owner
        own = () if request is None else (*request.waiters, *request.turn_waiters)
        return (*own, *(waiter for turn in self.turns for waiter in turn.waiters))

    def add_text(self, item_id: str, index: int, delta: str, kind: PartKind) -> None:
        """Add to the text of a part."""
        if not 0 <= index < MAX_PARTS:
            return
        parts = self.texts.setdefault(item_id, {})
        if index not in parts:
            parts[index] = PartText(kind)
        parts[index].pieces.append(delta)

    def text_of(self, item_id: str, index: int | None = None) -> str:
        """Return the text of a part, or of all parts of a message, as far as it was delivered."""
        parts = self.texts.get(item_id, {})
        if index is None:
            return "".join(parts[number].text for number in sorted(parts))
        return parts[index].text if index in parts else ""

    def parts_continue(self, item_id: str, texts: Mapping[int, str]) -> bool:
        """Return whether each of these texts begins with what was delivered of the part."""
        parts = self.texts.get(item_id, {})
        return all(texts.get(index, "").startswith(part.text) for index, part in parts.items())

    def note_call(self, item: FunctionCallItem) -> FunctionCallItem:
        """Take what an event says about a call. Returns all that is known of the call.

        An event may leave out the id of the item, or the id of the call.
        """
        keys = [key for key in (item.id, item.call_id) if key]
        known = next((self.calls[key] for key in keys if key in self.calls), item)
        written = next((self.arguments[key] for key in keys if key in self.arguments), ())
        call = attrs.evolve(
            item,
            id=item.id or known.id,
            call_id=item.call_id or known.call_id,
            name=item.name or known.name,
            arguments=item.arguments or known.arguments or "".join(written),
        )
        for key in filter(None, (call.id, call.call_id)):
            self.calls[key] = call
        return call

    def final_items(self, done: ResponseObject) -> list[Item]:
        """Return the output items of the ended response, with calls that only earlier events have."""
        items: list[Item] = [
            self.note_call(item) if isinstance(item, FunctionCallItem) else item
            for item in done.output
        ]
        if done.status == "completed":
            listed = {id(item) for item in items}
            known = {id(call): call for call in self.calls.values()}
            items += [
                call
                for key, call in known.items()
                if key not in listed
                and call.call_id not in self.started_calls
                and call.status != "in_progress"  # no event said that it is complete
            ]
        return items

    def text_so_far(self) -> str:
        """Return the text of the last part that has any."""
        parts = [part for parts in self.texts.values() for part in parts.values()]
        return next((part.text for part in reversed(parts) if part.text), "")


class RunningResponses:
    """All responses that run.

    Attributes:
        running: the responses by id.
        latest: the id of the response of the conversation that began last.
    """

    def __init__(self) -> None:
        self.running: dict[str, RunningResponse] = {}
        self.latest: str | None = None
        self._ended: dict[str, None] = {}

    def get(self, response_id: str) -> RunningResponse | None:
        """Return the response with this id, if it runs."""
        return self.running.get(response_id)

    @property
    def lost(self) -> RunningResponse | None:
        """The oldest response, if too many run."""
        return next(iter(self.running.values())) if len(self.running) > MAX_RUNNING else None

    def cancelled_with(self, cancel_id: str | None) -> RunningResponse | None:
        """Return the running response of this cancel.

        Without an id, it is the only response that was cancelled and still runs.
        """
        found = [response for response in self.running.values() if response.cancel_sent]
        if cancel_id is not None:
            found = [response for response in found if response.cancel_id == cancel_id]
        return found[0] if len(found) == 1 else None

    def in_conversation(self) -> list[RunningResponse]:
        """Return the running responses of the conversation.

        There is more than one only where the end of a response was missed.
        """
        return [response for response in self.running.values() if not response.out_of_band]

    def has_ended(self, response_id: str) -> bool:
        """Return whether a response with this id has run and ended."""
        return response_id in self._ended

    def is_known(self, response_id: str) -> bool:
        """Return whether a response with this id runs or has run."""
        return response_id in self.running or response_id in self._ended

    def begin(
        self, response_id: str, agent: Any, toolset: Any = None, *, out_of_band: bool = False
    ) -> RunningResponse:
        """Add a response that is seen for the first time."""
        response = RunningResponse(response_id, agent, toolset, out_of_band=out_of_band)
        self.running[response_id] = response
        if not out_of_band:
            self.latest = response_id
        return response

    def end(self, response_id: str) -> None:
        """Forget a response and remember its id, up to :data:`MAX_ENDED` ids."""
        self._ended[response_id] = None
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        self.running.pop(response_id, None)


def outcome_of(response: ResponseObject, state: RunningResponse) -> ResponseOutcome:
    """Return the outcome of a response, from its ``response.done`` and the deltas before it."""
    details = response.status_details or StatusDetails()
    error = details.error
    texts = [text for item in response.output if (text := item_text(item))]
    code = error.code if error else None
    return ResponseOutcome(
        response_id=response.id,
        # The codec accepts a status that a later version of the service may add.
        status=cast("ResponseStatus", response.status),
        reason=details.reason or code or (error.type if error else None),
        code=code,
        message=error.message if error else None,
        text=texts[-1] if texts else state.text_so_far(),
        items=response.output,
        usage=response.usage,
        audio=b"".join(state.audio),
        dropped_audio=state.dropped_audio,
    )


def all_text(outcome: ResponseOutcome) -> str:
    """Return the text of all messages of a response."""
    texts = [text for item in outcome.items if (text := item_text(item))]
    return "\n".join(texts) or outcome.text
