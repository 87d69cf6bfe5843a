"""Which benchmarks there are, and the one command line before them.

A benchmark adds its options to a parser of its own, and returns its report. How a report is shown
(as text, as JSON) is the same for all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from benchmarks.burst import command as burst


class Report(Protocol):
    """What a benchmark found."""

    def to_json(self) -> dict[str, Any]:
        """All figures, with what is needed to read them later."""
        ...

    def to_text(self) -> str:
        """The figures for a terminal."""
        ...


@attrs.frozen
class Command:
    """One benchmark: a line of help, its options, and how to run it."""

    summary: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Report]


COMMANDS: Mapping[str, Command] = {
    "burst": Command(burst.SUMMARY, burst.add_options, burst.run),
}


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="NAME")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.summary, description=command.summary)
        sub.add_argument("--json", action="store_true", help="print the figures as JSON")
        command.add_options(sub)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark and print what it found. Returns the exit code."""
    options = make_parser().parse_args(arguments)
    report = COMMANDS[options.command].run(options)
    print(json.dumps(report.to_json(), indent=2) if options.json else report.to_text())
    return 0
