"""The writer, in virtual time, with a database that tests switch off."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, final

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.session_rows import chunk_row, event_row, session_row
from trio_realtime.errors import ConfigurationError, InternalError
from trio_realtime.server.store import (
    GAP_TYPE,
    HistoryStoreError,
    Outage,
    Recovery,
    Row,
    RowRefused,
    RowsDropped,
    RowsLost,
    StoreReport,
    WriteOptions,
)
from trio_realtime.server.store.write_behind import DatabaseUnavailable, open_write_behind


@final
class FakeDatabase:
    """Accepts batches, unless ``error`` is set. ``write_time`` is how long a write takes."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, list[Row]]] = []
        self.attempts: list[float] = []
        self.error: str | None = None
        self.write_time = 0.0
        self.refused: list[RowRefused] = []
        self.reports: list[StoreReport] = []
        self.failures: list[tuple[str, str]] = []

    async def write(self, rows: Sequence[Row]) -> Sequence[RowRefused]:
        self.attempts.append(trio.current_time())
        await trio.sleep(self.write_time)
        if self.error is not None:
            raise DatabaseUnavailable(self.error)
        self.batches.append((trio.current_time(), list(rows)))
        refused, self.refused = self.refused, []
        return refused

    def fail(self, session_id: str, error: HistoryStoreError) -> None:
        self.failures.append((session_id, str(error)))

    def open(self, **options: Any) -> Any:
        return open_write_behind(
            self.write,
            WriteOptions(**options),
            on_report=self.reports.append,
            on_failure=self.fail,
            now=partial(float, 5000),
        )

    @property
    def rows(self) -> list[Row]:
        return [row for _, batch in self.batches for row in batch]


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase()


EVENTS = [event_row(seq) for seq in range(1, 31)]


# --- batches -----------------------------------------------------------------------------------


async def test_rows_wait_for_others_for_the_delay_of_a_batch(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    begin = trio.current_time()
    async with database.open(batch_delay=0.1) as writer:
        writer.put(EVENTS[:1])
        await trio.sleep(0.05)
        writer.put(EVENTS[1:2])
        await trio.sleep(0.1)
        assert [len(rows) for _, rows in database.batches] == [2]
        assert database.batches[0][0] == pytest.approx(begin + 0.1)
        writer.put(EVENTS[2:3])
    assert database.rows == EVENTS[:3]
    assert database.reports == []


async def test_a_full_batch_is_written_at_once(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    begin = trio.current_time()
    async with database.open(batch_delay=60, batch_rows=10) as writer:
        writer.put(EVENTS[:4])
        await trio.sleep(1)
        writer.put(EVENTS[4:25])
        await trio.sleep(1)
        assert [(time - begin, len(rows)) for time, rows in database.batches] == [(1, 10), (1, 10)]
    assert database.rows == EVENTS[:25]


async def test_flush_waits_until_what_was_put_before_is_committed(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    database.write_time = 2.0
    async with database.open(batch_delay=60) as writer:
        begin = trio.current_time()
        await writer.flush()
        assert trio.current_time() == begin
        writer.put(EVENTS[:3])
        await writer.flush()
        assert (database.rows, trio.current_time()) == (EVENTS[:3], begin + 2)
        writer.put(EVENTS[3:4])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.flush)
            nursery.start_soon(writer.flush)
        assert database.rows == EVENTS[:4]
        assert trio.current_time() == begin + 4


async def test_flush_does_not_wait_for_later_rows(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    database.write_time = 1.0
    async with database.open() as writer, trio.open_nursery() as nursery:

        async def write_more() -> None:
            for row in EVENTS:
                writer.put([row])
                await trio.sleep(0.5)

        writer.put(EVENTS[:1])
        nursery.start_soon(write_more)
        with trio.fail_after(3):
            await writer.flush()
        nursery.cancel_scope.cancel()


async def test_a_row_that_arrives_during_a_write_is_written_next(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    database.write_time = 1.0
    async with database.open(batch_delay=0) as writer:
        writer.put(EVENTS[:1])
        await trio.sleep(0.5)
        writer.put(EVENTS[1:2])
        await writer.flush()
    assert [rows for _, rows in database.batches] == [EVENTS[:1], EVENTS[1:2]]


# --- outages -----------------------------------------------------------------------------------


async def test_nothing_is_lost_while_the_queue_has_space(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    async with database.open(batch_rows=10) as writer:
        database.error = "the database is locked"
        writer.put(EVENTS[:5])
        await trio.sleep(30)
        writer.put(EVENTS[5:])
        await trio.sleep(30)
        assert database.rows == []
        assert writer.statistics().error == "the database is locked"
        database.error = None
        await writer.flush()
        assert database.rows == EVENTS
        assert writer.statistics().error is None
    outage, recovery = database.reports
    assert outage == Outage(error="the database is locked", queued_rows=5)
    assert isinstance(recovery, Recovery)
    assert recovery.dropped == {}
    assert 60 <= recovery.duration <= 66


async def test_the_waits_between_retries_double_up_to_a_bound(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    database.error = "away"
    async with database.open(first_retry=1, max_retry=5, close_timeout=0) as writer:
        writer.put(EVENTS[:1])
        await trio.sleep(20)
        waits = [b - a for a, b in zip(database.attempts, database.attempts[1:], strict=False)]
        assert waits == pytest.approx([1, 2, 4, 5, 5])


async def test_a_full_queue_drops_rows_and_stores_what_is_missing(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    async with database.open(max_rows=10, batch_delay=0) as writer:
        database.error = "away"
        writer.put([chunk_row(1), *EVENTS[:8]])
        await trio.sleep(1)
        # The first batch is being written, so that its audio chunk cannot be dropped any more.
        writer.put(EVENTS[8:11])
        writer.put([session_row(status="ended")])
        await trio.sleep(1)
        assert writer.statistics().dropped == {"events": 3}
        database.error = None
        await writer.flush()
        await writer.flush()
        marker = database.rows[-1].values
        assert database.rows[:-1] == [chunk_row(1), *EVENTS[:8], session_row(status="ended")]
        assert (marker["type"], marker["seq"], marker["time"]) == (GAP_TYPE, 9, 5000.0)
        assert marker["payload"] == {"first_seq": 9, "last_seq": 11, "rows": {"events": 3}}
        writer.put(EVENTS[11:13])
    outage, dropped, recovery = database.reports
    assert isinstance(outage, Outage)
    assert dropped == RowsDropped(table="events", error="away")
    assert isinstance(recovery, Recovery)
    assert recovery.dropped == {"events": 3}
    assert database.failures == []
    assert database.rows[-2:] == EVENTS[11:13]


async def test_a_database_that_is_too_slow_is_reported_once(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    database.write_time = 10.0
    async with database.open(max_rows=10, batch_delay=0, close_timeout=100) as writer:
        writer.put(EVENTS[:1])
        await wait_all_tasks_blocked()
        for row in EVENTS[1:20]:
            writer.put([row])
    first, second = database.reports
    assert first == RowsDropped(table="events", error="")
    assert isinstance(second, Recovery)
    assert second.dropped == {"events": 11}
    assert [row.values["type"] for row in database.rows].count(GAP_TYPE) == 1


async def test_each_outage_is_reported(database: FakeDatabase, autojump_clock: MockClock) -> None:
    async with database.open(batch_delay=0) as writer:
        for row in EVENTS[:2]:
            database.error = "away"
            writer.put([row])
            await trio.sleep(10)
            database.error = None
            await writer.flush()
    assert [type(report) for report in database.reports] == [Outage, Recovery] * 2


async def test_sessions_that_lose_rows_fail_once_if_the_policy_says_so(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    async with database.open(max_rows=10, overflow="fail") as writer:
        database.error = "away"
        writer.put(EVENTS[:9])
        await trio.sleep(1)
        assert database.failures == []
        writer.put(EVENTS[9:12])
        writer.put([event_row(1, "session_2")])
        assert [session for session, _ in database.failures] == ["session_1", "session_2"]
        assert "away" in database.failures[0][1]
        database.error = None
        await writer.flush()
        database.error = "away again"
        writer.put(EVENTS[9:12] * 5)
        assert [session for session, _ in database.failures][2:] == ["session_1"]
        database.error = None


async def test_refused_rows_are_reported_and_counted(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    refusal = RowRefused(table="events", key=("session_1", 1), error="no")
    async with database.open() as writer:
        database.refused = [refusal]
        writer.put(EVENTS[:3])
        await writer.flush()
        statistics = writer.statistics()
        assert (statistics.written_rows, statistics.refused_rows, statistics.batches) == (2, 1, 1)
        assert (statistics.queued_rows, statistics.queued_bytes) == (0, 0)
    assert database.reports == [refusal]


# --- the end -----------------------------------------------------------------------------------


async def test_leaving_the_block_writes_what_is_queued(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    database.write_time = 3.0
    async with database.open(batch_rows=10) as writer:
        writer.put(EVENTS)
    assert database.rows == EVENTS
    assert database.reports == []


async def test_a_cancelled_block_writes_what_is_queued(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    database.write_time = 3.0
    with trio.move_on_after(1) as scope:
        async with database.open(batch_rows=10) as writer:
            writer.put(EVENTS)
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert database.rows == EVENTS


async def test_a_cancelled_block_waits_for_the_database(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    with trio.CancelScope() as scope:
        async with database.open(batch_delay=0) as writer, trio.open_nursery() as nursery:
            database.error = "away"
            writer.put(EVENTS)
            await trio.sleep(1)
            scope.cancel()
            database.error = None
            nursery.start_soon(trio.sleep_forever)
    assert scope.cancelled_caught
    assert database.rows == EVENTS
    assert not any(isinstance(report, RowsLost) for report in database.reports)


async def test_what_is_not_written_in_time_is_reported(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    database.error = "away"
    begin = trio.current_time()
    async with database.open(close_timeout=7, batch_rows=2) as writer:
        writer.put([*EVENTS[:4], chunk_row(1)])
    assert trio.current_time() == begin + 7
    assert database.reports[1:] == [RowsLost(rows={"events": 4, "audio_chunks": 1}, error="away")]
    writer.put(EVENTS[:1])
    assert writer.statistics().dropped == {"events": 1}


async def test_what_is_missing_is_stored_before_the_end(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    async with database.open(max_rows=10) as writer:
        database.error = "away"
        writer.put(EVENTS[:12])
        await trio.sleep(1)
        database.error = None
    assert database.rows[:-1] == EVENTS[:9]
    assert database.rows[-1].values["type"] == GAP_TYPE


async def test_an_exception_of_the_block_is_raised_as_it_is(
    database: FakeDatabase, autojump_clock: MockClock
) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with database.open() as writer:
            writer.put(EVENTS[:1])
            raise KeyError("mine")
    assert database.rows == EVENTS[:1]


async def test_a_write_that_breaks_its_contract_is_a_bug(autojump_clock: MockClock) -> None:
    async def write(rows: Sequence[Row]) -> Sequence[RowRefused]:
        raise ZeroDivisionError

    begin = trio.current_time()
    with pytest.raises(InternalError, match="ZeroDivisionError"):
        async with open_write_behind(write, WriteOptions(close_timeout=1)) as writer:
            writer.put(EVENTS[:1])
            await trio.sleep_forever()
    assert trio.current_time() < begin + 1  # nothing waits for a task that is gone


# --- functions of the program ------------------------------------------------------------------


async def test_what_the_callbacks_raise_is_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    database = FakeDatabase()
    database.error = "away"

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    options = WriteOptions(max_rows=10, overflow="fail", close_timeout=0)
    async with open_write_behind(
        database.write, options, on_report=fail, on_failure=fail
    ) as writer:
        writer.put(EVENTS)
    messages = [record.getMessage() for record in caplog.records]
    assert "on_report raised" in messages
    assert "on_failure raised" in messages


async def test_reports_are_logged_by_default(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    database = FakeDatabase()
    caplog.set_level(logging.INFO)
    async with open_write_behind(database.write, WriteOptions(batch_delay=0)) as writer:
        database.error = "away"
        writer.put(EVENTS[:1])
        await trio.sleep(1)
        database.error = None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "away" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_rows": 0}, "max_rows must be positive"),
        ({"first_retry": -1}, "first_retry must be positive"),
        ({"batch_delay": -0.1}, "batch_delay must be 0 or more"),
        ({"overflow": "explode"}, "degrade or fail, got 'explode'"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        WriteOptions(**options)
