"""Scenario files as tests. A file is one test.

pytest looks at every file of a folder, so trio_realtime is imported only to read a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from trio_realtime.testing.scenarios import Scenario


class ScenarioFile(pytest.File):
    """A scenario file."""

    def collect(self) -> Iterator[pytest.Item]:
        """Read the file, and return its only test.

        Raises:
            CollectError: the file is no scenario.
        """
        from trio_realtime.errors import ConfigurationError
        from trio_realtime.testing.scenarios import load_scenario

        try:
            scenario = load_scenario(self.path)
        except ConfigurationError as exc:
            raise self.CollectError(str(exc)) from exc
        yield cast("Any", ScenarioItem).from_parent(self, name=scenario.name, scenario=scenario)


class ScenarioFailed(Exception):
    """Something did not happen as the scenario expects. The text has the conversation."""


class ScenarioItem(pytest.Item):
    """A scenario as a test, in virtual time unless the file says otherwise."""

    obj = None
    """Plugins for async tests look here for the function of a test."""

    def __init__(self, *, scenario: Scenario, **given: Any) -> None:
        super().__init__(**given)  # pyright: ignore[reportUnknownMemberType]
        self._scenario = scenario

    def runtest(self) -> None:
        """Run the scenario.

        Raises:
            ScenarioFailed: it did not go as expected, or the session could not be opened.
        """
        from trio_realtime.errors import ConfigurationError, NetworkError, PeerError
        from trio_realtime.testing.scenarios import run_scenario

        try:
            result = run_scenario(self._scenario)
        except (ConfigurationError, NetworkError, PeerError) as exc:
            raise ScenarioFailed(f"{type(exc).__name__}: {exc}") from exc
        if not result.passed:
            raise ScenarioFailed(result.report)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the report of the scenario instead of a traceback."""
        if isinstance(excinfo.value, ScenarioFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the place and the name of the test."""
        return self.path, None, self.name
