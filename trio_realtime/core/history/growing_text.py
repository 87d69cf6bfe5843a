"""A text that grows by deltas, and items as they were at an earlier length of their texts.

A growing item is reported many times. Each report notes how long the texts were instead of copying
them, so unread reports of a long item cost no more than the item itself.
"""

from __future__ import annotations

from typing import Final

_MAX_RECENT: Final = 256
"""The number of deltas that are joined at once, because each string costs about 50 bytes."""


class GrowingText:
    """A text to which deltas are added.

    Attributes:
        length: the number of characters so far.
    """

    __slots__ = ("_pieces", "_recent", "length")

    def __init__(self) -> None:
        self.length: int = 0
        self._pieces: list[str] = []
        self._recent: list[str] = []

    def append(self, delta: str) -> None:
        """Add to the text."""
        self.length += len(delta)
        self._recent.append(delta)
        if len(self._recent) >= _MAX_RECENT:
            self._pieces.append("".join(self._recent))
            self._recent.clear()

    def text(self, length: int | None = None) -> str:
        """Return the text, or as much of it as there was when it had this length."""
        if self._recent or len(self._pieces) > 1:
            self._pieces = ["".join([*self._pieces, *self._recent])]
            self._recent.clear()
        whole = self._pieces[0] if self._pieces else ""
        return whole if length is None else whole[:length]
