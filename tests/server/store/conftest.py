"""A database for each test: SQLite, and PostgreSQL where its programs are installed."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import cast

import pytest

from support.postgresql import PostgresqlServer, find_programs, postgresql_server


@pytest.fixture(scope="session")
def postgresql() -> Generator[PostgresqlServer]:
    """A server that all tests of this directory share."""
    if find_programs() is None:
        pytest.skip("the programs of PostgreSQL (initdb, postgres) are not installed")
    with postgresql_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.db"
    server = cast("PostgresqlServer", request.getfixturevalue("postgresql"))
    return server.create_database()
