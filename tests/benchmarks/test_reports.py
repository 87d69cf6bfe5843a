"""The form of reports: text and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from benchmarks import commands
from benchmarks.reports import Table, TabularReport

TABLE = Table(["client", "p50"], [["session", "1.25"], ["agents", "10.00"]])


class Report(TabularReport):
    def title(self) -> str:
        return "latency"

    def tables(self) -> Sequence[Table]:
        return [TABLE]

    def notes(self) -> Sequence[str]:
        return ["one", "two"]

    def to_json(self) -> dict[str, Any]:
        return {"p50": 1.25}


def test_a_table_is_aligned() -> None:
    assert TABLE.to_text().splitlines() == [
        "client     p50",
        "session   1.25",
        "agents   10.00",
    ]


def test_a_report_is_text_markdown_or_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = commands.Command("a test", "A test.", lambda _parser: None, lambda _options: Report())
    monkeypatch.setattr(commands, "COMMANDS", {"test": command})
    assert commands.main(["test"]) == 0
    assert capsys.readouterr().out == f"latency\n\n{TABLE.to_text()}\n\none\ntwo\n"
    assert commands.main(["test", "--markdown"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "latency",
        "",
        "| client | p50 |",
        "| --- | ---: |",
        "| session | 1.25 |",
        "| agents | 10.00 |",
        "",
        "- one",
        "- two",
    ]
    assert commands.main(["test", "--json"]) == 0
    assert capsys.readouterr().out == '{\n  "p50": 1.25\n}\n'


def test_the_help_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        commands.main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in commands.COMMANDS)


def test_the_help_of_a_benchmark_says_what_it_measures(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        commands.main(["growth", "--help"])
    assert "CPU time of a session as its conversation grows." in capsys.readouterr().out
