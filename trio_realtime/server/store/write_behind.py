"""Writes rows behind the sessions: the sessions never wait for the database."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias, final

import attrs
import trio

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.errors import ConfigurationError, InternalError

from .errors import HistoryStoreError
from .reports import (
    Outage,
    Recovery,
    RowRefused,
    RowsDropped,
    RowsLost,
    StoreReport,
    log_report,
    logger,
)
from .row_queue import Losses, RowQueue, session_of
from .rows import Row

__all__ = [
    "DatabaseUnavailable",
    "OnFailure",
    "OnReport",
    "OverflowPolicy",
    "WriteBehind",
    "WriteOptions",
    "WriteStatistics",
    "open_write_behind",
]

OverflowPolicy: TypeAlias = Literal["degrade", "fail"]
"""What happens when the queue is full: rows are dropped, or sessions are also reported as failed."""

OnReport: TypeAlias = Callable[[StoreReport], None]
OnFailure: TypeAlias = Callable[[str, HistoryStoreError], None]
WriteRows: TypeAlias = Callable[[Sequence[Row]], Awaitable[Sequence[RowRefused]]]


class DatabaseUnavailable(HistoryStoreError):
    """A batch was not written: the database is away, locked or full. Nothing of it was committed."""


@attrs.frozen(kw_only=True)
class WriteOptions:
    """How rows are written.

    Attributes:
        max_rows, max_bytes: the bounds of the queue. The bytes are an estimate of its memory.
        overflow: ``degrade`` drops rows when the queue is full, ``audio_chunks`` first, and stores an event
            ``history_gap`` for each session afterwards. ``fail`` does the same, and calls ``on_failure``
            once for each session that loses rows.
        batch_rows: the number of rows in one transaction.
        batch_delay: seconds that a row waits for others.
        first_retry, max_retry: seconds before the first and the later retries. Each wait is twice as long
            as the one before.
        close_timeout: seconds that closing waits for the rows to be written.

    Raises:
        ConfigurationError: a value is not positive, or ``overflow`` is unknown.
    """

    max_rows: int = 50_000
    max_bytes: int = 64_000_000
    overflow: OverflowPolicy = "degrade"
    batch_rows: int = 500
    batch_delay: float = 0.1
    first_retry: float = 0.1
    max_retry: float = 5.0
    close_timeout: float = 10.0

    def __attrs_post_init__(self) -> None:
        for name in ("max_rows", "max_bytes", "batch_rows", "first_retry", "max_retry"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} must be positive, got {getattr(self, name)!r}")
        for name in ("batch_delay", "close_timeout"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"{name} must be 0 or more, got {getattr(self, name)!r}")
        if self.overflow not in ("degrade", "fail"):
            raise ConfigurationError(f"overflow must be degrade or fail, got {self.overflow!r}")


@attrs.frozen(kw_only=True)
class WriteStatistics:
    """The state of the writer.

    Attributes:
        queued_rows, queued_bytes: what waits or is being written.
        written_rows: the rows of committed batches, without refused ones.
        batches: the committed batches.
        dropped: the rows that the full queue dropped, for each table.
        refused_rows: the rows that the database or the redaction refused.
        error: why the last write failed; ``None`` if it succeeded.
    """

    queued_rows: int
    queued_bytes: int
    written_rows: int
    batches: int
    dropped: dict[str, int]
    refused_rows: int
    error: str | None


@final
class WriteBehind:
    """Accepts rows at any time, and writes them in batches. See :func:`open_write_behind`.

    All methods must be called in the thread of trio.
    """

    def __init__(
        self,
        write: WriteRows,
        options: WriteOptions,
        *,
        on_report: OnReport,
        on_failure: OnFailure | None,
        now: Callable[[], float],
    ) -> None:
        self._write = write
        self._options = options
        self._on_report = on_report
        self._on_failure = on_failure
        self._now = now
        self._queue = RowQueue(max_rows=options.max_rows, max_bytes=options.max_bytes)
        self._losses = Losses()
        self._arrived = trio.Event()
        self._urgent = trio.Event()
        self._committed = trio.Event()
        self._flush_number = 0
        self._error: str | None = None
        self._episode_began: float | None = None  # the first failure or drop, on trio's clock
        self._episode_dropped: Counter[str] = Counter()
        self._failed_sessions: set[str] = set()
        self._dropped: Counter[str] = Counter()
        self._written_rows = self._batches = self._refused_rows = 0

    # --- the callers ---------------------------------------------------------------------------

    def put(self, rows: Iterable[Row]) -> None:
        """Add rows to be written. Never blocks and never raises.

        Rows for which the queue has no space are dropped, see :class:`WriteOptions`.
        """
        dropped = self._queue.put(rows)
        if dropped:
            self._note_dropped(dropped)
        if len(self._queue):
            self._arrived.set()
        if len(self._queue) >= self._options.batch_rows:
            self._urgent.set()

    async def flush(self) -> None:
        """Wait until every row that was put before is committed, refused or dropped.

        While the database is away, this waits until it is back. Cancelling it leaves the rows in the queue.
        """
        number = self._flush_number = self._queue.last_number
        self._urgent.set()
        await trio.lowlevel.checkpoint()
        while not self._queue.is_done(number):
            await self._committed.wait()

    def statistics(self) -> WriteStatistics:
        """Return the state of the writer."""
        return WriteStatistics(
            queued_rows=self._queue.rows,
            queued_bytes=self._queue.bytes,
            written_rows=self._written_rows,
            batches=self._batches,
            dropped=dict(self._dropped),
            refused_rows=self._refused_rows,
            error=self._error,
        )

    # --- the task ------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Write batches until cancelled."""
        while True:
            await self._wait_for_rows()
            batch = self._queue.take(self._options.batch_rows)
            refused = await self._write_until_committed(batch.rows)
            self._queue.done()
            self._batches += 1
            self._written_rows += len(batch.rows) - len(refused)
            self._refused_rows += len(refused)
            self._error = None
            for report in refused:
                self._report(report)
            self._end_episode()
            self._committed.set()
            self._committed = trio.Event()

    async def _wait_for_rows(self) -> None:
        while not len(self._queue):
            self._arrived = trio.Event()
            await self._arrived.wait()
        is_flushing = not self._queue.is_done(self._flush_number)
        if not is_flushing and len(self._queue) < self._options.batch_rows:
            self._urgent = trio.Event()
            with trio.move_on_after(self._options.batch_delay):
                await self._urgent.wait()

    async def _write_until_committed(self, rows: Sequence[Row]) -> Sequence[RowRefused]:
        delay = self._options.first_retry
        while True:
            try:
                return await self._write(rows)
            except DatabaseUnavailable as exc:
                self._note_outage(str(exc))
            await trio.sleep(delay)
            delay = min(delay * 2, self._options.max_retry)

    # --- outages -------------------------------------------------------------------------------

    def _note_outage(self, error: str) -> None:
        is_new = self._error is None
        self._error = error
        if is_new:
            self._begin_episode()
            self._report(Outage(error=error, queued_rows=self._queue.rows))

    def _begin_episode(self) -> None:
        if self._episode_began is None:
            self._episode_began = trio.current_time()

    def _note_dropped(self, rows: list[Row]) -> None:
        self._begin_episode()
        is_first = not self._episode_dropped
        for row in rows:
            self._losses.add(row)
            self._dropped[row.table] += 1
            self._episode_dropped[row.table] += 1
        if is_first:
            self._report(RowsDropped(table=rows[0].table, error=self._error or ""))
        if self._options.overflow == "fail":
            for row in rows:
                self._fail(session_of(row))

    def _fail(self, session_id: str | None) -> None:
        if session_id is None or session_id in self._failed_sessions or self._on_failure is None:
            return
        self._failed_sessions.add(session_id)
        why = self._error or "it is too slow"
        error = HistoryStoreError(f"the database does not accept the history of sessions: {why}")
        try:
            self._on_failure(session_id, error)
        except Exception:  # noqa: BLE001 - the program's function may raise anything
            logger.exception("on_failure raised")

    def _end_episode(self) -> None:
        """Rows are written again: report it, and store what is missing."""
        if self._episode_began is None or not self._queue.is_half_empty:
            return
        duration = trio.current_time() - self._episode_began
        dropped = dict(self._episode_dropped)
        self._episode_began = None
        self._episode_dropped.clear()
        self._failed_sessions.clear()
        self._report(Recovery(duration=duration, dropped=dropped))
        self.put(self._losses.take_markers(self._now()))

    def _report(self, report: StoreReport) -> None:
        try:
            self._on_report(report)
        except Exception:  # noqa: BLE001 - the program's function may raise anything
            logger.exception("on_report raised")

    # --- the end -------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Wait until nothing is left, also the events about gaps."""
        while self._queue.rows:
            await self.flush()

    def _close(self) -> None:
        """Give up the rows that are left, report them, and release the tasks that wait for them."""
        remaining = self._queue.close()
        if remaining:
            rows = dict(Counter(row.table for row in remaining))
            self._report(RowsLost(rows=rows, error=self._error or ""))
        self._committed.set()


@asynccontextmanager
async def open_write_behind(
    write: WriteRows,
    options: WriteOptions,
    *,
    on_report: OnReport = log_report,
    on_failure: OnFailure | None = None,
    now: Callable[[], float] = time.time,
) -> AsyncGenerator[WriteBehind]:
    """Run the task that writes rows.

    Leaving the block waits for the queued rows, at most ``close_timeout`` seconds, also if the block was
    cancelled. A write that has begun is always awaited. Rows that were not written are reported. Rows that
    are put later are dropped.

    Args:
        write: writes rows in one transaction, and returns those that the database refused. Raises
            :class:`DatabaseUnavailable` if nothing was written and trying again may help.
        options: the bounds and times.
        on_report: is called with each report. It must not block. What it raises is logged.
        on_failure: is called with the id of a session that lost rows, with ``overflow="fail"``. It must not
            block. What it raises is logged.
        now: the time in seconds since the Unix epoch.

    Raises:
        InternalError: ``write`` raised something else.
    """
    writer = WriteBehind(write, options, on_report=on_report, on_failure=on_failure, now=now)
    # The task goes on while a cancelled block is left.
    running = trio.CancelScope(shield=True)

    async def run() -> None:
        try:
            with running:
                await writer._run()  # noqa: SLF001
        finally:
            writer._close()  # noqa: SLF001

    async with open_bare_nursery(InternalError) as nursery:
        nursery.start_soon(run, name="write history")
        try:
            yield writer
        finally:
            with trio.move_on_after(options.close_timeout, shield=True):
                await writer._drain()  # noqa: SLF001
            running.cancel(reason="the history store was closed")
