"""The session object: what a ``session.update`` asks for and what the service echoes.

In what is sent, an absent key (:data:`~trio_realtime.wire.UNSET`) leaves a setting as it is and
``None`` (``null``) clears it. In what is received, every key is optional and ``null`` may stand
anywhere, so the same classes serve both directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import attrs
from attrs import validators

from .base import UNSET, Unset, WireObject


def _number_between(low: float, high: float) -> Any:
    return validators.optional(validators.and_(validators.ge(low), validators.le(high)))


@attrs.frozen(kw_only=True)
class AudioFormat(WireObject):
    """``audio/pcm`` (16 bit little-endian mono, ``rate`` 24000), ``audio/pcmu`` or ``audio/pcma``."""

    type: str = "audio/pcm"
    rate: int | None = None

    @property
    def bytes_per_ms(self) -> int:
        """8 for G.711 in every spelling, 48 for PCM at 24 kHz and whatever is not known."""
        return 8 if self.type in _G711 else 48


_G711 = frozenset({"audio/pcmu", "audio/pcma", "g711_ulaw", "g711_alaw", "pcmu", "pcma"})

PCM24K = AudioFormat(type="audio/pcm", rate=24000)
PCMU = AudioFormat(type="audio/pcmu")
PCMA = AudioFormat(type="audio/pcma")


@attrs.frozen(kw_only=True)
class ServerVad(WireObject):
    """Turns are found by the loudness of the user's audio.

    Args:
        threshold: 0 to 1; louder rooms want more.
        prefix_padding_ms: audio kept from before the speech began.
        silence_duration_ms: silence that ends a turn.
        idle_timeout_ms: 5000 to 30000: how long nobody may speak before the service goes on by
            itself; ``None`` for never.
        create_response: whether the end of a turn makes the service answer.
        interrupt_response: whether speech makes the service stop the running response.
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
    """Turns are found by what the user says. ``eagerness``: ``low``, ``medium``, ``high``, ``auto``."""

    type: ClassVar[str] = "semantic_vad"
    eagerness: str | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


@attrs.frozen(kw_only=True)
class UnknownTurnDetection(WireObject):
    """A kind of turn detection not known here, as it came."""

    type: ClassVar[str] = "unknown"
    raw: Mapping[str, Any]

    @property
    def create_response(self) -> bool | None:
        """The flag of that name, where the server gave one."""
        return self._flag("create_response")

    @property
    def interrupt_response(self) -> bool | None:
        """The flag of that name, where the server gave one."""
        return self._flag("interrupt_response")

    def _flag(self, name: str) -> bool | None:
        value = self.raw.get(name)
        return value if isinstance(value, bool) else None


TurnDetection: TypeAlias = ServerVad | SemanticVad | UnknownTurnDetection


@attrs.frozen(kw_only=True)
class Transcription(WireObject):
    """Which model transcribes the user's audio, and what helps it."""

    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] | None = None
    keywords: tuple[str, ...] | None = None
    prompt: str | None = None
    delay: str | None = None


@attrs.frozen(kw_only=True)
class NoiseReduction(WireObject):
    """``near_field`` for headsets, ``far_field`` for rooms."""

    type: str | None = None


@attrs.frozen(kw_only=True)
class AudioInput(WireObject):
    """How the user's audio is taken."""

    format: AudioFormat | Unset = UNSET
    transcription: Transcription | Unset | None = UNSET
    noise_reduction: NoiseReduction | Unset | None = UNSET
    turn_detection: TurnDetection | Unset | None = UNSET


@attrs.frozen(kw_only=True)
class CustomVoice(WireObject):
    """A voice of one's own, by its id."""

    id: str


def _check_speed(_instance: Any, _attribute: Any, value: float | Unset) -> None:
    if not isinstance(value, Unset) and not 0.25 <= value <= 1.5:
        raise ValueError(f"speed must be from 0.25 to 1.5, not {value}")


@attrs.frozen(kw_only=True)
class AudioOutput(WireObject):
    """How the assistant sounds. ``speed`` is 0.25 to 1.5."""

    format: AudioFormat | Unset = UNSET
    voice: str | CustomVoice | Unset = UNSET
    speed: float | Unset = attrs.field(default=UNSET, validator=_check_speed)


@attrs.frozen(kw_only=True)
class AudioSettings(WireObject):
    """Both directions of audio."""

    input: AudioInput | Unset = UNSET
    output: AudioOutput | Unset = UNSET


@attrs.frozen(kw_only=True)
class FunctionToolSpec(WireObject):
    """A function as the model is told of it. ``parameters`` is a JSON Schema."""

    type: ClassVar[str] = "function"
    name: str = ""
    description: str | None = None
    parameters: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True)
class McpToolSpec(WireObject):
    """A hosted MCP server that the service itself connects to. Credentials do not print."""

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
    """A kind of tool not known here, as it came. It may have credentials, so it does not print."""

    type: ClassVar[str] = "unknown"
    raw: Mapping[str, Any] = attrs.field(repr=False)


ToolSpec: TypeAlias = FunctionToolSpec | McpToolSpec | UnknownToolSpec


@attrs.frozen(kw_only=True)
class Reasoning(WireObject):
    """How hard a reasoning model thinks: ``none``, ``minimal``, ``low``, ``medium``, ``high``, …."""

    effort: str | None = None


@attrs.frozen(kw_only=True)
class Session(WireObject):
    """A realtime (``type="realtime"``) or transcription session's settings.

    ``tool_choice``, ``tracing``, ``truncation`` and ``prompt`` are JSON values as the service takes
    them. ``id``, ``object`` and ``expires_at`` (Unix seconds) are the service's own.
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

    @property
    def output_format(self) -> AudioFormat | None:
        """The assistant's audio format, if it is known."""
        if self.audio and self.audio.output and self.audio.output.format:
            return self.audio.output.format
        return None

    @property
    def input_format(self) -> AudioFormat | None:
        """The user's audio format, if it is known."""
        if self.audio and self.audio.input and self.audio.input.format:
            return self.audio.input.format
        return None

    @property
    def creates_response(self) -> bool:
        """Whether the service itself answers when the user has spoken (its default)."""
        if not self.audio or not self.audio.input or not self.audio.input.turn_detection:
            return False
        return self.audio.input.turn_detection.create_response is not False

    @property
    def interrupts_response(self) -> bool:
        """Whether the service itself stops a response when the user speaks."""
        if not self.audio or not self.audio.input or not self.audio.input.turn_detection:
            return False
        return self.audio.input.turn_detection.interrupt_response is True
