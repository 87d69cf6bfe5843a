"""From measurements to figures: microseconds of CPU per frame, and ratios to the session."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import attrs

from benchmarks.burst.client import CONTESTANTS, installed_version
from benchmarks.burst.load import AUDIO_BYTES, Load, Measurement
from benchmarks.burst.profile import ProfileTable

OURS = "session"
VERSIONS = ("trio-realtime", "trio", "trio-websocket", "msgspec", "openai-agents", "websockets")


@attrs.frozen(kw_only=True)
class BurstReport:
    """What every contestant measured, round by round; all have as many rounds.

    Attributes:
        missing: contestants that are not installed.
        profile: where the time of a separate, profiled run of the session went.
    """

    load: Load
    rounds: Mapping[str, Sequence[Measurement]]
    missing: Sequence[str] = ()
    profile: ProfileTable | None = None

    # --- figures

    def cpu_us(self, name: str) -> list[float]:
        """Microseconds of CPU per frame, one for each round."""
        return [m.cpu * 1e6 / self.load.frames for m in self.rounds[name]]

    def wall_us(self, name: str) -> list[float]:
        """The same by the clock on the wall."""
        return [m.wall * 1e6 / self.load.frames for m in self.rounds[name]]

    def ratio(self, name: str, other: str) -> dict[str, float]:
        """CPU of one in units of the other: best to best, and the median of the rounds."""
        mine, theirs = self.cpu_us(name), self.cpu_us(other)
        return {
            "best": min(mine) / min(theirs),
            "median": median(a / b for a, b in zip(mine, theirs, strict=True)),
        }

    def ratios(self) -> dict[str, dict[str, float]]:
        """Ours to each of the others, by names like ``session/bare``."""
        if OURS not in self.rounds:
            return {}
        others = [name for name in self.rounds if name != OURS]
        return {f"{OURS}/{name}": self.ratio(OURS, name) for name in others}

    # --- as JSON

    def to_json(self) -> dict[str, Any]:
        return {
            "benchmark": "burst",
            "settings": self._settings(),
            "contestants": {name: self._figures(name) for name in self.rounds},
            "missing": list(self.missing),
            "ratios": self.ratios(),
            "profile": None if self.profile is None else self.profile.to_json(),
        }

    def _settings(self) -> dict[str, Any]:
        return {
            "frames": self.load.frames,
            "turns": self.load.turns,
            "audio_bytes_per_frame": AUDIO_BYTES,
            "repeat": max(len(rounds) for rounds in self.rounds.values()),
            "python": sys.version.split()[0],
            "machine": f"{platform.system()} {platform.machine()}",
            "versions": {name: installed_version(name) for name in VERSIONS},
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
        parts += [
            f"{name}: not measured, {CONTESTANTS[name].needs} is not installed"
            for name in self.missing
        ]
        if self.profile is not None:
            parts.append(self.profile.to_text())
        return "\n\n".join(parts)

    def _heading(self) -> str:
        load = self.load
        return (
            f"{load.frames} frames ({load.audio_frames} of audio, {AUDIO_BYTES} bytes each) in "
            f"{load.turns} responses, {self._settings()['repeat']} rounds; "
            f"CPU per frame in microseconds"
        )

    def _table(self) -> str:
        head = f"{'':12} {'best':>8} {'median':>8}   {OURS} to it: {'best':>6} {'median':>8}"
        return "\n".join([head, *map(self._row, self.rounds)])

    def _row(self, name: str) -> str:
        figures = self.cpu_us(name)
        row = f"{name:12} {min(figures):8.1f} {median(figures):8.1f}"
        ratio = self.ratios().get(f"{OURS}/{name}")
        if ratio is None:
            return row
        return f"{row}   {'':{len(OURS) + 7}}{ratio['best']:6.2f} {ratio['median']:8.2f}"


def _spread(figures: Sequence[float]) -> dict[str, Any]:
    return {"best": min(figures), "median": median(figures), "all": list(figures)}
