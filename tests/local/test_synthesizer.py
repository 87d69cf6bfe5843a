"""Synthesizers: tones, and speech of eSpeak NG."""

from __future__ import annotations

import stat
import struct
import sys
from pathlib import Path

import pytest

from trio_realtime.local import EspeakSynthesizer, ToneSynthesizer
from trio_realtime.local.audio import (
    FORMATS,
    loudness,
    samples,
)
from trio_realtime.local.synthesizer import split_wave

PCM = FORMATS["audio/pcm"]


def test_tones_are_audible_and_as_long_as_the_text() -> None:
    pcm = ToneSynthesizer().synthesize("Hello you")
    assert len(pcm) == 9 * 60 * 48
    assert loudness(pcm, PCM) > 1000
    assert pcm == ToneSynthesizer().synthesize("Hello you")
    assert max(map(abs, samples(pcm))) < 16_000


def test_spaces_are_silent() -> None:
    assert not any(ToneSynthesizer(100).synthesize(" "))


def wave_of(pcm: bytes, rate: int, length: int) -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", length)
        + b"WAVE"
        + form
        + b"data"
        + struct.pack("<I", length)
        + pcm
    )


def test_lengths_in_the_header_of_a_wav_stream_are_ignored() -> None:
    assert split_wave(wave_of(b"\1\0\2\0", 22050, 0x7FFFF000)) == (22050, b"\1\0\2\0")


@pytest.mark.parametrize("wave", [b"", b"RIFF", wave_of(b"", 8000, 0).replace(b"data", b"none")])
def test_an_invalid_wav_stream_is_rejected(wave: bytes) -> None:
    with pytest.raises(ValueError, match="WAV"):
        split_wave(wave)


def fake_program(folder: Path, body: str) -> str:
    path = folder / "speaker"
    path.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return str(path)


def test_espeak_speech_is_resampled_and_cached(tmp_path: Path) -> None:
    wave = wave_of(b"\x00\x10" * 22050, 22050, 0)
    program = fake_program(
        tmp_path,
        "import pathlib, sys\n"
        f"pathlib.Path({str(tmp_path / 'log')!r}).open('a').write(sys.stdin.read() + '\\n')\n"
        f"sys.stdout.buffer.write({wave!r})\n",
    )
    voice = EspeakSynthesizer(program=program)
    assert voice.blocking
    assert len(voice.synthesize("Hello")) == pytest.approx(48_000, abs=10)
    assert voice.synthesize("Hello") == voice.synthesize("Hello")
    assert voice.synthesize("  ") == b""
    assert (tmp_path / "log").read_text(encoding="utf-8") == "Hello\n"


def test_espeak_must_be_installed() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-speaker"):
        EspeakSynthesizer(program="no-such-speaker")
