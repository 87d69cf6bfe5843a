"""Response objects, their token usage, and the parameters of ``response.create``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from .base import LOCAL_FIELD, UNSET, Unset, WireObject
from .items import Item, ItemReference
from .settings import AudioFormat, CustomVoice, Reasoning, ToolSpec


@attrs.frozen(kw_only=True)
class CachedTokens(WireObject):
    """Cached input tokens by modality."""

    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0


@attrs.frozen(kw_only=True)
class InputTokens(WireObject):
    """Input tokens by modality."""

    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int = 0
    cached_tokens_details: CachedTokens = CachedTokens()


@attrs.frozen(kw_only=True)
class OutputTokens(WireObject):
    """Output tokens by modality. ``text_tokens`` includes ``reasoning_tokens``."""

    text_tokens: int = 0
    audio_tokens: int = 0
    reasoning_tokens: int = 0


@attrs.frozen(kw_only=True)
class ResponseUsage(WireObject):
    """The token usage of one response."""

    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_token_details: InputTokens = InputTokens()
    output_token_details: OutputTokens = OutputTokens()


@attrs.frozen(kw_only=True)
class TranscriptionUsage(WireObject):
    """What the transcription of a part of the user's audio costs.

    Attributes:
        type: ``tokens`` or ``duration``, depending on the model.
        seconds: the billed audio in seconds, of a model that is billed by duration.
        total_tokens, input_tokens, output_tokens: tokens, of a model that is billed by tokens.
        input_token_details: the input tokens by modality.
    """

    type: str | None = None
    seconds: float = 0.0
    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_token_details: InputTokens = InputTokens()


@attrs.frozen(kw_only=True)
class ResponseError(WireObject):
    """The error of a failed response."""

    type: str | None = None
    code: str | None = None
    message: str | None = None


@attrs.frozen(kw_only=True)
class StatusDetails(WireObject):
    """Why a response did not complete. ``reason`` is, for example, ``turn_detected``."""

    type: str | None = None
    reason: str | None = None
    error: ResponseError | None = None


@attrs.frozen(kw_only=True)
class ResponseAudioOutput(WireObject):
    """The output audio settings of a response."""

    format: AudioFormat | Unset = UNSET
    voice: str | CustomVoice | Unset = UNSET


@attrs.frozen(kw_only=True)
class ResponseAudio(WireObject):
    """The audio settings of a response."""

    output: ResponseAudioOutput | Unset = UNSET


@attrs.frozen(kw_only=True)
class ResponseObject(WireObject):
    """A response as reported by the service.

    ``status`` is ``in_progress``, ``completed``, ``cancelled``, ``failed`` or ``incomplete``.
    ``conversation_id`` is ``None`` for an out-of-band response.
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
    # These are the documented limits of the service.
    if value is None:
        return
    if len(value) > 16:
        raise ValueError(f"metadata must have at most 16 pairs, got {len(value)}")
    for key, text in value.items():
        if not isinstance(text, str):
            raise ValueError(f"metadata {key[:64]!r}: expected a str, got {text!r:.80}")  # noqa: TRY004
        if len(key) > 64 or len(text) > 512:
            raise ValueError(
                f"metadata {key[:64]!r}: a key must have at most 64 characters, a value at most 512"
            )


@attrs.frozen(kw_only=True)
class ResponseParams(WireObject):
    """Overrides of the session's settings for one response. All keys are optional.

    ``conversation="none"`` requests an out-of-band response. ``input`` replaces the conversation as
    the model's input; an empty ``input`` means no context. ``extra`` has keys that the library does not
    know; they are merged into the object that is sent.
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
    extra: Mapping[str, Any] | Unset = attrs.field(default=UNSET, repr=False, metadata=LOCAL_FIELD)
