"""What is sent when, and what was heard: compared with a line that plays it."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from trio_realtime.server.twilio.playout import Heard, MarkMessage, MediaMessage, Playout
from trio_realtime.testing.twilio import PhoneLine


def audio(ms: float, value: int = 1) -> bytes:
    return bytes([value]) * int(ms * 8)


def take(playout: Playout, now: float) -> list[object]:
    """Take everything that may be sent now: milliseconds of audio, and names of marks."""
    taken: list[object] = []
    while (message := playout.next_message(now)) is not None:
        taken.append(len(message.audio) / 8 if isinstance(message, MediaMessage) else message.name)
    return taken


def test_marks_follow_each_piece_and_the_end_of_an_item() -> None:
    playout = Playout(max_ahead=10, mark_ms=200)
    assert playout.add("a", 0, "r", audio(450)) == Heard("a", 0, 0)
    assert take(playout, 0) == [200, "1", 200, "2", 50]
    assert playout.add("a", 0, "r", audio(30)) is None
    assert take(playout, 0) == [30]
    playout.end_item("a", 0)
    assert take(playout, 0) == ["3"]
    assert not playout.is_finished
    assert [playout.on_mark(name, 0.3) for name in "123"] == [
        *(Heard("a", 0, 200), Heard("a", 0, 400), Heard("a", 0, 480)),
    ]
    assert playout.is_finished
    assert playout.heard_ms == playout.sent_ms == 480


@pytest.mark.parametrize("end", ["response", "all", "next item"])
def test_an_item_ends_in_several_ways(end: str) -> None:
    playout = Playout(max_ahead=10, mark_ms=200)
    playout.add("a", 0, "r", audio(50))
    assert take(playout, 0) == [50]
    if end == "response":
        playout.end_response("r")
    elif end == "all":
        playout.end_all()
    else:
        playout.add("b", 0, "r", audio(10))
    assert take(playout, 0)[0] == "1"


def test_audio_is_sent_at_most_so_far_ahead_and_marks_correct_the_clock() -> None:
    playout = Playout(max_ahead=0.4, mark_ms=100)
    playout.add("a", 0, "r", audio(1000))
    assert take(playout, 0) == [100, "1", 100, "2", 100, "3", 100, "4", 100, "5"]
    assert playout.next_at(0) == pytest.approx(0.1)
    playout.on_mark("1", 0.3)  # the line began 200 ms late
    assert playout.next_at(0.3) == pytest.approx(0.3)
    assert take(playout, 0.3) == [100, "6"]
    assert playout.next_at(0.3) == pytest.approx(0.4)


def test_an_interruption_forgets_the_marks_and_the_audio_of_its_response() -> None:
    playout = Playout(max_ahead=10, mark_ms=100)
    playout.add("a", 0, "r", audio(250))
    assert take(playout, 0) == [100, "1", 100, "2", 50]
    playout.on_mark("1", 0.1)
    assert playout.interrupt("r", 0.15)
    assert [playout.on_mark(name, 0.16) for name in ("2", "x")] == [None, None]
    assert (playout.is_finished, playout.heard_ms, playout.unknown_marks) == (True, 100, 2)
    playout.add("b", 0, "r2", audio(100))
    assert take(playout, 0.2) == [100, "3"], "marks are never used again"
    assert playout.next_at(0.2) == float("inf")


def test_nothing_is_cleared_for_audio_that_was_not_sent_or_was_heard() -> None:
    playout = Playout(max_ahead=0.1, mark_ms=100)
    playout.add("a", 0, "r1", audio(200))
    playout.add("b", 0, "r2", audio(200))
    take(playout, 0)
    assert not playout.interrupt("r2", 0)
    playout.on_mark("1", 0.1)
    take(playout, 0.1)
    playout.on_mark("2", 0.2)
    assert not playout.interrupt("r1", 0.2)
    assert playout.is_finished
    assert playout.clears == 0


def test_audio_of_another_response_is_sent_again_after_a_clear() -> None:
    playout = Playout(max_ahead=10, mark_ms=100)
    playout.add("a", 0, "r1", audio(250, 1))
    playout.end_response("r1")
    playout.add("b", 0, "r2", audio(150, 2))
    assert take(playout, 0) == [100, "1", 100, "2", 50, "3", 100, "4", 50]
    playout.on_mark("1", 0.1)
    assert playout.interrupt("r2", 0.15)
    assert take(playout, 0.15) == [100, "5", 50, "6"]
    assert playout.on_mark("6", 0.3) == Heard("a", 0, 250)
    assert playout.is_finished
    assert playout.heard_ms == 250


def test_items_of_a_response_may_alternate() -> None:
    playout = Playout(max_ahead=10, mark_ms=100)
    playout.add("a", 0, "r", audio(50))
    playout.add("b", 0, "r", audio(50))
    assert playout.add("a", 0, "r", audio(30)) is None
    playout.end_response("r")
    assert take(playout, 0) == [50, "1", 50, "2", 30, "3"]
    assert playout.on_mark("3", 1) == Heard("a", 0, 80)


def test_a_lost_mark_is_made_up_for_by_the_next_one() -> None:
    playout = Playout(max_ahead=10, mark_ms=100)
    playout.add("a", 0, "r", audio(200))
    take(playout, 0)
    assert playout.on_mark("2", 0.2) == Heard("a", 0, 200)
    assert playout.heard_ms == 200


# --- against a line that plays it


@attrs.frozen
class Say:
    item: int
    ms: int


@attrs.frozen
class Interrupt:
    item: int


@attrs.frozen
class Wait:
    ms: int


STEPS = st.lists(
    st.builds(Say, st.integers(0, 3), st.integers(1, 700))
    | st.builds(Interrupt, st.integers(0, 3))
    | st.builds(Wait, st.integers(1, 900)),
    max_size=40,
)


class Call:
    """A playout and the line that plays what it sends."""

    def __init__(self, mark_ms: int, max_ahead: float) -> None:
        self.playout = Playout(max_ahead=max_ahead, mark_ms=mark_ms)
        self.line = PhoneLine(0)
        self.now = 0.0
        self.max_ahead = max_ahead
        self.mark_ms = mark_ms
        self.reported: Counter[str] = Counter()

    def send(self) -> None:
        while (message := self.playout.next_message(self.now)) is not None:
            if isinstance(message, MarkMessage):
                self.line.add_mark(message.name, self.now)
                continue
            assert self.line.ends_at - self.now <= self.max_ahead + 0.001
            self.line.add_audio(message.audio, self.now)

    def wait(self, ms: float) -> None:
        """Let time pass: send what is due, and return the marks that are due."""
        until = self.now + ms / 1000
        while True:
            self.send()
            self.now = max(
                self.now, min(until, self.line.next_mark_at, self.playout.next_at(self.now))
            )
            for name in self.line.take_due_marks(self.now):
                self.mark(name)
            if self.now >= until:
                self.send()
                return

    def mark(self, name: str) -> None:
        heard = self.playout.on_mark(name, self.now)
        if heard is not None:
            assert heard.ms >= self.reported[heard.item_id]
            self.reported[heard.item_id] = heard.ms  # type: ignore[assignment]

    def interrupt(self, response: str) -> None:
        if self.playout.interrupt(response, self.now):
            due = self.line.take_due_marks(self.now)
            for name in due + self.line.clear(self.now):
                self.mark(name)

    def heard(self, item: str) -> float:
        """Milliseconds of an item that were heard: each item has a value of its own."""
        return self.line.recording(self.now).count(int(item) + 1) / 8


@settings(deadline=None)
@given(STEPS, st.sampled_from([20, 100, 200]), st.sampled_from([0.1, 0.5, 1.0]))
def test_what_is_reported_is_what_was_heard(
    steps: list[Say | Interrupt | Wait], mark_ms: int, max_ahead: float
) -> None:
    call = Call(mark_ms, max_ahead)
    interrupted: set[str] = set()
    total: Counter[str] = Counter()
    for step in steps:
        match step:
            case Say(item=item, ms=ms) if str(item) not in interrupted:
                call.playout.add(str(item), 0, str(item), audio(ms, item + 1))
                total[str(item)] += ms
            case Interrupt(item=item) if str(item) not in interrupted:
                interrupted.add(str(item))
                # Until here, the marks tell what was heard within one piece.
                if not call.playout.clears:
                    heard = call.heard(str(item))
                    assert heard - mark_ms <= call.reported[str(item)] <= heard + 0.2
                call.interrupt(str(item))
            case Wait(ms=ms):
                call.wait(ms)
            case _:
                pass
    call.playout.end_all()
    call.wait(sum(total.values()) + 10_000)
    assert call.playout.is_finished
    for name, expected in total.items():
        if name not in interrupted:
            assert call.reported[name] == expected
            assert call.heard(name) >= expected, "what a clear dropped is sent again"
