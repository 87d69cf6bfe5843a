"""The implementations that the benchmarks compare. Imported in the environments of all of them."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import attrs

from benchmarks.peers.pins import Peer


def installed_version(distribution: str) -> str | None:
    """Return the version of a distribution without importing it, or None if it is missing."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


@attrs.frozen
class Client:
    """One implementation to measure.

    Attributes:
        module: its module.
        function: its function there.
        requires: a distribution that may be missing.
        peer: the environment that it runs in, if not that of this process.
    """

    module: str
    function: str
    requires: str | None = None
    peer: Peer | None = None

    @property
    def python(self) -> str:
        """The interpreter that runs it."""
        return sys.executable if self.peer is None else self.peer.environment.python

    def why_missing(self) -> str | None:
        """Return why it cannot run, or None if it can."""
        if self.peer is not None:
            return self.peer.why_missing()
        if self.requires is None or installed_version(self.requires) is not None:
            return None
        return f"{self.requires} is not installed"

    def load(self) -> Callable[..., Any]:
        """Import the function. Other clients' modules are never imported in this process."""
        run: Callable[..., Any] = getattr(importlib.import_module(self.module), self.function)
        return run


def describe_environment(distributions: Iterable[str], clients: Iterable[Client]) -> dict[str, Any]:
    """Return the machine, and the versions of distributions here and in the environments of clients."""
    peers = [client.peer for client in clients if client.peer is not None]
    return {
        "python": sys.version.split()[0],
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {name: installed_version(name) for name in distributions},
        "peers": {peer.name: peer.versions for peer in peers},
    }


def why_missing(names: Iterable[str], clients: Mapping[str, Client]) -> dict[str, str]:
    """Return the reason for each of these clients that cannot run."""
    reasons = {name: clients[name].why_missing() for name in names}
    return {name: reason for name, reason in reasons.items() if reason is not None}


CLIENTS: Final[Mapping[str, Client]] = {
    "session": Client("benchmarks.library", "run_scenario"),
    "fast": Client("benchmarks.library", "run_scenario_fast"),
    "agents": Client("benchmarks.agents_sdk", "run_scenario", requires="openai-agents"),
}
"""The clients of every scenario: the default transport, ``connect_fast`` and openai-agents."""
