"""The playback clock: how much of each item was heard."""

from __future__ import annotations

import sys
from collections.abc import Container
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from support.core import CoreScenario, effects_of
from trio_realtime import events as ev
from trio_realtime.core.audio.playback import (
    ItemKey,
    Playback,
    PlaybackPosition,
    TruncatePoint,
)
from trio_realtime.wire import PCM24K, PCMA, PCMU, AudioFormat

SECOND = 48_000  # bytes of PCM at 24 kHz
A, B, C = ("a", 0), ("b", 0), ("c", 0)
RUNNING = {"r1", "r2"}
ENDED: Container[str] = ()


def position(
    key: ItemKey, played_ms: int, received_ms: float, response_id: str = "r1"
) -> TruncatePoint:
    return TruncatePoint(
        item_id=key[0],
        content_index=key[1],
        response_id=response_id,
        played_ms=played_ms,
        received_ms=received_ms,
    )


def queued(*keys: ItemKey, seconds: float = 6) -> Playback:
    """Return a playback that has received this many seconds of each item at time 0."""
    playback = Playback()
    for key in keys:
        playback.receive(key, "r1", int(seconds * SECOND), 0.0)
    return playback


# --- the clock ----------------------------------------------------------------------------------


def test_a_cut_truncates_the_playing_item_at_its_position_and_the_queued_one_at_zero() -> None:
    playback = queued(A, B)

    assert playback.cut(2.0, RUNNING) == [position(A, 2000, 6000), position(B, 0, 6000)]


def test_the_second_item_plays_after_the_first() -> None:
    playback = queued(A, B)

    assert playback.played_ms("a", 0, 7.5) == 6000
    assert playback.played_ms("b", 0, 7.5) == pytest.approx(1500)
    assert playback.current(5.9) == A
    assert playback.current(7.5) == B
    assert playback.current(12.0) is None
    assert playback.finishes_at(7.5) == pytest.approx(12.0)


def test_the_positions_name_the_items_in_the_order_of_arrival_until_they_are_forgotten() -> None:
    playback = queued(A, B)

    assert playback.positions(7.5) == (
        PlaybackPosition("a", 0, 6000, 6000),
        PlaybackPosition("b", 0, 1500, 6000),
    )
    playback.advance(7.5, ENDED)
    assert [position.item_id for position in playback.positions(7.5)] == ["b"]


def test_late_audio_leaves_a_gap() -> None:
    playback = queued(A, seconds=1)
    playback.receive(A, "r1", SECOND, 3.0)  # two seconds of silence before

    assert playback.played_ms("a", 0, 2.9) == 1000
    assert playback.played_ms("a", 0, 3.5) == pytest.approx(1500)
    assert playback.finishes_at(3.5) == pytest.approx(4.0)
    assert playback.cut(3.25, RUNNING) == [position(A, 1250, 2000)]


def test_alternating_items_play_in_the_order_of_arrival() -> None:
    playback = queued(A, B, A, seconds=1)

    assert playback.played_ms("a", 0, 1.5) == 1000
    assert playback.played_ms("b", 0, 1.5) == pytest.approx(500)
    assert playback.played_ms("a", 0, 2.5) == pytest.approx(1500)
    assert playback.cut(2.5, RUNNING) == [position(A, 1500, 2000), position(B, 1000, 1000)]


def test_parts_of_one_item_are_counted_separately() -> None:
    playback = queued(("a", 0), ("a", 1), seconds=1)

    assert playback.cut(1.5, RUNNING) == [
        position(("a", 0), 1000, 1000),
        position(("a", 1), 500, 1000),
    ]


def test_the_position_does_not_exceed_the_received_audio() -> None:
    playback = queued(A, seconds=1)

    assert playback.played_ms("a", 0, 1e9) == 1000
    assert playback.cut(1e9, RUNNING) == [position(A, 1000, 1000)]


def test_positions_are_rounded_down_to_milliseconds() -> None:
    playback = Playback()
    playback.receive(A, "r1", 100, 0.0)  # 2.08 ms

    assert playback.cut(0.0019, RUNNING) == [position(A, 1, 100 / 48)]
    playback.receive(A, "r1", 100, 1.0)
    assert playback.cut(2.0, RUNNING) == [position(A, 2, 100 / 48)]


def test_an_empty_playback_has_no_positions() -> None:
    playback = Playback()

    assert playback.cut(5.0, RUNNING) == []
    assert playback.current(5.0) is None
    assert playback.finishes_at(5.0) == 5.0
    assert playback.played_ms("a", 0, 5.0) == 0
    playback.advance(5.0, RUNNING)


def test_an_item_that_begins_later_is_not_cut() -> None:
    playback = Playback()
    playback.receive(A, "r1", SECOND, 10.0)

    assert playback.cut(9.0, RUNNING) == []
    assert playback.played_ms("a", 0, 9.0) == 0
    assert playback.cut(10.5, RUNNING) == [position(A, 500, 1000)]


def test_an_unheard_item_is_cut_at_zero() -> None:
    assert queued(A).cut(0.0, RUNNING) == [position(A, 0, 6000)]


# --- items that have played or were cut ----------------------------------------------------------


def test_a_fully_heard_item_of_an_ended_response_is_not_cut() -> None:
    assert queued(A, seconds=1).cut(1.0, ENDED) == []
    assert queued(A, seconds=1).cut(1.0, RUNNING) == [position(A, 1000, 1000)]
    assert queued(A, seconds=1).cut(0.9, ENDED) == [position(A, 900, 1000)]


def test_a_playing_item_of_an_ended_response_is_cut() -> None:
    # Generation is much faster than speech, so this is the usual case.
    playback = queued(A, B, C, seconds=1)

    assert playback.cut(1.5, ENDED) == [position(B, 500, 1000), position(C, 0, 1000)]


def test_cut_items_are_forgotten() -> None:
    playback = queued(A, B)
    playback.cut(2.0, RUNNING)

    assert playback.cut(3.0, RUNNING) == []
    assert playback.current(3.0) is None
    assert playback.finishes_at(3.0) == 3.0


def test_only_fully_played_items_of_ended_responses_are_forgotten() -> None:
    playback = queued(A, B, seconds=1)

    playback.advance(1.5, RUNNING)
    assert playback.played_ms("a", 0, 1.5) == 1000
    playback.advance(1.5, ENDED)
    assert playback.played_ms("a", 0, 1.5) == 0
    assert playback.played_ms("b", 0, 1.5) == pytest.approx(500)


def test_a_cut_of_one_response_does_not_stop_another() -> None:
    playback = Playback()
    for key, response_id in ((A, "r1"), (B, "r2"), (C, "r1")):
        playback.receive(key, response_id, SECOND, 0.0)

    assert playback.cut(0.5, RUNNING, only="r2") == [position(B, 0, 1000, "r2")]

    assert playback.played_ms("a", 0, 0.75) == pytest.approx(750)
    assert playback.played_ms("c", 0, 1.5) == pytest.approx(500)  # it plays earlier
    assert playback.finishes_at(0.5) == pytest.approx(2.0)


def test_a_queued_item_begins_when_the_playing_one_is_cut() -> None:
    playback = Playback()
    playback.receive(A, "r1", SECOND, 0.0)
    playback.receive(B, "r2", SECOND, 0.0)
    playback.receive(C, "r2", SECOND, 0.0)

    assert playback.cut(0.25, RUNNING, only="r1") == [position(A, 250, 1000)]

    assert playback.played_ms("b", 0, 0.75) == pytest.approx(500)
    assert playback.played_ms("c", 0, 1.75) == pytest.approx(500)


# --- reports ------------------------------------------------------------------------------------


def test_reports_of_the_application_replace_the_clock() -> None:
    playback = queued(A, B)

    playback.report("a", 0, 1200.7)

    assert playback.played_ms("a", 0, 5.0) == 1200.7
    assert playback.played_ms("b", 0, 50.0) == 0
    assert playback.current(50.0) == A
    assert playback.finishes_at(50.0) == pytest.approx(50 + (12_000 - 1200.7) / 1000)
    assert playback.cut(50.0, RUNNING) == [position(A, 1200, 6000), position(B, 0, 6000)]


def test_a_report_beyond_the_end_counts_as_the_end() -> None:
    playback = queued(A, seconds=1)
    playback.report("a", 0, 5000)

    assert playback.played_ms("a", 0, 0.1) == 1000
    assert playback.cut(0.1, RUNNING) == [position(A, 1000, 1000)]


def test_an_item_with_a_negative_report_is_not_cut() -> None:
    playback = queued(A, B, seconds=1)
    playback.report("a", 0, -1)

    assert playback.played_ms("a", 0, 0.5) == 0
    assert playback.finishes_at(0.0) == pytest.approx(1.0), "the skipped item takes no time"
    assert playback.cut(0.5, RUNNING) == [position(B, 0, 1000)]


def test_an_item_reported_to_its_end_is_not_cut_if_its_response_has_ended() -> None:
    playback = Playback()
    playback.receive(A, "r1", 100, 0.0)  # 2.08 ms, reported as 2 ms
    playback.receive(B, "r1", SECOND, 0.0)
    playback.report("a", 0, 2)

    assert playback.cut(9.0, ENDED) == [position(B, 0, 1000)]


def test_an_item_without_a_report_counts_as_unheard() -> None:
    playback = queued(A, B, seconds=1)
    playback.report("a", 0, 1000)

    playback.advance(100.0, ENDED)

    assert playback.cut(100.0, ENDED) == [position(B, 0, 1000)]


def test_an_item_before_one_that_is_reported_is_over() -> None:
    playback = queued(A, B, C, seconds=1)
    playback.report("b", 0, 1000)

    assert playback.cut(9.0, ENDED) == [position(C, 0, 1000)]


def test_a_late_report_is_ignored() -> None:
    playback = queued(A, seconds=1)
    playback.cut(0.5, RUNNING)

    playback.report("a", 0, 700)

    assert playback.played_ms("a", 0, 1.0) == 0
    assert playback.cut(1.0, RUNNING) == []


# --- reports through the core -------------------------------------------------------------------


def test_a_report_within_one_frame_of_the_end_counts_as_the_whole_item() -> None:
    """A player reports whole frames of 20 ms, so the last partial frame may be missing."""
    scenario = CoreScenario()
    for number, played_ms in enumerate((980, 1000), 1):
        scenario.response_created(f"r{number}")
        scenario.audio(f"r{number}", f"item_{number}")
        scenario.response_done(f"r{number}")
        scenario.core.report_played(f"item_{number}", 0, played_ms, scenario.now)

    assert scenario.core.playback.finishes_at(10.0) == 10.0


def test_a_report_well_before_the_end_leaves_the_remaining_audio() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    scenario.audio("r1", "item_1")
    scenario.response_done("r1")

    scenario.core.report_played("item_1", 0, 900, scenario.now)

    assert scenario.core.playback.finishes_at(10.0) == pytest.approx(10.1)


def test_the_first_report_does_not_interrupt_items_that_have_already_played() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    scenario.audio("r1", "item_1")
    scenario.response_done("r1")
    scenario.now = 5.0
    scenario.response_created("r2")
    scenario.audio("r2", "item_2")

    scenario.core.report_played("item_2", 0, 100, scenario.now)
    scenario.now = 5.1
    effects = scenario.interrupt()

    interrupted = [
        (event.item_id, event.played_ms) for event in effects_of(effects, ev.AudioInterrupted)
    ]
    assert interrupted == [("item_2", 100)]


def test_items_reported_to_their_end_are_forgotten() -> None:
    scenario = CoreScenario()
    for number in range(50):
        scenario.response_created(f"r{number}")
        scenario.audio(f"r{number}", f"item_{number}")
        scenario.core.report_played(f"item_{number}", 0, 1000, scenario.now)
        scenario.now += 10
        scenario.response_done(f"r{number}")
    assert len(scenario.core.playback._items) <= 1


# --- formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("audio_format", "bytes_of_a_second"),
    [
        (PCM24K, 48_000),
        (PCMU, 8_000),
        (PCMA, 8_000),
        (AudioFormat(type="audio/pcm"), 48_000),
        (AudioFormat(type="audio/pcm", rate=0), 48_000),
        (AudioFormat(type="audio/pcm", rate=8_000), 16_000),
        (AudioFormat(type="audio/pcm", rate=16_000), 32_000),
        (AudioFormat(type="audio/pcm", rate=44_100), 88_200),
        (AudioFormat(type="audio/pcm", rate=48_000), 96_000),
        (AudioFormat(type="audio/pcmu", rate=8_000), 8_000),
        (AudioFormat(type="audio/unheard-of"), 48_000),
    ],
)
def test_one_second_of_audio_plays_for_one_second_in_each_format(
    audio_format: AudioFormat, bytes_of_a_second: int
) -> None:
    playback = Playback(audio_format.bytes_per_ms)
    playback.receive(A, "r1", bytes_of_a_second, 0.0)

    assert playback.finishes_at(0.0) == 1.0
    assert playback.cut(0.3, RUNNING) == [position(A, 300, 1000)]


def test_a_change_of_format_does_not_affect_received_audio() -> None:
    playback = queued(A, seconds=1)
    playback.bytes_per_ms = 8
    playback.receive(A, "r1", 8_000, 0.0)

    assert playback.finishes_at(0.0) == pytest.approx(2.0)


# --- against a player ---------------------------------------------------------------------------

KEYS: list[ItemKey] = [("a", 0), ("a", 1), ("b", 0)]
OWNERS = {("a", 0): "r1", ("a", 1): "r1", ("b", 0): "r2"}


class Chunk:
    """Audio in the player, and the time at which its first sample plays."""

    def __init__(self, key: ItemKey, ms: float, start: float) -> None:
        self.key = key
        self.ms = ms
        self.start = start

    @property
    def end(self) -> float:
        return self.start + self.ms / 1000

    def heard(self, now: float) -> float:
        return min(max((now - self.start) * 1000, 0), self.ms)


class Player(RuleBasedStateMachine):
    """The same audio in the clock and in a player that records the time of each chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.playback = Playback()
        self.now = 100.0
        self.chunks: list[Chunk] = []
        self.before: dict[ItemKey, float] = {}

    def heard(self, key: ItemKey) -> float:
        return sum(chunk.heard(self.now) for chunk in self.chunks if chunk.key == key)

    def received(self, key: ItemKey) -> float:
        return sum(chunk.ms for chunk in self.chunks if chunk.key == key)

    def queue_end(self) -> float:
        return max([self.now, *(chunk.end for chunk in self.chunks)])

    @rule(key=st.sampled_from(KEYS), ms=st.integers(1, 900))
    def receive(self, key: ItemKey, ms: int) -> None:
        self.chunks.append(Chunk(key, ms, self.queue_end()))
        self.playback.receive(key, OWNERS[key], ms * 48, self.now)

    @rule(ms=st.integers(0, 1500))
    def wait(self, ms: int) -> None:
        self.now += ms / 1000

    @rule()
    def advance(self) -> None:
        self.playback.advance(self.now, RUNNING)

    @rule(only=st.sampled_from(["r1", "r2", None]))
    def cut(self, only: str | None) -> None:
        keys = list(dict.fromkeys(chunk.key for chunk in self.chunks))
        removed = [key for key in keys if only in (None, OWNERS[key])]
        positions = self.playback.cut(self.now, RUNNING, only)

        assert [(p.item_id, p.content_index) for p in positions] == removed
        for found, key in zip(positions, removed, strict=True):
            assert found.response_id == OWNERS[key]
            assert found.received_ms == pytest.approx(self.received(key))
            assert abs(found.played_ms + 0.5 - self.heard(key)) < 0.5 + 1e-6
            assert 0 <= found.played_ms <= found.received_ms
        self.remove(removed)

    def remove(self, removed: list[ItemKey]) -> None:
        self.chunks = [chunk for chunk in self.chunks if chunk.key not in removed]
        end = self.now
        for chunk in self.chunks:
            if chunk.end > self.now:
                chunk.start = min(chunk.start, end) if chunk.start > self.now else chunk.start
                end = chunk.end
        for key in removed:
            self.before.pop(key, None)

    @invariant()
    def the_heard_time_equals_the_played_time(self) -> None:
        for key in KEYS:
            assert self.playback.played_ms(*key, self.now) == pytest.approx(
                self.heard(key), abs=1e-6
            )

    @invariant()
    def the_heard_time_is_bounded_and_does_not_decrease(self) -> None:
        for key in KEYS:
            played = self.playback.played_ms(*key, self.now)
            assert self.before.get(key, 0) - 1e-6 <= played <= self.received(key) + 1e-6
            self.before[key] = played

    @invariant()
    def it_finishes_when_all_audio_was_played(self) -> None:
        assert self.playback.finishes_at(self.now) == pytest.approx(self.queue_end())
        left = sum(chunk.ms - chunk.heard(self.now) for chunk in self.chunks)
        heard = sum(self.playback.played_ms(*key, self.now) for key in KEYS)
        assert heard + left == pytest.approx(sum(chunk.ms for chunk in self.chunks), abs=1e-6)


TestPlayer = Player.TestCase
TestPlayer.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


# --- reports that stop short ----------------------------------------------------------------------


def test_items_before_one_that_plays_are_over() -> None:
    """Thirty replies whose reports stop 150 ms short, and then a barge-in into the next one."""
    playback = Playback()
    for number in range(30):
        playback.receive((f"i{number}", 0), f"r{number}", 48_000, 0.0)
        playback.report(f"i{number}", 0, 850)
    playback.receive(("last", 0), "last", 48_000, 0.0)
    playback.report("last", 0, 20)

    points = playback.cut(1.0, {"last"})

    assert [(point.item_id, point.played_ms) for point in points] == [("last", 20)]
    assert not playback._items


@pytest.mark.parametrize("ms", [0, -1])
def test_a_report_that_an_item_does_not_play_ends_nothing(ms: float) -> None:
    playback = Playback()
    playback.receive(A, "r1", 48_000, 0.0)
    playback.receive(B, "r2", 48_000, 0.0)
    playback.report(*A, 500)
    playback.report(*B, ms)
    assert next(point.played_ms for point in playback.cut(1.0, RUNNING)) == 500


def steps_to_cut(items: int) -> int:
    """Return the number of lines that run to cut this many items."""
    playback = Playback()
    for number in range(items):
        playback.receive((f"i{number}", 0), "r", 48_000, 0.0)
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        assert len(playback.cut(0.5, {"r"})) == items
    finally:
        sys.settrace(before)
    return lines


def test_the_cost_of_an_interruption_grows_with_the_number_of_items() -> None:
    assert steps_to_cut(400) < 2.5 * steps_to_cut(200)
