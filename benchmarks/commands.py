"""Measure this library, and compare it with other clients of the same protocol.

Each benchmark prints medians over rounds. Where other clients take part, each round runs all of them,
one after the other, each in a process of its own. `python -m benchmarks NAME --help` lists the options.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import attrs

from benchmarks.published import RUNS


class Report(Protocol):
    """The results of a benchmark."""

    @property
    def exit_status(self) -> int:
        """The exit status of the command: 1 if the benchmark has found something wrong."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return all figures, and the settings needed to interpret them later."""
        ...

    def to_text(self) -> str:
        """Return the figures as text for a terminal."""
        ...

    def to_markdown(self) -> str:
        """Return the figures as Markdown."""
        ...


@attrs.frozen
class Command:
    """One benchmark: its help texts, its options, and the function that runs it.

    Attributes:
        summary: one line.
        description: what the benchmark measures, and what it does not.
        add_options: adds its options to a parser.
        run: runs it.
    """

    summary: str
    description: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Report]

    @classmethod
    def load(cls, name: str) -> Command:
        """Return the benchmark of a package, whose docstring is the description."""
        module = importlib.import_module(f"benchmarks.{name}.command")
        package = importlib.import_module(f"benchmarks.{name}")
        return cls(module.SUMMARY, package.__doc__ or "", module.add_options, module.run)


NAMES: Final = (
    "burst",
    "duplex",
    "capacity",
    "interruption",
    "tools",
    "lifecycle",
    "memory",
    "imports",
    "growth",
    "consumers",
    "gateway",
    "soak",
    "peers",
)
"""The benchmarks, in the order of the help text."""

COMMANDS: Mapping[str, Command] = {name: Command.load(name) for name in NAMES}


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the paragraphs of descriptions, and has space for the names of the benchmarks."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=24, width=110)


ALL: Final = "all"
"""The command that runs what the documentation shows."""


def make_parser() -> argparse.ArgumentParser:
    """Create the parser of the complete command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=_HelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="NAME")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.summary,
            description=command.description,
            formatter_class=_HelpFormatter,
        )
        form = sub.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print all figures as JSON")
        form.add_argument(
            "--markdown", action="store_true", help="print the figures as a table in Markdown"
        )
        command.add_options(sub)
    every = commands.add_parser(
        ALL,
        help="all comparisons with the settings of the documentation; takes half an hour",
        formatter_class=_HelpFormatter,
    )
    every.add_argument(
        "--results",
        type=Path,
        metavar="DIRECTORY",
        help="write all figures of each benchmark to a JSON file in this directory",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark or all of them, print the reports, and return the exit status."""
    options = make_parser().parse_args(arguments)
    if options.command == ALL:
        return _run_all(options.results)
    report = COMMANDS[options.command].run(options)
    print(_shown(report, options))
    return report.exit_status


def _run_all(results: Path | None) -> int:
    """Run the published benchmarks. Returns the highest of their exit statuses."""
    status = 0
    for name, arguments in RUNS.items():
        print(f"$ python -m benchmarks {arguments}", flush=True)
        options = make_parser().parse_args(arguments.split())
        report = COMMANDS[options.command].run(options)
        print(report.to_text(), end="\n\n", flush=True)
        if results is not None:
            results.joinpath(f"{name}.json").write_text(f"{_as_json(report)}\n")
        status = max(status, report.exit_status)
    return status


def _as_json(report: Report) -> str:
    return json.dumps(report.to_json(), indent=2)


def _shown(report: Report, options: argparse.Namespace) -> str:
    if options.json:
        return _as_json(report)
    return report.to_markdown() if options.markdown else report.to_text()
