"""``python -m benchmarks lifecycle``: start the server, run the clients, and report."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from benchmarks.comparison import Column, Comparison, ComparisonReport
from benchmarks.options import add_number, add_round_options

SUMMARY = "CPU time of a session that opens and closes, compared with openai-agents"

COMPARISON: Final = Comparison(
    name="lifecycle",
    heading="{sessions} sessions one after the other; milliseconds of one session",
    scenario="benchmarks.lifecycle.client",
    columns=(
        Column("open_cpu", "open and close", 1000, 2),
        Column("open_wall", "wall clock", 1000, 2),
        Column("answer_cpu", "with an answer", 1000, 2),
        Column("answer_wall", "wall clock", 1000, 2),
    ),
    compared=("open_cpu", "answer_cpu"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_number(parser, "--sessions", 200, "sessions of each kind")
    add_round_options(parser)


def run(options: argparse.Namespace) -> ComparisonReport:
    """Run the benchmark with the given options."""
    settings: Mapping[str, Any] = {"sessions": options.sessions}
    server = ("benchmarks.duplex.server", '{"mode": "lock"}')
    return COMPARISON.run(server, settings, repeat=options.repeat, only=options.only)
