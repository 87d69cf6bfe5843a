"""The form of all reports: a title, tables and notes, as text, as Markdown or as JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from benchmarks.clients import Client, describe_environment

VERSIONS: Final = (
    "trio-realtime",
    "trio",
    "trio-websocket",
    "msgspec",
    "openai-agents",
    "websockets",
)
"""The distributions whose versions belong to the figures."""


def environment(clients: Iterable[Client] = ()) -> dict[str, Any]:
    """Return what is needed to interpret figures later: Python, the machine, and versions.

    Args:
        clients: the clients that were measured. Some of them have an environment of their own.
    """
    return describe_environment(VERSIONS, clients)


def missing_notes(missing: Mapping[str, str]) -> list[str]:
    """Return a note about each client that could not be measured, given the reasons."""
    return [f"{name}: not measured, {why}" for name, why in missing.items()]


@attrs.frozen
class Table:
    """A table of figures. The first column names the row; all others are aligned to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_text(self) -> str:
        """Return the table with aligned columns."""
        lines = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(_aligned(line, widths) for line in lines)

    def to_markdown(self) -> str:
        """Return the table in Markdown."""
        rule = ["---", *("---:" for _ in self.columns[1:])]
        return "\n".join(f"| {' | '.join(line)} |" for line in (self.columns, rule, *self.rows))


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        cell.rjust(width) if index else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()


class TabularReport(ABC):
    """The results of a benchmark. A subclass has the figures; this class prints them."""

    @property
    def exit_status(self) -> int:
        """The exit status of the command: 1 if the benchmark has found something wrong."""
        return 0

    @abstractmethod
    def title(self) -> str:
        """Return what was measured, and in which units."""

    @abstractmethod
    def tables(self) -> Sequence[Table]:
        """Return the figures."""

    def notes(self) -> Sequence[str]:
        """Return what to know about the figures, one sentence each."""
        return ()

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return all figures, and the settings needed to interpret them later."""

    def to_text(self) -> str:
        """Return the figures as text for a terminal."""
        parts = [self.title(), *(table.to_text() for table in self.tables())]
        return "\n\n".join([*parts, *_paragraph(self.notes())])

    def to_markdown(self) -> str:
        """Return the figures as Markdown."""
        parts = [self.title(), *(table.to_markdown() for table in self.tables())]
        return "\n\n".join([*parts, *_paragraph(f"- {note}" for note in self.notes())])


def _paragraph(lines: Iterable[str]) -> list[str]:
    text = "\n".join(lines)
    return [text] if text else []
