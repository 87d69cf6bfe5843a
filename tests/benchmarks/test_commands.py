"""The command line of the benchmarks, and the runs that the documentation shows."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import commands
from benchmarks.commands import Command, main, make_parser
from benchmarks.plots import RESULTS, SCENARIOS
from benchmarks.published import RUNS


class FakeReport:
    """A report with a given status."""

    def __init__(self, name: str, exit_status: int) -> None:
        self.name = name
        self.exit_status = exit_status

    def to_json(self) -> dict[str, Any]:
        return {"benchmark": self.name}

    def to_text(self) -> str:
        return f"the figures of {self.name}"

    def to_markdown(self) -> str:
        return f"| {self.name} |"


@pytest.mark.parametrize("arguments", RUNS.values())
def test_the_published_runs_have_valid_arguments(arguments: str) -> None:
    assert make_parser().parse_args(arguments.split()).command == arguments.split(maxsplit=1)[0]


def test_each_published_run_has_its_figures_in_the_repository() -> None:
    assert {path.stem for path in RESULTS.glob("*.json")} == set(RUNS)
    assert set(SCENARIOS) <= set(RUNS)


def test_all_runs_each_benchmark_and_writes_its_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake(name: str, command: Command) -> Command:
        def run(_options: argparse.Namespace) -> FakeReport:
            return FakeReport(name, exit_status=int(name == "memory"))

        return Command(command.summary, command.description, command.add_options, run)

    fakes = {name: fake(name, command) for name, command in commands.COMMANDS.items()}
    monkeypatch.setattr(commands, "COMMANDS", fakes)
    assert main(["all", "--results", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    for name, arguments in RUNS.items():
        assert (
            f"$ python -m benchmarks {arguments}\nthe figures of {arguments.split()[0]}" in printed
        )
        written = json.loads((tmp_path / f"{name}.json").read_text())
        assert written == {"benchmark": arguments.split()[0]}
