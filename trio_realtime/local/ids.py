"""Ids shaped like the live service's, from a seeded generator: same seed and times, same ids."""

from __future__ import annotations

import random
import string

__all__ = ["Ids"]

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FIRST_STAMP = 62**5 * 14
_TAIL = 15


class Ids:
    """Makes ids, and the padding that hides the length of deltas.

    An id is a prefix, six characters that follow the time, and fifteen at random. Time counts from
    the beginning of the session, so the ids do not depend on when that was.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._stamp = ""
        self.set_age(0.0)

    def set_age(self, seconds: float) -> None:
        """Tell how old the session is."""
        self._stamp = _base62(_FIRST_STAMP + int(seconds))

    def new(self, prefix: str) -> str:
        """``prefix_`` and 21 characters."""
        return f"{prefix}_{self._stamp}{self._letters(_TAIL)}"

    def call(self) -> str:
        """``call_`` and 16 characters."""
        return f"call_{self._letters(16)}"

    def obfuscation(self, delta: str) -> str:
        """Padding that brings a short delta to sixteen characters."""
        return self._letters(16 - len(delta))

    def _letters(self, count: int) -> str:
        return "".join(self._random.choices(_ALPHABET, k=max(0, count)))


def _base62(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = _ALPHABET[rest] + digits
    return digits
