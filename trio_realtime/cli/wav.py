"""Read and write WAV files. Any PCM file is converted to 16-bit mono PCM at 24 kHz.

The functions block and hold whole files in memory; call them in a worker thread.
"""

from __future__ import annotations

import importlib
import io
import wave
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from .exit import UserFacingError

RATE = 24_000
BYTES_PER_MS = RATE * 2 // 1000
_EXTENSIBLE = b"\xfe\xff"
_PCM = b"\x01\x00"

Samples = NDArray[np.float32]


@attrs.frozen
class Recording:
    """Decoded audio of a file.

    Attributes:
        samples: an array of shape (frames, channels), with values from -1 to 1.
        rate: sample rate in Hz.
    """

    samples: Samples
    rate: int


def bundled_speech() -> bytes:
    """Return the spoken sentence bundled with the package: about 2 s of PCM16 mono at 24 kHz."""
    return to_pcm16(_decode(files("trio_realtime.cli").joinpath("speech.wav").read_bytes()))


def read_pcm(path: Path) -> bytes:
    """Return the audio of a WAV file as PCM16 mono at 24 kHz.

    Raises:
        UserFacingError: the file cannot be read, is not a PCM WAV file, or contains no audio.
    """
    try:
        recording = _decode(path.read_bytes())
    except OSError as exc:
        raise UserFacingError(f"cannot read {path}: {exc.strerror}") from exc
    except (wave.Error, EOFError) as exc:
        detail = str(exc) or "the file is truncated"
        raise UserFacingError(f"{path} is not a PCM WAV file ({detail}); convert it first") from exc
    if not len(recording.samples):
        raise UserFacingError(f"{path} contains no audio")
    return to_pcm16(recording)


def _decode(data: bytes) -> Recording:
    with wave.open(io.BytesIO(_as_plain_pcm(data))) as source:
        frames = source.readframes(source.getnframes())
        width, channels, rate = source.getsampwidth(), source.getnchannels(), source.getframerate()
    frame_size = width * channels
    complete = len(frames) // frame_size * frame_size  # a truncated file may end within a frame
    samples = _to_floats(frames[:complete], width).reshape(-1, channels)
    return Recording(samples, rate)


def _as_plain_pcm(data: bytes) -> bytes:
    """Replace the extensible header, which many programs write and Python 3.11 cannot read."""
    start = data.find(b"fmt ", 12) + 8
    if (
        start > 8
        and data[start : start + 2] == _EXTENSIBLE
        and data[start + 24 : start + 26] == _PCM
    ):
        return data[:start] + _PCM + data[start + 2 :]
    return data


def _to_floats(frames: bytes, width: int) -> Samples:
    if width == 1:
        return ((np.frombuffer(frames, np.uint8) - 128.0) / 128.0).astype(np.float32)
    if width == 3:
        # Each 24-bit sample becomes the upper three bytes of a 32-bit sample.
        padded = np.zeros((len(frames) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(frames, np.uint8).reshape(-1, 3)
        frames, width = padded.tobytes(), 4
    if width not in (2, 4):
        raise wave.Error(f"{8 * width}-bit samples")
    scale = float(1 << (8 * width - 1))
    return (np.frombuffer(frames, f"<i{width}") / scale).astype(np.float32)


def to_pcm16(recording: Recording) -> bytes:
    """Mix a recording down to mono, resample it to 24 kHz, and convert it to 16-bit samples."""
    mono = recording.samples.mean(axis=1)
    if recording.rate != RATE:
        soxr: Any = importlib.import_module("soxr")
        mono = soxr.resample(mono, recording.rate, RATE)
    return bytes(np.clip(np.rint(mono * 32767), -32768, 32767).astype("<i2").tobytes())


def write_pcm(path: Path, pcm: bytes) -> None:
    """Write PCM16 mono at 24 kHz to a WAV file.

    Raises:
        UserFacingError: the file cannot be written.
    """
    try:
        with path.open("wb") as file, wave.open(file, "wb") as target:
            target.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
            target.writeframes(pcm)
    except OSError as exc:
        raise UserFacingError(f"cannot write {path}: {exc.strerror}") from exc


def check_writable(path: Path) -> None:
    """Check that a file can be created, before the work whose result it will hold.

    Raises:
        UserFacingError: the path is a directory, or its parent directory does not exist.
    """
    if path.is_dir():
        raise UserFacingError(f"cannot write {path}: it is a directory")
    if not path.parent.is_dir():
        raise UserFacingError(f"cannot write {path}: there is no directory {path.parent}")
