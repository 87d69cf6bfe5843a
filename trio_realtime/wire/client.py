"""The eleven client events, named after their ``type``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
from attrs import validators

from .base import ClientEvent
from .items import Item
from .response import ResponseParams
from .settings import Session

MAX_APPEND_BYTES = 15 * 1024 * 1024
"""The service accepts at most 15 MiB of audio in one event."""


def check_append(audio: bytes) -> None:
    """Check that the service accepts so much audio in one event.

    Raises:
        ValueError: It does not.
    """
    if len(audio) > MAX_APPEND_BYTES:
        raise ValueError(f"audio must have at most {MAX_APPEND_BYTES} bytes, got {len(audio)}")


def _check_append(_instance: Any, _attribute: Any, value: bytes) -> None:
    check_append(value)


@attrs.frozen(kw_only=True)
class SessionUpdate(ClientEvent):
    """Change settings.

    The server replies with ``session.updated``, or applies nothing and replies with ``error``.
    """

    type: ClassVar[str] = "session.update"
    session: Session


@attrs.frozen(kw_only=True)
class InputAudioBufferAppend(ClientEvent):
    """Append raw bytes of user audio, in the session's input format. The server does not reply."""

    type: ClassVar[str] = "input_audio_buffer.append"
    audio: bytes = attrs.field(validator=_check_append, repr=False)


@attrs.frozen(kw_only=True)
class InputAudioBufferCommit(ClientEvent):
    """Turn the buffered audio into a user item, without requesting a response."""

    type: ClassVar[str] = "input_audio_buffer.commit"


@attrs.frozen(kw_only=True)
class InputAudioBufferClear(ClientEvent):
    """Discard the buffered audio."""

    type: ClassVar[str] = "input_audio_buffer.clear"


@attrs.frozen(kw_only=True)
class ConversationItemCreate(ClientEvent):
    """Add an item to the conversation, after ``previous_item_id`` (``"root"``: at the start)."""

    type: ClassVar[str] = "conversation.item.create"
    previous_item_id: str | None = None
    item: Item


@attrs.frozen(kw_only=True)
class ConversationItemRetrieve(ClientEvent):
    """Request the service's copy of an item, including its audio."""

    type: ClassVar[str] = "conversation.item.retrieve"
    item_id: str


@attrs.frozen(kw_only=True)
class ConversationItemTruncate(ClientEvent):
    """Truncate the audio of an assistant message to ``audio_end_ms``, in whole milliseconds."""

    type: ClassVar[str] = "conversation.item.truncate"
    item_id: str
    content_index: int = 0
    audio_end_ms: int = attrs.field(validator=validators.ge(0))


@attrs.frozen(kw_only=True)
class ConversationItemDelete(ClientEvent):
    """Remove an item from the conversation."""

    type: ClassVar[str] = "conversation.item.delete"
    item_id: str


@attrs.frozen(kw_only=True)
class ResponseCreate(ClientEvent):
    """Request a response."""

    type: ClassVar[str] = "response.create"
    response: ResponseParams | None = None


@attrs.frozen(kw_only=True)
class ResponseCancel(ClientEvent):
    """Cancel a response. Without an id, cancel the running response of the conversation."""

    type: ClassVar[str] = "response.cancel"
    response_id: str | None = None


@attrs.frozen(kw_only=True)
class OutputAudioBufferClear(ClientEvent):
    """Stop the audio that the service is playing (WebRTC and SIP only)."""

    type: ClassVar[str] = "output_audio_buffer.clear"


@attrs.frozen(kw_only=True)
class UnknownClientEvent(ClientEvent):
    """An event of an unknown type, with its JSON."""

    type: ClassVar[str] = "unknown"
    raw: Mapping[str, Any]


CLIENT_EVENTS: tuple[type[ClientEvent], ...] = (
    SessionUpdate,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferClear,
    ConversationItemCreate,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    ConversationItemDelete,
    ResponseCreate,
    ResponseCancel,
    OutputAudioBufferClear,
)
