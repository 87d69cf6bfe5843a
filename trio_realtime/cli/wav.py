"""The WAV files of the commands: what they read and write, with errors for their users."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from trio_realtime.audio import PcmAudio, read_wav, write_wav

from .exit import UserFacingError

BYTES_PER_MS = 48
"""Bytes of a millisecond of PCM16 mono at 24 kHz."""


def bundled_speech() -> bytes:
    """Return the spoken sentence bundled with the package: about 2 s of PCM16 mono at 24 kHz."""
    with files("trio_realtime.cli").joinpath("speech.wav").open("rb") as file:
        return read_wav(file).data


def read_speech(path: Path) -> PcmAudio:
    """Return the audio of a WAV file, at 24 kHz.

    Raises:
        UserFacingError: the file cannot be read, or contains no audio.
        UsageError: it is not a WAV file.
    """
    try:
        audio = read_wav(path).resample(24_000)
    except OSError as exc:
        raise UserFacingError(f"cannot read {path}: {exc.strerror}") from exc
    if not audio.data:
        raise UserFacingError(f"{path} contains no audio")
    return audio


def write_pcm(path: Path, pcm: bytes) -> None:
    """Write PCM16 mono at 24 kHz to a WAV file.

    Raises:
        UserFacingError: the file cannot be written.
    """
    try:
        write_wav(path, PcmAudio(pcm))
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
