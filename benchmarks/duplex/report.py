"""Figures from the measurements: CPU time per pair of frames, latency, and ratios of clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import attrs

from benchmarks.duplex.client import CLIENTS
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.ratios import REFERENCE, ratios_to_reference
from benchmarks.reports import Table, TabularReport, environment, missing_notes
from benchmarks.sampling import LAYERS


@attrs.frozen(kw_only=True)
class DuplexReport(TabularReport):
    """The measurements of all clients.

    Attributes:
        load: what each client did in each round.
        rounds: the measurements of each client, one per round.
        missing: why other clients were not measured.
    """

    load: DuplexLoad
    rounds: Mapping[str, Sequence[DuplexMeasurement]]
    missing: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def cpu_us(self, name: str) -> list[float]:
        """Return the microseconds of CPU time per delta and answer, one figure per round."""
        pairs = self.load.sessions * self.load.frames
        return [measured.cpu * 1e6 / pairs for measured in self.rounds[name]]

    def ratios(self) -> dict[str, float]:
        """Return the ratio of each client to openai-agents, keyed ``session/agents`` etc."""
        return ratios_to_reference({name: self.cpu_us(name) for name in self.rounds})

    def to_json(self) -> dict[str, Any]:
        return {
            "benchmark": "duplex",
            "settings": {
                **attrs.asdict(self.load),
                **environment(map(CLIENTS.__getitem__, self.rounds)),
            },
            "rounds": {
                name: [measured.to_json() for measured in rounds]
                for name, rounds in self.rounds.items()
            },
            "missing": dict(self.missing),
            "ratios": self.ratios(),
        }

    def title(self) -> str:
        load = self.load
        return (
            f"{load.mode}: {load.sessions} sessions, {load.frames} pairs of frames of "
            f"{load.frame_ms} ms{', TLS' if load.tls else ''}{', gc.freeze' if load.freeze else ''}; "
            f"CPU time per pair in microseconds, latency in milliseconds"
        )

    def tables(self) -> Sequence[Table]:
        heads = ["client", "best", "median", *LATENCIES, f"ratio to {REFERENCE}"]
        tables = [Table(heads, [self._row(name) for name in self.rounds])]
        if self.load.sample:
            tables.append(Table(["us in", *self.rounds], [self._layer(one) for one in LAYERS]))
        return tables

    def layer_us(self, name: str, layer: str) -> float:
        """Return the microseconds of CPU time per pair in one layer, the median of the rounds."""
        measured = self.rounds[name]
        shares = [one.layers.get(layer, 0.0) for one in measured]
        return median(us * share for us, share in zip(self.cpu_us(name), shares, strict=True))

    def _layer(self, layer: str) -> list[str]:
        return [layer, *(f"{self.layer_us(name, layer):.1f}" for name in self.rounds)]

    def notes(self) -> Sequence[str]:
        return missing_notes(self.missing)

    def _row(self, name: str) -> list[str]:
        cpu = self.cpu_us(name)
        ratio = self.ratios().get(f"{name}/{REFERENCE}")
        return [
            name,
            f"{min(cpu):.1f}",
            f"{median(cpu):.1f}",
            *latencies_ms(self.rounds[name]),
            "" if ratio is None else f"{ratio:.2f}",
        ]


LATENCIES = ("p50", "p99", "p99.9")


def latencies_ms(rounds: Sequence[DuplexMeasurement]) -> list[str]:
    """Return the medians of the latencies over the rounds, in milliseconds."""
    return [
        f"{median(one.p50 for one in rounds) * 1000:.2f}",
        f"{median(one.p99 for one in rounds) * 1000:.2f}",
        f"{median(one.p999 for one in rounds) * 1000:.2f}",
    ]
