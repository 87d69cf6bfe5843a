"""What a session tells its consumers: one frozen class per event.

``event.type`` is the name that the existing agents SDKs use, so ``event.type == "audio"`` and
``match event: case events.Audio(data=pcm)`` say the same.

Times are milliseconds of audio where a name ends in ``_ms``. ``response_id`` and ``item_id`` are the
service's ids; everything belongs to a response by its id, never to "the current one".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import attrs

from .errors import RealtimeError
from .items import HistoryItem, McpCallItem
from .usage import Usage
from .wire import RateLimit, ResponseUsage, ServerEvent, Session

if TYPE_CHECKING:
    from .agents import FunctionTool, RealtimeAgent

    AnyAgent: TypeAlias = RealtimeAgent[Any]
    AnyTool: TypeAlias = FunctionTool


@attrs.frozen(kw_only=True)
class SessionEvent:
    """Base of all session events."""

    type: ClassVar[str]


# --- turns of the agent ------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class AgentStart(SessionEvent):
    """The agent's turn began: a response that does not continue an earlier one.

    ``agent`` is the one that was current then. ``turn_id`` is the id of this first response.
    """

    type: ClassVar[str] = "agent_start"
    agent: AnyAgent
    turn_id: str


@attrs.frozen(kw_only=True)
class AgentEnd(SessionEvent):
    """The agent's turn ended: it has said what it had to say.

    A response that calls functions does not end the turn; the response that answers with their
    outputs continues it. Each :class:`AgentStart` has one ``AgentEnd``, while the session lives.

    Attributes:
        agent: whose the last response was; after a handoff, not the one that began.
        turn_id: as in the :class:`AgentStart`.
        response_id: the last response of the turn.
        status: of that one: ``completed``, ``cancelled``, ``failed`` or ``incomplete``.
        reason: the service's word for why (``turn_detected``, ``client_cancelled``,
            ``max_output_tokens``, an error code …), ``None`` when it completed.
        message: the service's explanation of a failure, if it gave one.
        output: text or transcript of the last message of the turn that has any.
        tool_calls: how many function calls the turn made.
        usage: tokens of all its responses.
    """

    type: ClassVar[str] = "agent_end"
    agent: AnyAgent
    turn_id: str
    response_id: str
    status: str
    reason: str | None = None
    message: str | None = None
    output: str = ""
    tool_calls: int = 0
    usage: Usage = Usage()


@attrs.frozen(kw_only=True)
class ResponseStart(SessionEvent):
    """One response of the conversation began. A turn has one or more."""

    type: ClassVar[str] = "response_start"
    agent: AnyAgent
    response_id: str


@attrs.frozen(kw_only=True)
class ResponseEnd(SessionEvent):
    """One response of the conversation ended; see :class:`AgentEnd` for the fields."""

    type: ClassVar[str] = "response_end"
    agent: AnyAgent
    response_id: str
    status: str
    reason: str | None = None
    message: str | None = None
    output: str = ""
    tool_calls: int = 0
    usage: ResponseUsage | None = None


@attrs.frozen(kw_only=True)
class Handoff(SessionEvent):
    """The conversation went from one agent to another."""

    type: ClassVar[str] = "handoff"
    from_agent: AnyAgent
    to_agent: AnyAgent


@attrs.frozen(kw_only=True)
class TextDelta(SessionEvent):
    """More of the assistant's text."""

    type: ClassVar[str] = "text_delta"
    delta: str
    response_id: str
    item_id: str
    content_index: int


@attrs.frozen(kw_only=True)
class TranscriptDelta(SessionEvent):
    """More of the transcript of the assistant's audio. Runs ahead of the audio."""

    type: ClassVar[str] = "transcript_delta"
    delta: str
    response_id: str
    item_id: str
    content_index: int


# --- audio of the agent ------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Audio(SessionEvent):
    """Audio to play: raw bytes in the output format (PCM16 little-endian mono 24 kHz by default)."""

    type: ClassVar[str] = "audio"
    data: bytes = attrs.field(repr=False)
    response_id: str
    item_id: str
    content_index: int


@attrs.frozen(kw_only=True)
class AudioEnd(SessionEvent):
    """All audio of an item was received. It may still be playing for long."""

    type: ClassVar[str] = "audio_end"
    response_id: str
    item_id: str
    content_index: int


@attrs.frozen(kw_only=True)
class AudioInterrupted(SessionEvent):
    """Stop playing this item, and drop what is buffered of it.

    ``played_ms`` is how much of it was heard and what the service was told. After this event no
    audio of ``response_id`` is delivered.
    """

    type: ClassVar[str] = "audio_interrupted"
    response_id: str
    item_id: str
    content_index: int
    played_ms: int


# --- tools -------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ToolArgumentsDelta(SessionEvent):
    """More of the arguments of a call that the model is writing: a piece of JSON text."""

    type: ClassVar[str] = "tool_arguments_delta"
    delta: str
    tool_name: str
    call_id: str
    response_id: str
    item_id: str


@attrs.frozen(kw_only=True)
class ToolStart(SessionEvent):
    """A tool is about to run. ``arguments`` is the JSON text of the model."""

    type: ClassVar[str] = "tool_start"
    agent: AnyAgent
    tool: AnyTool
    call_id: str
    arguments: str
    response_id: str


@attrs.frozen(kw_only=True)
class ToolEnd(SessionEvent):
    """A call was answered; one that was answered early has come to its end.

    Attributes:
        outcome: ``completed``, ``failed`` (it raised, or the arguments were wrong), ``timed_out``,
            ``rejected``, ``blocked`` (a guardrail of the tool tripped) or ``unknown`` (the agent has
            no such tool).
        output: what the tool returned, as the object it returned; else the text of the answer.
        output_text: what the model was told.
        error: what the tool raised, with its traceback, if it failed by that.
    """

    type: ClassVar[str] = "tool_end"
    agent: AnyAgent
    tool: AnyTool | None
    tool_name: str
    call_id: str
    arguments: str
    output: Any
    output_text: str
    outcome: str
    response_id: str
    error: BaseException | None = None


@attrs.frozen(kw_only=True)
class ToolAnsweredEarly(SessionEvent):
    """A call was answered by ``ToolContext.answer_early``, and its tool goes on.

    ``output`` is the object that the tool gave, ``output_text`` what the model was told.
    """

    type: ClassVar[str] = "tool_answered_early"
    agent: AnyAgent
    tool: AnyTool
    call_id: str
    output: Any
    output_text: str
    response_id: str


@attrs.frozen(kw_only=True)
class ToolCancelled(SessionEvent):
    """A call was cancelled by an interrupt: its ``finally`` blocks ran, and it was answered.

    ``output_text`` is empty where it had been answered early: the model is told no more.
    """

    type: ClassVar[str] = "tool_cancelled"
    agent: AnyAgent
    tool_name: str
    call_id: str
    arguments: str
    output_text: str
    response_id: str


@attrs.frozen(kw_only=True)
class ToolApprovalRequired(SessionEvent):
    """A call waits for ``approve_tool_call`` or ``reject_tool_call``.

    ``tool`` is ``None`` for a call that the service wants to make itself; ``server_label`` says then
    of which MCP server.
    """

    type: ClassVar[str] = "tool_approval_required"
    agent: AnyAgent
    tool: AnyTool | None
    tool_name: str
    call_id: str
    arguments: str
    server_label: str | None = None


@attrs.frozen(kw_only=True)
class McpToolCallCompleted(SessionEvent):
    """The service has called a tool of an MCP server itself.

    ``item`` has the ``output``, or the ``error``.
    """

    type: ClassVar[str] = "mcp_tool_call_completed"
    item: McpCallItem


# --- the user ----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SpeechStarted(SessionEvent):
    """The user began to speak. ``item_id`` is the id that the message will get."""

    type: ClassVar[str] = "speech_started"
    item_id: str
    audio_start_ms: int


@attrs.frozen(kw_only=True)
class SpeechStopped(SessionEvent):
    """The user stopped speaking."""

    type: ClassVar[str] = "speech_stopped"
    item_id: str
    audio_end_ms: int


@attrs.frozen(kw_only=True)
class UserTranscriptDelta(SessionEvent):
    """More of what the user is heard to say; may come before the item is in the history."""

    type: ClassVar[str] = "user_transcript_delta"
    delta: str
    item_id: str
    content_index: int


@attrs.frozen(kw_only=True)
class UserTranscript(SessionEvent):
    """What the user was heard to say, whole. May come after the agent's answer."""

    type: ClassVar[str] = "user_transcript"
    transcript: str
    item_id: str
    content_index: int


@attrs.frozen(kw_only=True)
class UserTranscriptFailed(SessionEvent):
    """The user's audio could not be transcribed. The turn goes on without."""

    type: ClassVar[str] = "user_transcript_failed"
    item_id: str
    content_index: int
    code: str | None
    message: str


@attrs.frozen(kw_only=True)
class InputAudioTimeoutTriggered(SessionEvent):
    """Nobody spoke for the configured idle time; the service goes on by itself."""

    type: ClassVar[str] = "input_audio_timeout_triggered"
    item_id: str
    audio_start_ms: int
    audio_end_ms: int


@attrs.frozen(kw_only=True)
class DtmfReceived(SessionEvent):
    """A key was pressed on the phone (SIP): ``0``-``9``, ``*``, ``#``, ``A``-``D``."""

    type: ClassVar[str] = "dtmf_received"
    key: str
    received_at: int


# --- history -----------------------------------------------------------------------------------

ReadHistory: TypeAlias = Callable[[], Sequence[HistoryItem]]


@attrs.frozen(kw_only=True)
class HistoryAdded(SessionEvent):
    """An item joined the conversation."""

    type: ClassVar[str] = "history_added"
    item: HistoryItem
    previous_item_id: str | None = None


@attrs.frozen(kw_only=True)
class HistoryUpdated(SessionEvent):
    """An item changed (``item``) or left the conversation (``deleted_item_id``).

    While an item grows, one comes now and then (``history_update_interval``), and one with its end.
    """

    type: ClassVar[str] = "history_updated"
    item: HistoryItem | None = None
    deleted_item_id: str | None = None
    _read: ReadHistory = attrs.field(alias="read", repr=False, eq=False)

    @property
    def history(self) -> Sequence[HistoryItem]:
        """The whole history, read when you ask: as new as this event, or newer."""
        return self._read()


# --- guardrails, errors, the rest --------------------------------------------------------------


@attrs.frozen(kw_only=True)
class GuardrailTrip:
    """One guardrail that tripped.

    Attributes:
        name: the guardrail's name.
        info: what the guardrail returned as :attr:`GuardrailResult.info
            <trio_realtime.GuardrailResult.info>`.
    """

    name: str
    info: Any = None


@attrs.frozen(kw_only=True)
class GuardrailTripped(SessionEvent):
    """Guardrails tripped.

    Attributes:
        guardrail_results: one :class:`GuardrailTrip` for each guardrail.
        message: the text they saw; of a tool's guardrails, what the model is told instead.
        response_id: whose reply or call it was; ``None`` for what the user said.
        call_id: the call, where they are a tool's; nothing is interrupted then.
    """

    type: ClassVar[str] = "guardrail_tripped"
    guardrail_results: tuple[GuardrailTrip, ...]
    message: str
    response_id: str | None
    call_id: str | None = None


@attrs.frozen(kw_only=True)
class Error(SessionEvent):
    """Something went wrong and the session goes on. ``error`` tells whose fault it was."""

    type: ClassVar[str] = "error"
    error: RealtimeError


@attrs.frozen(kw_only=True)
class SettingsUpdated(SessionEvent):
    """The service confirmed new settings; ``session`` is the whole effective session."""

    type: ClassVar[str] = "settings_updated"
    session: Session


@attrs.frozen(kw_only=True)
class McpToolsChanged(SessionEvent):
    """The tools of an MCP server are others than before; the model is told if it may call them.

    ``server`` is the server's name in its declaration, ``tools`` are the names that the server gives
    those that are offered.
    """

    type: ClassVar[str] = "mcp_tools_changed"
    server: str
    tools: tuple[str, ...]


@attrs.frozen(kw_only=True)
class RateLimitsUpdated(SessionEvent):
    """What is left of the rate limits."""

    type: ClassVar[str] = "rate_limits_updated"
    rate_limits: tuple[RateLimit, ...]


@attrs.frozen(kw_only=True)
class RawModelEvent(SessionEvent):
    """A server event as it came. Delivered only to those who subscribe to it by name.

    Attributes:
        data: the typed event.
        frame: the text of the frame, every key as the service sent it.
    """

    type: ClassVar[str] = "raw_model_event"
    data: ServerEvent
    frame: str | bytes = attrs.field(repr=False)

    def json(self) -> Mapping[str, Any]:
        """The frame's JSON object, parsed anew at each call: changing it changes nothing else."""
        from .wire import parse_frame

        return parse_frame(self.frame)
