"""Ratios of the figures of clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

REFERENCE: Final = "agents"
"""The client that all others are compared with."""


def ratios_to_reference(rounds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of the ratios within the rounds for each client, keyed ``session/agents`` etc.

    Rounds in which the reference is 0 do not count.

    Args:
        rounds: the figures of each client, one per round. Clients of one round ran after each other.
    """
    reference = rounds.get(REFERENCE, ())
    if not any(reference):
        return {}
    return {
        f"{name}/{REFERENCE}": median(a / b for a, b in zip(figures, reference, strict=True) if b)
        for name, figures in rounds.items()
        if name != REFERENCE
    }
