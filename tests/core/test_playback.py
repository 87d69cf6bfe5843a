"""The playback clock: how much of each item was heard, whatever is queued behind it."""

from __future__ import annotations

from collections.abc import Container

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trio_realtime.core.audio.playback import ItemKey, Playback, TruncatePoint
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
    """So many seconds of each item, all of one response, all received at 0."""
    playback = Playback()
    for key in keys:
        playback.receive(key, "r1", int(seconds * SECOND), 0.0)
    return playback


# --- the clock ----------------------------------------------------------------------------------


def test_of_two_queued_items_the_first_is_cut_where_it_is_and_the_second_at_nothing() -> None:
    playback = queued(A, B)

    assert playback.cut(2.0, RUNNING) == [position(A, 2000, 6000), position(B, 0, 6000)]


def test_the_second_item_plays_when_the_first_has_played() -> None:
    playback = queued(A, B)

    assert playback.played_ms("a", 0, 7.5) == 6000
    assert playback.played_ms("b", 0, 7.5) == pytest.approx(1500)
    assert playback.current(5.9) == A
    assert playback.current(7.5) == B
    assert playback.current(12.0) is None
    assert playback.finishes_at(7.5) == pytest.approx(12.0)


def test_audio_that_comes_too_late_leaves_a_gap() -> None:
    playback = queued(A, seconds=1)
    playback.receive(A, "r1", SECOND, 3.0)  # two seconds of silence before

    assert playback.played_ms("a", 0, 2.9) == 1000
    assert playback.played_ms("a", 0, 3.5) == pytest.approx(1500)
    assert playback.finishes_at(3.5) == pytest.approx(4.0)
    assert playback.cut(3.25, RUNNING) == [position(A, 1250, 2000)]


def test_items_that_alternate_are_heard_in_turn() -> None:
    playback = queued(A, B, A, seconds=1)

    assert playback.played_ms("a", 0, 1.5) == 1000
    assert playback.played_ms("b", 0, 1.5) == pytest.approx(500)
    assert playback.played_ms("a", 0, 2.5) == pytest.approx(1500)
    assert playback.cut(2.5, RUNNING) == [position(A, 1500, 2000), position(B, 1000, 1000)]


def test_parts_of_one_item_are_counted_apart() -> None:
    playback = queued(("a", 0), ("a", 1), seconds=1)

    assert playback.cut(1.5, RUNNING) == [
        position(("a", 0), 1000, 1000),
        position(("a", 1), 500, 1000),
    ]


def test_what_arrived_is_never_exceeded() -> None:
    playback = queued(A, seconds=1)

    assert playback.played_ms("a", 0, 1e9) == 1000
    assert playback.cut(1e9, RUNNING) == [position(A, 1000, 1000)]


def test_positions_are_whole_milliseconds_and_rounded_down() -> None:
    playback = Playback()
    playback.receive(A, "r1", 100, 0.0)  # 2.08 ms

    assert playback.cut(0.0019, RUNNING) == [position(A, 1, 100 / 48)]
    playback.receive(A, "r1", 100, 1.0)
    assert playback.cut(2.0, RUNNING) == [position(A, 2, 100 / 48)]


def test_in_silence_there_is_nothing() -> None:
    playback = Playback()

    assert playback.cut(5.0, RUNNING) == []
    assert playback.current(5.0) is None
    assert playback.finishes_at(5.0) == 5.0
    assert playback.played_ms("a", 0, 5.0) == 0
    playback.advance(5.0, RUNNING)


def test_an_item_that_begins_after_now_is_left_alone() -> None:
    playback = Playback()
    playback.receive(A, "r1", SECOND, 10.0)

    assert playback.cut(9.0, RUNNING) == []
    assert playback.played_ms("a", 0, 9.0) == 0
    assert playback.cut(10.5, RUNNING) == [position(A, 500, 1000)]


def test_an_item_of_which_nothing_was_heard_is_cut_at_nothing() -> None:
    assert queued(A).cut(0.0, RUNNING) == [position(A, 0, 6000)]


# --- forgetting ---------------------------------------------------------------------------------


def test_what_was_heard_to_its_end_is_not_cut_when_its_response_has_ended() -> None:
    assert queued(A, seconds=1).cut(1.0, ENDED) == []
    assert queued(A, seconds=1).cut(1.0, RUNNING) == [position(A, 1000, 1000)]
    assert queued(A, seconds=1).cut(0.9, ENDED) == [position(A, 900, 1000)]


def test_what_still_plays_is_cut_though_its_response_has_ended() -> None:
    # Generation is much faster than speech: this is the usual case.
    playback = queued(A, B, C, seconds=1)

    assert playback.cut(1.5, ENDED) == [position(B, 500, 1000), position(C, 0, 1000)]


def test_what_was_cut_is_forgotten() -> None:
    playback = queued(A, B)
    playback.cut(2.0, RUNNING)

    assert playback.cut(3.0, RUNNING) == []
    assert playback.current(3.0) is None
    assert playback.finishes_at(3.0) == 3.0


def test_what_has_played_out_is_forgotten_and_nothing_else() -> None:
    playback = queued(A, B, seconds=1)

    playback.advance(1.5, RUNNING)
    assert playback.played_ms("a", 0, 1.5) == 1000
    playback.advance(1.5, ENDED)
    assert playback.played_ms("a", 0, 1.5) == 0
    assert playback.played_ms("b", 0, 1.5) == pytest.approx(500)


def test_a_cut_of_one_response_lets_the_other_play_on() -> None:
    playback = Playback()
    for key, response_id in ((A, "r1"), (B, "r2"), (C, "r1")):
        playback.receive(key, response_id, SECOND, 0.0)

    assert playback.cut(0.5, RUNNING, only="r2") == [position(B, 0, 1000, "r2")]

    assert playback.played_ms("a", 0, 0.75) == pytest.approx(750)
    assert playback.played_ms("c", 0, 1.5) == pytest.approx(500)  # it moved up
    assert playback.finishes_at(0.5) == pytest.approx(2.0)


def test_what_stands_behind_the_one_that_plays_begins_when_that_one_is_cut() -> None:
    playback = Playback()
    playback.receive(A, "r1", SECOND, 0.0)
    playback.receive(B, "r2", SECOND, 0.0)
    playback.receive(C, "r2", SECOND, 0.0)

    assert playback.cut(0.25, RUNNING, only="r1") == [position(A, 250, 1000)]

    assert playback.played_ms("b", 0, 0.75) == pytest.approx(500)
    assert playback.played_ms("c", 0, 1.75) == pytest.approx(500)


# --- reports ------------------------------------------------------------------------------------


def test_as_soon_as_the_application_reports_only_its_reports_count() -> None:
    playback = queued(A, B)

    playback.report("a", 0, 1200.7)

    assert playback.played_ms("a", 0, 5.0) == 1200.7
    assert playback.played_ms("b", 0, 50.0) == 0
    assert playback.current(50.0) == A
    assert playback.finishes_at(50.0) == pytest.approx(50 + (12_000 - 1200.7) / 1000)
    assert playback.cut(50.0, RUNNING) == [position(A, 1200, 6000), position(B, 0, 6000)]


def test_a_report_of_more_than_there_is_counts_as_all() -> None:
    playback = queued(A, seconds=1)
    playback.report("a", 0, 5000)

    assert playback.played_ms("a", 0, 0.1) == 1000
    assert playback.cut(0.1, RUNNING) == [position(A, 1000, 1000)]


def test_a_negative_report_means_that_nothing_of_it_is_to_be_cut() -> None:
    playback = queued(A, B, seconds=1)
    playback.report("a", 0, -1)

    assert playback.played_ms("a", 0, 0.5) == 0
    assert playback.finishes_at(0.0) == pytest.approx(1.0), "nobody waits for it"
    assert playback.cut(0.5, RUNNING) == [position(B, 0, 1000)]


def test_what_was_reported_to_its_end_is_not_cut_when_its_response_has_ended() -> None:
    playback = Playback()
    playback.receive(A, "r1", 100, 0.0)  # 2.08 ms, of which a player reports 2
    playback.receive(B, "r1", SECOND, 0.0)
    playback.report("a", 0, 2)

    assert playback.cut(9.0, ENDED) == [position(B, 0, 1000)]


def test_without_a_report_an_item_has_not_been_heard_however_long_ago_it_came() -> None:
    playback = queued(A, B, seconds=1)
    playback.report("a", 0, 1000)

    playback.advance(100.0, ENDED)

    assert playback.cut(100.0, ENDED) == [position(B, 0, 1000)]


def test_what_was_reported_to_its_end_is_not_cut_while_others_are_not_heard() -> None:
    playback = queued(A, B, seconds=1)
    playback.report("b", 0, 1000)

    assert playback.cut(9.0, ENDED) == [position(A, 0, 1000)]


def test_a_late_report_is_ignored() -> None:
    playback = queued(A, seconds=1)
    playback.cut(0.5, RUNNING)

    playback.report("a", 0, 700)

    assert playback.played_ms("a", 0, 1.0) == 0
    assert playback.cut(1.0, RUNNING) == []


# --- formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("audio_format", "bytes_of_a_second"),
    [
        (PCM24K, 48_000),
        (PCMU, 8_000),
        (PCMA, 8_000),
        (AudioFormat(type="g711_ulaw"), 8_000),
        (AudioFormat(type="g711_alaw"), 8_000),
        (AudioFormat(type="pcm16"), 48_000),
        (AudioFormat(type="audio/unheard-of"), 48_000),
    ],
)
def test_a_second_is_a_second_in_every_format(
    audio_format: AudioFormat, bytes_of_a_second: int
) -> None:
    playback = Playback(audio_format.bytes_per_ms)
    playback.receive(A, "r1", bytes_of_a_second, 0.0)

    assert playback.finishes_at(0.0) == 1.0
    assert playback.cut(0.3, RUNNING) == [position(A, 300, 1000)]


def test_a_change_of_format_leaves_alone_what_was_received_before() -> None:
    playback = queued(A, seconds=1)
    playback.bytes_per_ms = 8
    playback.receive(A, "r1", 8_000, 0.0)

    assert playback.finishes_at(0.0) == pytest.approx(2.0)


# --- against a player ---------------------------------------------------------------------------

KEYS: list[ItemKey] = [("a", 0), ("a", 1), ("b", 0)]
OWNERS = {("a", 0): "r1", ("a", 1): "r1", ("b", 0): "r2"}


class Chunk:
    """Some audio in the player: when its first sample plays."""

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
    """The same audio in the clock and in a player that knows the time of every chunk."""

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
    def tidy(self) -> None:
        self.playback.advance(self.now, RUNNING)

    @rule(only=st.sampled_from(["r1", "r2", None]))
    def cut(self, only: str | None) -> None:
        keys = list(dict.fromkeys(chunk.key for chunk in self.chunks))
        gone = [key for key in keys if only in (None, OWNERS[key])]
        positions = self.playback.cut(self.now, RUNNING, only)

        assert [(p.item_id, p.content_index) for p in positions] == gone
        for found, key in zip(positions, gone, strict=True):
            assert found.response_id == OWNERS[key]
            assert found.received_ms == pytest.approx(self.received(key))
            assert abs(found.played_ms + 0.5 - self.heard(key)) < 0.5 + 1e-6
            assert 0 <= found.played_ms <= found.received_ms
        self.drop(gone)

    def drop(self, gone: list[ItemKey]) -> None:
        self.chunks = [chunk for chunk in self.chunks if chunk.key not in gone]
        end = self.now
        for chunk in self.chunks:
            if chunk.end > self.now:
                chunk.start = min(chunk.start, end) if chunk.start > self.now else chunk.start
                end = chunk.end
        for key in gone:
            self.before.pop(key, None)

    @invariant()
    def as_much_was_heard_as_was_played(self) -> None:
        for key in KEYS:
            assert self.playback.played_ms(*key, self.now) == pytest.approx(
                self.heard(key), abs=1e-6
            )

    @invariant()
    def no_more_was_heard_than_received_and_never_less_than_before(self) -> None:
        for key in KEYS:
            played = self.playback.played_ms(*key, self.now)
            assert self.before.get(key, 0) - 1e-6 <= played <= self.received(key) + 1e-6
            self.before[key] = played

    @invariant()
    def it_ends_when_all_was_played(self) -> None:
        assert self.playback.finishes_at(self.now) == pytest.approx(self.queue_end())
        left = sum(chunk.ms - chunk.heard(self.now) for chunk in self.chunks)
        heard = sum(self.playback.played_ms(*key, self.now) for key in KEYS)
        assert heard + left == pytest.approx(sum(chunk.ms for chunk in self.chunks), abs=1e-6)


TestPlayer = Player.TestCase
TestPlayer.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
