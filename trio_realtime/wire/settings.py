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
    """The encoding of audio, which is always mono.

    Args:
        type: ``audio/pcm`` for 16-bit little-endian samples, ``audio/pcmu`` for G.711 µ-law,
            ``audio/pcma`` for G.711 A-law.
        rate: Samples per second of PCM. OpenAI supports 24000 only; other services support other
            rates. G.711 always has 8000 and needs no rate.
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
        threshold: How loud speech must be, from 0 to 1; 0.5 by default. Noisy surroundings need a
            higher value.
        prefix_padding_ms: Milliseconds of audio before the start of speech that belong to the turn,
            so that its first sound is not lost; 300 by default.
        silence_duration_ms: Milliseconds of silence that end a turn; 200 or 500 by default,
            depending on the model. With less, the agent answers sooner, and speaks into the pauses
            of slow speakers.
        idle_timeout_ms: Milliseconds, from 5000 to 30000, that the user may be silent after the
            agent has spoken. Then the service creates a response by itself. ``None``, the default,
            disables this.
        create_response: Whether the service creates a response at the end of a turn; true by
            default. If false, your program calls ``create_response``.
        interrupt_response: Whether the service cancels the running response when the user begins to
            speak; true by default. If false, the session interrupts the agent as
            ``interruption`` of :class:`~trio_realtime.SessionConfig` says.
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

    The service decides from the words whether the user has finished, so a pause within a sentence does
    not end the turn.

    Args:
        eagerness: How soon the agent answers. ``low`` waits up to 8 seconds for the user to go on,
            ``medium`` up to 4, ``high`` up to 2. ``auto``, the default, is ``medium``.
        create_response: Whether the service creates a response at the end of a turn; true by
            default. If false, your program calls ``create_response``.
        interrupt_response: Whether the service cancels the running response when the user begins to
            speak; true by default. If false, the session interrupts the agent as
            ``interruption`` of :class:`~trio_realtime.SessionConfig` says.
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
    """How the service transcribes the user's speech.

    Args:
        model: The name of the transcription model, for example ``gpt-live-transcribe``.
        language: The language of the speech, as an ISO 639-1 code such as ``en``. It improves
            accuracy and latency.
        languages: Several possible languages, as ISO 639-1 codes, for models that support this.
        keywords: Words and phrases that may occur, such as names of products, for models that
            support this.
        prompt: A text that guides the transcription, for example the subject of the conversation.
        delay: How long the model waits before it emits text; more improves accuracy. Only for
            models that document it.
    """

    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] | None = None
    keywords: tuple[str, ...] | None = None
    prompt: str | None = None
    delay: str | None = None


@attrs.frozen(kw_only=True)
class NoiseReduction(WireObject):
    """A filter that removes noise from the user's audio.

    Args:
        type: ``near_field`` for headsets and other close microphones, ``far_field`` for laptops and
            conference rooms.
        strength: How much the filter removes, for services that have this; the service defines the
            range.
    """

    type: str | None = None
    strength: float | None = None


@attrs.frozen(kw_only=True)
class AudioInput(WireObject):
    """Settings of the user's audio.

    Args:
        format: The encoding of the audio that the client sends.
        transcription: How the audio is transcribed; ``None`` for no transcription.
        noise_reduction: The filter for the audio; ``None`` for no filter.
        turn_detection: How the end of a turn is found; ``None`` if the client commits the audio.
    """

    format: AudioFormat | Unset = UNSET
    transcription: Transcription | Unset | None = UNSET
    noise_reduction: NoiseReduction | Unset | None = UNSET
    turn_detection: TurnDetection | Unset | None = UNSET


@attrs.frozen(kw_only=True)
class CustomVoice(WireObject):
    """A voice of your own, which the service has created.

    Args:
        id: The id that the service gave the voice.
    """

    id: str


def _check_speed(_instance: Any, _attribute: Any, value: Any) -> None:
    if isinstance(value, Unset):
        return
    if not isinstance(value, Real) or not 0.25 <= float(value) <= 1.5:
        raise ValueError(f"speed must be between 0.25 and 1.5, got {value!r}")


@attrs.frozen(kw_only=True)
class AudioOutput(WireObject):
    """Settings of the assistant's audio.

    Args:
        format: The encoding of the audio that the service sends.
        voice: The name of a voice, or a custom voice.
        speed: The speed of the speech, from 0.25 to 1.5; 1.0 is normal.
    """

    format: AudioFormat | Unset = UNSET
    voice: str | CustomVoice | Unset = UNSET
    speed: float | Unset = attrs.field(default=UNSET, validator=_check_speed)


@attrs.frozen(kw_only=True)
class AudioSettings(WireObject):
    """Audio settings of both directions.

    Args:
        input: Settings of the user's audio.
        output: Settings of the assistant's audio.
    """

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
    """How a reasoning model reasons.

    Args:
        effort: How much it reasons before it answers, for example ``none``, ``low`` or ``high``.
            More takes longer and costs more tokens.
    """

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
