"""The response object, its usage, and what a ``response.create`` may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from .base import UNSET, Unset, WireObject
from .items import Item, ItemReference
from .settings import AudioFormat, CustomVoice, Reasoning, ToolSpec


@attrs.frozen(kw_only=True)
class CachedTokens(WireObject):
    """Tokens read from the cache, by modality."""

    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0


@attrs.frozen(kw_only=True)
class InputTokens(WireObject):
    """Tokens of the context, by modality."""

    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int = 0
    cached_tokens_details: CachedTokens = CachedTokens()


@attrs.frozen(kw_only=True)
class OutputTokens(WireObject):
    """Tokens of the answer, by modality; ``reasoning_tokens`` are among the text tokens."""

    text_tokens: int = 0
    audio_tokens: int = 0
    reasoning_tokens: int = 0


@attrs.frozen(kw_only=True)
class ResponseUsage(WireObject):
    """What one response cost, in tokens."""

    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_token_details: InputTokens = InputTokens()
    output_token_details: OutputTokens = OutputTokens()


@attrs.frozen(kw_only=True)
class ResponseError(WireObject):
    """Why a response failed."""

    type: str | None = None
    code: str | None = None
    message: str | None = None


@attrs.frozen(kw_only=True)
class StatusDetails(WireObject):
    """Why a response ended as it did. ``reason``: ``turn_detected``, ``client_cancelled``, …."""

    type: str | None = None
    reason: str | None = None
    error: ResponseError | None = None


@attrs.frozen(kw_only=True)
class ResponseAudioOutput(WireObject):
    """The audio that a response makes."""

    format: AudioFormat | Unset = UNSET
    voice: str | CustomVoice | Unset = UNSET


@attrs.frozen(kw_only=True)
class ResponseAudio(WireObject):
    """The audio side of a response."""

    output: ResponseAudioOutput | Unset = UNSET


@attrs.frozen(kw_only=True)
class ResponseObject(WireObject):
    """A response as the service describes it.

    ``status`` is ``in_progress``, ``completed``, ``cancelled``, ``failed`` or ``incomplete``.
    ``conversation_id`` is ``None`` for one that stands outside the conversation.
    """

    id: str = ""
    status: str = "in_progress"
    status_details: StatusDetails | None = None
    output: tuple[Item, ...] = ()
    conversation_id: str | Unset | None = UNSET
    output_modalities: tuple[str, ...] = ()
    max_output_tokens: int | str | None = None
    audio: ResponseAudio | None = None
    usage: ResponseUsage | None = None
    metadata: Mapping[str, Any] | None = None


InputItem: TypeAlias = Item | ItemReference


def _check_metadata(_instance: Any, _attribute: Any, value: Mapping[str, str] | None) -> None:
    # Bounds as documented for the service's metadata.
    if value is None:
        return
    if len(value) > 16:
        raise ValueError(f"metadata may have 16 pairs at most, not {len(value)}")
    for key, text in value.items():
        if not isinstance(text, str):
            raise ValueError(f"metadata {key[:64]!r}: a value is text, not {text!r:.80}")  # noqa: TRY004
        if len(key) > 64 or len(text) > 512:
            raise ValueError(f"metadata {key[:64]!r}: a key has 64 characters at most, a value 512")


@attrs.frozen(kw_only=True)
class ResponseParams(WireObject):
    """Overrides of the session's settings for one response. All keys may be absent.

    ``conversation="none"`` asks for a response beside the conversation. ``input`` replaces the
    context; an empty one means no context at all.
    """

    output_modalities: tuple[str, ...] | Unset = UNSET
    instructions: str | Unset = UNSET
    audio: ResponseAudio | Unset = UNSET
    tools: tuple[ToolSpec, ...] | Unset = UNSET
    tool_choice: Any = UNSET
    parallel_tool_calls: bool | Unset = UNSET
    reasoning: Reasoning | Unset = UNSET
    max_output_tokens: int | str | Unset = UNSET
    conversation: str | Unset = UNSET
    metadata: Mapping[str, str] | None = attrs.field(default=None, validator=_check_metadata)
    prompt: Any = UNSET
    input: tuple[InputItem, ...] | Unset = UNSET
