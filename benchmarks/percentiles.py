"""Percentiles of latencies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import final


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which this share of an ordered sequence lies."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


@final
class Latencies:
    """The latencies that a load server has measured, by name."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, seconds: float) -> None:
        """Add one latency."""
        self._seconds[name].append(seconds)

    def take(self) -> dict[str, float]:
        """Return p50 and p99 of each name, keyed ``first_p50`` etc., and forget all latencies."""
        figures: dict[str, float] = {}
        for name, seconds in self._seconds.items():
            seconds.sort()
            figures[f"{name}_p50"] = percentile(seconds, 0.5)
            figures[f"{name}_p99"] = percentile(seconds, 0.99)
            figures[f"{name}_count"] = len(seconds)
        self._seconds.clear()
        return figures
