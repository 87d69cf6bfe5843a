"""Reading and writing WAV files: length, level and errors."""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trio_realtime.cli import wav
from trio_realtime.cli.exit import UserFacingError

Array = np.ndarray[Any, np.dtype[Any]]


def tone(rate: int, seconds: float = 1.0, level: float = 0.5) -> Array:
    """Return a 440 Hz tone, whose root mean square is level / sqrt(2)."""
    times = np.arange(int(rate * seconds)) / rate
    return level * np.sin(2 * np.pi * 440 * times)


def packed(samples: Array, width: int) -> bytes:
    whole = np.round(samples * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    if width == 1:
        return bytes((whole + 128).astype(np.uint8))
    return b"".join(int(n).to_bytes(width, "little", signed=True) for n in whole)


def write(path: Path, frames: bytes, *, rate: int, width: int = 2, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", "not compressed"))
        file.writeframes(frames)
    return path


def level_of(pcm: bytes) -> float:
    samples = np.frombuffer(pcm, "<i2") / 32768
    return float(np.sqrt(np.mean(samples**2)))


def pitch_of(pcm: bytes) -> float:
    samples = np.frombuffer(pcm, "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum)) * wav.RATE / len(samples)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_any_rate_is_resampled_to_24_khz_with_the_same_length_level_and_pitch(
    tmp_path: Path, rate: int
) -> None:
    path = write(tmp_path / "tone.wav", packed(tone(rate), 2), rate=rate)
    pcm = wav.read_pcm(path)
    assert len(pcm) // 2 == pytest.approx(24_000, abs=2)
    assert level_of(pcm) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    assert pitch_of(pcm) == pytest.approx(440, abs=1.5)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_any_sample_width_keeps_the_level(tmp_path: Path, width: int) -> None:
    path = write(tmp_path / "tone.wav", packed(tone(24_000), width), rate=24_000, width=width)
    pcm = wav.read_pcm(path)
    assert len(pcm) == 48_000
    assert level_of(pcm) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_16_bit_samples_at_24_khz_are_unchanged(tmp_path: Path) -> None:
    samples = np.array([0, 1, -1, 1000, -1000, 32767, -32768], "<i2")
    path = write(tmp_path / "exact.wav", samples.tobytes(), rate=24_000)
    back = np.frombuffer(wav.read_pcm(path), "<i2").astype(int)
    assert np.max(np.abs(back - samples)) <= 1


def test_stereo_is_mixed_to_the_mean_of_both_channels(tmp_path: Path) -> None:
    both = np.stack([tone(24_000), np.zeros(24_000)], axis=1).reshape(-1)
    path = write(tmp_path / "stereo.wav", packed(both, 2), rate=24_000, channels=2)
    pcm = wav.read_pcm(path)
    assert len(pcm) == 48_000
    assert level_of(pcm) == pytest.approx(0.25 / np.sqrt(2), rel=0.02)


def test_full_scale_does_not_wrap_around_when_resampling_overshoots(tmp_path: Path) -> None:
    square = np.sign(tone(8_000)) * 32767
    path = write(tmp_path / "square.wav", square.astype("<i2").tobytes(), rate=8_000)
    samples = np.frombuffer(wav.read_pcm(path), "<i2").astype(int)
    # A sample that wrapped around would differ from its neighbour by almost the full range.
    assert np.max(np.abs(np.diff(samples))) < 40_000
    assert np.max(samples) == 32767


def test_pcm_with_an_extensible_header_is_read(tmp_path: Path) -> None:
    frames = packed(tone(24_000), 2)
    guid = b"\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 24_000, 48_000, 2, 16, 22, 16, 4) + guid
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(frames)) + frames
    path = tmp_path / "extensible.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    assert level_of(wav.read_pcm(path)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_a_truncated_data_chunk_is_read_up_to_its_last_complete_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.wav", packed(tone(24_000), 2), rate=24_000)
    path.write_bytes(path.read_bytes()[:-24_001])
    assert len(wav.read_pcm(path)) == 23_998


def test_floating_point_samples_are_rejected_with_a_hint(tmp_path: Path) -> None:
    path = write(tmp_path / "float.wav", bytes(400), rate=24_000, width=4)
    data = bytearray(path.read_bytes())
    data[20] = 3  # WAVE_FORMAT_IEEE_FLOAT
    path.write_bytes(data)
    with pytest.raises(UserFacingError, match=r"not a PCM WAV file .*convert it first"):
        wav.read_pcm(path)


def test_written_files_are_24_khz_mono_16_bit(tmp_path: Path) -> None:
    pcm = packed(tone(24_000), 2)
    path = tmp_path / "out.wav"
    wav.write_pcm(path, pcm)
    with wave.open(str(path)) as file:
        assert file.getparams()[:4] == (1, 2, 24_000, 24_000)
        assert file.readframes(24_000) == pcm


def test_a_directory_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match="it is a directory"):
        wav.check_writable(tmp_path)
    with pytest.raises(UserFacingError, match="cannot write"):
        wav.write_pcm(tmp_path, b"")


def test_the_bundled_speech_is_a_few_seconds_of_audible_sound() -> None:
    pcm = wav.bundled_speech()
    assert 1.5 < len(pcm) / 48_000 < 4
    assert 0.03 < level_of(pcm) < 0.3
