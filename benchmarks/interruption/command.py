"""``python -m benchmarks interruption``: start the server, run the clients, and report."""

from __future__ import annotations

import argparse
from typing import Final

from benchmarks.comparison import (
    Column,
    Comparison,
    ComparisonReport,
    add_round_options,
    positive,
)

SUMMARY = "latency of the frames that interrupt the agent, compared with openai-agents"

COMPARISON: Final = Comparison(
    name="interruption",
    heading="{interruptions} barge-ins, the {cancels} cancels responses; milliseconds",
    scenario="benchmarks.interruption.client",
    columns=(
        Column("first_p50", "first frame, p50", 1000, 2),
        Column("first_p99", "p99", 1000, 2),
        Column("last_p50", "last frame, p50", 1000, 2),
        Column("last_p99", "p99", 1000, 2),
        Column("frames_p50", "frames", 1, 0),
        Column("unanswered_count", "unanswered", 1, 0),
    ),
    compared=("first_p50", "last_p50"),
    server_measures=True,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--interruptions",
        type=positive,
        default=300,
        help="barge-ins of each client (default: 300)",
    )
    parser.add_argument(
        "--cancels",
        choices=["client", "service"],
        default="client",
        help="who cancels a response when the user speaks (default: client)",
    )
    add_round_options(parser)


def run(options: argparse.Namespace) -> ComparisonReport:
    """Run the benchmark with the given options."""
    settings = {"interruptions": options.interruptions, "cancels": options.cancels}
    server = ("benchmarks.interruption.server", str(options.interruptions), options.cancels)
    return COMPARISON.run(server, settings, repeat=options.repeat, only=options.only)
