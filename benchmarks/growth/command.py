"""``python -m benchmarks growth``: let conversations grow, and report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import attrs
import trio

from benchmarks.growth.measure import DeltaFigures, ItemFigures, measure_deltas, measure_items
from benchmarks.options import add_number, add_numbers
from benchmarks.reports import Table, TabularReport, environment

SUMMARY = "CPU time of events and of the history in a conversation of up to 100,000 items"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_numbers(
        parser, "--items", [10, 1000, 20_000, 100_000], "numbers of items, in ascending order"
    )
    add_numbers(
        parser,
        "--deltas",
        [100, 10_000, 50_000],
        "numbers of deltas in one item, in ascending order",
    )
    add_number(parser, "--batch", 200, "events that are timed together")


@attrs.frozen(kw_only=True)
class GrowthReport(TabularReport):
    """The figures of a growing conversation.

    Attributes:
        batch: the number of events that were timed together.
        items: the figures at each number of items.
        deltas: the figures at each number of deltas in one item.
    """

    batch: int
    items: Sequence[ItemFigures]
    deltas: Sequence[DeltaFigures]

    def title(self) -> str:
        return "one session without sockets; microseconds of CPU time"

    def tables(self) -> Sequence[Table]:
        return [
            _table("items", self.items, ("audio", "transcript", "item", "history")),
            _table("deltas", self.deltas, ("transcript", "history")),
        ]

    def notes(self) -> Sequence[str]:
        return ["x: the ratio to the first row", "history: a look at it after a change"]

    def to_json(self) -> dict[str, Any]:
        return {
            "benchmark": "growth",
            "settings": {"batch": self.batch, **environment()},
            "items": [attrs.asdict(one) for one in self.items],
            "deltas": [attrs.asdict(one) for one in self.deltas],
        }


def _table(size: str, figures: Sequence[Any], names: Sequence[str]) -> Table:
    heads = [size, *(head for name in names for head in (name, "x"))]
    rows = [
        [
            f"{getattr(one, size):,}",
            *(
                cell
                for name in names
                for cell in (
                    f"{getattr(one, name) * 1e6:,.1f}",
                    f"{getattr(one, name) / getattr(figures[0], name):.2f}",
                )
            ),
        ]
        for one in figures
    ]
    return Table(heads, rows)


def run(options: argparse.Namespace) -> GrowthReport:
    """Run the benchmark with the given options."""
    return GrowthReport(
        batch=options.batch,
        items=trio.run(measure_items, options.items, options.batch),
        deltas=trio.run(measure_deltas, options.deltas, options.batch),
    )
