"""Recordings as Opus in Ogg, which takes a tenth of the space. They need the extra ``opus``."""

from __future__ import annotations

import importlib
import os
import wave
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import trio

from trio_realtime.audio.samples import samples, to_bytes
from trio_realtime.errors import ConfigurationError, UsageError

from .errors import RecordingFailed
from .files import replaced_file
from .resampler import make_resampler
from .threads import default_limiter, run_steps

OPUS_RATES: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
"""The sample rates that Opus has. Audio with another rate is converted to the next higher one."""

_STEP_SECONDS: Final = 10


async def encode_opus(
    wav_path: str | os.PathLike[str],
    ogg_path: str | os.PathLike[str],
    *,
    bit_rate: int = 64_000,
    limiter: trio.CapacityLimiter | None = None,
) -> None:
    """Encode a WAV file as Opus in Ogg, in a thread and in bounded memory.

    Cancellation leaves no file. An existing file is replaced when the new one is complete.

    Args:
        wav_path: a WAV file with PCM16 in one or two channels, such as ``recording.wav``.
        ogg_path: the file to write.
        bit_rate: bits per second, of both channels together: 64000 is transparent for speech.
        limiter: limits the threads; by default, all recordings share eight.

    Raises:
        ConfigurationError: the extra ``opus`` is not installed.
        UsageError: the file is not a WAV file with PCM16, or the bit rate is not between 12000 and 500000.
        RecordingFailed: a file cannot be read or written.
    """
    if not 12_000 <= bit_rate <= 500_000:
        raise UsageError(f"bit_rate must be from 12000 to 500000, got {bit_rate!r:.40}")
    try:
        libraries = importlib.import_module("numpy"), importlib.import_module("soundfile")
    except (ImportError, OSError) as exc:  # OSError: libsndfile is missing
        raise ConfigurationError(
            "encoding Opus needs soundfile and numpy: pip install 'trio-realtime[opus]'"
        ) from exc
    steps = _encode(Path(wav_path), Path(ogg_path), bit_rate, *libraries)
    try:
        await run_steps(steps, default_limiter() if limiter is None else limiter)
    except (wave.Error, EOFError) as exc:
        raise UsageError(f"{wav_path} is not a WAV file with PCM16: {exc}") from exc
    except (OSError, libraries[1].SoundFileError) as exc:
        raise RecordingFailed(f"{ogg_path} could not be encoded: {exc}") from exc


def _encode(
    wav_path: Path, ogg_path: Path, bit_rate: int, numpy: Any, soundfile: Any
) -> Generator[None, None, None]:
    with wave.open(str(wav_path), "rb") as source:
        channels, rate = source.getnchannels(), source.getframerate()
        if source.getsampwidth() != 2 or channels not in (1, 2):
            raise UsageError(f"{wav_path} must have 16-bit samples in one or two channels")
        new_rate = next((r for r in OPUS_RATES if r >= rate), OPUS_RATES[-1])
        resamplers = [make_resampler(rate, new_rate) for _ in range(channels)]
        left = source.getnframes()
        with (
            replaced_file(ogg_path) as temporary,
            soundfile.SoundFile(
                temporary,
                "w",
                samplerate=new_rate,
                channels=channels,
                format="OGG",
                subtype="OPUS",
                compression_level=_compression_level(bit_rate / channels),
            ) as target,
        ):
            while left > 0:
                frames = samples(source.readframes(rate))
                left -= len(frames) // channels
                is_last = left <= 0 or not frames
                converted = [
                    numpy.frombuffer(
                        r.convert(to_bytes(frames[c::channels]), is_last=is_last), "<i2"
                    )
                    for c, r in enumerate(resamplers)
                ]
                target.write(numpy.stack(converted, axis=1))
                if is_last:
                    break
                if source.tell() % (rate * _STEP_SECONDS) < rate:
                    yield


def _compression_level(bit_rate: float) -> float:
    """Return the level for a bit rate of one channel: libsndfile has 6 kbit/s at 1 and 256 kbit/s at 0."""
    return min(max(1 - (bit_rate - 6_000) / 250_000, 0.0), 1.0)
