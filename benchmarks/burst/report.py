"""Figures from the measurements: microseconds of CPU time per frame, and ratios of clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import attrs

from benchmarks.burst.client import CLIENTS
from benchmarks.burst.load import AUDIO_BYTES, Load, Measurement
from benchmarks.burst.profile import ProfileTable
from benchmarks.ratios import REFERENCE, ratios_to_reference
from benchmarks.reports import Table, TabularReport, environment, missing_notes


@attrs.frozen(kw_only=True)
class BurstReport(TabularReport):
    """The measurements of all clients.

    Attributes:
        load: what each client received in each round.
        rounds: the measurements of each client, one per round.
        missing: why other clients were not measured.
        profile: where a separate, profiled run of the session spent its time.
    """

    load: Load
    rounds: Mapping[str, Sequence[Measurement]]
    missing: Mapping[str, str] = attrs.field(factory=dict[str, str])
    profile: ProfileTable | None = None

    # --- figures

    def cpu_us(self, name: str) -> list[float]:
        """Return the microseconds of CPU time per frame, one figure per round."""
        return [m.cpu * 1e6 / self.load.frames for m in self.rounds[name]]

    def wall_us(self, name: str) -> list[float]:
        """Return the microseconds of wall-clock time per frame, one figure per round."""
        return [m.wall * 1e6 / self.load.frames for m in self.rounds[name]]

    def ratios(self) -> dict[str, float]:
        """Return the ratio of each client to openai-agents, keyed ``session/agents`` etc."""
        return ratios_to_reference({name: self.cpu_us(name) for name in self.rounds})

    # --- as JSON

    def to_json(self) -> dict[str, Any]:
        return {
            "benchmark": "burst",
            "settings": self._settings(),
            "clients": {name: self._figures(name) for name in self.rounds},
            "missing": dict(self.missing),
            "ratios": self.ratios(),
            "profile": None if self.profile is None else self.profile.to_json(),
        }

    def _settings(self) -> dict[str, Any]:
        return {
            "frames": self.load.frames,
            "turns": self.load.turns,
            "audio_bytes_per_frame": AUDIO_BYTES,
            "repeat": max(map(len, self.rounds.values()), default=0),
            **environment(map(CLIENTS.__getitem__, self.rounds)),
        }

    def _figures(self, name: str) -> dict[str, Any]:
        measured = self.rounds[name]
        return {
            "cpu_us_per_frame": _spread(self.cpu_us(name)),
            "wall_us_per_frame": _spread(self.wall_us(name)),
            "audio_frames": measured[0].audio_frames,
            "audio_bytes": measured[0].audio_bytes,
            "text_frames": measured[0].text_frames,
        }

    # --- as text

    def title(self) -> str:
        load = self.load
        return (
            f"{load.frames} frames ({load.audio_frames} of audio, {AUDIO_BYTES} bytes each) in "
            f"{load.turns} responses, {self._settings()['repeat']} rounds; "
            f"CPU time per frame in microseconds"
        )

    def tables(self) -> Sequence[Table]:
        heads = ["client", "best", "median", f"ratio to {REFERENCE}"]
        figures = Table(heads, [self._row(name) for name in self.rounds])
        return [figures] if self.profile is None else [figures, *self.profile.tables()]

    def notes(self) -> Sequence[str]:
        return missing_notes(self.missing)

    def _row(self, name: str) -> list[str]:
        figures = self.cpu_us(name)
        ratio = self.ratios().get(f"{name}/{REFERENCE}")
        shown = "" if ratio is None else f"{ratio:.2f}"
        return [name, f"{min(figures):.1f}", f"{median(figures):.1f}", shown]


def _spread(figures: Sequence[float]) -> dict[str, Any]:
    return {"best": min(figures), "median": median(figures), "all": list(figures)}
