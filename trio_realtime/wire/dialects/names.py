"""The names of the beta protocol and the GA names of the same things.

Source: OpenAI's migration guide from the beta to the GA interface, and recorded frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SERVER_EVENT_TYPES: Final[Mapping[str, str]] = {
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
}
"""Types of server events that only have another name in the beta protocol."""

PART_TYPES: Final[Mapping[str, str]] = {"text": "output_text", "audio": "output_audio"}
"""Types of the content parts of assistant messages."""

SESSION_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "modalities": ("output_modalities",),
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "output_audio_format": ("audio", "output", "format"),
    "input_audio_format": ("audio", "input", "format"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "max_response_output_tokens": ("max_output_tokens",),
}
"""Where GA has the keys of a beta session."""

RESPONSE_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "modalities": ("output_modalities",),
    "voice": ("audio", "output", "voice"),
    "output_audio_format": ("audio", "output", "format"),
    "max_response_output_tokens": ("max_output_tokens",),
}
"""Where GA has the keys of a beta response."""

AUDIO_FORMATS: Final[Mapping[str, Mapping[str, Any]]] = {
    "pcm16": {"type": "audio/pcm", "rate": 24_000},
    "pcm16-16000hz": {"type": "audio/pcm", "rate": 16_000},  # Voice Live
    "pcm16-8000hz": {"type": "audio/pcm", "rate": 8_000},  # Voice Live
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
"""Names of audio formats."""

VOICE_LIVE_SESSION_KEYS: Final = frozenset(
    {
        "animation",
        "avatar",
        "input_audio_echo_cancellation",
        "input_audio_sampling_rate",
        "output_audio_timestamp_types",
    }
)
"""Keys that only the session of Azure Voice Live has."""
