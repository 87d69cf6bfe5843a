"""``python -m benchmarks consumers``: run sessions with consumers and guardrails, and report."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

import attrs
import trio

from benchmarks.consumers.measure import (
    GUARDS,
    SlowFigures,
    measure_consumers,
    measure_guardrails,
    measure_slow,
)
from benchmarks.options import add_number, add_numbers
from benchmarks.reports import Table, TabularReport, environment
from trio_realtime.config import OverflowPolicy

SUMMARY = "CPU time of events with several consumers, a slow consumer, and guardrails"

SLOW: Final[Mapping[str, OverflowPolicy | None]] = {
    "no slow consumer": None,
    "fail": "fail",
    "drop_oldest_audio": "drop_oldest_audio",
}
"""The policy of each row of the table of slow consumers."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_numbers(parser, "--consumers", [1, 2, 8, 20], "numbers of consumers")
    add_number(
        parser, "--deltas", 20_000, "deltas of each measurement", ", more than a channel buffers"
    )
    add_number(parser, "--repeat", 3, "number of rounds")


@attrs.frozen(kw_only=True)
class ConsumersReport(TabularReport):
    """The figures of consumers, slow consumers and guardrails, one per round.

    Attributes:
        deltas: the number of deltas of each measurement.
        consumers: seconds of CPU time of one delta, by the number of consumers.
        slow: the figures of slow consumers, by policy.
        guardrails: seconds of CPU time of one delta, by guardrails.
    """

    deltas: int
    consumers: Mapping[int, Sequence[float]]
    slow: Mapping[str, Sequence[SlowFigures]]
    guardrails: Mapping[str, Sequence[float]]

    @property
    def exit_status(self) -> int:
        """1 if a slow consumer has cost another one events."""
        return int(any(one.received != self.deltas for all_ in self.slow.values() for one in all_))

    def title(self) -> str:
        return f"one session without sockets, {self.deltas:,} deltas; microseconds of CPU time"

    def tables(self) -> Sequence[Table]:
        return [self._consumers(), self._slow(), self._guardrails()]

    def _consumers(self) -> Table:
        rows = [
            [str(count), f"{_us(costs):.1f}", f"{_us(costs) / count:.1f}"]
            for count, costs in self.consumers.items()
        ]
        return Table(["consumers", "per delta", "per delta and consumer"], rows)

    def _slow(self) -> Table:
        heads = ["slow consumer", "per delta", "read", "buffered", "kB of audio", "dropped", "ends"]
        rows = [
            [
                name,
                f"{_us([one.cpu for one in rounds]):.1f}",
                f"{rounds[0].received:,}",
                f"{rounds[0].buffered_events:,}",
                f"{rounds[0].buffered_audio / 1000:,.0f}",
                f"{rounds[0].dropped:,}",
                rounds[0].failure or "-",
            ]
            for name, rounds in self.slow.items()
        ]
        return Table(heads, rows)

    def _guardrails(self) -> Table:
        rows = [[name, f"{_us(costs):.1f}"] for name, costs in self.guardrails.items()]
        return Table(["guardrails", "per delta"], rows)

    def to_json(self) -> dict[str, Any]:
        return {
            "benchmark": "consumers",
            "settings": {"deltas": self.deltas, **environment()},
            "consumers": {str(count): list(costs) for count, costs in self.consumers.items()},
            "slow": {
                name: [attrs.asdict(one) for one in rounds] for name, rounds in self.slow.items()
            },
            "guardrails": {name: list(costs) for name, costs in self.guardrails.items()},
        }


def _us(seconds: Sequence[float]) -> float:
    return median(seconds) * 1e6


def run(options: argparse.Namespace) -> ConsumersReport:
    """Run the benchmark with the given options."""
    return trio.run(measure, options.consumers, options.deltas, options.repeat)


async def measure(counts: Sequence[int], deltas: int, repeat: int) -> ConsumersReport:
    """Run all measurements, in turns."""
    consumers: dict[int, list[float]] = {count: [] for count in counts}
    slow: dict[str, list[SlowFigures]] = {name: [] for name in SLOW}
    guardrails: dict[str, list[float]] = {name: [] for name in GUARDS}
    for _ in range(repeat):
        for count, costs in consumers.items():
            costs.append(await measure_consumers(count, deltas))
        for name, figures in slow.items():
            figures.append(await measure_slow(SLOW[name], deltas))
        for name, costs in guardrails.items():
            costs.append(await measure_guardrails(name, deltas))
    return ConsumersReport(deltas=deltas, consumers=consumers, slow=slow, guardrails=guardrails)
