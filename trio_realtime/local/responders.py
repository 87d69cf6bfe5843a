"""Who answers: the protocol of a brain, what it is told, what it may do, and the scripted one.

A brain is a function from a :class:`Turn` to a list of steps. It knows nothing of the wire: the
service turns steps into events, paces them, and drops the rest when somebody interrupts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import attrs

from .types import Json

__all__ = [
    "Responder",
    "Call",
    "Fail",
    "HostedCall",
    "Incomplete",
    "Pause",
    "Say",
    "ScriptExhausted",
    "ScriptedResponder",
    "Step",
    "Turn",
    "TurnItem",
]


@attrs.frozen
class Say:
    """One assistant message, as text or speech, whichever the response asks for.

    Args:
        text: what to say.
        audio_ms: how long the speech lasts in milliseconds; by default the voice decides.
    """

    text: str
    audio_ms: float | None = None


@attrs.frozen
class Call:
    """One function call. ``arguments`` given as text are sent as they are, valid JSON or not."""

    name: str
    arguments: Mapping[str, Any] | str = attrs.field(factory=dict[str, Any])
    call_id: str | None = None


@attrs.frozen
class HostedCall:
    """One call of a tool of an MCP server that the service calls by itself.

    Where the client must agree to it first, the response asks instead; the brain is not asked again
    about the call. ``arguments`` given as text are sent as they are, valid JSON or not.
    """

    server_label: str
    name: str
    arguments: Mapping[str, Any] | str = attrs.field(factory=dict[str, Any])


@attrs.frozen
class Fail:
    """End the response as ``failed``."""

    code: str = "server_error"
    message: str = "The server had an error while processing your request. Sorry about that!"
    type: str = "server_error"


@attrs.frozen
class Incomplete:
    """End the response as ``incomplete``."""

    reason: Literal["max_output_tokens", "content_filter"] = "content_filter"


@attrs.frozen
class Pause:
    """Say nothing for so many seconds, whatever the pacing. ``math.inf`` waits to be cancelled."""

    seconds: float


Step: TypeAlias = Say | Call | HostedCall | Fail | Incomplete | Pause


@attrs.frozen
class TurnItem:
    """One item of the context, reduced to what a brain may want to know.

    ``text`` is what was written or said, as far as anybody heard it; ``audio_ms`` how long a spoken
    item is. ``name`` to ``output`` belong to calls and their outputs.

    A hosted call has its ``outcome``, None if it has not come to its end, and an error's message as
    its output. What a client decided about one is an item with ``approve``, and the reason as text.
    """

    id: str
    kind: str
    role: str | None = None
    text: str = ""
    audio_ms: float = 0.0
    name: str | None = None
    call_id: str | None = None
    arguments: str = ""
    output: str = ""
    server_label: str | None = None
    outcome: Literal["completed", "failed"] | None = None
    approval_request_id: str | None = None
    approve: bool | None = None


@attrs.frozen
class Turn:
    """Everything that a response is made from.

    Args:
        items: the context, oldest first: the conversation, or the ``input`` of the response.
        instructions: those in force for this response.
        tools: tools as the client declared them.
        tool_choice: ``auto``, ``none``, ``required`` or an object.
        modality: ``text`` or ``audio``.
        out_of_band: whether the answer stays out of the conversation.
        metadata: what the client attached to the response.
        hosted_tools: those of hosted MCP servers, as these list them, each with ``server_label``.
    """

    items: tuple[TurnItem, ...] = ()
    instructions: str = ""
    tools: tuple[Json, ...] = ()
    tool_choice: Any = "auto"
    modality: Literal["text", "audio"] = "text"
    out_of_band: bool = False
    metadata: Mapping[str, str] | None = None
    hosted_tools: tuple[Json, ...] = ()


class Responder(Protocol):
    """Whoever answers. One brain serves all connections of a server, one turn at a time."""

    def answer(self, turn: Turn) -> Sequence[Step]:
        """What to do in this turn, in order. No steps make an empty, completed response.

        Raises:
            ScriptExhausted: there is no answer; the response ends as ``failed`` and says so.
        """
        ...


class ScriptExhausted(LookupError):
    """A script had no answer left for a turn that came."""


class ScriptedResponder:
    """Gives the answers of a list, one a turn, in order.

    Args:
        answers: one entry a turn: its steps, or a single step.

    When the list has run out, the response fails with code ``script_exhausted`` and a message that
    tells which turn it was. ``turns`` has every turn that was asked for, for tests to look at.
    """

    def __init__(self, answers: Iterable[Sequence[Step] | Step]) -> None:
        self._answers = deque(answers)
        self._total = len(self._answers)
        self.turns: list[Turn] = []

    @property
    def remaining(self) -> int:
        """How many answers nobody asked for yet."""
        return len(self._answers)

    def answer(self, turn: Turn) -> Sequence[Step]:
        """The next answer of the list.

        Raises:
            ScriptExhausted: there is none.
        """
        self.turns.append(turn)
        if not self._answers:
            raise ScriptExhausted(
                f"the script has {self._total} answer(s), but response number {len(self.turns)} "
                "was asked for"
            )
        answer = self._answers.popleft()
        return answer if isinstance(answer, Sequence) else [answer]
