"""The history of sessions: opened for a URL, written behind, and read for REST."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, final

import trio
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from trio_realtime.errors import ConfigurationError, UsageError

from . import reading
from .engines import Database, Synchronous, display_url, mask_secrets, open_database
from .errors import HistoryStoreError
from .migrations import current_revision, newest_revision, upgrade
from .reading import DeletedSessions
from .reports import RowRefused, log_report
from .row_builders import artifact_row
from .rows import Row, as_int, as_text
from .write_behind import OnFailure, OnReport, WriteBehind, WriteOptions, open_write_behind
from .writing import BatchWriter, Redact

__all__ = ["HistoryStore", "open_history_store"]

P = ParamSpec("P")
T = TypeVar("T")
JsonObject = dict[str, Any]

MAX_PAGE = 1000
"""The greatest ``limit`` of a page."""


@final
class HistoryStore:
    """The history of sessions, see :func:`open_history_store`.

    Attributes:
        writer: accepts the rows of running sessions, and writes them behind.

    Reading sees what is committed: call ``writer.flush()`` first to see everything. The methods return
    plain dicts with the columns of the tables. A call that is cancelled ends when its statement does.

    Raises:
        HistoryStoreError: the database failed. All methods raise it.
    """

    def __init__(
        self,
        database: Database,
        writer: WriteBehind,
        *,
        write_limiter: trio.CapacityLimiter,
        read_limiter: trio.CapacityLimiter,
        now: Callable[[], float],
    ) -> None:
        self.writer = writer
        self._database = database
        self._write_limiter = write_limiter
        self._read_limiter = read_limiter
        self._now = now

    def __repr__(self) -> str:
        return f"<HistoryStore {display_url(self._database.url)}>"

    async def _read(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def run() -> T:
            with _described_failures(self._database), self._database.reader.begin() as connection:
                return query(connection, *args, **kwargs)

        return await trio.to_thread.run_sync(run, limiter=self._read_limiter)

    async def _change(
        self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def run() -> T:
            with _described_failures(self._database), self._database.writer.begin() as connection:
                return change(connection, *args, **kwargs)

        return await trio.to_thread.run_sync(run, limiter=self._write_limiter)

    # --- reading -------------------------------------------------------------------------------

    async def list_sessions(
        self,
        *,
        tenant: str | None = None,
        status: str | None = None,
        agent: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> JsonObject:
        """Return a page of sessions, newest first.

        Args:
            tenant, status, agent: only sessions with this value.
            limit: the size of the page, from 1 to 1000.
            cursor: the ``next_cursor`` of the previous page.

        Returns:
            ``{"sessions": [...], "next_cursor": ...}``; the cursor is ``None`` on the last page.

        Raises:
            UsageError: the limit or the cursor is invalid.
        """
        given = {"tenant": tenant, "status": status, "agent": agent}
        filters = {name: as_text(value) for name, value in given.items()}
        return await self._read(reading.list_sessions, filters, _checked_limit(limit), cursor)

    async def get_session(self, session_id: str, *, tenant: str | None = None) -> JsonObject | None:
        """Return a session with its runs, connections, items, responses, tool calls and artifacts.

        Also ``duration`` (seconds), ``transcript`` (text), ``usage`` (totals for each kind and unit) and
        ``gaps`` (the events that say what is missing).

        Args:
            session_id: the session.
            tenant: the session must be of this tenant.

        Returns:
            The session; ``None`` if there is no such session.
        """
        return await self._read(reading.read_session, _stored_text(session_id), as_text(tenant))

    async def events(
        self, session_id: str, *, after: int = 0, limit: int = MAX_PAGE
    ) -> list[JsonObject]:
        """Return stored events in order.

        Args:
            session_id: the session.
            after: the ``seq`` of the last event that is known. The numbers of stored events increase, and
                those of events that are not stored are missing.
            limit: the greatest number of events, from 1 to 1000.

        Raises:
            UsageError: the limit is invalid, or ``after`` is no integer of 64 bits.
        """
        if as_int(after) is None:
            raise UsageError(f"after must be an integer of 64 bits, got {after!r:.80}")
        limit = _checked_limit(limit)
        return await self._read(reading.read_events, _stored_text(session_id), after, limit)

    async def items(self, session_id: str) -> list[JsonObject]:
        """Return the items of a session in the order of the conversation, without deleted ones."""
        return await self._read(reading.read_items, _stored_text(session_id))

    async def last_seq(self, session_id: str) -> int | None:
        """Return the number of the last event that is known; ``None`` for an unknown session.

        It counts events that are not stored. It is exact for a session that ended. After a crash, up to a
        second of events without a stored one may be missing.
        """
        return await self._read(reading.read_last_seq, _stored_text(session_id))

    async def artifacts(self, session_id: str, *, kind: str | None = None) -> list[JsonObject]:
        """Return the artifacts of a session, oldest first; only those of a kind if it is given."""
        return await self._read(reading.read_artifacts, _stored_text(session_id), as_text(kind))

    async def audio_chunks(self, session_id: str, *, run_id: str | None = None) -> list[JsonObject]:
        """Return the audio chunks of a session, by run, track and number."""
        run_id = as_text(run_id)
        return await self._read(reading.read_audio_chunks, _stored_text(session_id), run_id)

    async def check(self) -> None:
        """Read from the database, for a readiness check.

        Raises:
            HistoryStoreError: the database does not answer, or its tables are of another version.
        """
        revision = await self._read(current_revision)
        if revision != newest_revision():
            raise HistoryStoreError(_wrong_revision(self._database, revision))

    # --- changes -------------------------------------------------------------------------------

    async def add_artifact(
        self,
        session_id: str,
        *,
        kind: str,
        url: str,
        artifact_id: str | None = None,
        run_id: str | None = None,
        size: int | None = None,
        sha256: str | None = None,
        content_type: str | None = None,
        duration_ms: int | None = None,
        created_at: float | None = None,
        state: str = "complete",
    ) -> str:
        """Store an artifact, or change it. Returns when it is committed.

        Args:
            session_id, run_id: the session and the run.
            kind: what it is, such as ``recording``.
            url: where it is.
            artifact_id: the id; a new one if it is omitted. An artifact with the same id is changed.
            size: bytes of the file.
            sha256: the hash of the file as hexadecimal digits.
            content_type: the media type.
            duration_ms: milliseconds of audio.
            created_at: seconds since the Unix epoch; now if it is omitted.
            state: for example ``complete`` or ``failed``.

        Returns:
            The id.

        Raises:
            UsageError: the database cannot store a value.
        """
        identifier = artifact_id or uuid.uuid4().hex
        row = artifact_row(
            session_id,
            identifier,
            run_id=run_id,
            kind=kind,
            url=url,
            size=size,
            sha256=sha256,
            content_type=content_type,
            duration_ms=duration_ms,
            created_at=self._now() if created_at is None else created_at,
            state=state,
        )
        batch_writer = BatchWriter(self._database.writer, None, partial(_describe, self._database))
        refused = await trio.to_thread.run_sync(
            batch_writer.write, [row], limiter=self._write_limiter
        )
        if refused:
            raise UsageError(f"the artifact cannot be stored: {refused[0].error}")
        return identifier

    async def mark_interrupted_sessions(
        self, owner_node: str | None, *, lease_before: float | None = None
    ) -> list[str]:
        """Give the status ``interrupted`` to sessions that a crashed process left unfinished.

        Call it when a process starts, before its first session. They end with their last stored event.

        Args:
            owner_node: the sessions of this node, which the process that starts has taken over; ``None`` for
                those of no node.
            lease_before: also the sessions of any node whose ``lease_until`` is before this time, in
                seconds since the Unix epoch.

        Returns:
            The ids of the sessions.
        """
        return await self._change(reading.mark_interrupted, as_text(owner_node), lease_before)

    async def delete_session(self, session_id: str) -> DeletedSessions:
        """Delete a session that has ended, with all its rows. Waits for its queued rows first.

        The files of its artifacts are not deleted: the result names them.
        """
        await self.writer.flush()
        return await self._change(reading.delete_sessions, [_stored_text(session_id)])

    async def delete_before(self, time: float, *, limit: int = 100) -> DeletedSessions:
        """Delete the oldest sessions that ended before a time. Running ones stay.

        Each call deletes at most ``limit`` sessions in one transaction: repeat it until its result has no
        sessions. The files of artifacts are not deleted: the result names them.

        Args:
            time: seconds since the Unix epoch.
            limit: the greatest number of sessions, from 1 to 1000.

        Raises:
            UsageError: the limit is invalid.
        """
        _checked_limit(limit)

        def change(connection: Connection) -> DeletedSessions:
            ids = reading.sessions_before(connection, time, limit)
            return reading.delete_sessions(connection, ids) if ids else DeletedSessions()

        await self.writer.flush()
        return await self._change(change)


def _stored_text(value: str) -> str:
    """Return a text as a database has stored it, which takes no NUL and no surrogates."""
    return as_text(value) or ""


def _checked_limit(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE:
        raise UsageError(f"limit must be from 1 to {MAX_PAGE}, got {limit!r}")
    return limit


# --- opening -----------------------------------------------------------------------------------


@asynccontextmanager
async def open_history_store(
    url: str | Path,
    *,
    migrate: bool = True,
    options: WriteOptions | None = None,
    redact: Redact | None = None,
    on_report: OnReport = log_report,
    on_failure: OnFailure | None = None,
    synchronous: Synchronous = "normal",
    busy_timeout: float = 5.0,
    readers: int = 4,
    now: Callable[[], float] = time.time,
) -> AsyncGenerator[HistoryStore]:
    """Open the history of sessions.

    SQLite is used in WAL mode: one connection writes, others read at the same time, and neither waits for
    the other. With ``synchronous="normal"``, a commit does not wait for the disk. If the process crashes,
    nothing that was committed is lost. If the operating system crashes or the power fails, the last
    commits may be lost, and the database stays consistent. With ``"full"``, each commit waits for the
    disk, which makes a batch slower by milliseconds and survives the loss of power. In both cases, what has
    not been committed yet, which is about the last ``batch_delay`` seconds, is lost with the process.

    A database in memory (``sqlite://``) has one connection for everything.

    Leaving the block writes the queued rows, see :func:`~.write_behind.open_write_behind`, and closes all
    connections.

    Args:
        url: ``sqlite:///path``, ``postgresql+psycopg://user:password@host/database``, or a
            :class:`~pathlib.Path` of a SQLite file. User, password and options never appear in an error.
        migrate: create the tables, or bring those of an earlier version up to date. Otherwise they must
            be of this version.
        options: the bounds of the queue, and what happens when it is full; the defaults of
            :class:`~.write_behind.WriteOptions` if it is omitted.
        redact: is called with each row of the queue, in the thread of the writer, before the row leaves the
            memory of the process. Returns the row to store, or ``None`` to store nothing. It may be called
            again for a row that is written again. A row for which it raises is not stored.
        on_report: is called with each report about the writer. The default logs it.
        on_failure: is called with the id of each session that lost rows, with ``overflow="fail"``.
        synchronous: ``normal`` or ``full``, for SQLite. PostgreSQL has its own setting,
            ``synchronous_commit``.
        busy_timeout: seconds that a statement waits for a lock of another process. A batch is tried again
            after that.
        readers: the number of connections, and of threads, for reading.
        now: the time in seconds since the Unix epoch.

    Raises:
        ConfigurationError: the URL or an option is invalid, or the driver is not installed.
        HistoryStoreError: the database could not be opened or migrated, or its tables are of another
            version.
    """
    if synchronous not in ("normal", "full"):
        raise ConfigurationError(f"synchronous must be normal or full, got {synchronous!r}")
    if readers < 1:
        raise ConfigurationError(f"readers must be at least 1, got {readers!r}")
    database = open_database(
        url, readers=readers, busy_timeout=busy_timeout, synchronous=synchronous
    )
    write_limiter = trio.CapacityLimiter(1)
    is_shared = database.reader is database.writer
    read_limiter = write_limiter if is_shared else trio.CapacityLimiter(readers)
    batch_writer = BatchWriter(database.writer, redact, partial(_describe, database))

    async def write(rows: Sequence[Row]) -> Sequence[RowRefused]:
        return await trio.to_thread.run_sync(batch_writer.write, rows, limiter=write_limiter)

    try:
        await trio.to_thread.run_sync(
            partial(_prepare, database, migrate=migrate), limiter=write_limiter
        )
        async with open_write_behind(
            write, options or WriteOptions(), on_report=on_report, on_failure=on_failure, now=now
        ) as writer:
            yield HistoryStore(
                database, writer, write_limiter=write_limiter, read_limiter=read_limiter, now=now
            )
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(database.dispose)


def _prepare(database: Database, *, migrate: bool) -> None:
    with _described_failures(database):
        if migrate:
            upgrade(database.writer)
        with database.writer.begin() as connection:
            revision = current_revision(connection)
    if revision != newest_revision():
        raise HistoryStoreError(_wrong_revision(database, revision))


def _wrong_revision(database: Database, revision: str | None) -> str:
    return (
        f"the tables of {display_url(database.url)} have the revision {revision}, and this version of the "
        f"library needs {newest_revision()}: open the store with migrate=True"
    )


@contextmanager
def _described_failures(database: Database) -> Generator[None]:
    """Raise the failures of a database in the block as :class:`HistoryStoreError`, without secrets."""
    try:
        yield
    except CommandError:  # Alembic does not know the revision
        raise HistoryStoreError(
            f"a newer version of the library has changed the tables of {display_url(database.url)}: "
            "install that version, or use a backup from before the upgrade"
        ) from None
    except SQLAlchemyError as exc:
        name = display_url(database.url)
        raise HistoryStoreError(f"{name}: {_describe(database, exc)}") from None


def _describe(database: Database, exc: BaseException) -> str:
    """Return the message of the driver without the statement, the values of the row, and secrets."""
    original = getattr(exc, "orig", None)
    cause = exc if original is None else original
    # The details that PostgreSQL adds to it quote the row.
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    text = primary or str(cause).strip() or type(cause).__name__
    return mask_secrets(text, database.url)
