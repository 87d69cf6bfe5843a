"""Runs one client: ``python -m benchmarks.burst.client NAME URL TURNS FRAMES [FILE]``.

The program prints its measurement as one line of JSON. With FILE, the client runs under cProfile, which
writes its statistics to FILE; the measurement then includes the cost of profiling.
"""

from __future__ import annotations

import cProfile
import importlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TypeAlias

import attrs

from benchmarks.burst.load import Load, Measurement

Run: TypeAlias = Callable[[str, Load], Measurement]


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

    def load(self) -> Run:
        """Import the function. Other clients' modules are never imported in this process."""
        run: Run = getattr(
            importlib.import_module(f"benchmarks.burst.{self.module}"), self.function
        )
        return run


CLIENTS: Mapping[str, Client] = {
    "bare": Client("bare", "run_fast"),
    "bare_stdlib": Client("bare", "run_stdlib"),
    "session": Client("session", "run_iterating"),
    "subscribe": Client("session", "run_subscribed"),
    "agents": Client("agents_sdk", "run", requires="openai-agents"),
}


def main(name: str, url: str, turns: str, frames_per_turn: str, profile: str | None = None) -> None:
    run = CLIENTS[name].load()
    load = Load(turns=int(turns), frames_per_turn=int(frames_per_turn))
    measured = run(url, load) if profile is None else _profiled(run, url, load, profile)
    print(json.dumps(measured.to_json()))


def _profiled(run: Run, url: str, load: Load, path: str) -> Measurement:
    profiler = cProfile.Profile(time.process_time)  # CPU time, because the machine may be busy
    try:
        return profiler.runcall(run, url, load)
    finally:
        profiler.dump_stats(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
