"""The table of the results, and the page that has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.peers import ROOT
from interop.report import BEGIN, END, PeerResult, make_table, replace_table
from interop.turns import TURNS

RESULTS = [
    PeerResult("good", "1.2", {}),
    PeerResult("bad", "3.4", {"tool": "the `tool`\nwas not | called"}),
    PeerResult("absent", "", dict.fromkeys(TURNS, "cannot be installed: npm: No such file")),
]


def test_the_table_has_a_row_for_each_client_and_the_reasons() -> None:
    lines = make_table(RESULTS[:2], "Made today.").splitlines()
    assert lines == [
        "Made today.",
        "",
        "| Client | Version | Text | Tool call | Spoken turn | Barge-in |",
        "| --- | --- | --- | --- | --- | --- |",
        "| `good` | 1.2 | pass | pass | pass | pass |",
        "| `bad` | 3.4 | pass | fail | pass | pass |",
        "",
        "Failures:",
        "",
        "- `bad`, tool call: `the 'tool' was not | called`",
    ]


def test_a_client_that_cannot_be_installed_is_in_the_table() -> None:
    table = make_table(RESULTS[2:], "Made today.")
    assert "| `absent` | not installed | fail | fail | fail | fail |" in table
    assert "- `absent`, text: `cannot be installed: npm: No such file`" in table


def test_there_is_no_list_without_failures() -> None:
    assert "Failures" not in make_table(RESULTS[:1], "Made today.")


def test_a_long_reason_is_cut() -> None:
    table = make_table([PeerResult("bad", "1", {"text": "x" * 1000})], "Made today.")
    assert f"`{'x' * 300}…`" in table


def test_only_the_part_between_the_comments_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    for table in ("first", "new"):
        replace_table(page, table)
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_a_page_without_the_comments_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no lines"):
        replace_table(page, "new")


def test_the_page_of_the_documentation_has_the_comments() -> None:
    page = (ROOT / "docs" / "explanation" / "interop.md").read_text(encoding="utf-8")
    assert page.index(BEGIN) < page.index(END)
