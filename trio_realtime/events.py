"""The events of a session: one frozen class per event.

``event.type`` is the name that the agents SDKs use, so ``event.type == "audio"`` and
``match event: case events.Audio(data=pcm)`` select the same events. Type checkers narrow :data:`AnyEvent` with both.

Names that end in ``_ms`` are milliseconds of audio. ``response_id`` and ``item_id`` are ids of the service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import attrs

from ._event_json import event_dict
from .errors import RealtimeError
from .items import HistoryItem, McpCallItem
from .latency import TurnLatency
from .session_end import LimitName, SessionEnd
from .usage import Usage
from .wire import RateLimit, ResponseUsage, ServerEvent, Session, TranscriptionUsage, parse_frame

if TYPE_CHECKING:
    from .agents import FunctionTool, RealtimeAgent

    AnyAgent: TypeAlias = RealtimeAgent[Any]
    AnyTool: TypeAlias = FunctionTool

ResponseStatus: TypeAlias = Literal["completed", "cancelled", "failed", "incomplete"]
"""How a response ended."""

ToolOutcome: TypeAlias = Literal[
    "completed", "failed", "timed_out", "rejected", "approved", "blocked", "unknown"
]
"""How a call ended. ``approved`` is internal to hosted MCP calls and never in an event."""


@attrs.frozen(kw_only=True)
class SessionEvent:
    """Base class of all session events."""

    type: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the event as a JSON object: its ``type``, and its fields by their names.

        Agents and tools are names, items are wire objects, errors have ``type`` and ``message``, audio is base64.
        """
        return event_dict(self)


# --- turns of the agent ------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class AgentStart(SessionEvent):
    """The agent's turn began, with a response that does not continue an earlier one.

    Attributes:
        agent: the agent that was current when the response began.
        turn_id: the id of this first response.
    """

    type: ClassVar[Literal["agent_start"]] = "agent_start"
    agent: AnyAgent
    turn_id: str


@attrs.frozen(kw_only=True)
class AgentEnd(SessionEvent):
    """The agent's turn ended.

    A response that calls functions does not end the turn; the response to their outputs continues it.
    While the session lives, each :class:`AgentStart` is followed by one ``AgentEnd``.

    Attributes:
        agent: the agent of the last response. After a handoff, it is not the agent that began.
        turn_id: the id in the :class:`AgentStart`.
        response_id: the last response of the turn.
        status: how the last response ended.
        reason: why the last response did not complete: ``turn_detected``, ``client_cancelled``,
            ``max_output_tokens``, or an error code of the service.
        message: the service's explanation of a failure, if there is one.
        output: text or transcript of the last message of the turn that has any.
        tool_calls: the number of function calls in the turn.
        usage: the tokens of all responses of the turn.
        latency: how fast the turn was.
    """

    type: ClassVar[Literal["agent_end"]] = "agent_end"
    agent: AnyAgent
    turn_id: str
    response_id: str
    status: ResponseStatus
    reason: str | None = None
    message: str | None = None
    output: str = ""
    tool_calls: int = 0
    usage: Usage = Usage()
    latency: TurnLatency = TurnLatency()


@attrs.frozen(kw_only=True)
class ResponseStart(SessionEvent):
    """A response of the conversation began. A turn has one or more responses.

    ``turn_ids`` are the turns that the response begins or continues: usually one, and several if their
    requests were joined.
    """

    type: ClassVar[Literal["response_start"]] = "response_start"
    agent: AnyAgent
    response_id: str
    turn_ids: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class ResponseEnd(SessionEvent):
    """A response of the conversation ended. The fields are those of :class:`AgentEnd`."""

    type: ClassVar[Literal["response_end"]] = "response_end"
    agent: AnyAgent
    response_id: str
    status: ResponseStatus
    reason: str | None = None
    message: str | None = None
    output: str = ""
    tool_calls: int = 0
    usage: ResponseUsage | None = None


@attrs.frozen(kw_only=True)
class Handoff(SessionEvent):
    """Another agent became current."""

    type: ClassVar[Literal["handoff"]] = "handoff"
    from_agent: AnyAgent
    to_agent: AnyAgent


@attrs.frozen(kw_only=True)
class TextDelta(SessionEvent):
    """More of the assistant's text."""

    type: ClassVar[Literal["text_delta"]] = "text_delta"
    delta: str
    response_id: str
    item_id: str
    content_index: int


@attrs.frozen(kw_only=True)
class TranscriptDelta(SessionEvent):
    """More of the transcript of the assistant's audio. Runs ahead of the audio."""

    type: ClassVar[Literal["transcript_delta"]] = "transcript_delta"
    delta: str
    response_id: str
    item_id: str
    content_index: int


# --- audio of the agent ------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class AudioStart(SessionEvent):
    """The first audio of a response follows. There is one such event for each response with audio.

    With the audio gate, it comes when the gate releases the audio. A response that is interrupted
    before any of its audio was delivered has none.
    """

    type: ClassVar[Literal["audio_start"]] = "audio_start"
    response_id: str
    item_id: str
    content_index: int


@attrs.frozen(kw_only=True)
class Audio(SessionEvent):
    """Audio to play: raw bytes in the output format (PCM16 little-endian mono 24 kHz by default)."""

    type: ClassVar[Literal["audio"]] = "audio"
    data: bytes = attrs.field(repr=False)
    response_id: str
    item_id: str
    content_index: int


@attrs.frozen(kw_only=True)
class AudioEnd(SessionEvent):
    """All audio of an item was received. It may play for much longer."""

    type: ClassVar[Literal["audio_end"]] = "audio_end"
    response_id: str
    item_id: str
    content_index: int


@attrs.frozen(kw_only=True)
class AudioInterrupted(SessionEvent):
    """The item was interrupted: stop playing it, and drop its buffered audio.

    ``played_ms`` is how much of the item was heard, as reported to the service. After this event, no
    audio of ``response_id`` is delivered.
    """

    type: ClassVar[Literal["audio_interrupted"]] = "audio_interrupted"
    response_id: str
    item_id: str
    content_index: int
    played_ms: int


# --- tools -------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ToolArgumentsDelta(SessionEvent):
    """More of the arguments of a call that the model is writing, as JSON text."""

    type: ClassVar[Literal["tool_arguments_delta"]] = "tool_arguments_delta"
    delta: str
    tool_name: str
    call_id: str
    response_id: str
    item_id: str


@attrs.frozen(kw_only=True)
class ToolStart(SessionEvent):
    """A tool is about to run. ``arguments`` is JSON text written by the model."""

    type: ClassVar[Literal["tool_start"]] = "tool_start"
    agent: AnyAgent
    tool: AnyTool
    call_id: str
    arguments: str
    response_id: str


@attrs.frozen(kw_only=True)
class ToolEnd(SessionEvent):
    """A call was answered. For a call that was answered early, its tool has ended.

    Attributes:
        outcome: ``completed``; ``failed`` (the tool raised, or the arguments were invalid);
            ``timed_out``; ``rejected``; ``blocked`` (a guardrail of the tool tripped); or ``unknown``
            (the agent has no such tool).
        output: the object that the tool returned, or the text that the model was given.
        output_text: the text that the model was given.
        error: the exception of the tool, with its traceback.
        duration: seconds that the tool ran, its guardrails included; ``None`` if it did not run.
    """

    type: ClassVar[Literal["tool_end"]] = "tool_end"
    agent: AnyAgent
    tool: AnyTool | None
    tool_name: str
    call_id: str
    arguments: str
    output: Any
    output_text: str
    outcome: ToolOutcome
    response_id: str
    error: BaseException | None = None
    duration: float | None = None


@attrs.frozen(kw_only=True)
class ToolAnsweredEarly(SessionEvent):
    """A call was answered with ``ToolContext.answer_early``, and its tool goes on.

    ``output`` is the object that the tool passed, ``output_text`` the text that the model was given.
    """

    type: ClassVar[Literal["tool_answered_early"]] = "tool_answered_early"
    agent: AnyAgent
    tool: AnyTool
    call_id: str
    output: Any
    output_text: str
    response_id: str


@attrs.frozen(kw_only=True)
class ToolCancelled(SessionEvent):
    """An interruption cancelled a call. The tool has ended, and the call was answered.

    ``output_text`` is empty for a call that was answered early: the model is given nothing more.
    """

    type: ClassVar[Literal["tool_cancelled"]] = "tool_cancelled"
    agent: AnyAgent
    tool_name: str
    call_id: str
    arguments: str
    output_text: str
    response_id: str


@attrs.frozen(kw_only=True)
class ToolApprovalRequired(SessionEvent):
    """A call waits for ``approve_tool_call`` or ``reject_tool_call``.

    For a call that the service wants to make itself, ``tool`` is ``None`` and ``server_label`` names the
    MCP server.
    """

    type: ClassVar[Literal["tool_approval_required"]] = "tool_approval_required"
    agent: AnyAgent
    tool: AnyTool | None
    tool_name: str
    call_id: str
    arguments: str
    server_label: str | None = None


@attrs.frozen(kw_only=True)
class McpToolCallCompleted(SessionEvent):
    """The service has called a tool of an MCP server. ``item`` has the ``output`` or the ``error``."""

    type: ClassVar[Literal["mcp_tool_call_completed"]] = "mcp_tool_call_completed"
    item: McpCallItem


# --- the user ----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SpeechStarted(SessionEvent):
    """The user began to speak. ``item_id`` is the id that the message will have."""

    type: ClassVar[Literal["speech_started"]] = "speech_started"
    item_id: str
    audio_start_ms: int


@attrs.frozen(kw_only=True)
class SpeechStopped(SessionEvent):
    """The user stopped speaking."""

    type: ClassVar[Literal["speech_stopped"]] = "speech_stopped"
    item_id: str
    audio_end_ms: int


@attrs.frozen(kw_only=True)
class SpeechIgnored(SessionEvent):
    """The user's speech did not count as an interruption, by the session's ``InterruptionPolicy``.

    It is not answered, and its message stays in the conversation.

    Attributes:
        item_id: the message.
        transcript: what was said; ``None`` for speech that was ignored because it was short.
        resumed: whether the speech had interrupted the agent, who was asked to go on.
    """

    type: ClassVar[Literal["speech_ignored"]] = "speech_ignored"
    item_id: str
    transcript: str | None = None
    resumed: bool = False


@attrs.frozen(kw_only=True)
class UserTranscriptDelta(SessionEvent):
    """More of the transcript of the user's audio. It may arrive before the item."""

    type: ClassVar[Literal["user_transcript_delta"]] = "user_transcript_delta"
    delta: str
    item_id: str
    content_index: int


@attrs.frozen(kw_only=True)
class UserTranscript(SessionEvent):
    """The complete transcript of the user's audio. It may arrive after the agent's answer.

    ``usage`` is what the transcription costs, if the service reports it.
    """

    type: ClassVar[Literal["user_transcript"]] = "user_transcript"
    transcript: str
    item_id: str
    content_index: int
    usage: TranscriptionUsage | None = None


@attrs.frozen(kw_only=True)
class UserTranscriptFailed(SessionEvent):
    """The user's audio could not be transcribed. The turn goes on without a transcript."""

    type: ClassVar[Literal["user_transcript_failed"]] = "user_transcript_failed"
    item_id: str
    content_index: int
    code: str | None
    message: str


@attrs.frozen(kw_only=True)
class InputAudioTimeoutTriggered(SessionEvent):
    """The user did not speak for the configured idle time, so the service responds by itself."""

    type: ClassVar[Literal["input_audio_timeout_triggered"]] = "input_audio_timeout_triggered"
    item_id: str
    audio_start_ms: int
    audio_end_ms: int


@attrs.frozen(kw_only=True)
class DtmfReceived(SessionEvent):
    """A key was pressed on the phone (SIP): ``0``-``9``, ``*``, ``#``, ``A``-``D``."""

    type: ClassVar[Literal["dtmf_received"]] = "dtmf_received"
    key: str
    received_at: int


# --- history -----------------------------------------------------------------------------------

ReadHistory: TypeAlias = Callable[[], Sequence[HistoryItem]]
ReadItem: TypeAlias = Callable[[], HistoryItem]


def _read_item(item: HistoryItem | ReadItem | None) -> HistoryItem | None:
    return item() if callable(item) else item


@attrs.frozen(kw_only=True)
class HistoryAdded(SessionEvent):
    """An item joined the conversation."""

    type: ClassVar[Literal["history_added"]] = "history_added"
    item: HistoryItem
    previous_item_id: str | None = None


@attrs.frozen(kw_only=True, repr=False)
class HistoryUpdated(SessionEvent):
    """An item changed (``item``) or was deleted (``deleted_item_id``).

    The first event of a session has neither: its :attr:`history` is what the session begins with. It
    comes before any subscription can be opened, so only the main channel delivers it.

    A growing item is reported every ``history_update_interval`` seconds, and once more when it is done.
    Unread reports share its text.
    """

    type: ClassVar[Literal["history_updated"]] = "history_updated"
    _item: HistoryItem | ReadItem | None = attrs.field(default=None, alias="item", eq=_read_item)
    deleted_item_id: str | None = None
    _read: ReadHistory = attrs.field(alias="read", eq=False)

    def __repr__(self) -> str:
        return f"HistoryUpdated(item={self.item!r}, deleted_item_id={self.deleted_item_id!r})"

    @property
    def item(self) -> HistoryItem | None:
        """The item as it was when it changed. Each access joins the text of a growing item."""
        return _read_item(self._item)

    @property
    def shares_text(self) -> bool:
        """Whether the event shares the text of a growing item instead of holding a copy."""
        return callable(self._item)

    @property
    def history(self) -> Sequence[HistoryItem]:
        """The whole history, read at the moment of access: as new as this event, or newer."""
        return self._read()


# --- the connection ----------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Reconnecting(SessionEvent):
    """The connection is lost, or an attempt to connect again has failed: the session tries again.

    Attributes:
        attempt: the number of the attempt since the loss, beginning with 1.
        delay: seconds until the attempt.
        error: why there is no connection.
    """

    type: ClassVar[Literal["reconnecting"]] = "reconnecting"
    attempt: int
    delay: float
    error: RealtimeError


@attrs.frozen(kw_only=True)
class Reconnected(SessionEvent):
    """The session uses a new connection, to which the conversation was sent.

    Attributes:
        attempts: attempts to connect since the loss.
        duration: seconds without a connection; 0 if the old connection was used until the new one was
            ready.
        items_sent: items of the conversation that were sent.
        items_acknowledged: those of them that the service has acknowledged. It has rejected the others.
        lost_audio_ms: milliseconds of the user's audio that were dropped.
        state_restored: whether the service knows the whole conversation. Items that only the service can
            create, such as those of hosted MCP servers, are not counted.
    """

    type: ClassVar[Literal["reconnected"]] = "reconnected"
    attempts: int
    duration: float
    items_sent: int
    items_acknowledged: int
    lost_audio_ms: int
    state_restored: bool


# --- guardrails, errors, the rest --------------------------------------------------------------


@attrs.frozen(kw_only=True)
class GuardrailTrip:
    """One guardrail that tripped.

    Attributes:
        name: the guardrail's name.
        info: what the guardrail returned as :attr:`.GuardrailResult.info`.
        feedback: what the guardrail returned as :attr:`.GuardrailResult.feedback`.
    """

    name: str
    info: Any = None
    feedback: str | None = None


@attrs.frozen(kw_only=True)
class GuardrailTripped(SessionEvent):
    """Guardrails tripped.

    Attributes:
        guardrail_results: one :class:`GuardrailTrip` for each guardrail.
        message: the text that was checked; for a tool's guardrails, what the model is given instead.
        response_id: the response that was checked, or that made the call; ``None`` for user input.
        call_id: the call, for a tool's guardrails. Nothing is interrupted then.
    """

    type: ClassVar[Literal["guardrail_tripped"]] = "guardrail_tripped"
    guardrail_results: tuple[GuardrailTrip, ...]
    message: str
    response_id: str | None
    call_id: str | None = None


@attrs.frozen(kw_only=True)
class Error(SessionEvent):
    """Something failed and the session goes on. The class of ``error`` says who is at fault."""

    type: ClassVar[Literal["error"]] = "error"
    error: RealtimeError


@attrs.frozen(kw_only=True)
class SessionWarning(SessionEvent):
    """Something is not as requested, and the session goes on.

    Attributes:
        message: what is not as requested, and what to change.
        code: ``unexpected_dialect`` (the server speaks another dialect than the endpoint announced),
            ``input_audio_dropped`` (the user's audio waited for more than ``max_audio_latency``),
            ``setting_locked`` (the service cannot change a setting any more, so an agent goes on
            without it), or a code of the service.
        param: the setting at fault, if one is.
    """

    type: ClassVar[Literal["warning"]] = "warning"
    message: str
    code: str | None = None
    param: str | None = None


@attrs.frozen(kw_only=True)
class SettingsUpdated(SessionEvent):
    """The service accepted new settings. ``session`` is the whole effective session."""

    type: ClassVar[Literal["settings_updated"]] = "settings_updated"
    session: Session


@attrs.frozen(kw_only=True)
class McpToolsChanged(SessionEvent):
    """The tool list of an MCP server changed.

    If the current agent uses the server, the model gets the new list. ``server`` is the name in the
    server's declaration. ``tools`` are the server's own names for the offered tools.
    """

    type: ClassVar[Literal["mcp_tools_changed"]] = "mcp_tools_changed"
    server: str
    tools: tuple[str, ...]


@attrs.frozen(kw_only=True)
class RateLimitsUpdated(SessionEvent):
    """The rate limits that remain."""

    type: ClassVar[Literal["rate_limits_updated"]] = "rate_limits_updated"
    rate_limits: tuple[RateLimit, ...]


@attrs.frozen(kw_only=True)
class RawModelEvent(SessionEvent):
    """A server event as it was received. Only subscriptions that name this class receive it.

    Attributes:
        data: the typed event.
        frame: the text of the frame, with every key that the service sent.
    """

    type: ClassVar[Literal["raw_model_event"]] = "raw_model_event"
    data: ServerEvent
    frame: str | bytes = attrs.field(repr=False)

    def json(self) -> Mapping[str, Any]:
        """Return the frame's JSON object. Each call parses the frame again."""
        return parse_frame(self.frame)


@attrs.frozen(kw_only=True)
class LimitReached(SessionEvent):
    """A limit of the session was reached.

    Attributes:
        limit: the name of the setting.
        grace: seconds that the agent has to finish before the session ends; ``None`` if the session goes
            on, because the agent must only stop calling functions (``tool_rounds``).
    """

    type: ClassVar[Literal["limit_reached"]] = "limit_reached"
    limit: LimitName
    grace: float | None = None


@attrs.frozen(kw_only=True)
class SessionEnded(SessionEvent):
    """The session ended. This is the last event of every channel that delivers it.

    After it, iteration stops, or raises ``end.error`` if the session failed.
    """

    type: ClassVar[Literal["session_ended"]] = "session_ended"
    end: SessionEnd


AnyEvent: TypeAlias = (
    AgentStart
    | AgentEnd
    | ResponseStart
    | ResponseEnd
    | Handoff
    | TextDelta
    | TranscriptDelta
    | AudioStart
    | Audio
    | AudioEnd
    | AudioInterrupted
    | ToolArgumentsDelta
    | ToolStart
    | ToolEnd
    | ToolAnsweredEarly
    | ToolCancelled
    | ToolApprovalRequired
    | McpToolCallCompleted
    | SpeechStarted
    | SpeechStopped
    | SpeechIgnored
    | UserTranscriptDelta
    | UserTranscript
    | UserTranscriptFailed
    | InputAudioTimeoutTriggered
    | DtmfReceived
    | HistoryAdded
    | HistoryUpdated
    | Reconnecting
    | Reconnected
    | GuardrailTripped
    | Error
    | SessionWarning
    | SettingsUpdated
    | McpToolsChanged
    | RateLimitsUpdated
    | RawModelEvent
    | LimitReached
    | SessionEnded
)
"""The union of all event classes. A channel yields these; ``event.type`` and ``match`` narrow them.

:meta hide-value:
"""
