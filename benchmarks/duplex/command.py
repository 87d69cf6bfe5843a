"""``python -m benchmarks duplex``: start the server, run the clients, and report."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from benchmarks.duplex.client import CLIENTS
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.report import DuplexReport
from benchmarks.options import add_freeze_option, add_round_options, positive
from benchmarks.processes import certificate, fetch, load_server, run_client

SUMMARY = "CPU time and latency of many sessions that receive and send audio, and of other clients"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--mode", choices=["lock", "paced"], default="lock", help="how the audio is exchanged"
    )
    parser.add_argument(
        "--sessions", type=positive, metavar="N", default=30, help="sessions at the same time"
    )
    parser.add_argument(
        "--frames", type=positive, metavar="N", default=200, help="frames of each session"
    )
    parser.add_argument(
        "--frame-ms", type=int, choices=[20, 100], default=20, help="milliseconds of each frame"
    )
    parser.add_argument("--tls", action="store_true", help="connect over TLS")
    parser.add_argument(
        "--sample",
        action="store_true",
        help="show in which layers each client spends its time, by samples of its stack",
    )
    add_freeze_option(parser)
    add_round_options(parser, CLIENTS, repeat=5)


def run(options: argparse.Namespace) -> DuplexReport:
    """Run the benchmark with the given options."""
    load = DuplexLoad(
        mode=options.mode,
        sessions=options.sessions,
        frames=options.frames,
        frame_ms=options.frame_ms,
        tls=options.tls,
        freeze=options.freeze,
        sample=options.sample,
    )
    names = options.only or [*CLIENTS]
    return trio.run(partial(measure, load, repeat=options.repeat, names=names))


async def measure(load: DuplexLoad, *, repeat: int, names: Iterable[str]) -> DuplexReport:
    """Run every client ``repeat`` times, in turns, against one server.

    Raises:
        subprocess.CalledProcessError: a client failed; its messages are on stderr.
    """
    reasons = {name: CLIENTS[name].why_not(load) for name in names}
    missing = {name: reason for name, reason in reasons.items() if reason is not None}
    rounds: Mapping[str, list[DuplexMeasurement]] = {n: [] for n in reasons if n not in missing}
    async with serve_load(load) as server:
        for _ in range(repeat):
            for name, measured in rounds.items():
                measured.append(await server.measure(name, load))
    return DuplexReport(load=load, rounds=rounds, missing=missing)


@attrs.frozen
class DuplexServer:
    """A running load server.

    Attributes:
        port: where it listens.
        authority: the file of the authority that its certificate is from.
    """

    port: int
    authority: Path

    async def measure(self, name: str, load: DuplexLoad) -> DuplexMeasurement:
        """Run one client once, in a process of its own."""
        host = f"wss://localhost:{self.port}" if load.tls else f"ws://127.0.0.1:{self.port}"
        client = "benchmarks.duplex.client", name, f"{host}/v1", json.dumps(attrs.asdict(load))
        python = CLIENTS[name].python
        measured = json.loads(await run_client(*client, python=python, trusted=self.authority))
        figures = {} if load.tls else await fetch(self.port)
        return DuplexMeasurement(**{**measured, "late": figures.get("late_p99", 0.0)})


@asynccontextmanager
async def serve_load(load: DuplexLoad) -> AsyncGenerator[DuplexServer]:
    """Run the load server during the block. The number of sessions may differ from that of the load."""
    settings = json.dumps(attrs.asdict(load))
    with certificate() as files:
        arguments = [settings, *([str(files.server)] if load.tls else [])]
        async with load_server("benchmarks.duplex.server", *arguments) as port:
            yield DuplexServer(port, files.authority)
