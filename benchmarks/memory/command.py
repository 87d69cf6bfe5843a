"""``python -m benchmarks memory``: start the server, run the clients, and report."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from benchmarks.comparison import Column, Comparison, ComparisonReport
from benchmarks.options import add_number, add_round_options

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
    add_number(parser, "--sessions", 200, "sessions at the same time")
    add_number(parser, "--frames", 50, "frames of each session")
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
