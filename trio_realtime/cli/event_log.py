"""Prints what happens in a call: one entry per event, with its time and speaker."""

from __future__ import annotations

from typing import Final

import trio
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES: Final = {"you": "bold cyan", "agent": "bold green", "tool": "bold yellow", "!": "bold red"}
_SPEAKER_WIDTH: Final = 6

#: Seconds without an entry after which the log says what goes on.
PATIENCE: Final = 1.5


class EventLog:
    """Prints entries with the time since the log was created. Requires a running trio loop.

    Attributes:
        activity: what goes on while nothing else is printed; see :meth:`show_activity`.
    """

    def __init__(self, console: Console) -> None:
        self.activity: str = ""
        self._console = console
        self._start = trio.current_time()
        self._last = self._start

    @property
    def elapsed(self) -> float:
        """Seconds since the log was created."""
        return trio.current_time() - self._start

    def write(self, speaker: str, text: str) -> None:
        """Print one entry.

        Args:
            speaker: ``you``, ``agent``, ``tool``, ``!`` for an error, or empty.
            text: what happened. Its lines are as long as the terminal allows.
        """
        self._last = trio.current_time()
        row = Table.grid(padding=(0, 1))
        row.add_column(style="dim", no_wrap=True)
        row.add_column(width=_SPEAKER_WIDTH, style=_STYLES.get(speaker, "dim"))
        row.add_column(style="" if speaker in _STYLES else "dim", overflow="fold")
        row.add_row(f"{self.elapsed:5.1f}s", speaker, Text(" ".join(text.split())))
        self._console.print(row)

    def heading(self, title: str) -> None:
        """Print the heading of a new part of the call."""
        self._last = trio.current_time()
        self._console.print(Text(f"\n{title}", "bold"))

    async def show_activity(self) -> None:
        """Print :attr:`activity` whenever nothing was printed for a while, until cancelled."""
        while True:
            await trio.sleep_until(self._last + PATIENCE)
            if trio.current_time() >= self._last + PATIENCE:
                if self.activity:
                    self.write("", f"… {self.activity}")
                else:
                    self._last = trio.current_time()
