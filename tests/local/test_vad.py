"""Voice activity detection: timestamps, thresholds, and the input audio buffer."""

from __future__ import annotations

import struct
from typing import Any

import pybase64
import pytest

from trio_realtime.local.audio import (
    FORMATS,
    encode,
)
from trio_realtime.local.harness import ProtocolHarness

FRAME = 32


def silence(frames: int) -> bytes:
    return bytes(48 * FRAME * frames)


def tone(frames: int, level: int = 8192) -> bytes:
    return struct.pack("<h", level) * (24 * FRAME * frames)


def harness_with(**detection: Any) -> ProtocolHarness:
    harness = ProtocolHarness()
    detection = {
        "type": "server_vad",
        "create_response": False,
        "silence_duration_ms": 200,
        **detection,
    }
    harness.update(audio={"input": {"turn_detection": detection}})
    return harness


def timestamps(harness: ProtocolHarness) -> list[tuple[int, int]]:
    started = harness.of_type("input_audio_buffer.speech_started")
    stopped = harness.of_type("input_audio_buffer.speech_stopped")
    return [(a["audio_start_ms"], b["audio_end_ms"]) for a, b in zip(started, stopped, strict=True)]


@pytest.mark.parametrize(
    ("silence_ms", "end_ms"),
    [(200, 4256), (500, 4544), (0, 4032), (32, 4064), (33, 4096)],
)
def test_timestamps_match_those_of_the_live_service(silence_ms: int, end_ms: int) -> None:
    """Speech from frame 55 to 4032 ms: 1460 = 55 * 32 - 300, 4256 = 4032 + 7 * 32."""
    harness = harness_with(silence_duration_ms=silence_ms)
    harness.append(silence(55) + tone(126 - 55) + silence(40))
    assert timestamps(harness) == [(1460, end_ms)]


def test_speech_from_the_first_frame_starts_at_zero() -> None:
    harness = harness_with()
    harness.append(tone(20) + silence(20))
    assert timestamps(harness) == [(0, 20 * FRAME + 224)]


@pytest.mark.parametrize("chunk", [1, 333, 1536, 4800, 10**6])
def test_timestamps_do_not_depend_on_the_chunk_size(chunk: int) -> None:
    harness = harness_with()
    audio = silence(30) + tone(20) + silence(12) + tone(10) + silence(12)
    pieces = range(0, len(audio), chunk) if chunk > 1 else range(0, len(audio), 4801)
    size = max(chunk, 4801) if chunk == 1 else chunk
    for start in pieces:
        harness.append(audio[start : start + size])
    assert timestamps(harness) == [(660, 50 * FRAME + 224), (62 * FRAME - 300, 72 * FRAME + 224)]


def test_timestamps_count_all_audio_of_the_session() -> None:
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
    assert timestamps(harness) == [(0, 55 * FRAME + 512)]


def test_a_click_is_not_speech() -> None:
    harness = harness_with()
    harness.append(silence(20) + tone(1) + silence(20))
    assert harness.of_type("input_audio_buffer.speech_started") == []


@pytest.mark.parametrize(
    ("threshold", "level", "is_speech"),
    [(0.5, 400, True), (0.5, 250, False), (1.0, 2500, False), (1.0, 4000, True), (0.0, 40, True)],
)
def test_a_higher_threshold_requires_louder_speech(
    threshold: float, level: int, is_speech: bool
) -> None:
    harness = harness_with(threshold=threshold)
    harness.append(tone(10, level))
    assert bool(harness.of_type("input_audio_buffer.speech_started")) is is_speech


def test_the_item_contains_the_audio_between_the_timestamps() -> None:
    harness = harness_with()
    harness.append(silence(55) + tone(71) + silence(40))
    item_id = harness.of_type("input_audio_buffer.committed")[0]["item_id"]
    (frame,) = harness.send("conversation.item.retrieve", item_id=item_id)
    audio = pybase64.b64decode(frame["item"]["content"][0]["audio"])
    assert len(audio) == (4256 - 1460) * 48
    assert audio.rstrip(b"\0").endswith(b"\x20")
    assert len(audio) - len(audio.lstrip(b"\0")) == 300 * 48 + 1


def test_audio_after_a_turn_stays_in_the_buffer() -> None:
    harness = harness_with()
    harness.append(tone(20) + silence(7) + silence(20))
    harness.send("input_audio_buffer.commit")
    item_id = harness.of_type("input_audio_buffer.committed")[1]["item_id"]
    (frame,) = harness.send("conversation.item.retrieve", item_id=item_id)
    assert len(pybase64.b64decode(frame["item"]["content"][0]["audio"])) == 20 * FRAME * 48


@pytest.mark.parametrize(
    ("eagerness", "silence_ms"), [("high", 416), ("medium", 608), ("auto", 608), ("low", 1216)]
)
def test_eagerness_sets_the_silence_that_ends_a_semantic_turn(
    eagerness: str, silence_ms: int
) -> None:
    harness = ProtocolHarness()
    detection = {"type": "semantic_vad", "eagerness": eagerness, "create_response": False}
    harness.update(audio={"input": {"turn_detection": detection}})
    harness.append(tone(20) + silence(70))
    assert timestamps(harness) == [(0, 20 * FRAME + silence_ms)]


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_speech_in_g711_is_detected_as_in_pcm(name: str) -> None:
    harness = harness_with()
    harness.update(audio={"input": {"format": {"type": name}}})
    harness.append(encode(silence(55) + tone(71) + silence(40), FORMATS[name]))
    assert timestamps(harness) == [(1460, 4256)]


def test_a_change_of_format_does_not_reset_audio_time() -> None:
    harness = harness_with()
    harness.append(silence(10))
    harness.update(audio={"input": {"format": {"type": "audio/pcmu"}}})
    harness.append(encode(tone(20) + silence(20), FORMATS["audio/pcmu"]))
    assert timestamps(harness) == [(20, 30 * FRAME + 224)]


def test_disabling_turn_detection_discards_the_turn_but_not_the_audio() -> None:
    harness = harness_with()
    harness.append(tone(20))
    harness.update(audio={"input": {"turn_detection": None}})
    assert harness.append(silence(40)) == []
    started = harness.of_type("input_audio_buffer.speech_started")[0]["item_id"]
    committed = harness.send("input_audio_buffer.commit")[0]["item_id"]
    assert committed != started
    (frame,) = harness.send("conversation.item.retrieve", item_id=committed)
    assert len(pybase64.b64decode(frame["item"]["content"][0]["audio"])) == 60 * FRAME * 48


def test_buffered_silence_is_bounded() -> None:
    harness = harness_with()
    for _ in range(4):
        harness.append(silence(1000))
    assert harness.protocol._input_audio._buffer.buffered_ms <= 61_000
