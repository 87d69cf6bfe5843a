"""``python -m benchmarks tools``: start the server, run the clients, and report."""

from __future__ import annotations

import argparse
from typing import Final

from benchmarks.comparison import Column, Comparison, ComparisonReport
from benchmarks.options import add_number, add_round_options

SUMMARY = "latency and CPU time of a tool call, compared with openai-agents"

COMPARISON: Final = Comparison(
    name="tools",
    heading="{calls} tool calls one after the other; latency and CPU time in milliseconds",
    scenario="benchmarks.tools.client",
    columns=(
        Column("output_p50", "p50", 1000, 2),
        Column("output_p99", "p99", 1000, 2),
        Column("cpu", "CPU time", 1000, 3),
    ),
    compared=("output_p50", "cpu"),
    server_measures=True,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_number(parser, "--calls", 500, "tool calls of each client")
    add_round_options(parser)


def run(options: argparse.Namespace) -> ComparisonReport:
    """Run the benchmark with the given options."""
    server = ("benchmarks.tools.server", str(options.calls))
    settings = {"calls": options.calls}
    return COMPARISON.run(server, settings, repeat=options.repeat, only=options.only)
