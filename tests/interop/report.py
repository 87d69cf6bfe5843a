"""The results as a table in Markdown, and the page of the documentation that has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from .turns import TURNS

BEGIN = "<!-- The lines from here are made by `make interop`. Do not edit them. -->"
END = "<!-- The lines up to here are made by `make interop`. -->"
_MAX_REASON = 300


@attrs.frozen
class PeerResult:
    """What came of the turns of one client.

    Attributes:
        title: the client.
        version: its version; empty if it could not be installed.
        failures: why turns failed, by the name of the turn. The other turns passed.
    """

    title: str
    version: str
    failures: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether all turns passed."""
        return not self.failures


def make_table(results: Sequence[PeerResult], made_with: str) -> str:
    """Return a table with a row for each client, and a list with the reason for each failure.

    Args:
        results: the results, in the order of the rows.
        made_with: the date, and the versions of what ran the clients.
    """
    titles = ["Client", "Version", *TURNS.values()]
    rows = [titles, ["---"] * len(titles), *map(_row, results)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    reasons = [
        f"- `{result.title}`, {TURNS[turn].lower()}: {_one_line(reason)}"
        for result in results
        for turn, reason in result.failures.items()
    ]
    parts = [made_with, table, *(["Failures:", "\n".join(reasons)] if reasons else [])]
    return "\n\n".join(parts)


def _row(result: PeerResult) -> list[str]:
    cells = ["fail" if turn in result.failures else "pass" for turn in TURNS]
    return [f"`{result.title}`", result.version or "not installed", *cells]


def _one_line(reason: str) -> str:
    """Return the reason as inline code."""
    text = " ".join(reason.replace("`", "'").split())
    return f"`{text if len(text) <= _MAX_REASON else text[:_MAX_REASON] + '…'}`"


def replace_table(page: Path, table: str) -> None:
    """Replace the part of the page between the two comments.

    Raises:
        ValueError: the page lacks the comments.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r} for the table")
    page.write_text(f"{before}{begin}\n\n{table}\n\n{end}{after}", encoding="utf-8")
