"""The queue: it is bounded, it drops audio chunks first, and it knows what was lost."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from support.session_rows import chunk_row, event_row, session_row
from trio_realtime.server.store import GAP_TYPE, Row
from trio_realtime.server.store.row_queue import Losses, RowQueue, session_of

ROW = event_row(1)


def queue_of(max_rows: int, max_bytes: int = 1_000_000) -> RowQueue:
    return RowQueue(max_rows=max_rows, max_bytes=max_bytes)


def test_rows_are_taken_in_order() -> None:
    queue = queue_of(100)
    rows = [event_row(1), chunk_row(1), event_row(2), chunk_row(2), session_row()]
    assert queue.put(rows) == []
    assert queue.take(3).rows == tuple(rows[:3])
    queue.done()
    assert queue.take(3).rows == tuple(rows[3:])
    queue.done()
    assert (len(queue), queue.rows, queue.bytes) == (0, 0, 0)


def test_a_full_queue_drops_the_oldest_audio_chunks_first() -> None:
    queue = queue_of(10)  # 9 of them for any row
    assert queue.put([chunk_row(n) for n in range(9)]) == []
    assert queue.put([event_row(1), event_row(2)]) == [chunk_row(0), chunk_row(1)]
    assert queue.put([chunk_row(9)]) == [chunk_row(9)]
    assert queue.rows == 9


def test_without_audio_chunks_it_drops_what_does_not_fit() -> None:
    queue = queue_of(10)
    rows = [event_row(seq) for seq in range(1, 12)]
    assert queue.put(rows) == rows[9:]


def test_a_part_is_for_the_rows_that_say_how_sessions_ended() -> None:
    queue = queue_of(10)
    queue.put([event_row(seq) for seq in range(1, 10)])
    assert queue.put([session_row(status="ended")]) == []
    assert queue.put([session_row(status="ended")]) == [session_row(status="ended")]


def test_bytes_are_bounded() -> None:
    queue = queue_of(100, max_bytes=10_000)
    large = event_row(1, payload="x" * 8000)
    assert queue.put([large]) == []
    assert queue.put([event_row(2, payload="x" * 2000)]) == [event_row(2, payload="x" * 2000)]
    too_large = event_row(3, payload="x" * 20_000)
    assert queue.put([too_large]) == [too_large]


def test_rows_that_are_being_written_occupy_the_queue() -> None:
    queue = queue_of(10)
    queue.put([event_row(seq) for seq in range(1, 10)])
    queue.take(9)
    assert len(queue) == 0
    assert queue.put([ROW]) == [ROW]
    queue.done()
    assert queue.put([ROW]) == []


def test_a_row_is_done_when_it_no_longer_waits() -> None:
    queue = queue_of(10)
    queue.put([event_row(1), chunk_row(1)])
    number = queue.last_number
    queue.take(1)
    queue.done()
    assert not queue.is_done(number)
    queue.take(1)
    assert not queue.is_done(number)
    queue.put([event_row(2)])
    queue.done()
    assert queue.is_done(number)
    assert not queue.is_done(queue.last_number)


def test_a_closed_queue_returns_everything_and_accepts_nothing() -> None:
    queue = queue_of(10)
    rows = [event_row(1), event_row(2), event_row(3)]
    queue.put(rows)
    queue.take(2)
    assert queue.close() == rows
    assert queue.put([session_row()]) == [session_row()]
    assert (queue.rows, queue.bytes) == (0, 0)


ANY_ROW = st.one_of(
    st.integers(1, 9).map(event_row),
    st.integers(1, 9).map(chunk_row),
    st.just(session_row()),
    st.integers(0, 3000).map(lambda size: event_row(1, payload="x" * size)),
)


@given(st.lists(st.lists(ANY_ROW, max_size=6) | st.integers(1, 5), max_size=30))
def test_every_row_is_taken_or_dropped_once_and_the_bounds_hold(
    steps: list[list[Row] | int],
) -> None:
    queue = queue_of(12, max_bytes=6000)
    put: list[Row] = []
    seen: list[Row] = []
    for step in steps:
        if isinstance(step, list):
            put += step
            seen += queue.put(step)
        elif len(queue):
            seen += queue.take(step).rows
            queue.done()
        assert queue.rows <= 12
        assert queue.bytes <= 6000
        assert queue.is_done(queue.last_number) == (queue.rows == 0)
    seen += queue.close()
    assert sorted(map(repr, seen)) == sorted(map(repr, put))


# --- what was lost -----------------------------------------------------------------------------


def test_a_marker_has_the_number_of_the_first_missing_event() -> None:
    losses = Losses()
    assert not losses
    for row in [event_row(7), event_row(9), chunk_row(1), session_row(), event_row(3, "other")]:
        losses.add(row)
    assert losses
    first, second = losses.take_markers(50.0)
    assert not losses
    assert first.mode == "insert"
    assert first.values == {
        "session_id": "session_1",
        "seq": 7,
        "run_id": "run_1",
        "time": 50.0,
        "type": GAP_TYPE,
        "payload": {
            "first_seq": 7,
            "last_seq": 9,
            "rows": {"events": 2, "audio_chunks": 1, "sessions": 1},
        },
    }
    assert second.values["session_id"] == "other"
    assert second.values["seq"] == 3


def test_a_marker_without_a_missing_event_takes_no_number_of_one() -> None:
    losses = Losses()
    losses.add(chunk_row(1))
    (marker,) = losses.take_markers(1.5)
    assert marker.values["seq"] == -1_500_000
    assert marker.values["payload"]["first_seq"] is None


@pytest.mark.parametrize("row", [Row(table="items", values={}), Row(table="x", values={"id": "1"})])
def test_a_row_without_a_session_has_no_marker(row: Row) -> None:
    losses = Losses()
    losses.add(row)
    assert session_of(row) is None
    assert losses.take_markers(1.0) == []
