"""Send recorded audio as a microphone would: in frames, each when it is due."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import IO, Any, Final, TypeAlias

import trio

from trio_realtime.audio import (
    PcmAudio,
    duration_ms,
    frame_size,
    frames,
    read_wav,
    sample_rate,
    silence,
)
from trio_realtime.errors import UsageError
from trio_realtime.wire import PCM24K, AudioFormat, SemanticVad, ServerVad

__all__ = ["AudioSource", "check_pace", "read_audio", "send_paced", "silence_that_ends_turn"]

AudioSource: TypeAlias = str | os.PathLike[str] | IO[bytes] | PcmAudio
"""A WAV file, as its path or as a binary file, or audio."""

_DEFAULT_SERVER_VAD_MS: Final = 500
"""Silence after which ``ServerVad`` ends a turn by default."""
_MARGIN_MS: Final = 500
"""Speech is followed by an echo and noise, so its end is detected late."""
_SEMANTIC_VAD_MS: Final = {"low": 8000, "high": 2000}
"""Silence after which ``SemanticVad`` ends a turn at the latest; 4000 for the other levels."""


def silence_that_ends_turn(turn_detection: Any) -> int:
    """Return the milliseconds of silence after which the service has ended the user's turn.

    The service detects silence only in audio that it receives: after the last byte, nothing happens.

    Args:
        turn_detection: the setting; ``None`` if the session has none.
    """
    match turn_detection:
        case None:
            return 0
        case ServerVad(silence_duration_ms=int() as ms):
            return ms + _MARGIN_MS
        case SemanticVad(eagerness=eagerness):
            return _SEMANTIC_VAD_MS.get(eagerness or "", 4000) + _MARGIN_MS
        case _:
            return _DEFAULT_SERVER_VAD_MS + _MARGIN_MS


def check_pace(frame_ms: float, silence_ms: float | None) -> None:
    """Check the arguments of :meth:`RealtimeSession.send_file` before anything is read.

    Raises:
        UsageError: one is out of range.
    """
    frame_size(PCM24K, frame_ms)
    silence(silence_ms or 0)


async def read_audio(source: AudioSource, audio_format: AudioFormat) -> bytes:
    """Read audio in a thread, and convert it to a format of the session.

    Audio that needs no conversion needs no thread either, for which a virtual clock would not wait.
    Cancelling abandons the thread, whose result is then dropped.

    Raises:
        UsageError: it is not a WAV file that can be read, or it has no audio.
        ConfigurationError: its rate must be converted, and the extra ``audio`` is not installed.
        OSError: the file cannot be read.
    """

    def read() -> bytes:
        audio = source if isinstance(source, PcmAudio) else read_wav(source)
        return audio.encode(audio_format)

    if isinstance(source, PcmAudio) and _has_format(source, audio_format):
        await trio.lowlevel.checkpoint()
        data = source.data
    else:
        data = await trio.to_thread.run_sync(read, abandon_on_cancel=True)
    if not data:
        raise UsageError("there is no audio to send: the file has no samples")
    return data


def _has_format(audio: PcmAudio, audio_format: AudioFormat) -> bool:
    """Return whether audio is in a format already."""
    return audio_format.type == "audio/pcm" and audio.rate == sample_rate(audio_format)


async def send_paced(
    send: Callable[[bytes], Awaitable[None]],
    data: bytes,
    audio_format: AudioFormat,
    *,
    realtime: bool,
    frame_ms: float,
    silence_ms: float,
) -> None:
    """Send audio and the silence after it in frames.

    The deadlines of the frames count from the first one, so late frames do not delay later ones.
    """
    seconds = duration_ms(bytes(frame_size(audio_format, frame_ms)), audio_format) / 1000
    start = trio.current_time()
    audio = data + silence(silence_ms, audio_format)
    for number, frame in enumerate(frames(audio, audio_format, frame_ms=frame_ms)):
        if realtime:
            await trio.sleep_until(start + number * seconds)
        await send(frame)
