"""WAV files in and out: any PCM file becomes what the protocol wants, 24 kHz mono 16-bit.

Files are small enough to be read whole, in a thread by whoever must not wait.
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
    """Sound as it stood in a file: ``samples`` is frames by channels, from -1 to 1."""

    samples: Samples
    rate: int


def speech() -> bytes:
    """The spoken sentence that the package brings: PCM16, 24 kHz, mono, about two seconds."""
    return pcm_of(_decode(files("trio_realtime.cli").joinpath("speech.wav").read_bytes()))


def read_pcm(path: Path) -> bytes:
    """The sound of a WAV file as PCM16 24 kHz mono.

    Raises:
        MendIt: there is no such file, it is no PCM WAV file, or there is no sound in it.
    """
    try:
        recording = _decode(path.read_bytes())
    except OSError as exc:
        raise UserFacingError(f"cannot read {path}: {exc.strerror}") from exc
    except (wave.Error, EOFError) as exc:
        detail = str(exc) or "it ends too early"
        raise UserFacingError(f"{path} is not a PCM WAV file ({detail}); convert it first") from exc
    if not len(recording.samples):
        raise UserFacingError(f"{path} is empty: the file has a header, but no sound")
    return pcm_of(recording)


def _decode(data: bytes) -> Recording:
    with wave.open(io.BytesIO(_as_plain_pcm(data))) as source:
        frames = source.readframes(source.getnframes())
        width, channels, rate = source.getsampwidth(), source.getnchannels(), source.getframerate()
    whole = len(frames) // (width * channels) * width * channels
    samples = _to_floats(frames[:whole], width).reshape(-1, channels)
    return Recording(samples, rate)


def _as_plain_pcm(data: bytes) -> bytes:
    """Python 3.11's reader refuses the extensible header that many programs write for PCM."""
    at = data.find(b"fmt ", 12) + 8
    if at > 8 and data[at : at + 2] == _EXTENSIBLE and data[at + 24 : at + 26] == _PCM:
        return data[:at] + _PCM + data[at + 2 :]
    return data


def _to_floats(frames: bytes, width: int) -> Samples:
    if width == 1:
        return ((np.frombuffer(frames, np.uint8) - 128.0) / 128.0).astype(np.float32)
    if width == 3:
        # Each sample becomes the upper three bytes of a 32-bit one.
        padded = np.zeros((len(frames) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(frames, np.uint8).reshape(-1, 3)
        frames, width = padded.tobytes(), 4
    if width not in (2, 4):
        raise wave.Error(f"{8 * width}-bit samples")
    scale = float(1 << (8 * width - 1))
    return (np.frombuffer(frames, f"<i{width}") / scale).astype(np.float32)


def pcm_of(recording: Recording) -> bytes:
    """Mix down to mono, resample, and make 16-bit samples of it."""
    mono = recording.samples.mean(axis=1)
    if recording.rate != RATE:
        soxr: Any = importlib.import_module("soxr")
        mono = soxr.resample(mono, recording.rate, RATE)
    return bytes(np.clip(np.rint(mono * 32767), -32768, 32767).astype("<i2").tobytes())


def write_pcm(path: Path, pcm: bytes) -> None:
    """Write PCM16 24 kHz mono to a WAV file.

    Raises:
        MendIt: it cannot be written there.
    """
    try:
        with path.open("wb") as file, wave.open(file, "wb") as target:
            target.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
            target.writeframes(pcm)
    except OSError as exc:
        raise UserFacingError(f"cannot write {path}: {exc.strerror}") from exc


def check_writable(path: Path) -> None:
    """Find out before the talk, not after it.

    Raises:
        MendIt: there is no such folder, or the path is one.
    """
    if path.is_dir():
        raise UserFacingError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise UserFacingError(f"cannot write {path}: there is no folder {path.parent}")
