"""The 46 server events of the protocol, named after their ``type``, and those of other services.

A field is required only if the event is useless without it, such as an id or a payload. Servers
omit other fields, and a missing key must not make the whole event unusable.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from .base import UNSET, ServerEvent, Unset, WireObject
from .items import Item
from .response import ResponseObject, TranscriptionUsage
from .settings import Session


@attrs.frozen(kw_only=True)
class ErrorDetails(WireObject):
    """The details of an error. ``event_id`` names the client event that caused it, if any."""

    type: str = ""
    code: str | None = None
    message: str = ""
    param: str | None = None
    event_id: str | None = None


@attrs.frozen(kw_only=True)
class ResponsePart(WireObject):
    """A content part of a running response. ``type`` is ``audio`` or ``text``."""

    type: str = ""
    text: str | None = None
    audio: bytes | None = attrs.field(default=None, repr=False)
    transcript: str | None = None


@attrs.frozen(kw_only=True)
class RateLimit(WireObject):
    """A rate limit: the remaining amount, and the seconds until it resets."""

    name: str = ""
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


@attrs.frozen(kw_only=True)
class SessionCreated(ServerEvent):
    """The first event of a connection, with the complete session."""

    type: ClassVar[str] = "session.created"
    session: Session


@attrs.frozen(kw_only=True)
class SessionUpdated(ServerEvent):
    """The reply to an accepted ``session.update``, with the complete effective session."""

    type: ClassVar[str] = "session.updated"
    session: Session


@attrs.frozen(kw_only=True)
class ConversationCreated(ServerEvent):
    """A conversation was created. The OpenAI service does not send this; some others do."""

    type: ClassVar[str] = "conversation.created"
    conversation: Any = None


@attrs.frozen(kw_only=True)
class ErrorEvent(ServerEvent):
    """An error occurred. It is fatal only if the server then closes the connection."""

    type: ClassVar[str] = "error"
    error: ErrorDetails


@attrs.frozen(kw_only=True)
class WarningDetails(WireObject):
    """The details of a warning."""

    message: str = ""
    code: str | None = None
    param: str | None = None


@attrs.frozen(kw_only=True)
class WarningEvent(ServerEvent):
    """Something is not as requested, and the session goes on. Azure Voice Live sends this."""

    type: ClassVar[str] = "warning"
    warning: WarningDetails


@attrs.frozen(kw_only=True)
class InputAudioBufferCommitted(ServerEvent):
    """The buffered audio became the user item ``item_id``."""

    type: ClassVar[str] = "input_audio_buffer.committed"
    item_id: str
    previous_item_id: str | None = None


@attrs.frozen(kw_only=True)
class InputAudioBufferCleared(ServerEvent):
    """The buffered audio was discarded."""

    type: ClassVar[str] = "input_audio_buffer.cleared"


@attrs.frozen(kw_only=True)
class InputAudioBufferSpeechStarted(ServerEvent):
    """The user started to speak. ``item_id`` is the id of the future user message."""

    type: ClassVar[str] = "input_audio_buffer.speech_started"
    item_id: str = ""
    audio_start_ms: int = 0


@attrs.frozen(kw_only=True)
class InputAudioBufferSpeechStopped(ServerEvent):
    """The user stopped speaking. ``audio_end_ms`` includes the silence that ended the turn."""

    type: ClassVar[str] = "input_audio_buffer.speech_stopped"
    item_id: str = ""
    audio_end_ms: int = 0


@attrs.frozen(kw_only=True)
class InputAudioBufferTimeoutTriggered(ServerEvent):
    """No speech was detected for ``idle_timeout_ms``; the service creates a response."""

    type: ClassVar[str] = "input_audio_buffer.timeout_triggered"
    item_id: str = ""
    audio_start_ms: int = 0
    audio_end_ms: int = 0


@attrs.frozen(kw_only=True)
class InputAudioBufferDtmfEventReceived(ServerEvent):
    """A phone key was pressed (SIP only). ``received_at`` is in Unix seconds."""

    type: ClassVar[str] = "input_audio_buffer.dtmf_event_received"
    event: str
    received_at: int = 0


@attrs.frozen(kw_only=True)
class ConversationItemAdded(ServerEvent):
    """An item was added to the conversation after ``previous_item_id``."""

    type: ClassVar[str] = "conversation.item.added"
    item: Item
    previous_item_id: str | Unset | None = UNSET


@attrs.frozen(kw_only=True)
class ConversationItemCreated(ServerEvent):
    """The name of ``conversation.item.added`` in the beta protocol, sent by old servers."""

    type: ClassVar[str] = "conversation.item.created"
    item: Item
    previous_item_id: str | Unset | None = UNSET


@attrs.frozen(kw_only=True)
class ConversationItemDone(ServerEvent):
    """An item is complete. The OpenAI service sends an unreliable ``previous_item_id`` here."""

    type: ClassVar[str] = "conversation.item.done"
    item: Item
    previous_item_id: str | Unset | None = UNSET


@attrs.frozen(kw_only=True)
class ConversationItemRetrieved(ServerEvent):
    """The service's copy of an item, including its audio."""

    type: ClassVar[str] = "conversation.item.retrieved"
    item: Item


@attrs.frozen(kw_only=True)
class ConversationItemTruncated(ServerEvent):
    """The audio of an assistant message was truncated, and its transcript deleted on the server."""

    type: ClassVar[str] = "conversation.item.truncated"
    item_id: str
    content_index: int = 0
    audio_end_ms: int = 0


@attrs.frozen(kw_only=True)
class ConversationItemDeleted(ServerEvent):
    """An item was removed from the conversation."""

    type: ClassVar[str] = "conversation.item.deleted"
    item_id: str


@attrs.frozen(kw_only=True)
class InputAudioTranscriptionDelta(ServerEvent):
    """A fragment of a transcript of user audio. It may arrive before the item exists."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.delta"
    item_id: str
    content_index: int = 0
    delta: str = ""
    logprobs: Any = None


@attrs.frozen(kw_only=True)
class InputAudioTranscriptionCompleted(ServerEvent):
    """The transcript of user audio. It may arrive after the response to that audio."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.completed"
    item_id: str
    content_index: int = 0
    transcript: str = ""
    languages: Any = None
    logprobs: Any = None
    usage: TranscriptionUsage | None = None


@attrs.frozen(kw_only=True)
class InputAudioTranscriptionFailed(ServerEvent):
    """The transcription of user audio failed."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.failed"
    item_id: str
    content_index: int = 0
    error: ErrorDetails


@attrs.frozen(kw_only=True)
class InputAudioTranscriptionSegment(ServerEvent):
    """The transcript of one speaker from ``start`` to ``end``, in seconds."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.segment"
    item_id: str
    content_index: int = 0
    text: str = ""
    id: str = ""
    speaker: str = ""
    start: float = 0.0
    end: float = 0.0


@attrs.frozen(kw_only=True)
class ResponseCreated(ServerEvent):
    """A response started."""

    type: ClassVar[str] = "response.created"
    response: ResponseObject


@attrs.frozen(kw_only=True)
class ResponseDone(ServerEvent):
    """A response ended, with any status."""

    type: ClassVar[str] = "response.done"
    response: ResponseObject


@attrs.frozen(kw_only=True)
class ResponseOutputItemAdded(ServerEvent):
    """A response started an item."""

    type: ClassVar[str] = "response.output_item.added"
    response_id: str
    output_index: int = 0
    item: Item


@attrs.frozen(kw_only=True)
class ResponseOutputItemDone(ServerEvent):
    """An item of a response is complete, or ``incomplete`` because the response ended early."""

    type: ClassVar[str] = "response.output_item.done"
    response_id: str
    output_index: int = 0
    item: Item


@attrs.frozen(kw_only=True)
class ResponseContentPartAdded(ServerEvent):
    """A content part was added to a message."""

    type: ClassVar[str] = "response.content_part.added"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: ResponsePart


@attrs.frozen(kw_only=True)
class ResponseContentPartDone(ServerEvent):
    """A content part is complete."""

    type: ClassVar[str] = "response.content_part.done"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: ResponsePart = ResponsePart()


@attrs.frozen(kw_only=True)
class ResponseOutputTextDelta(ServerEvent):
    """A fragment of text."""

    type: ClassVar[str] = "response.output_text.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str


@attrs.frozen(kw_only=True)
class ResponseOutputTextDone(ServerEvent):
    """The complete text."""

    type: ClassVar[str] = "response.output_text.done"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    text: str = ""


@attrs.frozen(kw_only=True)
class ResponseOutputAudioDelta(ServerEvent):
    """A chunk of audio, as raw bytes in the session's output format."""

    type: ClassVar[str] = "response.output_audio.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class ResponseOutputAudioDone(ServerEvent):
    """All audio was sent. Its playback may take much longer."""

    type: ClassVar[str] = "response.output_audio.done"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0


@attrs.frozen(kw_only=True)
class ResponseOutputAudioTranscriptDelta(ServerEvent):
    """A fragment of the transcript of output audio. It arrives ahead of the audio."""

    type: ClassVar[str] = "response.output_audio_transcript.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str


@attrs.frozen(kw_only=True)
class ResponseOutputAudioTranscriptDone(ServerEvent):
    """The transcript of output audio, incomplete if the response was interrupted."""

    type: ClassVar[str] = "response.output_audio_transcript.done"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    transcript: str = ""


@attrs.frozen(kw_only=True)
class ResponseFunctionCallArgumentsDelta(ServerEvent):
    """A fragment of the arguments of a function call."""

    type: ClassVar[str] = "response.function_call_arguments.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    call_id: str = ""
    delta: str = ""


@attrs.frozen(kw_only=True)
class ResponseFunctionCallArgumentsDone(ServerEvent):
    """The arguments of a function call, incomplete if the response was interrupted."""

    type: ClassVar[str] = "response.function_call_arguments.done"
    response_id: str
    item_id: str
    output_index: int = 0
    call_id: str = ""
    name: str = ""
    arguments: str = ""


@attrs.frozen(kw_only=True)
class McpListToolsInProgress(ServerEvent):
    """The service is listing the tools of a hosted MCP server."""

    type: ClassVar[str] = "mcp_list_tools.in_progress"
    item_id: str


@attrs.frozen(kw_only=True)
class McpListToolsCompleted(ServerEvent):
    """The service has listed the tools of a hosted MCP server."""

    type: ClassVar[str] = "mcp_list_tools.completed"
    item_id: str


@attrs.frozen(kw_only=True)
class McpListToolsFailed(ServerEvent):
    """The service failed to list the tools of a hosted MCP server."""

    type: ClassVar[str] = "mcp_list_tools.failed"
    item_id: str


@attrs.frozen(kw_only=True)
class ResponseMcpCallArgumentsDelta(ServerEvent):
    """A fragment of the arguments of a hosted MCP call."""

    type: ClassVar[str] = "response.mcp_call_arguments.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    delta: str = ""


@attrs.frozen(kw_only=True)
class ResponseMcpCallArgumentsDone(ServerEvent):
    """The complete arguments of a hosted MCP call."""

    type: ClassVar[str] = "response.mcp_call_arguments.done"
    response_id: str
    item_id: str
    output_index: int = 0
    arguments: str = ""


@attrs.frozen(kw_only=True)
class ResponseMcpCallInProgress(ServerEvent):
    """The service is calling a hosted MCP tool."""

    type: ClassVar[str] = "response.mcp_call.in_progress"
    item_id: str
    output_index: int = 0


@attrs.frozen(kw_only=True)
class ResponseMcpCallCompleted(ServerEvent):
    """A hosted MCP call succeeded."""

    type: ClassVar[str] = "response.mcp_call.completed"
    item_id: str
    output_index: int = 0


@attrs.frozen(kw_only=True)
class ResponseMcpCallFailed(ServerEvent):
    """A hosted MCP call failed."""

    type: ClassVar[str] = "response.mcp_call.failed"
    item_id: str
    output_index: int = 0


@attrs.frozen(kw_only=True)
class RateLimitsUpdated(ServerEvent):
    """The current rate limits."""

    type: ClassVar[str] = "rate_limits.updated"
    rate_limits: tuple[RateLimit, ...] = ()


@attrs.frozen(kw_only=True)
class OutputAudioBufferStarted(ServerEvent):
    """The service started to play audio (WebRTC and SIP only)."""

    type: ClassVar[str] = "output_audio_buffer.started"
    response_id: str = ""


@attrs.frozen(kw_only=True)
class OutputAudioBufferStopped(ServerEvent):
    """The service played all audio (WebRTC and SIP only)."""

    type: ClassVar[str] = "output_audio_buffer.stopped"
    response_id: str = ""


@attrs.frozen(kw_only=True)
class OutputAudioBufferCleared(ServerEvent):
    """The service stopped playing audio early (WebRTC and SIP only)."""

    type: ClassVar[str] = "output_audio_buffer.cleared"
    response_id: str = ""


SERVER_EVENTS: tuple[type[ServerEvent], ...] = (
    SessionCreated,
    SessionUpdated,
    ConversationCreated,
    ErrorEvent,
    InputAudioBufferCommitted,
    InputAudioBufferCleared,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    InputAudioBufferDtmfEventReceived,
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDone,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    ConversationItemDeleted,
    InputAudioTranscriptionDelta,
    InputAudioTranscriptionCompleted,
    InputAudioTranscriptionFailed,
    InputAudioTranscriptionSegment,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    McpListToolsInProgress,
    McpListToolsCompleted,
    McpListToolsFailed,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallInProgress,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    RateLimitsUpdated,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    OutputAudioBufferCleared,
)
"""The events of the protocol.

:meta hide-value:
"""

OTHER_SERVER_EVENTS: tuple[type[ServerEvent], ...] = (WarningEvent,)
"""Events that only other services send.

:meta hide-value:
"""
