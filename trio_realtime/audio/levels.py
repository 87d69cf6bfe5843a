"""How loud audio is."""

from __future__ import annotations

import math
from array import array
from operator import mul
from typing import Final

from .samples import samples

__all__ = ["peak_dbfs", "rms_dbfs"]

FULL_SCALE: Final = 32768


def rms_dbfs(pcm: bytes | bytearray) -> float:
    """Return the root mean square of PCM16 in dBFS, from minus infinity (digital silence) to 0.

    0 is the level of a square wave at full scale; a sine at full scale has -3.0.
    """
    return _dbfs(root_mean_square(samples(pcm)))


def peak_dbfs(pcm: bytes | bytearray) -> float:
    """Return the largest sample of PCM16 in dBFS, from minus infinity (digital silence) to 0."""
    numbers = samples(pcm)
    return _dbfs(max(map(abs, numbers), default=0))


def root_mean_square(numbers: array[int]) -> float:
    """Return the root mean square of samples, from 0 (silence) to 32768."""
    if not numbers:
        return 0.0
    return float((sum(map(mul, numbers, numbers)) / len(numbers)) ** 0.5)


def _dbfs(amplitude: float) -> float:
    return 20 * math.log10(amplitude / FULL_SCALE) if amplitude else -math.inf
