"""``python -m benchmarks soak``: run sessions under continual faults, and report what they leave behind."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

import attrs
import trio

from benchmarks.memory_usage import resident_bytes
from benchmarks.reports import Table, TabularReport
from benchmarks.soak.load import Counts, Load
from trio_realtime import Endpoint
from trio_realtime.transports import Connector, connect_fast, connect_trio_websocket

CONNECTORS: Mapping[str, Connector] = {
    "trio-websocket": connect_trio_websocket,
    "fast": connect_fast,
}

SUMMARY = "many sessions on real sockets under continual faults: memory, tasks, descriptors, counts"

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1_000_000

MARGIN_FRACTION = 0.15
"""How much of its size after the warm-up the memory may grow."""

MARGIN_BYTES = 24 * MEGABYTE
"""How many bytes it may grow at least, because an allocator does not return everything."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--sessions", type=int, metavar="N", default=200, help="sessions at the same time"
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="duration of the faults")
    parser.add_argument(
        "--transport", choices=[*CONNECTORS], default="trio-websocket", help="how sessions connect"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", default=1, help="seed of questions and faults"
    )


@attrs.frozen(kw_only=True)
class Usage:
    """What this process uses at one moment."""

    memory: int
    tasks: int
    descriptors: int

    @classmethod
    def now(cls) -> Usage:
        return cls(
            memory=resident_bytes(),
            tasks=trio.lowlevel.current_statistics().tasks_living,
            descriptors=len([*Path("/proc/self/fd").iterdir()]),
        )


@attrs.frozen(kw_only=True)
class SoakReport(TabularReport):
    """The measurements of a soak.

    Attributes:
        sessions, seconds, seed: the settings.
        before: before the first session.
        warm: after the warm-up, with all sessions open.
        busy: at the end, with all sessions open.
        after: when all sessions have ended.
        counts: what the sessions have counted.
        faults: the number of faults of each kind.
    """

    sessions: int
    seconds: float
    seed: int
    before: Usage
    warm: Usage
    busy: Usage
    after: Usage
    counts: Counts
    faults: dict[str, int]

    @property
    def margin(self) -> int:
        """The number of bytes that the memory may have grown since the warm-up."""
        return max(int(self.warm.memory * MARGIN_FRACTION), MARGIN_BYTES)

    @property
    def problems(self) -> list[str]:
        """What is wrong; empty if nothing is."""
        problems = self.counts.problems()
        grown = self.busy.memory - self.warm.memory
        if grown > self.margin:
            problems.append(f"memory has grown by {grown / MEGABYTE:.1f} MB since the warm-up")
        for name in ("tasks", "descriptors"):
            left = getattr(self.after, name) - getattr(self.before, name)
            if left:
                problems.append(f"{left} {name} are left")
        return problems

    @property
    def exit_status(self) -> int:
        return 1 if self.problems else 0

    def to_json(self) -> dict[str, Any]:
        return {"benchmark": "soak", **attrs.asdict(self), "problems": self.problems}

    def title(self) -> str:
        margin = f"margin of memory: {self.margin / MEGABYTE:.1f} MB"
        return f"{self.sessions} sessions for {self.seconds:g} s, seed {self.seed}; {margin}"

    def tables(self) -> Sequence[Table]:
        usages = [self._usage(name) for name in ("before", "warm", "busy", "after")]
        counts = [[name, _shown(value)] for name, value in attrs.asdict(self.counts).items()]
        return [
            Table(["", "memory", "tasks", "descriptors"], usages),
            Table(["", "count"], [*counts, ["faults", _shown(self.faults)]]),
        ]

    def _usage(self, name: str) -> list[str]:
        usage: Usage = getattr(self, name)
        memory = f"{usage.memory / MEGABYTE:.1f} MB"
        return [name, memory, str(usage.tasks), str(usage.descriptors)]

    def notes(self) -> Sequence[str]:
        return [f"PROBLEM: {problem}" for problem in self.problems] or ["everything adds up"]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        counts = cast("dict[str, int]", value)
        return ", ".join(f"{key} {count}" for key, count in sorted(counts.items())) or "none"
    return str(value)


def run(options: argparse.Namespace) -> SoakReport:
    """Run the benchmark with the given options."""
    connector = CONNECTORS[options.transport]
    return trio.run(measure, options.sessions, options.seconds, options.seed, connector)


async def measure(
    sessions: int, seconds: float, seed: int, connector: Connector = connect_trio_websocket
) -> SoakReport:
    """Run sessions for a time, and measure before, during and after it.

    The warm-up is the first third, but at most a minute.
    """
    faults: dict[str, int] = {}
    async with _fault_process(seed, faults) as endpoint:
        before = Usage.now()
        load = Load(endpoint, Random(seed), connector)
        warm_up = min(seconds / 3, 60.0)
        async with trio.open_nursery() as nursery:
            for _ in range(sessions):
                nursery.start_soon(load.keep_session)
            await trio.sleep(warm_up)
            warm = Usage.now()
            await trio.sleep(seconds - warm_up)
            busy = Usage.now()
            load.stop()
        after = Usage.now()
    return SoakReport(
        sessions=sessions,
        seconds=seconds,
        seed=seed,
        before=before,
        warm=warm,
        busy=busy,
        after=after,
        counts=load.counts,
        faults=faults,
    )


@asynccontextmanager
async def _fault_process(seed: int, faults: dict[str, int]) -> AsyncGenerator[Endpoint]:
    """Run the server and the faults during the block. Fills in the number of faults after it."""
    async with trio.open_nursery() as nursery:
        start = partial(
            trio.run_process,
            [sys.executable, "-m", "benchmarks.soak.faults", str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        process: trio.Process = await nursery.start(start)
        assert process.stdin is not None
        assert process.stdout is not None
        port = await _read_line(process.stdout)
        url = f"ws://127.0.0.1:{port}/v1/realtime"
        try:
            yield Endpoint.compatible(url, api_key="local", model="gpt-realtime", proxy="")
        finally:
            # The process exits at the end of its stdin. If it were killed, its server would go on.
            with trio.move_on_after(30, shield=True):
                await process.stdin.aclose()
                faults.update(json.loads(await _read_line(process.stdout)))
                await process.wait()


async def _read_line(stream: trio.abc.ReceiveStream) -> str:
    line = b""
    while not line.endswith(b"\n"):
        data = await stream.receive_some()
        if not data:
            raise RuntimeError("the process of the faults has ended")
        line += data
    return line.decode().strip()
