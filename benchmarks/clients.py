"""The implementations that the benchmarks compare."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import attrs


def installed_version(distribution: str) -> str | None:
    """Return the version of a distribution without importing it, or None if it is missing."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


@attrs.frozen
class Client:
    """One implementation to measure: its module, its function, and an optional requirement."""

    module: str
    function: str
    requires: str | None = None

    @property
    def is_installed(self) -> bool:
        return self.requires is None or installed_version(self.requires) is not None

    def load(self) -> Callable[..., Any]:
        """Import the function. Other clients' modules are never imported in this process."""
        run: Callable[..., Any] = getattr(importlib.import_module(self.module), self.function)
        return run


CLIENTS: Final[Mapping[str, Client]] = {
    "session": Client("benchmarks.library", "run_scenario"),
    "fast": Client("benchmarks.library", "run_scenario_fast"),
    "agents": Client("benchmarks.agents_sdk", "run_scenario", requires="openai-agents"),
}
"""The clients of every scenario: the default transport, ``connect_fast`` and openai-agents."""
