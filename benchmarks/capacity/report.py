"""Latencies against the number of sessions, and the number that each client holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import attrs

from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.report import LATENCIES, latencies_ms
from benchmarks.ratios import REFERENCE
from benchmarks.reports import Table, TabularReport, environment, missing_notes


@attrs.frozen(kw_only=True)
class CapacityReport(TabularReport):
    """The measurements of all clients.

    Attributes:
        load: what each session did. Its number of sessions has no meaning.
        limit: the p99 in seconds below which a client holds its sessions.
        rounds: for each client and number of sessions the measurements, one per round.
        missing: why other clients were not measured.
    """

    load: DuplexLoad
    limit: float
    rounds: Mapping[str, Mapping[int, Sequence[DuplexMeasurement]]]
    missing: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def capacity(self, name: str) -> int:
        """Return the number of sessions up to which a client held all; 0 if it held none."""
        capacity = 0
        for number, rounds in sorted(self.rounds[name].items()):
            if not holds(rounds, self.limit):
                break
            capacity = number
        return capacity

    def ratios(self) -> dict[str, float]:
        """Return the ratio of each capacity to that of openai-agents, keyed ``session/agents`` etc."""
        if REFERENCE not in self.rounds or not self.capacity(REFERENCE):
            return {}
        reference = self.capacity(REFERENCE)
        names = [name for name in self.rounds if name != REFERENCE]
        return {f"{name}/{REFERENCE}": self.capacity(name) / reference for name in names}

    def title(self) -> str:
        load = self.load
        return (
            f"paced: {load.frames} pairs of frames of {load.frame_ms} ms in each session"
            f"{', gc.freeze' if load.freeze else ''}; "
            f"latency in milliseconds"
        )

    def tables(self) -> Sequence[Table]:
        rows = [
            [
                name,
                str(sessions),
                *latencies_ms(rounds),
                f"{_share_of_core(rounds):.0%}",
                f"{median(one.late for one in rounds) * 1000:.2f}",
            ]
            for name, numbers in self.rounds.items()
            for sessions, rounds in numbers.items()
        ]
        held = [
            [name, str(self.capacity(name)), _shown(self.ratios().get(f"{name}/{REFERENCE}"))]
            for name in self.rounds
        ]
        return [
            Table(["client", "sessions", *LATENCIES, "core", "server late"], rows),
            Table(["client", "holds", f"ratio to {REFERENCE}"], held),
        ]

    def notes(self) -> Sequence[str]:
        return [
            "server late: p99 of the time by which the server missed its deadlines",
            f"holds: the largest number of sessions with p99 < {self.limit * 1000:g} ms",
            *missing_notes(self.missing),
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "benchmark": "capacity",
            "settings": {**attrs.asdict(self.load), "limit": self.limit, **environment()},
            "rounds": {
                name: {str(n): [one.to_json() for one in rounds] for n, rounds in numbers.items()}
                for name, numbers in self.rounds.items()
            },
            "capacity": {name: self.capacity(name) for name in self.rounds},
            "missing": dict(self.missing),
            "ratios": self.ratios(),
        }


def holds(rounds: Sequence[DuplexMeasurement], limit: float) -> bool:
    """Return whether the median of p99 over the rounds is below the limit, in seconds."""
    return median(one.p99 for one in rounds) < limit


def _share_of_core(rounds: Sequence[DuplexMeasurement]) -> float:
    return median(one.cpu / one.wall for one in rounds)


def _shown(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
