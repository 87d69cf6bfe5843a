"""Writes a batch of rows in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias, final

from sqlalchemy import Connection, Engine, Executable, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)

from .reports import RowRefused
from .rows import KEYS, Row, merge_rows, storable
from .tables import METADATA
from .write_behind import DatabaseUnavailable

__all__ = ["BatchWriter", "Redact", "is_outage"]

Redact: TypeAlias = Callable[[Row], Row | None]
"""Returns the row to store, or ``None`` to store nothing."""

# SQLSTATE classes that concern a value: data exception, integrity constraint, program limit.
_ROW_CLASSES: Final = ("22", "23", "54")
_MAX_STATEMENTS: Final = 500


def is_outage(exc: BaseException) -> bool:
    """Return whether trying the same statement again later may help."""
    if not isinstance(exc, DBAPIError):
        # A pool without a connection is an outage. A StatementError is a value that was not converted.
        return isinstance(exc, SQLAlchemyError) and not isinstance(exc, StatementError)
    state = getattr(exc.orig, "sqlstate", None)
    if isinstance(state, str):
        return not state.startswith(_ROW_CLASSES)
    return not isinstance(exc, IntegrityError | DataError | ProgrammingError)


@final
class BatchWriter:
    """Writes batches through one connection. Only one thread at a time may call it.

    Args:
        engine: the engine of the connection.
        redact: is called with each row first, in the thread of the writer; again if the batch is written
            again. A row for which it raises is refused.
        describe: returns the message of an exception without secrets.
    """

    def __init__(
        self, engine: Engine, redact: Redact | None, describe: Callable[[BaseException], str]
    ) -> None:
        self._engine = engine
        self._redact = redact
        self._describe = describe
        self._statements: dict[tuple[Any, ...], Executable] = {}

    def write(self, rows: Sequence[Row]) -> list[RowRefused]:
        """Write rows in one transaction. Return those that were refused.

        Raises:
            DatabaseUnavailable: nothing was written, and trying again may help.
        """
        refused: list[RowRefused] = []
        ready = merge_rows(self._prepare(rows, refused))
        try:
            try:
                with self._engine.begin() as connection:
                    self._execute(connection, ready)
            except Exception as exc:
                if is_outage(exc):
                    raise
                # Some row is at fault.
                with self._engine.begin() as connection:
                    self._execute_each(connection, ready, refused)
        except Exception as exc:  # noqa: BLE001 - drivers raise exceptions of many kinds
            raise DatabaseUnavailable(self._describe(exc)) from None
        return refused

    def _prepare(self, rows: Iterable[Row], refused: list[RowRefused]) -> Iterable[Row]:
        for row in rows:
            try:
                redacted = row if self._redact is None else self._redact(row)
            except Exception as exc:  # noqa: BLE001 - the program's function may raise anything
                refused.append(_refusal(row, f"redact raised {type(exc).__name__}"))
                continue
            try:
                if redacted is not None:
                    yield storable(redacted)
            except ValueError as exc:
                refused.append(_refusal(row, str(exc)))

    def _execute(self, connection: Connection, rows: Iterable[Row]) -> None:
        groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for row in rows:
            shape = (row.table, row.mode, tuple(sorted(row.values)), tuple(sorted(row.initial)))
            groups.setdefault(shape, []).append({**row.initial, **row.values})
        for shape, parameters in groups.items():
            statement = self._statements.get(shape)
            if statement is None:
                if len(self._statements) >= _MAX_STATEMENTS:
                    # What a service reports decides which columns a row has.
                    self._statements.clear()
                statement = self._statements[shape] = self._statement(*shape)
            connection.execute(statement, parameters)

    def _execute_each(
        self, connection: Connection, rows: Iterable[Row], refused: list[RowRefused]
    ) -> None:
        for row in rows:
            try:
                with connection.begin_nested():
                    self._execute(connection, [row])
            except Exception as exc:
                if is_outage(exc):
                    raise
                if not _is_stored(connection, row):
                    refused.append(_refusal(row, self._describe(exc)))

    def _statement(
        self, table_name: str, mode: str, values: tuple[str, ...], initial: tuple[str, ...]
    ) -> Executable:
        table = METADATA.tables[table_name]
        is_sqlite = self._engine.dialect.name == "sqlite"
        insert = sqlite.insert(table) if is_sqlite else postgresql.insert(table)
        if mode == "insert":
            return insert
        keys = KEYS[table_name]
        changes: dict[str, Any] = {
            name: insert.excluded[name] for name in values if name not in keys
        }
        for name in initial:
            changes[name] = func.coalesce(table.c[name], insert.excluded[name])
        if not changes:
            return insert.on_conflict_do_nothing(index_elements=keys)
        return insert.on_conflict_do_update(index_elements=keys, set_=changes)


def _refusal(row: Row, error: str) -> RowRefused:
    return RowRefused(table=row.table, key=row.key[1:], error=error)


def _is_stored(connection: Connection, row: Row) -> bool:
    """Return whether an insert was committed before, although its commit was reported as failed."""
    if row.mode != "insert":
        return False
    table: Table = METADATA.tables[row.table]
    names = list(row.values)
    query = select(*(table.c[name] for name in names))
    for name in KEYS[row.table]:
        query = query.where(table.c[name] == row.values[name])
    found = connection.execute(query).first()
    return found is not None and dict(zip(names, found, strict=True)) == dict(row.values)
