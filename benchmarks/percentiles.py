"""Percentiles of latencies."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which this share of an ordered sequence lies."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
