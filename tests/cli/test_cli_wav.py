"""The WAV files of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_realtime.audio import PcmAudio, read_wav, rms_dbfs
from trio_realtime.cli import wav
from trio_realtime.cli.exit import UserFacingError


def test_written_files_are_24_khz_mono_16_bit(tmp_path: Path) -> None:
    wav.write_pcm(tmp_path / "out.wav", b"\1\2\3\4")
    assert read_wav(tmp_path / "out.wav") == PcmAudio(b"\1\2\3\4", 24_000)


def test_a_directory_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match="it is a directory"):
        wav.check_writable(tmp_path)
    with pytest.raises(UserFacingError, match="there is no directory"):
        wav.check_writable(tmp_path / "none" / "out.wav")
    with pytest.raises(UserFacingError, match="cannot write"):
        wav.write_pcm(tmp_path, b"")


def test_the_bundled_speech_is_a_few_seconds_of_audible_sound() -> None:
    pcm = wav.bundled_speech()
    assert 1.5 < len(pcm) / 48_000 < 4
    assert -30 < rms_dbfs(pcm) < -10
