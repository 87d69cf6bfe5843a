"""Figures from the measurements: CPU time per pair of frames, latency, and ratios of clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import attrs

from benchmarks.clients import describe_environment
from benchmarks.duplex.client import CLIENTS
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.ratios import REFERENCE, ratios_to_reference

VERSIONS = ("trio-realtime", "trio", "trio-websocket", "openai-agents", "websockets")


@attrs.frozen(kw_only=True)
class DuplexReport:
    """The measurements of all clients.

    Attributes:
        load: what each client did in each round.
        rounds: the measurements of each client, one per round.
        missing: why other clients were not measured.
    """

    load: DuplexLoad
    rounds: Mapping[str, Sequence[DuplexMeasurement]]
    missing: Mapping[str, str] = attrs.field(factory=dict[str, str])

    @property
    def exit_status(self) -> int:
        """0: figures are not right or wrong."""
        return 0

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
                **describe_environment(VERSIONS, map(CLIENTS.__getitem__, self.rounds)),
            },
            "rounds": {
                name: [measured.to_json() for measured in rounds]
                for name, rounds in self.rounds.items()
            },
            "missing": dict(self.missing),
            "ratios": self.ratios(),
        }

    def to_text(self) -> str:
        load = self.load
        lines = [
            f"{load.mode}: {load.sessions} sessions, {load.frames} pairs of frames of {load.frame_ms} ms"
            + (", TLS" if load.tls else ""),
            "CPU time per pair in microseconds, latency in milliseconds",
            "",
            f"{'':16} {'best':>8} {'median':>8} {'p50':>8} {'p99':>8}   ratio to {REFERENCE}",
            *map(self._row, self.rounds),
        ]
        lines += [f"{name}: not measured, {why}" for name, why in self.missing.items()]
        return "\n".join(lines)

    def _row(self, name: str) -> str:
        cpu, measured = self.cpu_us(name), self.rounds[name]
        p50 = median(m.p50 for m in measured) * 1000
        p99 = median(m.p99 for m in measured) * 1000
        row = f"{name:16} {min(cpu):8.1f} {median(cpu):8.1f} {p50:8.2f} {p99:8.2f}"
        ratio = self.ratios().get(f"{name}/{REFERENCE}")
        return row if ratio is None else f"{row}   {ratio:6.2f}"
