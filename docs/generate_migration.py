"""Write the tables of the migration page from the data that ``trio-realtime migrate`` uses.

Run it after a change of ``trio_realtime/cli/migration/python.toml`` or ``javascript.toml``::

    python docs/generate_migration.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping as MappingType
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from trio_realtime.cli.migration import Row, Table, load_mapping
from trio_realtime.cli.migration.mapping import Language

PAGE = Path(__file__).resolve().parent / "guides" / "migration.md"
LANGUAGES: MappingType[str, Language] = {"Python": "python", "JavaScript": "javascript"}


def markdown_row(row: Row) -> str:
    """Return a line of a table."""
    ours = code(row.ours) or ("not needed" if row.remove else "—")
    return f"| {code(row.sdk)} | {ours} |{f' {row.note}' if row.note else ''} |"


def code(names: Iterable[str]) -> str:
    """Return names as code, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def with_tables(page: str) -> str:
    """Return the page with the rows of every table replaced by those of the data.

    A table is found by the headings above it. The sentences around it stay.

    Raises:
        KeyError: the page has a table of names that the data do not have.
        ValueError: the data have a table that the page does not have.
    """
    tables = {
        (heading, table.title): table
        for heading, language in LANGUAGES.items()
        for table in load_mapping(language).tables
    }
    lines = list(chain.from_iterable(_lines(page, tables)))
    if tables:
        raise ValueError(f"the page has no table below these headings: {list(tables)}")
    return "\n".join(lines) + "\n"


def _lines(page: str, tables: dict[tuple[str, str], Table]) -> Iterator[list[str]]:
    heading = title = ""
    in_table = False
    for line in page.splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("### "):
            title = line.removeprefix("### ")
        in_table = in_table and line.startswith("|")
        if in_table:
            continue
        yield [line]
        if line == f"| {heading} | trio_realtime | what differs |":
            in_table = True
            yield ["|---|---|---|", *map(markdown_row, tables.pop((heading, title)).rows)]


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
