"""Translate GA client events to those of Azure Voice Live.

The service speaks the beta protocol with differences in the session: an object for the voice, a sampling
rate of the input, and no tracing. It has no out-of-band responses. Settings that only Voice Live has
(an avatar, echo cancellation, end-of-utterance detection) go into ``SessionConfig.extra``.

Source: the reference of the Voice Live API and recorded frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from trio_realtime.wire.base import JsonObject

from .names import RESPONSE_PATHS, SESSION_PATHS
from .to_beta import (
    FlatShape,
    FormatNames,
    UnsupportedByDialect,
    checked_keys,
    flat_format,
    flat_modalities,
    format_key,
    to_flat,
)

_DIALECT: Final = "voice_live"
_INPUT_FORMATS: Final[FormatNames] = {
    ("audio/pcm", 24_000): "pcm16",
    ("audio/pcm", 16_000): "pcm16",
    ("audio/pcmu", None): "g711_ulaw",
    ("audio/pcma", None): "g711_alaw",
}
_OUTPUT_FORMATS: Final[FormatNames] = {
    ("audio/pcm", 24_000): "pcm16",
    ("audio/pcm", 16_000): "pcm16-16000hz",
    ("audio/pcm", 8_000): "pcm16-8000hz",
    ("audio/pcmu", None): "g711_ulaw",
    ("audio/pcma", None): "g711_alaw",
}


def client_event_to_voice_live(event: JsonObject) -> JsonObject:
    """Return the form of a GA client event for Azure Voice Live.

    Raises:
        UnsupportedByDialect: The service has no such setting; the message names it.
    """
    flat = to_flat(event, _SESSION, _RESPONSE)
    match event:
        case {"session": {"audio": {"input": {"format": {"type": "audio/pcm"} as pcm}}}}:
            rate = format_key(cast("JsonObject", pcm))[1]
            flat["session"]["input_audio_sampling_rate"] = rate
        case _:
            pass
    return flat


def _voice(value: Any) -> JsonObject:
    """Return a voice. Azure's names have hyphens (``en-US-AvaNeural``), those of OpenAI have none."""
    if not isinstance(value, str):
        raise UnsupportedByDialect("voice.id", _DIALECT)
    return {"type": "azure-standard" if "-" in value else "openai", "name": value}


def _input_format(value: JsonObject) -> str:
    return flat_format(value, _INPUT_FORMATS, _DIALECT)


def _output_format(value: JsonObject) -> str:
    return flat_format(value, _OUTPUT_FORMATS, _DIALECT)


_VALUES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "modalities": flat_modalities,
    "voice": _voice,
    "input_audio_format": _input_format,
    "output_audio_format": _output_format,
    "input_audio_noise_reduction": checked_keys("noise_reduction", frozenset({"type"}), _DIALECT),
}
_SESSION: Final = FlatShape(
    dialect=_DIALECT,
    paths={key: path for key, path in SESSION_PATHS.items() if key != "speed"},
    same=frozenset({"instructions", "tools", "tool_choice", "include"}),
    values=_VALUES,
)
_RESPONSE: Final = FlatShape(
    dialect=_DIALECT,
    paths={
        "max_output_tokens": ("max_output_tokens",),
        **{key: path for key, path in RESPONSE_PATHS.items() if "tokens" not in key},
    },
    same=frozenset({"instructions", "tools", "tool_choice", "metadata"}),
    values=_VALUES,
)
