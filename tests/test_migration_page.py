"""The migration page has the tables of ``trio-realtime migrate``, and the events page every event."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trio_realtime import events
from trio_realtime.cli.migration import Row, load_mapping
from trio_realtime.cli.migration.names import fields

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "guides" / "migration.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "generate_migration.py"))


# --- the migration page ------------------------------------------------------------------------


def test_the_page_has_the_tables_of_the_command(generator: dict[str, Any]) -> None:
    assert generator["with_tables"](PAGE) == PAGE, "run python docs/generate_migration.py"


def test_tables_are_found_by_their_headings(generator: dict[str, Any]) -> None:
    head = "| Python | trio_realtime | what differs |"
    changed = PAGE.replace(f"### Hooks\n\n{head}\n", f"### Hooks\n\n{head}\n|old|row|\n")
    assert changed != PAGE
    assert generator["with_tables"](changed) == PAGE
    with pytest.raises(ValueError, match="Hooks"):
        generator["with_tables"](
            PAGE.replace("### Hooks\n", "### Callbacks\n").replace(head, "", 6)
        )
    with pytest.raises(KeyError, match="Callbacks"):
        generator["with_tables"](PAGE.replace("### Hooks\n", "### Callbacks\n"))


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (Row(sdk=["a", "b(c=)"], ours=["d"], note="n"), "| `a`, `b(c=)` | `d` | n |"),
        (Row(sdk=["a"], ours=["d", "e"]), "| `a` | `d`, `e` | |"),
        (Row(sdk=["a"], ours=[], note="n"), "| `a` | — | n |"),
        (Row(sdk=["a"], ours=[], note="n", remove=True), "| `a` | not needed | n |"),
    ],
)
def test_a_row_is_a_line(generator: dict[str, Any], row: Row, line: str) -> None:
    assert generator["markdown_row"](row) == line


def test_the_page_names_the_versions_of_the_tables() -> None:
    assert re.findall(r"openai-agents (\d+\.\d+) \(Python\)", PAGE) == [
        load_mapping("python").version
    ]
    assert re.findall(r"@openai/agents (\d+\.\d+) \(JavaScript\)", PAGE) == [
        load_mapping("javascript").version
    ]


# --- the tables of events ----------------------------------------------------------------------


def rows(page: str, *heads: str) -> Iterator[tuple[str, ...]]:
    """The cells of these columns, for every table of the page that begins with them."""
    in_table = False
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if not line.startswith("|"):
            in_table = False
        elif cells[: len(heads)] == heads:
            in_table = True
        elif in_table and set(line) - set("|- "):
            yield cells[: len(heads)]


def code(cell: str) -> list[str]:
    """The inline code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def test_tables_of_events_have_each_event_with_its_type_and_existing_fields() -> None:
    documented: dict[str, str] = {}
    for type_, name, _when, cell in rows("guides/events.md", "`type`", "class", "when", "fields"):
        kind = getattr(events, code(name)[0])
        documented[code(name)[0]] = code(type_)[0]
        known = fields(kind) | set(dir(kind))
        unknown = {word.removesuffix("()") for word in code(cell)} - known
        assert unknown - {"tool_start", "agent_end", "RealtimeError"} == set(), name
    assert documented == {
        kind.__name__: kind.type
        for kind in vars(events).values()
        if isinstance(kind, type)
        and issubclass(kind, events.SessionEvent)
        and kind is not events.SessionEvent
    }
