"""``python -m benchmarks duplex``: start the server, run the clients, and report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from functools import partial

import attrs
import trio

from benchmarks.duplex.client import CLIENTS
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.report import DuplexReport
from benchmarks.processes import certificate, load_server, run_client

SUMMARY = "CPU time and latency of many sessions that receive and send audio, and of other clients"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--mode", choices=["lock", "paced"], default="lock", help="how the audio is exchanged"
    )
    parser.add_argument("--sessions", type=int, default=30, help="sessions at the same time")
    parser.add_argument("--frames", type=int, default=200, help="frames of each session")
    parser.add_argument(
        "--frame-ms", type=int, choices=[20, 100], default=20, help="milliseconds of each frame"
    )
    parser.add_argument("--tls", action="store_true", help="connect over TLS")
    parser.add_argument(
        "--repeat", type=int, default=5, help="number of rounds; each client runs once per round"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[*CLIENTS],
        help="measure only this client (can be given several times)",
    )


def run(options: argparse.Namespace) -> DuplexReport:
    """Run the benchmark with the given options."""
    load = DuplexLoad(
        mode=options.mode,
        sessions=options.sessions,
        frames=options.frames,
        frame_ms=options.frame_ms,
        tls=options.tls,
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
    settings = json.dumps(attrs.asdict(load))
    with certificate() as files:
        arguments = [settings, *([str(files.server)] if load.tls else [])]
        async with load_server("benchmarks.duplex.server", *arguments) as port:
            url = f"wss://localhost:{port}/v1" if load.tls else f"ws://127.0.0.1:{port}/v1"
            for _ in range(repeat):
                for name, measured in rounds.items():
                    client = "benchmarks.duplex.client", name, url, settings
                    printed = await run_client(
                        *client, python=CLIENTS[name].python, trusted=files.authority
                    )
                    measured.append(DuplexMeasurement(**json.loads(printed)))
    return DuplexReport(load=load, rounds=rounds, missing=missing)
