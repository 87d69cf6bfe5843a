"""``python -m benchmarks gateway``: web clients of one gateway process."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import attrs
import httpx2
import trio

from benchmarks.gateway.client import Load
from benchmarks.processes import client_environment
from benchmarks.reports import Table, TabularReport, environment

SUMMARY = "web clients of one gateway process: CPU, memory, latency"

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1_000_000
_AGENTS = """\
[agents.assistant]
realtime_mode = true
instructions = "Be brief."
[agents.assistant.realtime]
idle_timeout = 3600
turn_detection = "none"  # the local server would need more time for it than the gateway for everything
[agents.assistant.service]
base_url = "{url}"
"""
_CONFIG = """\
agents = "agents.toml"
port = 0
max_sessions = 10000
[storage]
{storage}
"""
_STORAGE = """\
database = "sqlite:///history.db"
recordings = "recordings"
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--clients", type=int, metavar="N", default=100)
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of the measurement")
    parser.add_argument(
        "--frame-ms", type=int, metavar="N", default=40, help="audio in a frame of a microphone"
    )
    parser.add_argument(
        "--no-stores", action="store_true", help="without recordings and without a history"
    )


@attrs.frozen(kw_only=True)
class GatewayReport(TabularReport):
    """The measurements.

    Attributes:
        clients, seconds, frame_ms, stores: the settings.
        cpu: cores that the gateway has used.
        idle_memory, memory: bytes of the gateway before the first client, and with all of them.
        latencies: seconds, as p50 and p99.
        counts: what the clients have sent and received.
    """

    clients: int
    seconds: float
    frame_ms: int
    stores: bool
    cpu: float
    idle_memory: int
    memory: int
    latencies: dict[str, float]
    counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        return {"benchmark": "gateway", **attrs.asdict(self), "environment": environment()}

    def title(self) -> str:
        stores = "with recordings and history" if self.stores else "without stores"
        frames = f"frames of {self.frame_ms} ms"
        return f"{self.clients} web clients for {self.seconds:g} s, {frames}, {stores}"

    def tables(self) -> Sequence[Table]:
        each = (self.memory - self.idle_memory) / self.clients / 1000
        usage = [
            ["CPU of the gateway", f"{self.cpu * 100:.0f} % of a core"],
            ["CPU for each client", f"{self.cpu * 1000 / self.clients:.1f} ms/s"],
            ["memory", f"{self.memory / MEGABYTE:.0f} MB"],
            ["memory for each client", f"{each:.0f} kB"],
        ]
        rows = [
            [name, *(f"{self.latencies[f'{name}_{share}'] * 1000:.1f}" for share in ("p50", "p99"))]
            for name in ("event", "ping")
        ]
        return [Table(["", "value"], usage), Table(["ms", "p50", "p99"], rows)]

    def notes(self) -> Sequence[str]:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return [f"counts: {counts}"]


def run(options: argparse.Namespace) -> GatewayReport:
    """Run the benchmark with the given options."""
    return trio.run(
        partial(
            measure,
            options.clients,
            options.seconds,
            frame_ms=options.frame_ms,
            stores=not options.no_stores,
        )
    )


async def measure(clients: int, seconds: float, *, frame_ms: int, stores: bool) -> GatewayReport:
    """Run clients for a time, and measure the gateway meanwhile."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        async with (
            _process("serve", "--port", "0") as (_, server),
            _gateway(directory, server, stores=stores) as (pid, url),
        ):
            idle = _resident_bytes(pid)
            load = Load(url, clients, frame_ms)
            async with trio.open_nursery() as nursery:
                async with httpx2.AsyncClient(base_url=url) as http:
                    for number in range(clients):
                        created = (await http.post("/v1/sessions")).json()
                        delay = 4.0 * number / clients
                        nursery.start_soon(load.run_client, created["url"], created["token"], delay)
                with trio.fail_after(60):
                    await load.all_connected.wait()
                await trio.sleep(4.0)  # all have asked
                load.latencies.take()
                load.counts.clear()
                before, started = _cpu_seconds(pid), trio.current_time()
                await trio.sleep(seconds)
                used = _cpu_seconds(pid) - before
                lasted = trio.current_time() - started
                memory = _resident_bytes(pid)
                counts, latencies = dict(load.counts), load.latencies.take()
                nursery.cancel_scope.cancel()
    return GatewayReport(
        clients=clients,
        seconds=seconds,
        frame_ms=frame_ms,
        stores=stores,
        cpu=used / lasted,
        idle_memory=idle,
        memory=memory,
        latencies=latencies,
        counts=counts,
    )


@asynccontextmanager
async def _gateway(
    directory: Path, server: str, *, stores: bool
) -> AsyncGenerator[tuple[int, str]]:
    agents = _AGENTS.format(url=server)
    await trio.Path(directory / "agents.toml").write_text(agents)
    config = _CONFIG.format(storage=_STORAGE if stores else "")
    await trio.Path(directory / "gateway.toml").write_text(config)
    options = ("gateway", "--config", str(directory / "gateway.toml"))
    async with _process(*options) as (pid, url):
        yield pid, url


@asynccontextmanager
async def _process(*arguments: str) -> AsyncGenerator[tuple[int, str]]:
    """Run a command of the library during the block. Yields its process id and the URL that it prints."""
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            partial(
                trio.run_process,
                [sys.executable, "-m", "trio_realtime.cli", *arguments],
                stdout=subprocess.PIPE,
                check=False,
                env=client_environment(PYTHONPATH=str(ROOT), OPENAI_API_KEY="local"),
            )
        )
        output = cast("trio.abc.ReceiveStream", process.stdout)
        with trio.fail_after(60):
            line = await output.receive_some()
        yield process.pid, bytes(line).decode().split()[0]
        process.send_signal(signal.SIGKILL)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
