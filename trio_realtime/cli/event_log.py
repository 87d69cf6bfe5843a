"""What happens, as it happens: one short line with its time, who, and what."""

from __future__ import annotations

from typing import Final

import trio
from rich.console import Console
from rich.text import Text

_STYLES: Final = {"you": "bold cyan", "agent": "bold green", "tool": "bold yellow", "!": "bold red"}
_WHO_WIDTH: Final = 6


class Timeline:
    """Prints lines; the time is that since it was made. Use it inside ``trio.run``."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = trio.current_time()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return trio.current_time() - self._start

    def say(self, who: str, what: str) -> None:
        """One line: ``you``, ``agent``, ``tool``, ``!`` or nobody, and what happened."""
        line = Text.assemble(
            (f"{self.elapsed:6.2f}s  ", "dim"),
            (f"{who:<{_WHO_WIDTH}}", _STYLES.get(who, "dim")),
            (" ".join(what.split()), "" if who in _STYLES else "dim"),
        )
        self._console.print(line, no_wrap=True, overflow="ellipsis", crop=True)

    def heading(self, title: str) -> None:
        """The beginning of a new part."""
        self._console.print(Text(f"\n{title}", "bold"))
