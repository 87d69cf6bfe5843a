"""``python -m benchmarks memory``: start the server, run the clients, and report."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from benchmarks.comparison import Column, Comparison, ComparisonReport
from benchmarks.options import add_round_options, positive

SUMMARY = "bytes of memory of a session, compared with openai-agents"

COMPARISON: Final = Comparison(
    name="memory",
    heading="{sessions} sessions, {frames} frames of 20 ms in each direction; kB of one session",
    scenario="benchmarks.memory.client",
    columns=(Column("idle", "idle", 1e-3), Column("conversation", "in conversation", 1e-3)),
    compared=("idle", "conversation"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--sessions",
        type=positive,
        metavar="N",
        default=200,
        help="sessions at the same time (default: 200)",
    )
    parser.add_argument(
        "--frames",
        type=positive,
        metavar="N",
        default=50,
        help="frames of each session (default: 50)",
    )
    parser.add_argument(
        "--tracemalloc", action="store_true", help="count the bytes that Python has allocated"
    )
    add_round_options(parser)


def run(options: argparse.Namespace) -> ComparisonReport:
    """Run the benchmark with the given options."""
    settings: Mapping[str, Any] = {
        "sessions": options.sessions,
        "frames": options.frames,
        "traced": options.tracemalloc,
    }
    server = ("benchmarks.duplex.server", '{"mode": "lock"}')
    return COMPARISON.run(server, settings, repeat=options.repeat, only=options.only)
