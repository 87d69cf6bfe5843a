"""``python -m benchmarks capacity``: try numbers of sessions, and report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Final

import attrs
import trio

from benchmarks.capacity.report import CapacityReport, holds
from benchmarks.clients import CLIENTS, why_missing
from benchmarks.duplex.command import serve_load
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.options import add_freeze_option, add_number, add_numbers, add_round_options

SUMMARY = "latency against the number of sessions, and how many one core holds"

MAX_FAILURES: Final = 2
"""The numbers of sessions in a row that a client may not hold before it is not tried any further."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_numbers(
        parser, "--sessions", [10, 25, 40, 55, 75, 100, 120, 150], "numbers of sessions to try"
    )
    add_number(parser, "--frames", 250, "frames of each session")
    parser.add_argument(
        "--limit-ms",
        type=float,
        metavar="MS",
        default=20.0,
        help="p99 in milliseconds below which a client holds its sessions (default: 20)",
    )
    add_freeze_option(parser)
    add_round_options(parser)


def run(options: argparse.Namespace) -> CapacityReport:
    """Run the benchmark with the given options."""
    return trio.run(
        partial(
            measure,
            DuplexLoad(mode="paced", frames=options.frames, freeze=options.freeze),
            numbers=options.sessions,
            limit=options.limit_ms / 1000,
            repeat=options.repeat,
            names=options.only or [*CLIENTS],
        )
    )


async def measure(
    load: DuplexLoad, *, numbers: Sequence[int], limit: float, repeat: int, names: Sequence[str]
) -> CapacityReport:
    """Try each number of sessions ``repeat`` times with every client that still holds them.

    Raises:
        subprocess.CalledProcessError: a client failed; its messages are on stderr.
    """
    missing = why_missing(names, CLIENTS)
    measured: dict[str, dict[int, list[DuplexMeasurement]]] = {
        name: {} for name in names if name not in missing
    }
    failures = dict.fromkeys(measured, 0)
    async with serve_load(load) as server:
        for sessions in numbers:
            tried = [name for name in measured if failures[name] < MAX_FAILURES]
            for name in tried:
                measured[name][sessions] = []
            for _ in range(repeat):
                for name in tried:
                    one = await server.measure(name, attrs.evolve(load, sessions=sessions))
                    measured[name][sessions].append(one)
            for name in tried:
                held = holds(measured[name][sessions], limit)
                failures[name] = 0 if held else failures[name] + 1
    return CapacityReport(load=load, limit=limit, rounds=measured, missing=missing)
