"""Engines for the URL of a database."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import attrs
from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from trio_realtime._redaction import MASK, secret_values
from trio_realtime.errors import ConfigurationError

from .rows import clean_json

__all__ = ["Database", "Synchronous", "display_url", "mask_secrets", "open_database", "parse_url"]

Synchronous: TypeAlias = Literal["normal", "full"]
"""When SQLite writes through to the disk: at checkpoints, or at each commit."""

_EXAMPLES: Final = "sqlite:///history.db or postgresql+psycopg://user:password@host/database"
_SQLITE: Final = frozenset({"sqlite", "sqlite+pysqlite"})
_POSTGRESQL: Final = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
# libpq finds out within a minute that a server is gone. An option in the URL takes precedence.
_POSTGRESQL_DEFAULTS: Final[Mapping[str, str]] = {
    "connect_timeout": "10",
    "tcp_user_timeout": "30000",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "application_name": "trio_realtime",
}


def parse_url(url: str | Path) -> URL:
    """Return the parsed URL of a supported database.

    Args:
        url: ``sqlite:///path``, ``postgresql+psycopg://...`` (also ``postgresql://``, ``postgres://``), or
            the path of a SQLite file as a :class:`~pathlib.Path`.

    Raises:
        ConfigurationError: the URL is not supported, its driver is not installed, or the directory of
            the SQLite file does not exist. The message does not contain the URL.
    """
    if isinstance(url, Path):
        return _checked_file(URL.create("sqlite", database=str(url)))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The URL may contain a password, and the exception may contain the URL.
        raise ConfigurationError(
            f"the history store needs the URL of a database, such as {_EXAMPLES}"
        ) from None
    if parsed.drivername in _SQLITE:
        return _checked_file(parsed.set(drivername="sqlite"))
    if parsed.drivername in _POSTGRESQL:
        _require_psycopg()
        return parsed.set(drivername="postgresql+psycopg")
    raise ConfigurationError(
        f"the history store does not support {parsed.drivername!r}: use a URL such as {_EXAMPLES}"
    )


def _checked_file(url: URL) -> URL:
    if url.database and not is_memory(url) and not url.database.startswith("file:"):
        directory = Path(url.database).parent
        if not directory.is_dir():
            raise ConfigurationError(
                f"the directory of the history store does not exist: create {str(directory)!r}"
            )
    return url


def _require_psycopg() -> None:
    try:
        importlib.import_module("psycopg")
    except ImportError as exc:
        raise ConfigurationError(
            "a history store in PostgreSQL needs psycopg: pip install 'trio-realtime[postgresql]'"
        ) from exc


def is_memory(url: URL) -> bool:
    """Return whether a SQLite database is in memory, so that it has one connection."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def display_url(url: URL) -> str:
    """Return which database the URL names, without user, password and options."""
    host = url.host or ""
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{host}{port}/{url.database or ''}"


def mask_secrets(text: str, url: URL) -> str:
    """Return a text of the driver with the password and the options of the URL masked."""
    rendered = url.render_as_string(hide_password=False)
    secrets = [s for s in secret_values(rendered) if s != url.username]
    secrets += [url.password] if url.password else []
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


@attrs.frozen(kw_only=True)
class Database:
    """A database with one connection for writing and several for reading.

    Attributes:
        url: the URL.
        writer: an engine with one connection. Only one thread at a time may use it.
        reader: an engine whose transactions are snapshots; the same as ``writer`` for SQLite in memory.
    """

    url: URL = attrs.field(repr=display_url)
    writer: Engine = attrs.field(repr=False)
    reader: Engine = attrs.field(repr=False)

    def dispose(self) -> None:
        """Close all connections."""
        self.reader.dispose()
        self.writer.dispose()


def open_database(
    url: str | Path,
    *,
    readers: int = 4,
    busy_timeout: float = 5.0,
    synchronous: Synchronous = "normal",
) -> Database:
    """Return the engines for a URL. They connect when they are used.

    Args:
        url: see :func:`parse_url`.
        readers: the number of connections for reading.
        busy_timeout: seconds that a statement waits for a lock.
        synchronous: see :func:`~.history.open_history_store`. PostgreSQL has a setting of its own.

    Raises:
        ConfigurationError: see :func:`parse_url`.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, readers, busy_timeout, synchronous)
    return _postgresql(parsed, readers, busy_timeout)


_SHARED_OPTIONS: Final[Mapping[str, Any]] = {
    "hide_parameters": True,  # an error of the driver would quote what was said
    "json_serializer": lambda value: json.dumps(  # pyright: ignore[reportUnknownLambdaType]
        clean_json(value), allow_nan=False, ensure_ascii=True, separators=(",", ":")
    ),
}


def _sqlite(url: URL, readers: int, busy_timeout: float, synchronous: Synchronous) -> Database:
    # Transactions begin with explicit statements, see below.
    arguments: dict[str, Any] = {
        "timeout": busy_timeout,
        "isolation_level": None,
        "check_same_thread": False,
    }
    if is_memory(url):
        engine = create_engine(url, poolclass=StaticPool, connect_args=arguments, **_SHARED_OPTIONS)
        event.listen(engine, "begin", _begin_immediate)
        return Database(url=url, writer=engine, reader=engine)
    _create_private_file(url)
    writer = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args=arguments,
        **_SHARED_OPTIONS,
    )
    reader = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=readers,
        max_overflow=0,
        connect_args=arguments,
        **_SHARED_OPTIONS,
    )

    def set_up_writer(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous.upper()}")

    event.listen(writer, "connect", set_up_writer)
    event.listen(writer, "begin", _begin_immediate)
    event.listen(reader, "begin", _begin)
    return Database(url=url, writer=writer, reader=reader)


def _create_private_file(url: URL) -> None:
    """Create the file of a new database so that only its owner reads conversations.

    SQLite gives its other files the mode of this one. Whatever is wrong with the path, SQLite reports.
    """
    if url.database and not url.database.startswith("file:"):
        with suppress(OSError):
            os.close(os.open(url.database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first and writes later may fail at once, without waiting for the lock.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _postgresql(url: URL, readers: int, busy_timeout: float) -> Database:
    arguments = {k: v for k, v in _POSTGRESQL_DEFAULTS.items() if k not in url.query}
    writer = create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args=arguments,
        **_SHARED_OPTIONS,
    )
    reader = create_engine(
        url,
        pool_size=readers,
        max_overflow=0,
        pool_pre_ping=True,
        isolation_level="REPEATABLE READ",
        connect_args=arguments,
        **_SHARED_OPTIONS,
    )
    milliseconds = int(busy_timeout * 1000)

    def limit_locks(connection: Connection) -> None:
        # Poolers between client and server may not support settings of a whole connection.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {milliseconds}")

    event.listen(writer, "begin", limit_locks)
    return Database(url=url, writer=writer, reader=reader)
