"""The pytest plugin of trio_realtime: fixtures for sessions, and scenario files as tests.

pytest imports this package whenever it starts, also for tests that have nothing to do with
trio_realtime. Therefore it is not a part of ``trio_realtime``, and imports it only when a fixture or a
scenario file needs it.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from trio_realtime import RealtimeAgent, SessionConfig
    from trio_realtime.local import LocalConnector, ServerConfigDict
    from trio_realtime.testing import SessionOpener

    from .scenario_items import ScenarioFile

SCENARIO_SUFFIX = ".scenario.yaml"

_OPENER = pytest.StashKey["SessionOpener"]()


def pytest_configure(config: pytest.Config) -> None:
    """Add the async fixtures if pytest-trio runs them."""
    if config.pluginmanager.hasplugin("trio"):
        from . import trio_fixtures

        config.pluginmanager.register(trio_fixtures, "trio_realtime_trio_fixtures")


# --- fixtures that tests override --------------------------------------------------------------


@pytest.fixture
def realtime_agent() -> RealtimeAgent[Any]:
    """Return the agent under test. Define a fixture of this name to use ``connected_session``."""
    pytest.fail(
        "connected_session needs an agent: define a fixture realtime_agent that returns your "
        "RealtimeAgent, or call open_session(agent)",
        pytrace=False,
    )


@pytest.fixture
def realtime_config() -> SessionConfig | None:
    """Return the settings of ``connected_session``; override it to change them."""
    return None


@pytest.fixture
def realtime_context() -> Any:
    """Return the context of ``connected_session``; override it if the agent needs one."""
    return None


@pytest.fixture
def realtime_server_settings() -> ServerConfigDict:
    """Return the settings of ``local_server``, such as its responder; override it to change them."""
    return {}


# --- fixtures that tests use -------------------------------------------------------------------


@pytest.fixture
def local_server(realtime_server_settings: ServerConfigDict) -> LocalConnector:
    """Return a local server in memory: pass it as ``transport=``, and its ``endpoint`` as ``endpoint=``."""
    from trio_realtime.local import local_connector

    return local_connector(**realtime_server_settings)


@pytest.fixture
def open_session(request: pytest.FixtureRequest, local_server: LocalConnector) -> SessionOpener:
    """Return a function that opens sessions with ``local_server``, whose conversations failures show."""
    from trio_realtime.testing import SessionOpener

    opener = SessionOpener(local_server)
    node: pytest.Item = request.node
    node.stash[_OPENER] = opener
    return opener


# --- hooks -------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the conversations of a test that failed."""
    report = yield
    opener = item.stash.get(_OPENER, None)
    if opener is not None and report.when == "call" and report.failed:
        report.sections.append(("Realtime conversation", opener.report()))
    return report


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Collect scenario files."""
    if not file_path.name.endswith(SCENARIO_SUFFIX):
        return None
    from .scenario_items import ScenarioFile

    file: ScenarioFile = cast("Any", ScenarioFile).from_parent(parent, path=file_path)
    return file
