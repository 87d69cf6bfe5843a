"""Synthesizers: tones, and speech of eSpeak NG."""

from __future__ import annotations

import stat
import struct
import sys
from pathlib import Path

import pytest

from trio_realtime.audio.samples import samples
from trio_realtime.local import EspeakSynthesizer, Speech, ToneSynthesizer
from trio_realtime.local.audio import FORMATS, loudness

PCM = FORMATS["audio/pcm"]


def pcm_of(speech: Speech) -> bytes:
    return b"".join(speech.pieces)


def test_tones_are_audible_and_as_long_as_the_text() -> None:
    speech = ToneSynthesizer().synthesize("Hello you")
    pcm = pcm_of(speech)
    assert len(pcm) == 9 * 60 * 48
    assert speech.duration_ms == 9 * 60
    assert loudness(pcm, PCM) > 1000
    assert pcm == pcm_of(ToneSynthesizer().synthesize("Hello you"))
    assert max(map(abs, samples(pcm))) < 16_000


def test_spaces_are_silent() -> None:
    assert not any(pcm_of(ToneSynthesizer(100).synthesize(" ")))


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


def fake_program(folder: Path, body: str) -> str:
    path = folder / "speaker"
    path.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return str(path)


def espeak_with_log(folder: Path) -> EspeakSynthesizer:
    """Return a synthesizer whose program speaks for one second, and logs its input."""
    wave = wave_of(b"\x00\x10" * 22050, 22050, 0)
    program = fake_program(
        folder,
        "import pathlib, sys\n"
        f"pathlib.Path({str(folder / 'log')!r}).open('a').write(sys.stdin.read() + '|')\n"
        f"sys.stdout.buffer.write({wave!r})\n",
    )
    return EspeakSynthesizer(program=program)


def test_espeak_speech_is_resampled_and_cached(tmp_path: Path) -> None:
    voice = espeak_with_log(tmp_path)
    assert voice.blocking
    assert len(pcm_of(voice.synthesize("Hello"))) == pytest.approx(48_000, abs=10)
    assert pcm_of(voice.synthesize("Hello")) == pcm_of(voice.synthesize("Hello"))
    assert pcm_of(voice.synthesize("  ")) == b""
    assert (tmp_path / "log").read_text(encoding="utf-8") == "Hello|"


def test_espeak_speaks_sentence_by_sentence_as_the_speech_is_taken(tmp_path: Path) -> None:
    speech = espeak_with_log(tmp_path).synthesize("It is 3.5 degrees. Cold!\nReally?")
    pieces = iter(speech.pieces)
    next(pieces)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "It is 3.5 degrees.|"
    assert len(list(pieces)) == 2
    assert (tmp_path / "log").read_text(encoding="utf-8").endswith("|Cold!|Really?|")


def test_espeak_divides_long_sentences(tmp_path: Path) -> None:
    text = "word " * 100 + "x" * 700
    list(espeak_with_log(tmp_path).synthesize(text).pieces)
    spoken = (tmp_path / "log").read_text(encoding="utf-8").split("|")[:-1]
    assert max(map(len, spoken)) <= 300
    assert "".join("".join(spoken).split()) == "".join(text.split())


def test_espeak_must_be_installed() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-speaker"):
        EspeakSynthesizer(program="no-such-speaker")
