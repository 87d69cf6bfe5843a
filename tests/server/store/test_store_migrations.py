"""The migrations: they create exactly the tables, once, also if several processes run them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from trio_realtime.server.store import HistoryStoreError, open_history_store, upgrade
from trio_realtime.server.store.engines import Database, open_database
from trio_realtime.server.store.migrations import (
    VERSION_TABLE,
    current_revision,
    newest_revision,
)
from trio_realtime.server.store.tables import METADATA


@pytest.fixture
def database(database_url: str) -> Database:
    return open_database(database_url)


def differences(connection: Connection) -> list[object]:
    options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, METADATA))


def test_migrations_create_exactly_the_tables(database: Database) -> None:
    upgrade(database.writer)
    with database.reader.connect() as connection:
        assert differences(connection) == []
        names = set(inspect(connection).get_table_names())
    database.dispose()
    assert names == {*METADATA.tables, VERSION_TABLE}


def test_a_difference_is_found(database: Database) -> None:
    upgrade(database.writer)
    with database.writer.begin() as connection:
        connection.execute(text("ALTER TABLE items DROP COLUMN heard_text"))
        connection.execute(text("DROP INDEX ix_runs_session_id"))
    with database.reader.connect() as connection:
        found = differences(connection)
    database.dispose()
    kinds = sorted(str(entry[0]) for entry in found if isinstance(entry, tuple))
    assert kinds == ["add_column", "add_index"]


def test_a_second_upgrade_changes_nothing(database: Database) -> None:
    upgrade(database.writer)
    upgrade(database.writer)
    with database.reader.connect() as connection:
        assert current_revision(connection) == newest_revision()
    database.dispose()


def test_processes_may_upgrade_at_the_same_time(database_url: str) -> None:
    databases = [open_database(database_url, busy_timeout=60) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda database: upgrade(database.writer), databases))
    with databases[0].reader.connect() as connection:
        assert differences(connection) == []
    for database in databases:
        database.dispose()


def test_a_failed_upgrade_changes_nothing(database: Database) -> None:
    with database.writer.begin() as connection:
        connection.execute(text("CREATE TABLE usage (mine INTEGER)"))
    with pytest.raises(Exception, match="usage"):
        upgrade(database.writer)
    with database.reader.connect() as connection:
        assert inspect(connection).get_table_names() == ["usage"]
    database.dispose()


async def test_tables_of_a_newer_version_are_refused(database_url: str) -> None:
    database = open_database(database_url)
    upgrade(database.writer)
    with database.writer.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    database.dispose()
    with pytest.raises(HistoryStoreError, match="a newer version of the library has changed the"):
        async with open_history_store(database_url):
            raise AssertionError
    with pytest.raises(HistoryStoreError, match=r"revision 9999, and .* needs 0001"):
        async with open_history_store(database_url, migrate=False):
            raise AssertionError


async def test_missing_tables_are_created_only_by_a_migration(database_url: str) -> None:
    with pytest.raises(HistoryStoreError, match=r"revision None.*migrate=True"):
        async with open_history_store(database_url, migrate=False):
            raise AssertionError
    async with open_history_store(database_url) as store:
        await store.check()
    async with open_history_store(database_url, migrate=False) as store:
        assert await store.list_sessions() == {"sessions": [], "next_cursor": None}


def test_a_path_with_percent_signs_is_no_placeholder(tmp_path: Path) -> None:
    directory = tmp_path / "100%(here)s"
    directory.mkdir()
    database = open_database(directory / "history.db")
    upgrade(database.writer)
    with database.reader.connect() as connection:
        assert differences(connection) == []
    database.dispose()
