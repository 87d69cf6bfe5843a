"""The size of a load, and the meter that counts what arrived."""

from __future__ import annotations

import attrs
import pytest

from benchmarks.burst.load import AUDIO_BYTES, IncompleteStream, Load, Measurement, Meter

LOAD = Load(turns=2, frames_per_turn=10)


@pytest.mark.parametrize(
    ("frames", "turns", "whole"),
    [(1, 1, 5), (200, 1, 200), (1_004, 1, 1_005), (20_000, 20, 20_000)],
)
def test_a_load_has_complete_groups_in_turns_of_equal_length(
    frames: int, turns: int, whole: int
) -> None:
    load = Load.approximately(frames)
    assert (load.turns, load.frames) == (turns, whole)
    assert load.audio_frames == 4 * load.text_frames


def measurement(cpu: float) -> Measurement:
    return Measurement(
        cpu=cpu,
        wall=2 * cpu,
        audio_frames=LOAD.audio_frames,
        audio_bytes=LOAD.audio_bytes,
        text_frames=LOAD.text_frames,
    )


def consume(meter: Meter, turns: int, audio: bytes = bytes(AUDIO_BYTES)) -> list[bool]:
    last: list[bool] = []
    for _ in range(turns):
        for _ in range(LOAD.frames_per_turn // 5):
            for _ in range(4):
                meter.count_audio(audio)
            meter.count_text()
        last.append(meter.end_turn())
    return last


def test_a_meter_ignores_the_warm_up_and_recognizes_the_last_turn() -> None:
    meter = Meter(LOAD)
    assert consume(meter, 3) == [False, False, True]
    assert attrs.evolve(meter.result(), cpu=1.0, wall=2.0) == measurement(1.0)


@pytest.mark.parametrize("audio", [b"", bytes(AUDIO_BYTES - 1)])
def test_a_stream_with_missing_bytes_gives_no_measurement(audio: bytes) -> None:
    meter = Meter(LOAD)
    consume(meter, 3, audio)
    with pytest.raises(IncompleteStream, match="audio_bytes"):
        meter.result()
