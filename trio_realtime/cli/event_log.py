"""Prints what happens in a call: one short line per event, with its time and speaker."""

from __future__ import annotations

from typing import Final

import trio
from rich.console import Console
from rich.text import Text

_STYLES: Final = {"you": "bold cyan", "agent": "bold green", "tool": "bold yellow", "!": "bold red"}
_SPEAKER_WIDTH: Final = 6


class EventLog:
    """Prints lines with the time since the log was created. Requires a running trio loop."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = trio.current_time()

    @property
    def elapsed(self) -> float:
        """Seconds since the log was created."""
        return trio.current_time() - self._start

    def write(self, speaker: str, text: str) -> None:
        """Print one line.

        Args:
            speaker: ``you``, ``agent``, ``tool``, ``!`` for an error, or empty.
            text: what happened; truncated to the width of the terminal.
        """
        line = Text.assemble(
            (f"{self.elapsed:6.2f}s  ", "dim"),
            (f"{speaker:<{_SPEAKER_WIDTH}}", _STYLES.get(speaker, "dim")),
            (" ".join(text.split()), "" if speaker in _STYLES else "dim"),
        )
        self._console.print(line, no_wrap=True, overflow="ellipsis", crop=True)

    def heading(self, title: str) -> None:
        """Print the heading of a new part of the call."""
        self._console.print(Text(f"\n{title}", "bold"))
