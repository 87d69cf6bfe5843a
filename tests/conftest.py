"""What any test may need. Doubles of the library live in ``trio_realtime.testing``."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import trustme

from trio_realtime.transports import Connector, connect_fast, connect_trio_websocket

if TYPE_CHECKING:
    from support.postgresql import PostgresqlServer

collect_ignore = ["data"]
"""A scenario file among the data fails on purpose."""

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Restore SIGINT, which `nohup make test &` and the like start with ignored.

    An ignored signal stays ignored in the child processes that tests interrupt.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Frames recorded on live services, and the JSON Schema of every event."""
    return REPOSITORY / "tests" / "data"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that no system trusts."""
    return trustme.CA()


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no variable of the machine configure a service or a proxy."""
    for name in os.environ:
        if name.startswith(("OPENAI_", "AZURE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(params=[connect_trio_websocket, connect_fast])
def connector(request: pytest.FixtureRequest) -> Connector:
    """Each connector to a real service."""
    return cast("Connector", request.param)


@pytest.fixture
def default_connector(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connector, as the default of sessions."""
    monkeypatch.setattr("trio_realtime._open_session.connect_trio_websocket", connector)


@pytest.fixture(scope="session")
def postgresql() -> Generator[PostgresqlServer]:
    """A PostgreSQL server that all tests share."""
    from support.postgresql import find_programs, postgresql_server

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
