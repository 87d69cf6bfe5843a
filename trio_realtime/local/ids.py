"""Ids in the format of the live service, from a seeded generator."""

from __future__ import annotations

import random
import string

__all__ = ["Ids"]

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BASE_TIMESTAMP = 62**5 * 14
_RANDOM_LENGTH = 15


class Ids:
    """Generates ids, and the padding that hides the length of deltas.

    An id is a prefix, six characters that encode the age of the session, and fifteen random
    characters. The same seed and the same ages give the same ids.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._timestamp = ""
        self.set_age(0.0)

    def set_age(self, seconds: float) -> None:
        """Set the age of the session."""
        self._timestamp = _base62(_BASE_TIMESTAMP + int(seconds))

    def new(self, prefix: str) -> str:
        """Return ``prefix_`` and 21 characters."""
        return f"{prefix}_{self._timestamp}{self._letters(_RANDOM_LENGTH)}"

    def call(self) -> str:
        """Return ``call_`` and 16 characters."""
        return f"call_{self._letters(16)}"

    def obfuscation(self, delta: str) -> str:
        """Return padding that brings a short delta to sixteen characters."""
        return self._letters(16 - len(delta))

    def _letters(self, count: int) -> str:
        return "".join(self._random.choices(_ALPHABET, k=max(0, count)))


def _base62(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = _ALPHABET[rest] + digits
    return digits
