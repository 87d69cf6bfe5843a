"""Locked databases, full disks, servers that go away, and processes that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trio
from sqlalchemy import StaticPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from support.postgresql import PostgresqlServer
from support.session_rows import SESSION, event_row, session_row
from trio_realtime.server.store import (
    HistoryStore,
    HistoryStoreError,
    Outage,
    Recovery,
    RowsLost,
    StoreReport,
    WriteOptions,
    open_history_store,
    usage_row,
)
from trio_realtime.server.store.tables import METADATA, usage
from trio_realtime.server.store.writing import BatchWriter, is_outage

QUICK = WriteOptions(batch_delay=0, first_retry=0.01, max_retry=0.02)


class Reports(list[StoreReport]):
    """The reports of a store. ``wait_for`` returns when there is one of a class."""

    def __init__(self) -> None:
        self._changed = trio.Event()

    def add(self, report: StoreReport) -> None:
        self.append(report)
        self._changed.set()
        self._changed = trio.Event()

    async def wait_for(self, kind: type[StoreReport]) -> None:
        with trio.fail_after(60):
            while not any(isinstance(report, kind) for report in self):
                await self._changed.wait()


def open_quickly(url: str, reports: Reports, **more: Any) -> Any:
    return open_history_store(url, options=QUICK, on_report=reports.add, busy_timeout=0.05, **more)


async def seqs(store: HistoryStore) -> list[int]:
    return [event["seq"] for event in await store.events(SESSION)]


async def flush(store: HistoryStore) -> None:
    with trio.fail_after(60):
        await store.writer.flush()


async def test_a_locked_database_blocks_neither_sessions_nor_readers(database_url: str) -> None:
    reports = Reports()
    engine = create_engine(database_url)
    async with open_quickly(database_url, reports) as store:
        store.writer.put([event_row(1)])
        await flush(store)
        with engine.connect() as other:
            if engine.dialect.name == "sqlite":
                other.exec_driver_sql("BEGIN IMMEDIATE")
                # What is not committed is not read.
                other.exec_driver_sql("DELETE FROM events")
            else:
                other.execute(text("LOCK TABLE events IN EXCLUSIVE MODE"))
            store.writer.put([event_row(2)])
            await reports.wait_for(Outage)
            store.writer.put([event_row(seq) for seq in range(3, 1000)])
            assert await seqs(store) == [1]
            with pytest.raises(HistoryStoreError, match="lock"):
                await store._change(
                    lambda connection: connection.execute(text("DELETE FROM events"))
                )
            other.rollback()
        await flush(store)
        assert await seqs(store) == list(range(1, 1000))
    engine.dispose()
    outage, recovery = reports
    assert isinstance(outage, Outage)
    assert "lock" in outage.error
    assert isinstance(recovery, Recovery)
    assert recovery.dropped == {}


async def test_a_store_can_be_closed_while_the_database_is_locked(database_url: str) -> None:
    reports = Reports()
    engine = create_engine(database_url)
    options = WriteOptions(batch_delay=0, first_retry=0.01, max_retry=0.02, close_timeout=0.1)
    with engine.connect() as other:
        async with open_history_store(
            database_url, options=options, on_report=reports.add, busy_timeout=0.05
        ) as store:
            if engine.dialect.name == "sqlite":
                other.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                other.execute(text("LOCK TABLE events IN EXCLUSIVE MODE"))
            store.writer.put([event_row(1), event_row(2)])
        other.rollback()
    engine.dispose()
    lost = reports[-1]
    assert isinstance(lost, RowsLost)
    assert lost.rows == {"events": 2}
    assert "lock" in lost.error


async def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    reports = Reports()
    async with open_quickly(f"sqlite:///{tmp_path}/history.db", reports) as store:

        def limit_pages(pages: int) -> None:
            with store._database.writer.connect() as connection:
                connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

        limiter = store._write_limiter
        await trio.to_thread.run_sync(limit_pages, 1, limiter=limiter)  # no more than there are
        store.writer.put([event_row(seq, payload="x" * 5000) for seq in range(1, 50)])
        await reports.wait_for(Outage)
        assert await seqs(store) == []
        await trio.to_thread.run_sync(limit_pages, 1_000_000, limiter=limiter)
        await flush(store)
        assert await seqs(store) == list(range(1, 50))
    assert isinstance(reports[0], Outage)
    assert "full" in reports[0].error


async def test_tables_that_are_missing_are_an_outage(database_url: str) -> None:
    reports = Reports()
    engine = create_engine(database_url)
    async with open_quickly(database_url, reports) as store:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE events RENAME TO hidden"))
        store.writer.put([event_row(1), session_row()])
        await reports.wait_for(Outage)
        with pytest.raises(HistoryStoreError, match="events"):
            await store.events(SESSION)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE hidden RENAME TO events"))
        await flush(store)
        assert await seqs(store) == [1]
    engine.dispose()
    assert [type(report) for report in reports] == [Outage, Recovery]


@pytest.mark.slow
async def test_a_server_that_is_restarted_loses_nothing(postgresql: PostgresqlServer) -> None:
    reports = Reports()
    async with open_quickly(postgresql.create_database(), reports) as store:
        store.writer.put([event_row(1)])
        await flush(store)
        assert await seqs(store) == [1]
        await trio.to_thread.run_sync(postgresql.stop)
        try:
            store.writer.put([event_row(2)])
            await reports.wait_for(Outage)
            with pytest.raises(HistoryStoreError, match=r"connection .*failed"):
                await store.check()
        finally:
            with trio.move_on_after(60, shield=True):
                await trio.to_thread.run_sync(postgresql.start)
        await flush(store)
        assert await seqs(store) == [1, 2]
    assert [type(report) for report in reports] == [Outage, Recovery]


@pytest.mark.slow
async def test_connections_that_the_server_closes_are_replaced(
    postgresql: PostgresqlServer,
) -> None:
    reports = Reports()
    async with open_quickly(postgresql.create_database(), reports) as store:
        for seq in (1, 2):
            store.writer.put([event_row(seq)])
            await flush(store)
            assert await seqs(store) == list(range(1, seq + 1))
            postgresql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'trio_realtime'"
            )
    assert reports == []


@pytest.mark.slow
async def test_a_value_that_only_the_server_refuses_does_not_block(
    postgresql: PostgresqlServer,
) -> None:
    """An index of PostgreSQL takes no key of more than 2700 bytes that cannot be compressed."""
    reports = Reports()
    url = postgresql.create_database()
    async with open_quickly(url, reports) as store:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE INDEX mine ON sessions (end_detail)"))
        engine.dispose()
        store.writer.put([session_row(end_detail=os.urandom(5000).hex()), event_row(1)])
        await flush(store)
        assert await seqs(store) == [1]
    (refused,) = reports
    assert "index row requires" in repr(refused)


# --- crashes -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 5, 20])
async def test_a_killed_process_leaves_a_history_without_holes(
    database_url: str, repository: Path, count: int
) -> None:
    reported: list[int] = []
    process = await trio.lowlevel.open_process(
        [
            sys.executable,
            str(repository / "tests" / "support" / "history_program.py"),
            database_url,
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{repository}:{repository / 'tests'}"},
    )
    assert process.stdout is not None
    output = b""
    with trio.fail_after(60):
        while output.count(b"\n") < count:
            data = await process.stdout.receive_some()
            assert data, "the program ended"
            output += data
        process.kill()
        await process.wait()
        async for data in process.stdout:
            output += data
    reported = [int(line) for line in output.splitlines(keepends=True) if line.endswith(b"\n")]
    async with open_history_store(database_url) as store:
        session = await store.get_session(SESSION)
        found: list[int] = []
        while page := await store.events(SESSION, after=len(found)):
            found += [event["seq"] for event in page]
        assert await store.last_seq(SESSION) == found[-1]
        assert await store.mark_interrupted_sessions("node-1") == [SESSION]
    assert session is not None
    assert session["gaps"] == []
    assert found == list(range(1, len(found) + 1))
    # What was reported as committed is there.
    assert found[-1] >= reported[-1] > 0


# --- which errors are worth a retry ------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (psycopg.errors.SerializationFailure, True),
        (psycopg.errors.DiskFull, True),
        (psycopg.errors.AdminShutdown, True),
        (psycopg.errors.UndefinedTable, True),
        (psycopg.errors.InsufficientPrivilege, True),
        (psycopg.errors.ReadOnlySqlTransaction, True),
        (psycopg.errors.ProgramLimitExceeded, False),
        (psycopg.errors.NotNullViolation, False),
        (psycopg.errors.NumericValueOutOfRange, False),
        (psycopg.errors.UntranslatableCharacter, False),
        (psycopg.OperationalError, True),
        (psycopg.DataError, False),
    ],
)
def test_which_errors_of_a_driver_are_outages(
    make: Callable[[str], psycopg.Error], expected: bool
) -> None:
    dialect = create_engine("postgresql+psycopg://").dialect
    wrapped = DBAPIError.instance("x", {}, make("x"), psycopg.Error, dialect=dialect)
    assert is_outage(wrapped) is expected


@pytest.mark.parametrize("error", [ValueError("x"), UnicodeEncodeError("utf-8", "x", 0, 1, "x")])
def test_other_exceptions_are_no_outages(error: Exception) -> None:
    assert not is_outage(error)


def test_rows_with_any_columns_need_no_more_than_so_many_statements() -> None:
    """A service chooses which columns a row has. The memory for statements is bounded all the same."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    METADATA.create_all(engine)
    writer = BatchWriter(engine, None, repr)
    names = [column.name for column in usage.columns if column.name.endswith("_tokens")]
    for number in range(600):
        chosen: dict[str, Any] = {name: 1 for bit, name in enumerate(names) if number >> bit & 1}
        row = usage_row(SESSION, "run", number, kind="response", unit="tokens", **chosen)
        assert writer.write([row]) == []
    assert len(writer._statements) <= 500
    engine.dispose()
