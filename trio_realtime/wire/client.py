"""The eleven client events, by their wire names."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from attrs import validators

from .base import ClientEvent
from .items import Item
from .response import ResponseParams
from .settings import Session

MAX_APPEND_BYTES = 15 * 1024 * 1024
"""The service takes at most 15 MiB of audio in one event."""


def _check_append(_instance: Any, _attribute: Any, value: bytes) -> None:
    if len(value) > MAX_APPEND_BYTES:
        raise ValueError(f"audio of one event may have {MAX_APPEND_BYTES} bytes, not {len(value)}")


@attrs.frozen(kw_only=True)
class SessionUpdate(ClientEvent):
    """Change settings; answered by ``session.updated`` or, with nothing applied, by ``error``."""

    type: ClassVar[str] = "session.update"
    session: Session


@attrs.frozen(kw_only=True)
class InputAudioBufferAppend(ClientEvent):
    """More of the user's audio, raw bytes in the session's input format. Not answered."""

    type: ClassVar[str] = "input_audio_buffer.append"
    audio: bytes = attrs.field(validator=_check_append, repr=False)


@attrs.frozen(kw_only=True)
class InputAudioBufferCommit(ClientEvent):
    """Make the buffered audio a user item. Does not ask for a response."""

    type: ClassVar[str] = "input_audio_buffer.commit"


@attrs.frozen(kw_only=True)
class InputAudioBufferClear(ClientEvent):
    """Throw the buffered audio away."""

    type: ClassVar[str] = "input_audio_buffer.clear"


@attrs.frozen(kw_only=True)
class ConversationItemCreate(ClientEvent):
    """Put an item into the conversation. ``previous_item_id``: ``"root"`` for the very first."""

    type: ClassVar[str] = "conversation.item.create"
    previous_item_id: str | None = None
    item: Item


@attrs.frozen(kw_only=True)
class ConversationItemRetrieve(ClientEvent):
    """Ask for the service's version of an item, with its audio."""

    type: ClassVar[str] = "conversation.item.retrieve"
    item_id: str


@attrs.frozen(kw_only=True)
class ConversationItemTruncate(ClientEvent):
    """Tell how much of an assistant's audio was heard, in whole milliseconds."""

    type: ClassVar[str] = "conversation.item.truncate"
    item_id: str
    content_index: int = 0
    audio_end_ms: int = attrs.field(validator=validators.ge(0))


@attrs.frozen(kw_only=True)
class ConversationItemDelete(ClientEvent):
    """Take an item out of the conversation."""

    type: ClassVar[str] = "conversation.item.delete"
    item_id: str


@attrs.frozen(kw_only=True)
class ResponseCreate(ClientEvent):
    """Ask for a response."""

    type: ClassVar[str] = "response.create"
    response: ResponseParams | None = None


@attrs.frozen(kw_only=True)
class ResponseCancel(ClientEvent):
    """Stop a response; without an id, the one in the conversation."""

    type: ClassVar[str] = "response.cancel"
    response_id: str | None = None


@attrs.frozen(kw_only=True)
class OutputAudioBufferClear(ClientEvent):
    """WebRTC and SIP only: cut what the service is playing."""

    type: ClassVar[str] = "output_audio_buffer.clear"


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
