"""Samples as numbers: little-endian PCM16 to arrays and back."""

from __future__ import annotations

import sys
from array import array

__all__ = ["samples", "to_bytes"]


def samples(pcm: bytes | bytearray) -> array[int]:
    """Decode little-endian PCM16. Ignores an odd last byte."""
    numbers = array("h", bytes(pcm[: len(pcm) // 2 * 2]))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def to_bytes(numbers: array[int]) -> bytes:
    """Return samples as PCM16 bytes, little-endian. The inverse of :func:`samples`."""
    if sys.byteorder == "big":
        numbers = array("h", numbers)
        numbers.byteswap()
    return numbers.tobytes()
