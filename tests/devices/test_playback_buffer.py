"""What a speaker plays, and when it was heard."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from trio_realtime.devices.playback_buffer import PlaybackBuffer, SpokenItem

ONE = SpokenItem("resp_1", "item_1", 0)
TWO = SpokenItem("resp_1", "item_2", 0)
THREE = SpokenItem("resp_2", "item_3", 0)
FRAME = 960
SECONDS = 0.02


def audio(frames: float, value: int = 1) -> bytes:
    return bytes([value]) * (int(frames * FRAME) // 2 * 2)


def fill(buffer: PlaybackBuffer, delay: float = 0.0) -> bytes:
    return buffer.fill(FRAME, delay, False)


def test_audio_is_heard_after_the_delay_of_the_device() -> None:
    buffer = PlaybackBuffer(24_000)
    buffer.put(ONE, audio(3))
    buffer.end(ONE)
    reports = []
    for _ in range(6):
        fill(buffer, delay=2 * SECONDS)
        reports.append(buffer.take_reports())
        assert buffer.is_audible == (reports[-1] != [(ONE, 60)])
    # The frame that is handed over now is heard in 40 ms. The two before it are in the device.
    assert reports == [[], [], [], [(ONE, 20)], [(ONE, 40)], [(ONE, 60)]]
    assert not buffer.is_audible
    assert buffer.underruns == 0


def test_an_unsteady_delay_never_takes_back_what_was_heard() -> None:
    buffer = PlaybackBuffer(24_000)
    buffer.put(ONE, audio(10))
    positions = []
    for delay in (0.0, 0.0, 0.03, 0.0, 0.5, 0.01):
        fill(buffer, delay)
        positions += [ms for _, ms in buffer.take_reports()]
    assert positions == sorted(positions) == [20, 60, 90]


def test_items_follow_each_other_within_a_frame() -> None:
    buffer = PlaybackBuffer(24_000)
    buffer.put(ONE, audio(0.5, 1))
    buffer.put(TWO, audio(1, 2))
    assert fill(buffer) == audio(0.5, 1) + audio(0.5, 2)
    assert fill(buffer) == audio(0.5, 2) + audio(0.5, 0)
    fill(buffer)
    assert buffer.take_reports() == [(ONE, 10), (TWO, 20)]
    assert buffer.take_reports() == []


def test_an_interruption_drops_what_the_device_does_not_have() -> None:
    buffer = PlaybackBuffer(24_000)
    buffer.put(ONE, audio(3, 1))
    buffer.put(TWO, audio(3, 2))
    buffer.put(THREE, audio(1, 3))
    fill(buffer, SECONDS)
    buffer.discard("resp_1")
    assert buffer.queued == FRAME
    assert fill(buffer, SECONDS) == audio(1, 3)
    assert buffer.take_reports() == []
    assert fill(buffer, SECONDS) == audio(1, 0)
    # What was handed to the device is heard all the same.
    assert buffer.take_reports() == [(ONE, 20)]


def test_everything_can_be_dropped() -> None:
    buffer = PlaybackBuffer(24_000)
    buffer.put(None, audio(2))
    buffer.put(ONE, audio(2))
    buffer.discard()
    assert (buffer.queued, buffer.is_audible) == (0, False)
    assert fill(buffer) == bytes(FRAME)


def test_silence_within_an_item_is_one_underrun_until_more_audio_comes() -> None:
    buffer = PlaybackBuffer(24_000)
    fill(buffer)
    assert buffer.underruns == 0  # nothing was to be played
    buffer.put(ONE, audio(1))
    for _ in range(4):
        fill(buffer)
    assert buffer.underruns == 1
    buffer.put(ONE, audio(0.5))
    fill(buffer)
    assert buffer.underruns == 2
    buffer.put(ONE, audio(1))
    buffer.end(ONE)
    fill(buffer)
    fill(buffer)
    assert buffer.underruns == 2
    buffer.fill(FRAME, 0.0, True)  # the device reports one
    assert buffer.underruns == 3


def test_the_next_item_ends_an_item() -> None:
    buffer = PlaybackBuffer(24_000)
    buffer.put(ONE, audio(0.5))
    buffer.put(TWO, audio(0.5))
    buffer.end(TWO)
    for _ in range(3):
        fill(buffer)
    assert buffer.underruns == 0


def test_a_sample_that_was_divided_is_complete_again() -> None:
    buffer = PlaybackBuffer(24_000)
    buffer.put(ONE, b"\x01")
    assert buffer.queued == 0
    assert fill(buffer) == bytes(FRAME)
    buffer.put(ONE, b"\x02\x03")
    buffer.put(TWO, b"\x04\x05")
    assert buffer.queued == 4
    assert fill(buffer) == b"\x01\x02\x04\x05" + bytes(FRAME - 4)
    assert buffer.queued == 0


operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from([ONE, TWO, THREE, None]), st.integers(0, 3000)),
        st.tuples(st.just("end"), st.sampled_from([ONE, TWO, THREE]), st.just(0)),
        st.tuples(st.just("discard"), st.sampled_from([ONE, THREE]), st.just(0)),
        st.tuples(st.just("fill"), st.just(None), st.integers(0, 100)),
    ),
    max_size=60,
)


@given(operations)
def test_nothing_is_heard_that_was_not_handed_to_the_device(
    steps: list[tuple[str, SpokenItem | None, int]],
) -> None:
    buffer = PlaybackBuffer(24_000)
    put = played = dropped = 0
    heard: dict[SpokenItem, float] = {}
    for kind, item, number in steps:
        match kind:
            case "put":
                buffer.put(item, b"\x01" * (number // 2 * 2))
                put += number // 2 * 2
            case "end":
                assert item is not None
                buffer.end(item)
            case "discard":
                assert item is not None
                before = buffer.queued
                buffer.discard(item.response_id)
                dropped += before - buffer.queued
            case _:
                played += FRAME - fill(buffer, number / 1000).count(0)
        assert put == played + dropped + buffer.queued
        heard.update(buffer.take_reports())
    assert sum(heard.values()) * 48 <= played + 1e-6
    for _ in range(10):
        fill(buffer, 0.1)
    while buffer.queued:
        fill(buffer, 0.1)
    for _ in range(6):
        fill(buffer, 0.1)
    assert not buffer.is_audible


@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_durations_depend_on_the_rate(rate: int) -> None:
    buffer = PlaybackBuffer(rate)
    buffer.put(ONE, bytes(rate // 5))
    buffer.fill(rate // 5, 0.0, False)
    buffer.fill(rate // 5, 0.05, False)
    assert buffer.take_reports() == [(ONE, 50)]


def test_items_that_are_over_are_forgotten() -> None:
    buffer = PlaybackBuffer(24_000)
    for number in range(100):
        buffer.put(SpokenItem("resp", f"item_{number}", 0), audio(1))
        fill(buffer)
        buffer.take_reports()
    assert len(buffer._heard_of) <= 2
    assert len(buffer._in_device) <= 2
