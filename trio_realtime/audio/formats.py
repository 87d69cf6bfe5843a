"""What follows from an audio format: sizes, durations, frames and silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from trio_realtime.errors import UsageError
from trio_realtime.wire import PCM24K, AudioFormat

__all__ = ["duration_ms", "frame_size", "frames", "sample_rate", "silence"]

_SILENCE: Final = {"audio/pcm": b"\0\0", "audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}
"""One silent sample of each format."""


def silent_sample(audio_format: AudioFormat) -> bytes:
    """Return one sample of silence; its length is the size of a sample.

    Raises:
        UsageError: the format is none of PCM16, µ-law and A-law.
    """
    try:
        return _SILENCE[audio_format.type]
    except KeyError:
        raise UsageError(
            f"the audio format {audio_format.type!r} is unknown: use one of {', '.join(_SILENCE)}"
        ) from None


def sample_rate(audio_format: AudioFormat) -> int:
    """Return the samples per second: 24000 for PCM without a rate, 8000 for G.711."""
    size = len(silent_sample(audio_format))
    return round(audio_format.bytes_per_ms * 1000 / size)


def duration_ms(data: bytes | bytearray | memoryview, audio_format: AudioFormat = PCM24K) -> float:
    """Return the duration of audio in milliseconds."""
    return len(data) / audio_format.bytes_per_ms


def frame_size(audio_format: AudioFormat = PCM24K, frame_ms: float = 20) -> int:
    """Return the bytes of ``frame_ms`` milliseconds of audio, in whole samples, and at least one sample.

    Raises:
        UsageError: ``frame_ms`` is not positive.
    """
    if not frame_ms > 0:
        raise UsageError(f"frame_ms must be more than 0, got {frame_ms}")
    size = len(silent_sample(audio_format))
    return max(int(frame_ms * audio_format.bytes_per_ms) // size, 1) * size


def silence(ms: float, audio_format: AudioFormat = PCM24K) -> bytes:
    """Return ``ms`` milliseconds of silence, in whole samples. In G.711, silence is not zero."""
    if not ms >= 0:
        raise UsageError(f"the duration of silence must not be negative, got {ms}")
    sample = silent_sample(audio_format)
    return sample * (int(ms * audio_format.bytes_per_ms) // len(sample))


def frames(
    data: bytes | bytearray | memoryview,
    audio_format: AudioFormat = PCM24K,
    *,
    frame_ms: float = 20,
    pad: bool = False,
) -> Iterator[bytes]:
    """Split audio into frames of equal length. The last one has the rest, and is shorter.

    Args:
        data: audio in ``audio_format``.
        audio_format: PCM16 at 24 kHz by default.
        frame_ms: milliseconds of a frame. 20 to 100 are usual.
        pad: fill the last frame with silence, for lines that take only whole frames.

    Raises:
        UsageError: ``frame_ms`` is not positive, or the format is unknown.
    """
    size = frame_size(audio_format, frame_ms)
    sample = silent_sample(audio_format)
    return _split(bytes(data), size, sample if pad else b"")


def _split(data: bytes, size: int, padding: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        frame = data[start : start + size]
        if padding and len(frame) < size:
            frame += padding * ((size - len(frame)) // len(padding))
        yield frame
