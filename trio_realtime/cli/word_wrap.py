"""Wraps text between words while it arrives in pieces. Nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rich.cells import cell_len

_PARTS: Final = re.compile(r"\n|[^\S\n]+|\S+")


class WordWrap:
    """Inserts line breaks, so that no line is longer than the terminal and no word is split.

    A word that may go on is returned with the text that follows it, or by :meth:`flush`. A word that is
    longer than a line is split by the terminal.

    Args:
        width: the columns of the terminal; ``None`` changes nothing.
    """

    def __init__(self, width: int | None) -> None:
        self._width = width
        self._column = 0
        self._space = ""
        self._word = ""

    def feed(self, text: str) -> str:
        """Take text, and return what can be shown of it and of the text before."""
        if self._width is None:
            return text
        return "".join(self._wrapped(text))

    def flush(self) -> str:
        """Return the rest. The next text continues the line."""
        return self._end_word()

    def start_line(self) -> None:
        """Begin a new line, after the caller has ended the current one."""
        self._column, self._space = 0, ""

    def _wrapped(self, text: str) -> Iterator[str]:
        for part in _PARTS.findall(text):
            if part == "\n":
                yield self._end_word() + part
                self.start_line()
            elif part.isspace():
                yield self._end_word()
                self._space += part
            else:
                self._word += part

    def _end_word(self) -> str:
        word, self._word = self._word, ""
        if not word or self._width is None:
            return ""
        space, self._space = self._space, ""
        if self._column and self._column + cell_len(space + word) > self._width:
            space, self._column = "\n", 0
        self._column += cell_len((space + word).lstrip("\n"))
        return space + word
