"""Figures from the measurements: microseconds of CPU time per frame, and ratios of clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import attrs

from benchmarks.burst.client import CLIENTS
from benchmarks.burst.load import AUDIO_BYTES, Load, Measurement
from benchmarks.burst.profile import ProfileTable
from benchmarks.clients import describe_environment
from benchmarks.ratios import REFERENCE, ratios_to_reference

VERSIONS = ("trio-realtime", "trio", "trio-websocket", "msgspec", "openai-agents", "websockets")


@attrs.frozen(kw_only=True)
class BurstReport:
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

    @property
    def exit_status(self) -> int:
        """0: figures are not right or wrong."""
        return 0

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
            **describe_environment(VERSIONS, map(CLIENTS.__getitem__, self.rounds)),
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

    def to_text(self) -> str:
        parts = [self._heading(), self._table()]
        parts += [f"{name}: not measured, {why}" for name, why in self.missing.items()]
        if self.profile is not None:
            parts.append(self.profile.to_text())
        return "\n\n".join(parts)

    def _heading(self) -> str:
        load = self.load
        return (
            f"{load.frames} frames ({load.audio_frames} of audio, {AUDIO_BYTES} bytes each) in "
            f"{load.turns} responses, {self._settings()['repeat']} rounds; "
            f"CPU time per frame in microseconds"
        )

    def _table(self) -> str:
        head = f"{'':16} {'best':>8} {'median':>8}   ratio to {REFERENCE}"
        return "\n".join([head, *map(self._row, self.rounds)])

    def _row(self, name: str) -> str:
        figures = self.cpu_us(name)
        row = f"{name:16} {min(figures):8.1f} {median(figures):8.1f}"
        ratio = self.ratios().get(f"{name}/{REFERENCE}")
        return row if ratio is None else f"{row}   {ratio:6.2f}"


def _spread(figures: Sequence[float]) -> dict[str, Any]:
    return {"best": min(figures), "median": median(figures), "all": list(figures)}
