"""The table ``realtime`` of a spec: the settings of its sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from trio_realtime.config import (
    InterruptionPolicy,
    OverflowPolicy,
    ReconnectPolicy,
    SemanticVad,
    ServerVad,
    SessionConfig,
    UsageLimits,
)
from trio_realtime.wire import (
    PCM24K,
    PCMA,
    PCMU,
    AudioFormat,
    CustomVoice,
    NoiseReduction,
    Reasoning,
    Transcription,
)

from .kinds import (
    Anything,
    Choice,
    Field,
    Flag,
    Kind,
    ListOf,
    MapOf,
    Number,
    Object,
    OneOf,
    OrNone,
    Table,
    Text,
)
from .paths import SpecError, describe, is_mapping, join

__all__ = ["FORMATS", "REALTIME"]

FORMATS: Final[Mapping[str, AudioFormat]] = {
    **dict.fromkeys(("pcm16", "pcm", "pcm24k", "audio/pcm"), PCM24K),
    **dict.fromkeys(("g711_ulaw", "pcmu", "ulaw", "mulaw", "audio/pcmu"), PCMU),
    **dict.fromkeys(("g711_alaw", "pcma", "alaw", "audio/pcma"), PCMA),
}
"""The names of the encodings of audio, in both generations of the protocol."""

_SECONDS: Final = Number(above=0)
_COUNT: Final = Number(low=1, is_integer=True)
_SIZE: Final = Number(low=0, is_integer=True)
_TEXT: Final = Text()
_FLAG: Final = Flag()
_JSON_OBJECT: Final = MapOf(Anything())


def _made_by(cls: type[Any], fields: Mapping[str, Kind | Field]) -> Table:
    return Table(fields=fields, make=cls, made=cls)


class _TurnDetection:
    """The kind of ``turn_detection``: a table with a type, or only the type."""

    expected = 'a table with type = "server_vad" or "semantic_vad"'

    def __init__(self) -> None:
        common = {"create_response": _FLAG, "interrupt_response": _FLAG}
        padding = Number(low=0, high=60_000, is_integer=True)
        server = {
            "threshold": Number(low=0, high=1),
            "prefix_padding_ms": padding,
            "silence_duration_ms": padding,
            "idle_timeout_ms": Number(low=5_000, high=30_000, is_integer=True),
        }
        semantic = {"eagerness": Choice(("low", "medium", "high", "auto"))}
        self._tables = {
            "server_vad": _made_by(ServerVad, {**server, **common}),
            "semantic_vad": _made_by(SemanticVad, {**semantic, **common}),
        }
        self._type = Choice(self._tables)

    def accepts(self, value: Any) -> bool:
        """Return whether it is a type, a table or a turn detection."""
        return is_mapping(value) or isinstance(value, str | ServerVad | SemanticVad)

    def read(self, value: Any, path: str) -> ServerVad | SemanticVad:
        """Return the turn detection.

        Raises:
            SpecError: the type or a key is unknown, or a value is wrong.
        """
        if isinstance(value, ServerVad | SemanticVad):
            return value
        if isinstance(value, str):
            return self._type.read(value, path).read({}, path)  # type: ignore[no-any-return]
        if not is_mapping(value):
            raise SpecError(path, f"expected {self.expected}, got {describe(value)}")
        rest = dict(value)
        if "type" not in rest:
            raise SpecError(join(path, "type"), f"missing: expected {self._type.expected}")
        table = self._type.read(rest.pop("type"), join(path, "type"))
        return table.read(rest, path)  # type: ignore[no-any-return]

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        tables: list[dict[str, Any]] = []
        for name, table in self._tables.items():
            schema = table.schema()
            schema["properties"]["type"] = {"const": name}
            tables.append({**schema, "required": ["type"]})
        return {"anyOf": [self._type.schema(), *tables]}


def _short(table: Table, key: str, kind: Kind) -> OneOf:
    """Return a kind for a table, or only the value of its most important key."""
    short = Table(fields={key: kind}, make=table.make)

    class Short:
        """The value of the most important key."""

        expected = kind.expected

        def accepts(self, value: Any) -> bool:
            """Return whether it has the type of the key."""
            return kind.accepts(value)

        def read(self, value: Any, path: str) -> Any:
            """Return what the table makes of the key alone.

            Raises:
                SpecError: the value is wrong.
            """
            return short.make(**{key: kind.read(value, path)})

        def schema(self) -> dict[str, Any]:
            """Return the JSON Schema."""
            return kind.schema()

    return OneOf(Short(), table)


_TRANSCRIPTION: Final = _made_by(
    Transcription,
    {
        "model": _TEXT,
        "language": _TEXT,
        "languages": ListOf(_TEXT),
        "keywords": ListOf(_TEXT),
        "prompt": _TEXT,
        "delay": _TEXT,
    },
)
_NOISE: Final = Choice(("near_field", "far_field"))
_NOISE_REDUCTION: Final = _made_by(NoiseReduction, {"type": _TEXT, "strength": Number()})
_FORMAT: Final = OneOf(
    Choice(FORMATS),
    _made_by(AudioFormat, {"type": Field(kind=_TEXT, is_required=True), "rate": _COUNT}),
)
_INTERRUPTION: Final = _made_by(
    InterruptionPolicy,
    {
        "min_speech": Number(low=0),
        "ignored_phrases": ListOf(_TEXT),
        "resume": _FLAG,
        "resume_instructions": _TEXT,
        "transcript_timeout": _SECONDS,
        "create_response": _FLAG,
    },
)
_RECONNECT: Final = _made_by(
    ReconnectPolicy,
    {
        "max_attempts": _COUNT,
        "max_attempts_in_session": _COUNT,
        "initial_delay": _SECONDS,
        "max_delay": _SECONDS,
        "jitter": Number(low=0, high=1),
        "max_speech": Number(low=0),
        "max_audio_while_away": Number(low=0),
        "max_duration": OrNone(_SECONDS),
        "refresh_before": _SECONDS,
        "force_before": _SECONDS,
    },
)
_LIMITS: Final = _made_by(
    UsageLimits,
    dict.fromkeys(
        ("total_tokens", "input_tokens", "output_tokens", "tool_calls", "tool_rounds"),
        OrNone(_COUNT),
    ),
)
_PROMPT: Final = Table(
    fields={
        "id": Field(kind=_TEXT, is_required=True),
        "version": _TEXT,
        "variables": _JSON_OBJECT,
    }
)

_SERVICE_FIELDS: Final[Mapping[str, Kind]] = {
    "model": _TEXT,
    "output_modalities": ListOf(Choice(("audio", "text")), length=1),
    "voice": OneOf(_TEXT, _made_by(CustomVoice, {"id": Field(kind=_TEXT, is_required=True)})),
    "speed": Number(low=0.25, high=1.5),
    "input_format": _FORMAT,
    "output_format": _FORMAT,
    "turn_detection": OrNone(_TurnDetection()),
    "transcription": OrNone(_short(_TRANSCRIPTION, "model", _TEXT)),
    "noise_reduction": OrNone(_short(_NOISE_REDUCTION, "type", _NOISE)),
    "tool_choice": OneOf(Choice(("auto", "none", "required")), _JSON_OBJECT),
    "parallel_tool_calls": _FLAG,
    "max_output_tokens": OneOf(Choice(("inf",)), _COUNT),
    "reasoning": _short(_made_by(Reasoning, {"effort": _TEXT}), "effort", _TEXT),
    "tracing": OrNone(OneOf(Choice(("auto",)), _JSON_OBJECT)),
    "truncation": OneOf(Choice(("auto", "disabled")), _JSON_OBJECT),
    "prompt": _PROMPT,
    "include": OrNone(ListOf(_TEXT)),
    "extra": _JSON_OBJECT,
}
_LIBRARY_FIELDS: Final[Mapping[str, Kind]] = {
    "interruption": OrNone(_INTERRUPTION),
    "approval_timeout": OrNone(_SECONDS),
    "max_tool_output": OrNone(_COUNT),
    "guardrail_audio_gate": _FLAG,
    "guardrail_debounce": _SIZE,
    "history_update_interval": Number(low=0),
    "max_history_audio": _SIZE,
    "connect_timeout": _SECONDS,
    "request_timeout": OrNone(_SECONDS),
    "reconnect": OrNone(_RECONNECT),
    "close_timeout": _SECONDS,
    "ping_interval": OrNone(_SECONDS),
    "ping_timeout": OrNone(_SECONDS),
    "idle_timeout": OrNone(_SECONDS),
    "max_duration": OrNone(_SECONDS),
    "limits": _LIMITS,
    "limit_grace": Number(low=0),
    "max_message_size": _COUNT,
    "max_concurrent_calls": OrNone(_COUNT),
    "max_buffered_events": _COUNT,
    "max_buffered_audio": _COUNT,
    "max_buffered_bytes": _COUNT,
    "overflow": Choice(get_args(OverflowPolicy)),
    "max_outgoing_audio": _COUNT,
    "max_audio_latency": OrNone(_SECONDS),
    "max_outgoing_text": _COUNT,
}
_BELONGS_TO_THE_AGENT: Final[Mapping[str, str]] = {
    name: f"{name} of the agent, outside of realtime"
    for name in ("instructions", "tools", "handoffs", "output_guardrails", "input_guardrails")
}

REALTIME: Final = OneOf(
    Table(
        fields={**_SERVICE_FIELDS, **_LIBRARY_FIELDS},
        make=SessionConfig,
        places={
            **_BELONGS_TO_THE_AGENT,
            "modalities": "output_modalities",
            "input_audio_format": "input_format",
            "output_audio_format": "output_format",
            "input_audio_transcription": "transcription",
            "input_audio_noise_reduction": "noise_reduction",
            "max_response_output_tokens": "max_output_tokens",
        },
    ),
    Object(expected="a SessionConfig", test=lambda value: isinstance(value, SessionConfig)),
)
"""The kind of ``realtime``. It reads a table, and returns a ``SessionConfig``."""
