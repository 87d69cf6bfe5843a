"""Responders: they decide what the model says and calls.

A :class:`Responder` maps a :class:`Turn` to a sequence of steps. The server turns the steps into
events, paces them, and drops the rest when the response is cancelled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import attrs

from .types import Json

__all__ = [
    "Call",
    "Fail",
    "HostedCall",
    "Incomplete",
    "Pause",
    "Responder",
    "Say",
    "ScriptExhausted",
    "ScriptedResponder",
    "Step",
    "Turn",
    "TurnItem",
]


@attrs.frozen
class Say:
    """A step that adds one assistant message, as text or speech depending on the response.

    Args:
        text: text of the message, or transcript of the speech.
        audio_ms: duration of the speech in milliseconds; by default, that of the synthesized text.
    """

    text: str
    audio_ms: float | None = None


@attrs.frozen
class Call:
    """A step that makes one function call.

    Args:
        name: name of the function.
        arguments: arguments by name. A str is sent unchanged, also if it is not valid JSON.
        call_id: id of the call; by default a generated one.
    """

    name: str
    arguments: Mapping[str, Any] | str = attrs.field(factory=dict[str, Any])
    call_id: str | None = None


@attrs.frozen
class HostedCall:
    """A step that calls a tool of a hosted MCP server.

    If the call needs approval, the response requests approval instead. After the approval the next
    response makes the call, without asking the responder.

    Args:
        server_label: label of the server.
        name: name of the tool.
        arguments: arguments by name. A str is sent unchanged, also if it is not valid JSON.
    """

    server_label: str
    name: str
    arguments: Mapping[str, Any] | str = attrs.field(factory=dict[str, Any])


@attrs.frozen
class Fail:
    """A step that ends the response with status ``failed`` and the given error."""

    code: str = "server_error"
    message: str = "The server had an error while processing your request. Sorry about that!"
    type: str = "server_error"


@attrs.frozen
class Incomplete:
    """A step that ends the response with status ``incomplete``."""

    reason: Literal["max_output_tokens", "content_filter"] = "content_filter"


@attrs.frozen
class Pause:
    """A step that waits for the given seconds, regardless of the pacing.

    ``math.inf`` waits until the response is cancelled.
    """

    seconds: float


Step: TypeAlias = Say | Call | HostedCall | Fail | Incomplete | Pause


@attrs.frozen
class TurnItem:
    """One item of the context of a response.

    Args:
        id: id of the item.
        kind: ``type`` of the item, for example ``message`` or ``function_call``.
        role: role of a message.
        text: text or transcript of a message, or the reason of an approval response. Empty for
            speech whose words are unknown.
        audio_ms: duration of the audio, in milliseconds.
        name: name of the called tool.
        call_id: id of the function call, also on its output.
        arguments: arguments of the call, as JSON.
        output: output of the call, or the message of a hosted call's error.
        server_label: label of the hosted MCP server.
        outcome: outcome of a hosted call; None while it is in progress.
        approval_request_id: the request that an approval response, or an approved call, answers.
        approve: the decision of an approval response.
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
    """The input of a responder for one response.

    Args:
        items: the context, oldest first: the conversation, or the ``input`` of the response.
        instructions: instructions for this response.
        tools: tools as the client declared them.
        tool_choice: ``auto``, ``none``, ``required`` or an object.
        modality: ``text`` or ``audio``.
        out_of_band: whether the response is not part of the conversation.
        metadata: metadata of the response.
        hosted_tools: tools of hosted MCP servers as the servers list them, each with its
            ``server_label``.
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
    """Decides what the model says and calls.

    One responder serves all connections of a server, one turn at a time.
    """

    def respond(self, turn: Turn) -> Sequence[Step]:
        """Return the steps of the response, in order.

        The call must not block the event loop. Without steps, the response completes without
        output.

        Raises:
            ScriptExhausted: there are no more turns; the response fails with this message.
        """
        ...


class ScriptExhausted(LookupError):
    """Raised by :class:`ScriptedResponder` when its script has no more turns."""


class ScriptedResponder:
    """A :class:`Responder` that follows a script.

    After the last turn of the script, responses fail with the code ``script_exhausted``.

    Args:
        script: one entry for each turn: its steps, or a single step.

    Attributes:
        turns: the turns so far, for assertions.
    """

    def __init__(self, script: Iterable[Sequence[Step] | Step]) -> None:
        self._script = deque(script)
        self._length = len(self._script)
        self.turns: list[Turn] = []

    @property
    def remaining(self) -> int:
        """Number of turns left in the script."""
        return len(self._script)

    def respond(self, turn: Turn) -> Sequence[Step]:
        """Return the steps of the next turn in the script.

        Raises:
            ScriptExhausted: the script has no more turns.
        """
        self.turns.append(turn)
        if not self._script:
            raise ScriptExhausted(
                f"the script has {self._length} turn(s), but response number {len(self.turns)} "
                "was requested"
            )
        steps = self._script.popleft()
        return steps if isinstance(steps, Sequence) else [steps]
