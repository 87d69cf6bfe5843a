"""The command line of the benchmarks.

Each benchmark adds its options to a subparser and returns a report. All reports can be printed as
text or as JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from benchmarks.burst import command as burst
from benchmarks.duplex import command as duplex
from benchmarks.peers import command as peers
from benchmarks.soak import command as soak


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


@attrs.frozen
class Command:
    """One benchmark: its help text, its options, and the function that runs it."""

    summary: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Report]


COMMANDS: Mapping[str, Command] = {
    "burst": Command(burst.SUMMARY, burst.add_options, burst.run),
    "duplex": Command(duplex.SUMMARY, duplex.add_options, duplex.run),
    "peers": Command(peers.SUMMARY, peers.add_options, peers.run),
    "soak": Command(soak.SUMMARY, soak.add_options, soak.run),
}


def make_parser() -> argparse.ArgumentParser:
    """Create the parser of the complete command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="NAME")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.summary, description=command.summary)
        sub.add_argument("--json", action="store_true", help="print the figures as JSON")
        command.add_options(sub)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark, print its report, and return the exit status."""
    options = make_parser().parse_args(arguments)
    report = COMMANDS[options.command].run(options)
    print(json.dumps(report.to_json(), indent=2) if options.json else report.to_text())
    return report.exit_status
