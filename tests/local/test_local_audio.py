"""Audio of the local service: the detector's timing law, G.711, the voices."""

from __future__ import annotations

import stat
import struct
import sys
from pathlib import Path
from typing import Any

import pybase64
import pytest
from hypothesis import given, strategies as st

from trio_realtime.local import EspeakSynthesizer, ToneSynthesizer
from trio_realtime.local.audio import (
    FORMATS,
    change_speed,
    decode,
    encode,
    encoding_table,
    fit_duration,
    loudness,
    samples,
)
from trio_realtime.local.harness import ProtocolHarness
from trio_realtime.local.synthesizer import split_wave

PCM = FORMATS["audio/pcm"]
FRAME = 32


def silence(frames: int) -> bytes:
    return bytes(48 * FRAME * frames)


def tone(frames: int, level: int = 8192) -> bytes:
    return struct.pack("<h", level) * (24 * FRAME * frames)


def harness_with(**detection: Any) -> ProtocolHarness:
    harness = ProtocolHarness()
    harness.update(
        audio={
            "input": {
                "turn_detection": {"type": "server_vad", "create_response": False, **detection}
            }
        }
    )
    return harness


def stamps(harness: ProtocolHarness) -> list[tuple[int, int]]:
    started = harness.of_type("input_audio_buffer.speech_started")
    stopped = harness.of_type("input_audio_buffer.speech_stopped")
    return [(a["audio_start_ms"], b["audio_end_ms"]) for a, b in zip(started, stopped, strict=True)]


# -- the timing law ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("silence_ms", "end_ms"),
    [(200, 4256), (500, 4544), (0, 4032), (32, 4064), (33, 4096)],
)
def test_the_recorded_stamps_come_out(silence_ms: int, end_ms: int) -> None:
    """Speech from frame 55 to 4032 ms: 1460 = 55 * 32 - 300, 4256 = 4032 + 7 * 32."""
    harness = harness_with(silence_duration_ms=silence_ms)
    harness.append(silence(55) + tone(126 - 55) + silence(40))
    assert stamps(harness) == [(1460, end_ms)]


def test_speech_from_the_first_frame_starts_at_zero() -> None:
    harness = harness_with()
    harness.append(tone(20) + silence(20))
    assert stamps(harness) == [(0, 20 * FRAME + 224)]


@pytest.mark.parametrize("chunk", [1, 333, 1536, 4800, 10**6])
def test_stamps_do_not_depend_on_how_the_audio_is_cut(chunk: int) -> None:
    harness = harness_with()
    audio = silence(30) + tone(20) + silence(12) + tone(10) + silence(12)
    pieces = range(0, len(audio), chunk) if chunk > 1 else range(0, len(audio), 4801)
    size = max(chunk, 4801) if chunk == 1 else chunk
    for start in pieces:
        harness.append(audio[start : start + size])
    assert stamps(harness) == [(660, 50 * FRAME + 224), (62 * FRAME - 300, 72 * FRAME + 224)]


def test_stamps_count_all_audio_of_the_session() -> None:
    harness = harness_with()
    harness.append(tone(20))
    harness.send("input_audio_buffer.commit")
    harness.append(silence(30))
    harness.send("input_audio_buffer.clear")
    harness.append(tone(20) + silence(20))
    stopped = harness.of_type("input_audio_buffer.speech_stopped")
    assert [frame["audio_end_ms"] for frame in stopped] == [70 * FRAME + 224]


def test_a_short_gap_does_not_end_the_turn() -> None:
    harness = harness_with(silence_duration_ms=500)
    harness.append(tone(20) + silence(15) + tone(20) + silence(16))
    assert stamps(harness) == [(0, 55 * FRAME + 512)]


def test_a_click_is_no_speech() -> None:
    harness = harness_with()
    harness.append(silence(20) + tone(1) + silence(20))
    assert harness.of_type("input_audio_buffer.speech_started") == []


@pytest.mark.parametrize(
    ("threshold", "level", "heard"),
    [(0.5, 400, True), (0.5, 250, False), (1.0, 2500, False), (1.0, 4000, True), (0.0, 40, True)],
)
def test_a_higher_threshold_takes_louder_speech(threshold: float, level: int, heard: bool) -> None:
    harness = harness_with(threshold=threshold)
    harness.append(tone(10, level))
    assert bool(harness.of_type("input_audio_buffer.speech_started")) is heard


def test_the_item_holds_the_audio_between_the_stamps() -> None:
    harness = harness_with()
    harness.append(silence(55) + tone(71) + silence(40))
    item_id = harness.of_type("input_audio_buffer.committed")[0]["item_id"]
    (frame,) = harness.send("conversation.item.retrieve", item_id=item_id)
    audio = pybase64.b64decode(frame["item"]["content"][0]["audio"])
    assert len(audio) == (4256 - 1460) * 48
    assert audio.rstrip(b"\0").endswith(b"\x20")
    assert len(audio) - len(audio.lstrip(b"\0")) == 300 * 48 + 1


def test_audio_after_a_turn_is_left_for_the_next_commit() -> None:
    harness = harness_with()
    harness.append(tone(20) + silence(7) + silence(20))
    harness.send("input_audio_buffer.commit")
    item_id = harness.of_type("input_audio_buffer.committed")[1]["item_id"]
    (frame,) = harness.send("conversation.item.retrieve", item_id=item_id)
    assert len(pybase64.b64decode(frame["item"]["content"][0]["audio"])) == 20 * FRAME * 48


@pytest.mark.parametrize(
    ("eagerness", "silence_ms"), [("high", 416), ("medium", 608), ("auto", 608), ("low", 1216)]
)
def test_semantic_turns_end_after_a_silence_by_eagerness(eagerness: str, silence_ms: int) -> None:
    harness = ProtocolHarness()
    detection = {"type": "semantic_vad", "eagerness": eagerness, "create_response": False}
    harness.update(audio={"input": {"turn_detection": detection}})
    harness.append(tone(20) + silence(70))
    assert stamps(harness) == [(0, 20 * FRAME + silence_ms)]


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_g711_input_is_heard_like_pcm(name: str) -> None:
    harness = harness_with()
    harness.update(audio={"input": {"format": {"type": name}}})
    harness.append(encode(silence(55) + tone(71) + silence(40), FORMATS[name]))
    assert stamps(harness) == [(1460, 4256)]


def test_a_change_of_format_keeps_the_clock() -> None:
    harness = harness_with()
    harness.append(silence(10))
    harness.update(audio={"input": {"format": {"type": "audio/pcmu"}}})
    harness.append(encode(tone(20) + silence(20), FORMATS["audio/pcmu"]))
    assert stamps(harness) == [(20, 30 * FRAME + 224)]


def test_turning_detection_off_drops_the_speech_and_keeps_the_audio() -> None:
    harness = harness_with()
    harness.append(tone(20))
    harness.update(audio={"input": {"turn_detection": None}})
    assert harness.append(silence(40)) == []
    started = harness.of_type("input_audio_buffer.speech_started")[0]["item_id"]
    committed = harness.send("input_audio_buffer.commit")[0]["item_id"]
    assert committed != started
    (frame,) = harness.send("conversation.item.retrieve", item_id=committed)
    assert len(pybase64.b64decode(frame["item"]["content"][0]["audio"])) == 60 * FRAME * 48


def test_endless_silence_is_not_kept() -> None:
    harness = harness_with()
    for _ in range(4):
        harness.append(silence(1000))
    assert harness.protocol._input_audio._buffer.buffered_ms <= 61_000


# -- G.711 ---------------------------------------------------------------------------------------

# Codes of the standard for a few samples of 16 bits.
KNOWN_ULAW = {0: 0xFF, 32635: 0x80, -32635: 0x00, 1000: 0xCE, -1000: 0x4E, 8: 0xFE, -8: 0x7E}
KNOWN_ALAW = {0: 0xD5, 32767: 0xAA, -32768: 0x2A, 1000: 0xFA, -1000: 0x7A, 8: 0xD5, -8: 0x55}


@pytest.mark.parametrize(
    ("name", "known"), [("audio/pcmu", KNOWN_ULAW), ("audio/pcma", KNOWN_ALAW)]
)
def test_g711_codes_are_those_of_the_standard(name: str, known: dict[int, int]) -> None:
    table = encoding_table(name)
    assert {sample: table[sample & 0xFFFF] for sample in known} == known


def test_g711_decodes_to_the_values_of_the_standard() -> None:
    ulaw = decode(bytes([0x00, 0x7F, 0x80, 0xFF, 0xCE]), FORMATS["audio/pcmu"])
    assert list(ulaw) == [-32124, 0, 32124, 0, 988]
    alaw = decode(bytes([0x2A, 0xAA, 0xD5, 0x55, 0xFA]), FORMATS["audio/pcma"])
    assert list(alaw) == [-32256, 32256, 8, -8, 1008]


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_every_g711_code_survives_a_round_trip(name: str) -> None:
    codes = bytes(range(256))
    table = encoding_table(name)
    again = bytes(table[sample & 0xFFFF] for sample in decode(codes, FORMATS[name]))
    # Minus zero of the mu-law is coded as plus zero.
    expected = codes.replace(b"\x7f", b"\xff") if name == "audio/pcmu" else codes
    assert again == expected


# -- other sums ----------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_loudness_is_between_silence_and_full_scale(data: bytes) -> None:
    for form in FORMATS.values():
        assert 0.0 <= loudness(data, form) <= 32768.0


def test_loudness_of_a_constant_is_its_size() -> None:
    assert loudness(tone(1, 1234), PCM) == pytest.approx(1234)
    assert loudness(b"", PCM) == 0.0


@given(st.integers(0, 5000), st.floats(0.25, 1.5))
def test_speed_divides_the_length(milliseconds: int, speed: float) -> None:
    pcm = bytes(48 * milliseconds)
    assert len(change_speed(pcm, speed)) == pytest.approx(len(pcm) / speed, abs=2 * 960)


@given(st.binary(max_size=300), st.integers(0, 500))
def test_fitting_gives_exactly_the_length(pcm: bytes, milliseconds: int) -> None:
    assert len(fit_duration(pcm, milliseconds)) == 48 * milliseconds


# -- voices --------------------------------------------------------------------------------------


def test_tones_last_as_long_as_the_text_and_are_loud_enough_to_hear() -> None:
    pcm = ToneSynthesizer().synthesize("Hello you")
    assert len(pcm) == 9 * 60 * 48
    assert loudness(pcm, PCM) > 1000
    assert pcm == ToneSynthesizer().synthesize("Hello you")
    assert max(map(abs, samples(pcm))) < 16_000


def test_silence_between_words_is_silent() -> None:
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


def test_a_wave_stream_may_lie_about_its_length() -> None:
    assert split_wave(wave_of(b"\1\0\2\0", 22050, 0x7FFFF000)) == (22050, b"\1\0\2\0")


@pytest.mark.parametrize("wave", [b"", b"RIFF", wave_of(b"", 8000, 0).replace(b"data", b"none")])
def test_what_is_no_wave_stream_is_refused(wave: bytes) -> None:
    with pytest.raises(ValueError, match="WAV"):
        split_wave(wave)


def fake_program(folder: Path, body: str) -> str:
    path = folder / "speaker"
    path.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return str(path)


def test_espeak_is_resampled_and_asked_once_for_each_text(tmp_path: Path) -> None:
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
