"""Audio of the local server: loudness, speed, duration and rates."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pybase64
import pytest
from hypothesis import given, strategies as st

from support.harness import rejected, scripted
from trio_realtime.local import Say
from trio_realtime.local.audio import (
    FORMATS,
    AudioFormat,
    change_speed,
    decode,
    encode,
    fit_duration,
    loudness,
    split,
)
from trio_realtime.local.harness import ProtocolHarness

# -- levels and duration -------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_loudness_is_between_silence_and_full_scale(data: bytes) -> None:
    for form in FORMATS.values():
        assert 0.0 <= loudness(data, form) <= 32768.0


PCM = FORMATS["audio/pcm"]


FRAME = 32


def tone(frames: int, level: int = 8192) -> bytes:
    return struct.pack("<h", level) * (24 * FRAME * frames)


def test_loudness_of_a_constant_is_its_amplitude() -> None:
    assert loudness(tone(1, 1234), PCM) == pytest.approx(1234)
    assert loudness(b"", PCM) == 0.0


@given(st.integers(0, 5000), st.floats(0.25, 1.5))
def test_speed_divides_the_duration(milliseconds: int, speed: float) -> None:
    pcm = bytes(48 * milliseconds)
    changed = b"".join(change_speed([pcm], speed))
    assert len(changed) == pytest.approx(len(pcm) / speed, abs=2 * 960)


@given(st.lists(st.binary(max_size=30)), st.integers(1, 40))
def test_split_joins_pieces_into_blocks_of_one_size(pieces: list[bytes], size: int) -> None:
    blocks = list(split(pieces, size))
    assert b"".join(blocks) == b"".join(pieces)
    assert {len(block) for block in blocks[:-1]} <= {size}


def endless_pieces() -> Iterator[bytes]:
    while True:
        yield bytes(960)


def test_audio_is_generated_as_it_is_taken() -> None:
    assert len(next(change_speed(endless_pieces(), 1.5))) == 960
    assert len(next(fit_duration(endless_pieces, 3_600_000))) == 960
    assert len(next(split(endless_pieces(), 100))) == 100


@given(st.binary(max_size=300), st.integers(0, 500))
def test_fit_duration_returns_exactly_this_duration(pcm: bytes, milliseconds: int) -> None:
    pieces = [pcm[:100], pcm[100:]]
    fitted = b"".join(fit_duration(lambda: pieces, milliseconds))
    assert len(fitted) == 48 * milliseconds
    assert fitted == (pcm * len(fitted) or bytes(len(fitted)))[: len(fitted)]


# -- rates ---------------------------------------------------------------------------------------


RATES = [8_000, 16_000, 24_000, 48_000]


def pcm_at(rate: int) -> AudioFormat:
    return AudioFormat("audio/pcm", rate, 2)


@pytest.mark.parametrize("rate", RATES)
@given(milliseconds=st.integers(0, 300))
def test_encoding_preserves_the_duration(rate: int, milliseconds: int) -> None:
    encoded = encode(bytes(48 * milliseconds), pcm_at(rate))
    assert len(encoded) == milliseconds * rate * 2 // 1000
    assert pcm_at(rate).duration_ms(len(encoded)) == milliseconds


@pytest.mark.parametrize("rate", RATES)
def test_encoding_preserves_a_ramp(rate: int) -> None:
    ramp = struct.pack("<240h", *range(0, 2400, 10))
    step = 240_000 / rate
    for index, sample in enumerate(decode(encode(ramp, pcm_at(rate)), pcm_at(rate))):
        assert sample == pytest.approx(index * step, abs=12)


# -- formats in a session ------------------------------------------------------------------------


FORMATS_IN_SESSION: list[dict[str, Any]] = [
    *({"type": "audio/pcm", "rate": rate} for rate in RATES),
    {"type": "audio/pcmu"},
    {"type": "audio/pcma"},
]


def harness_with_format(audio_format: dict[str, Any], **settings: Any) -> ProtocolHarness:
    harness = scripted(Say("Hello", audio_ms=3000), **settings)
    (updated,) = harness.update(
        audio={"input": {"format": audio_format}, "output": {"format": audio_format}}
    )
    assert updated["session"]["audio"]["output"]["format"] == audio_format
    return harness


@pytest.mark.parametrize("audio_format", FORMATS_IN_SESSION)
def test_spoken_turns_are_measured_in_the_input_format(audio_format: dict[str, Any]) -> None:
    harness = harness_with_format(audio_format)
    form = AudioFormat.from_json(audio_format)
    loud = encode(struct.pack("<h", 8192) * (24 * 960), form)
    quiet = encode(bytes(48 * 640), form)
    harness.append(quiet + loud + quiet)
    (started,) = harness.of_type("input_audio_buffer.speech_started")
    (stopped,) = harness.of_type("input_audio_buffer.speech_stopped")
    assert started["audio_start_ms"] == 640 - 300
    assert stopped["audio_end_ms"] == 640 + 960 + 512  # the silence that ends a turn
    item = harness.send("conversation.item.retrieve", item_id=started["item_id"])[0]["item"]
    audio = pybase64.b64decode(item["content"][0]["audio"])
    assert form.duration_ms(len(audio)) == 300 + 960 + 512


@pytest.mark.parametrize("audio_format", FORMATS_IN_SESSION)
def test_speech_is_paced_and_truncated_in_the_output_format(audio_format: dict[str, Any]) -> None:
    harness = harness_with_format(audio_format, pacing=1.0)
    form = AudioFormat.from_json(audio_format)
    harness.send("response.create")
    frames = harness.run_until("response.done")
    assert harness.now == pytest.approx(3.0)
    deltas = [f["delta"] for f in frames if f["type"] == "response.output_audio.delta"]
    assert sum(len(pybase64.b64decode(delta)) for delta in deltas) == 3000 * form.bytes_per_ms
    response = frames[-1]["response"]
    assert response["audio"]["output"]["format"] == audio_format
    assert response["usage"]["output_token_details"]["audio_tokens"] == 3000 // 50
    position = {"item_id": response["output"][0]["id"], "content_index": 0}
    error = rejected(harness, "conversation.item.truncate", **position, audio_end_ms=3001)
    assert error["message"] == "Audio content of 3000ms is already shorter than 3001ms"
    harness.send("conversation.item.truncate", **position, audio_end_ms=1000)
    item = harness.send("conversation.item.retrieve", item_id=position["item_id"])[0]["item"]
    assert len(pybase64.b64decode(item["content"][0]["audio"])) == 1000 * form.bytes_per_ms


def test_a_response_can_have_a_rate_of_its_own() -> None:
    harness = scripted(Say("Hello", audio_ms=500))
    audio = {"output": {"format": {"type": "audio/pcm", "rate": 8000}}}
    frames = harness.respond(audio=audio)
    deltas = [f["delta"] for f in frames if f["type"] == "response.output_audio.delta"]
    assert sum(len(pybase64.b64decode(delta)) for delta in deltas) == 500 * 16
    assert frames[-2]["response"]["audio"]["output"]["format"] == audio["output"]["format"]


@pytest.mark.parametrize("audio_format", FORMATS_IN_SESSION)
def test_a_commit_requires_a_tenth_of_a_second_in_each_format(audio_format: dict[str, Any]) -> None:
    harness = harness_with_format(audio_format)
    harness.update(audio={"input": {"turn_detection": None}})
    size = AudioFormat.from_json(audio_format).bytes_per_ms
    harness.append(bytes(99 * size))
    assert "99.00ms" in rejected(harness, "input_audio_buffer.commit")["message"]
    harness.append(bytes(size))
    assert harness.send("input_audio_buffer.commit")[0]["type"] == "input_audio_buffer.committed"
