"""The 46 server events, by their wire names.

Only what an event is useless without is required (an id, a payload): servers leave out the rest,
and a missing key must not cost the whole event.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from .base import UNSET, ServerEvent, Unset, WireObject
from .items import Item
from .response import ResponseObject
from .settings import Session


@attrs.frozen(kw_only=True)
class ErrorDetails(WireObject):
    """The body of an error. ``event_id`` names the client event at fault, if one is."""

    type: str = ""
    code: str | None = None
    message: str = ""
    param: str | None = None
    event_id: str | None = None


@attrs.frozen(kw_only=True)
class ResponsePart(WireObject):
    """A content part while its response runs; ``type`` is the short ``audio`` or ``text``."""

    type: str = ""
    text: str | None = None
    audio: bytes | None = attrs.field(default=None, repr=False)
    transcript: str | None = None


@attrs.frozen(kw_only=True)
class RateLimit(WireObject):
    """One limit: how much of it remains, and when it is whole again (seconds)."""

    name: str = ""
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


@attrs.frozen(kw_only=True)
class SessionCreated(ServerEvent):
    """The first event of an accepted connection, with the whole session."""

    type: ClassVar[str] = "session.created"
    session: Session


@attrs.frozen(kw_only=True)
class SessionUpdated(ServerEvent):
    """The answer to an accepted ``session.update``: the whole effective session."""

    type: ClassVar[str] = "session.updated"
    session: Session


@attrs.frozen(kw_only=True)
class ConversationCreated(ServerEvent):
    """Documented, not sent by the live service; some clones do."""

    type: ClassVar[str] = "conversation.created"
    conversation: Any = None


@attrs.frozen(kw_only=True)
class ErrorEvent(ServerEvent):
    """Something went wrong. Fatal only if a close follows at once."""

    type: ClassVar[str] = "error"
    error: ErrorDetails


@attrs.frozen(kw_only=True)
class InputAudioBufferCommitted(ServerEvent):
    """The buffer became the user item ``item_id``."""

    type: ClassVar[str] = "input_audio_buffer.committed"
    item_id: str
    previous_item_id: str | None = None


@attrs.frozen(kw_only=True)
class InputAudioBufferCleared(ServerEvent):
    """The buffer was thrown away."""

    type: ClassVar[str] = "input_audio_buffer.cleared"


@attrs.frozen(kw_only=True)
class InputAudioBufferSpeechStarted(ServerEvent):
    """The user began to speak; ``item_id`` is the id that the message will get."""

    type: ClassVar[str] = "input_audio_buffer.speech_started"
    item_id: str = ""
    audio_start_ms: int = 0


@attrs.frozen(kw_only=True)
class InputAudioBufferSpeechStopped(ServerEvent):
    """The user stopped; ``audio_end_ms`` includes the silence that told so."""

    type: ClassVar[str] = "input_audio_buffer.speech_stopped"
    item_id: str = ""
    audio_end_ms: int = 0


@attrs.frozen(kw_only=True)
class InputAudioBufferTimeoutTriggered(ServerEvent):
    """Nobody spoke for ``idle_timeout_ms``; the service goes on by itself."""

    type: ClassVar[str] = "input_audio_buffer.timeout_triggered"
    item_id: str = ""
    audio_start_ms: int = 0
    audio_end_ms: int = 0


@attrs.frozen(kw_only=True)
class InputAudioBufferDtmfEventReceived(ServerEvent):
    """SIP only: a key was pressed. ``received_at`` is in Unix seconds."""

    type: ClassVar[str] = "input_audio_buffer.dtmf_event_received"
    event: str
    received_at: int = 0


@attrs.frozen(kw_only=True)
class ConversationItemAdded(ServerEvent):
    """An item joined the conversation, after ``previous_item_id``."""

    type: ClassVar[str] = "conversation.item.added"
    item: Item
    previous_item_id: str | Unset | None = UNSET


@attrs.frozen(kw_only=True)
class ConversationItemCreated(ServerEvent):
    """The beta's name of ``conversation.item.added``; old servers send it."""

    type: ClassVar[str] = "conversation.item.created"
    item: Item
    previous_item_id: str | Unset | None = UNSET


@attrs.frozen(kw_only=True)
class ConversationItemDone(ServerEvent):
    """An item is final. Its ``previous_item_id`` is not reliable on the live service."""

    type: ClassVar[str] = "conversation.item.done"
    item: Item
    previous_item_id: str | Unset | None = UNSET


@attrs.frozen(kw_only=True)
class ConversationItemRetrieved(ServerEvent):
    """The service's version of an item, with its audio."""

    type: ClassVar[str] = "conversation.item.retrieved"
    item: Item


@attrs.frozen(kw_only=True)
class ConversationItemTruncated(ServerEvent):
    """An assistant's audio was cut; its transcript is gone on the server."""

    type: ClassVar[str] = "conversation.item.truncated"
    item_id: str
    content_index: int = 0
    audio_end_ms: int = 0


@attrs.frozen(kw_only=True)
class ConversationItemDeleted(ServerEvent):
    """An item left the conversation."""

    type: ClassVar[str] = "conversation.item.deleted"
    item_id: str


@attrs.frozen(kw_only=True)
class InputAudioTranscriptionDelta(ServerEvent):
    """More of what the user said; may come before the item exists."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.delta"
    item_id: str
    content_index: int = 0
    delta: str = ""
    logprobs: Any = None


@attrs.frozen(kw_only=True)
class InputAudioTranscriptionCompleted(ServerEvent):
    """What the user said. Free-running: may come after the answer."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.completed"
    item_id: str
    content_index: int = 0
    transcript: str = ""
    languages: Any = None
    logprobs: Any = None
    usage: Any = None


@attrs.frozen(kw_only=True)
class InputAudioTranscriptionFailed(ServerEvent):
    """The user's audio could not be transcribed."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.failed"
    item_id: str
    content_index: int = 0
    error: ErrorDetails


@attrs.frozen(kw_only=True)
class InputAudioTranscriptionSegment(ServerEvent):
    """What one speaker said from ``start`` to ``end`` (seconds)."""

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
    """A response began."""

    type: ClassVar[str] = "response.created"
    response: ResponseObject


@attrs.frozen(kw_only=True)
class ResponseDone(ServerEvent):
    """A response ended, however it did."""

    type: ClassVar[str] = "response.done"
    response: ResponseObject


@attrs.frozen(kw_only=True)
class ResponseOutputItemAdded(ServerEvent):
    """A response opened an item."""

    type: ClassVar[str] = "response.output_item.added"
    response_id: str
    output_index: int = 0
    item: Item


@attrs.frozen(kw_only=True)
class ResponseOutputItemDone(ServerEvent):
    """A response finished an item, or had to leave it ``incomplete``."""

    type: ClassVar[str] = "response.output_item.done"
    response_id: str
    output_index: int = 0
    item: Item


@attrs.frozen(kw_only=True)
class ResponseContentPartAdded(ServerEvent):
    """A message got a part."""

    type: ClassVar[str] = "response.content_part.added"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: ResponsePart


@attrs.frozen(kw_only=True)
class ResponseContentPartDone(ServerEvent):
    """A part is final."""

    type: ClassVar[str] = "response.content_part.done"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: ResponsePart


@attrs.frozen(kw_only=True)
class ResponseOutputTextDelta(ServerEvent):
    """More text."""

    type: ClassVar[str] = "response.output_text.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str


@attrs.frozen(kw_only=True)
class ResponseOutputTextDone(ServerEvent):
    """The whole text."""

    type: ClassVar[str] = "response.output_text.done"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    text: str = ""


@attrs.frozen(kw_only=True)
class ResponseOutputAudioDelta(ServerEvent):
    """More audio: raw bytes in the session's output format."""

    type: ClassVar[str] = "response.output_audio.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class ResponseOutputAudioDone(ServerEvent):
    """All audio was sent. It may still be playing for long."""

    type: ClassVar[str] = "response.output_audio.done"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0


@attrs.frozen(kw_only=True)
class ResponseOutputAudioTranscriptDelta(ServerEvent):
    """More of the transcript; runs ahead of the audio."""

    type: ClassVar[str] = "response.output_audio_transcript.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str


@attrs.frozen(kw_only=True)
class ResponseOutputAudioTranscriptDone(ServerEvent):
    """The whole transcript, or what there was of it."""

    type: ClassVar[str] = "response.output_audio_transcript.done"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    transcript: str = ""


@attrs.frozen(kw_only=True)
class ResponseFunctionCallArgumentsDelta(ServerEvent):
    """More of the arguments."""

    type: ClassVar[str] = "response.function_call_arguments.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    call_id: str = ""
    delta: str = ""


@attrs.frozen(kw_only=True)
class ResponseFunctionCallArgumentsDone(ServerEvent):
    """The arguments; of an interrupted call, what there was of them."""

    type: ClassVar[str] = "response.function_call_arguments.done"
    response_id: str
    item_id: str
    output_index: int = 0
    call_id: str = ""
    name: str = ""
    arguments: str = ""


@attrs.frozen(kw_only=True)
class McpListToolsInProgress(ServerEvent):
    """The tools of a hosted MCP server are being listed."""

    type: ClassVar[str] = "mcp_list_tools.in_progress"
    item_id: str


@attrs.frozen(kw_only=True)
class McpListToolsCompleted(ServerEvent):
    """The tools of a hosted MCP server are known."""

    type: ClassVar[str] = "mcp_list_tools.completed"
    item_id: str


@attrs.frozen(kw_only=True)
class McpListToolsFailed(ServerEvent):
    """The tools of a hosted MCP server could not be listed."""

    type: ClassVar[str] = "mcp_list_tools.failed"
    item_id: str


@attrs.frozen(kw_only=True)
class ResponseMcpCallArgumentsDelta(ServerEvent):
    """More of the arguments of a hosted MCP call."""

    type: ClassVar[str] = "response.mcp_call_arguments.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    delta: str = ""


@attrs.frozen(kw_only=True)
class ResponseMcpCallArgumentsDone(ServerEvent):
    """The arguments of a hosted MCP call."""

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
    """A hosted MCP call is done."""

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
    """What is left of the rate limits."""

    type: ClassVar[str] = "rate_limits.updated"
    rate_limits: tuple[RateLimit, ...] = ()


@attrs.frozen(kw_only=True)
class OutputAudioBufferStarted(ServerEvent):
    """WebRTC and SIP only: the service began to play."""

    type: ClassVar[str] = "output_audio_buffer.started"
    response_id: str = ""


@attrs.frozen(kw_only=True)
class OutputAudioBufferStopped(ServerEvent):
    """WebRTC and SIP only: all was played."""

    type: ClassVar[str] = "output_audio_buffer.stopped"
    response_id: str = ""


@attrs.frozen(kw_only=True)
class OutputAudioBufferCleared(ServerEvent):
    """WebRTC and SIP only: playing was cut."""

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
