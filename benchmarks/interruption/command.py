"""``python -m benchmarks interruption``: start the server, run the clients, and report."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

import attrs
import trio

from benchmarks.comparison import Column, Comparison, ComparisonReport
from benchmarks.interruption.tools import measure_interrupt
from benchmarks.options import add_number, add_round_options
from benchmarks.reports import Table

SUMMARY = "latency of the frames that interrupt the agent, compared with openai-agents"

TOOLS: Final = (1, 8, 64)
"""The numbers of tools that run when ``session.interrupt()`` is called."""

SESSIONS_WITH_TOOLS: Final = 20
"""The number of calls of ``session.interrupt()`` for each of them."""

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
    add_number(parser, "--interruptions", 300, "barge-ins of each client")
    parser.add_argument(
        "--cancels",
        choices=["client", "service"],
        default="client",
        help="who cancels a response when the user speaks (default: client)",
    )
    add_round_options(parser)


@attrs.frozen(kw_only=True)
class InterruptionReport(ComparisonReport):
    """The figures of all clients, and those of ``session.interrupt()`` in this library.

    Attributes:
        stops: seconds until the last running tool has ended, by the number of tools.
    """

    stops: Mapping[int, Sequence[float]]

    def tables(self) -> Sequence[Table]:
        rows = [
            [str(tools), f"{median(taken) * 1000:.2f}", f"{max(taken) * 1000:.2f}"]
            for tools, taken in self.stops.items()
        ]
        return [*super().tables(), Table(["running tools", "interrupt(), p50", "max"], rows)]

    def to_json(self) -> dict[str, Any]:
        stops = {str(tools): list(taken) for tools, taken in self.stops.items()}
        return {**super().to_json(), "stops": stops}


def run(options: argparse.Namespace) -> InterruptionReport:
    """Run the benchmark with the given options."""
    settings = {"interruptions": options.interruptions, "cancels": options.cancels}
    server = ("benchmarks.interruption.server", str(options.interruptions), options.cancels)
    compared = COMPARISON.run(server, settings, repeat=options.repeat, only=options.only)
    stops = {n: trio.run(measure_interrupt, n, SESSIONS_WITH_TOOLS) for n in TOOLS}
    return InterruptionReport(
        layout=compared.layout,
        settings=compared.settings,
        rounds=compared.rounds,
        missing=compared.missing,
        stops=stops,
    )
