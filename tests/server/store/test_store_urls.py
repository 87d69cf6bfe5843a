"""URLs of databases: errors that say what to change, and that never contain a password."""

from __future__ import annotations

import stat
import sys
import traceback
from pathlib import Path

import pytest

from trio_realtime.errors import ConfigurationError
from trio_realtime.server.store import HistoryStoreError, open_history_store
from trio_realtime.server.store.engines import (
    display_url,
    mask_secrets,
    open_database,
    parse_url,
)

SECRET = "pass-word/1@x"
QUOTED = "pass-word%2F1%40x"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///history.db", "sqlite:///history.db"),
        ("sqlite+pysqlite:///history.db", "sqlite:///history.db"),
        ("sqlite://", "sqlite:///"),
        (Path("a b%.db"), "sqlite:///a b%.db"),
        ("postgresql://u:p@host/name", "postgresql://host/name"),
        ("postgres://u:p@host:99/name?password=x", "postgresql://host:99/name"),
        ("postgresql+psycopg://u:p@/name?host=/tmp/x", "postgresql:///name"),
    ],
)
def test_supported_urls(url: str | Path, expected: str) -> None:
    parsed = parse_url(url)
    assert display_url(parsed) == expected
    assert parsed.drivername in ("sqlite", "postgresql+psycopg")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("history.db", "needs the URL of a database, such as sqlite:///history.db"),
        ("", "needs the URL of a database"),
        (f"postgresql://user:{SECRET}@host:port/name", "needs the URL of a database"),
        (f"mysql://user:{QUOTED}@host/name", "does not support 'mysql'"),
        (f"postgresql+psycopg2://u:{QUOTED}@host/name", "does not support 'postgresql\\+psycopg2'"),
        ("sqlite+aiosqlite:///x.db", "does not support 'sqlite\\+aiosqlite'"),
        ("sqlite:////no/such/place/x.db", "does not exist: create '/no/such/place'"),
    ],
)
def test_urls_that_cannot_work(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        open_database(url)
    assert not_in_traceback(raised.value)


def not_in_traceback(exc: BaseException) -> bool:
    """Return whether no part of the password is in the messages of an exception and its causes."""
    lines = traceback.TracebackException.from_exception(exc)
    found: list[str] = []
    current: traceback.TracebackException | None = lines
    while current is not None:
        found += current.format_exception_only()
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    return not any("pass-word" in line for line in found)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'trio-realtime\[postgresql\]'"):
        open_database("postgresql://host/name")


def test_the_repr_of_a_database_has_no_secrets() -> None:
    database = open_database(f"postgresql://user:{QUOTED}@host/name?password={QUOTED}")
    assert repr(database) == "Database(url=postgresql://host/name)"
    database.dispose()


def test_secrets_in_messages_of_the_driver_are_masked() -> None:
    url = parse_url(f"postgresql://user:{QUOTED}@host/name?sslpassword=other-secret")
    text = f"bad: {SECRET} or {QUOTED} or other-secret of user at host"
    assert mask_secrets(text, url) == "bad: *** or *** or *** of user at host"


@pytest.mark.slow
@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{QUOTED}@127.0.0.1:1/name",
        f"postgresql://user:{QUOTED}@127.0.0.1:1/name?sslmode={QUOTED}",
        f"postgresql://user:{QUOTED}@127.0.0.1:1/name?{QUOTED}=1",
    ],
)
async def test_a_server_that_is_not_there(url: str) -> None:
    with pytest.raises(HistoryStoreError, match=r"^postgresql://127\.0\.0\.1:1/name: ") as raised:
        async with open_history_store(url):
            raise AssertionError
    assert not_in_traceback(raised.value)


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(b"no database" * 500)
    with pytest.raises(HistoryStoreError, match="file is not a database"):
        async with open_history_store(path):
            raise AssertionError


async def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(HistoryStoreError, match="unable to open"):
        async with open_history_store(tmp_path):
            raise AssertionError


async def test_only_its_owner_reads_a_new_database(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    async with open_history_store(file) as store:
        await store.list_sessions()
        modes = _modes_of(tmp_path)
    assert "history.db" in modes
    assert set(modes.values()) == {0o600}
    file.chmod(0o640)  # of a group that makes backups
    async with open_history_store(file):
        assert _modes_of(tmp_path)["history.db"] == 0o640


def _modes_of(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
