"""The session object of ``session.update``, ``session.created`` and ``session.updated``.

When sending, an absent key (:data:`~trio_realtime.wire.UNSET`) leaves a setting unchanged, and
``None`` (``null``) clears it. When receiving, every key is optional and may be ``null``. Therefore
the same classes are used in both directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, ClassVar, TypeAlias

import attrs
from attrs import validators

from .base import LOCAL_FIELD, UNSET, Unset, WireObject


def _number_between(low: float, high: float) -> Any:
    return validators.optional(validators.and_(validators.ge(low), validators.le(high)))


@attrs.frozen(kw_only=True)
class AudioFormat(WireObject):
    """``audio/pcm`` (16 bit little-endian mono), ``audio/pcmu`` or ``audio/pcma``.

    ``rate`` is in Hz. OpenAI supports PCM at 24000 Hz only; other services support other rates. G.711
    always has 8000 Hz.
    """

    type: str = "audio/pcm"
    rate: int | None = None

    @property
    def bytes_per_ms(self) -> float:
        """8 for G.711, and twice the rate in kHz for PCM: 48 for PCM without a rate that can be true."""
        if self.type in _G711:
            return 8
        rate = _DEFAULT_PCM_RATE if self.rate is None else self.rate
        if not 0 < rate <= _MAX_PCM_RATE:
            rate = _DEFAULT_PCM_RATE
        return rate * 2 / 1000


_G711 = frozenset({"audio/pcmu", "audio/pcma"})
_DEFAULT_PCM_RATE = 24_000
_MAX_PCM_RATE = 1_000_000

PCM24K = AudioFormat(type="audio/pcm", rate=24000)
PCMU = AudioFormat(type="audio/pcmu")
PCMA = AudioFormat(type="audio/pcma")


@attrs.frozen(kw_only=True)
class ServerVad(WireObject):
    """Turn detection based on the volume of the user's audio.

    Args:
        threshold: The activation threshold, from 0 to 1. Noisy environments need a higher value.
        prefix_padding_ms: Milliseconds of audio to include from before the start of speech.
        silence_duration_ms: Milliseconds of silence that end a turn.
        idle_timeout_ms: Milliseconds of silence, from 5000 to 30000, after which the service
            creates a response on its own. ``None`` disables this.
        create_response: Whether the service creates a response at the end of a turn.
        interrupt_response: Whether the service cancels the running response when the user speaks.
    """

    type: ClassVar[str] = "server_vad"
    threshold: float | None = attrs.field(default=None, validator=_number_between(0, 1))
    prefix_padding_ms: int | None = attrs.field(default=None, validator=_number_between(0, 60_000))
    silence_duration_ms: int | None = attrs.field(
        default=None, validator=_number_between(0, 60_000)
    )
    idle_timeout_ms: int | None = attrs.field(
        default=None, validator=_number_between(5_000, 30_000)
    )
    create_response: bool | None = None
    interrupt_response: bool | None = None


@attrs.frozen(kw_only=True)
class SemanticVad(WireObject):
    """Turn detection based on the content of the user's speech.

    ``eagerness`` is ``low``, ``medium``, ``high`` or ``auto``.
    """

    type: ClassVar[str] = "semantic_vad"
    eagerness: str | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


@attrs.frozen(kw_only=True)
class UnknownTurnDetection(WireObject):
    """Turn detection of an unknown type, with its JSON."""

    type: ClassVar[str] = "unknown"
    raw: Mapping[str, Any]

    @property
    def create_response(self) -> bool | None:
        """The ``create_response`` flag, if the server sent it."""
        return self._flag("create_response")

    @property
    def interrupt_response(self) -> bool | None:
        """The ``interrupt_response`` flag, if the server sent it."""
        return self._flag("interrupt_response")

    def _flag(self, name: str) -> bool | None:
        value = self.raw.get(name)
        return value if isinstance(value, bool) else None


TurnDetection: TypeAlias = ServerVad | SemanticVad | UnknownTurnDetection


@attrs.frozen(kw_only=True)
class Transcription(WireObject):
    """Settings of the transcription of user audio, such as the model and hints for it."""

    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] | None = None
    keywords: tuple[str, ...] | None = None
    prompt: str | None = None
    delay: str | None = None


@attrs.frozen(kw_only=True)
class NoiseReduction(WireObject):
    """Noise reduction: ``near_field`` for headsets, ``far_field`` for distant microphones.

    ``strength`` is a number, whose range the service defines.
    """

    type: str | None = None
    strength: float | None = None


@attrs.frozen(kw_only=True)
class AudioInput(WireObject):
    """Settings of the user's audio."""

    format: AudioFormat | Unset = UNSET
    transcription: Transcription | Unset | None = UNSET
    noise_reduction: NoiseReduction | Unset | None = UNSET
    turn_detection: TurnDetection | Unset | None = UNSET


@attrs.frozen(kw_only=True)
class CustomVoice(WireObject):
    """A custom voice, selected by id."""

    id: str


def _check_speed(_instance: Any, _attribute: Any, value: Any) -> None:
    if isinstance(value, Unset):
        return
    if not isinstance(value, Real) or not 0.25 <= float(value) <= 1.5:
        raise ValueError(f"speed must be between 0.25 and 1.5, got {value!r}")


@attrs.frozen(kw_only=True)
class AudioOutput(WireObject):
    """Settings of the assistant's audio. ``speed`` ranges from 0.25 to 1.5."""

    format: AudioFormat | Unset = UNSET
    voice: str | CustomVoice | Unset = UNSET
    speed: float | Unset = attrs.field(default=UNSET, validator=_check_speed)


@attrs.frozen(kw_only=True)
class AudioSettings(WireObject):
    """Audio settings of both directions."""

    input: AudioInput | Unset = UNSET
    output: AudioOutput | Unset = UNSET


@attrs.frozen(kw_only=True)
class FunctionToolSpec(WireObject):
    """The declaration of a function tool. ``parameters`` is a JSON Schema."""

    type: ClassVar[str] = "function"
    name: str = ""
    description: str | None = None
    parameters: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True)
class McpToolSpec(WireObject):
    """A hosted MCP server, which the service connects to. The repr omits credentials."""

    type: ClassVar[str] = "mcp"
    server_label: str = ""
    server_url: str | None = attrs.field(default=None, repr=False)
    connector_id: str | None = None
    tunnel_id: str | None = None
    authorization: str | None = attrs.field(default=None, repr=False)
    server_description: str | None = None
    headers: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    allowed_tools: Any = None
    allowed_callers: tuple[str, ...] | None = None
    require_approval: Any = None
    defer_loading: bool | None = None


@attrs.frozen(kw_only=True)
class UnknownToolSpec(WireObject):
    """A tool of an unknown type, with its JSON. The repr omits ``raw``: it may contain secrets."""

    type: ClassVar[str] = "unknown"
    raw: Mapping[str, Any] = attrs.field(repr=False)


ToolSpec: TypeAlias = FunctionToolSpec | McpToolSpec | UnknownToolSpec


@attrs.frozen(kw_only=True)
class Reasoning(WireObject):
    """Settings of a reasoning model. ``effort`` is, for example, ``none``, ``low`` or ``high``."""

    effort: str | None = None


@attrs.frozen(kw_only=True)
class Session(WireObject):
    """The settings of a realtime or transcription session, selected by ``type``.

    ``tool_choice``, ``tracing``, ``truncation`` and ``prompt`` are JSON values in the protocol's
    format. Only the service sets ``id``, ``object`` and ``expires_at`` (Unix seconds). ``extra`` has
    keys that the library does not know; they are merged into the session object that is sent.
    """

    type: str = "realtime"
    object: str | Unset = UNSET
    id: str | Unset = UNSET
    model: str | Unset = UNSET
    output_modalities: tuple[str, ...] | Unset = UNSET
    instructions: str | Unset = UNSET
    tools: tuple[ToolSpec, ...] | Unset = UNSET
    tool_choice: Any = UNSET
    parallel_tool_calls: bool | Unset = UNSET
    max_output_tokens: int | str | Unset = UNSET
    reasoning: Reasoning | Unset = UNSET
    tracing: Any = UNSET
    truncation: Any = UNSET
    prompt: Any = UNSET
    include: tuple[str, ...] | Unset | None = UNSET
    audio: AudioSettings | Unset = UNSET
    expires_at: int | Unset = UNSET
    extra: Mapping[str, Any] | Unset = attrs.field(default=UNSET, repr=False, metadata=LOCAL_FIELD)

    @property
    def output_format(self) -> AudioFormat | None:
        """The format of the assistant's audio, or ``None`` if unknown."""
        if self.audio and self.audio.output and self.audio.output.format:
            return self.audio.output.format
        return None

    @property
    def input_format(self) -> AudioFormat | None:
        """The format of the user's audio, or ``None`` if unknown."""
        if self.audio and self.audio.input and self.audio.input.format:
            return self.audio.input.format
        return None

    @property
    def creates_response(self) -> bool:
        """Whether the service responds on its own at the end of a user's turn (its default)."""
        if not self.audio or not self.audio.input or not self.audio.input.turn_detection:
            return False
        return self.audio.input.turn_detection.create_response is not False

    @property
    def interrupts_response(self) -> bool:
        """Whether the service cancels a response on its own when the user speaks."""
        if not self.audio or not self.audio.input or not self.audio.input.turn_detection:
            return False
        return self.audio.input.turn_detection.interrupt_response is True
