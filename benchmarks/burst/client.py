"""One contestant in its own process: ``python -m benchmarks.burst.client NAME URL TURNS FRAMES [FILE]``.

Prints its measurement as one line of JSON. With FILE, it runs under cProfile and leaves the statistics
there; its figures are then those of a profiled run.
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
    """Without importing it."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


@attrs.frozen
class Contestant:
    """Where the code is, and which distribution it needs besides those of the library."""

    module: str
    function: str
    needs: str | None = None

    @property
    def is_installed(self) -> bool:
        return self.needs is None or installed_version(self.needs) is not None

    def load(self) -> Run:
        """Import it: only here, so that no contestant pays for the modules of another."""
        run: Run = getattr(
            importlib.import_module(f"benchmarks.burst.{self.module}"), self.function
        )
        return run


CONTESTANTS: Mapping[str, Contestant] = {
    "bare": Contestant("bare", "run_fast"),
    "bare_stdlib": Contestant("bare", "run_stdlib"),
    "session": Contestant("session", "run_iterating"),
    "subscribe": Contestant("session", "run_subscribed"),
    "agents": Contestant("agents_sdk", "run", needs="openai-agents"),
}


def main(name: str, url: str, turns: str, frames_per_turn: str, profile: str | None = None) -> None:
    run = CONTESTANTS[name].load()
    load = Load(turns=int(turns), frames_per_turn=int(frames_per_turn))
    measured = run(url, load) if profile is None else _profiled(run, url, load, profile)
    print(json.dumps(measured.to_json()))


def _profiled(run: Run, url: str, load: Load, path: str) -> Measurement:
    profiler = cProfile.Profile(time.process_time)  # CPU: others may use the machine too
    try:
        return profiler.runcall(run, url, load)
    finally:
        profiler.dump_stats(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
