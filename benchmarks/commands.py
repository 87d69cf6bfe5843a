"""Measure this library, and compare it with other clients of the same protocol.

Each benchmark prints medians over rounds. Where other clients take part, each round runs all of them,
one after the other, each in a process of its own. `python -m benchmarks NAME --help` lists the options.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from benchmarks.burst import command as burst
from benchmarks.capacity import command as capacity
from benchmarks.consumers import command as consumers
from benchmarks.duplex import command as duplex
from benchmarks.growth import command as growth
from benchmarks.imports import command as imports
from benchmarks.interruption import command as interruption
from benchmarks.lifecycle import command as lifecycle
from benchmarks.memory import command as memory
from benchmarks.soak import command as soak
from benchmarks.tools import command as tools


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
    """One benchmark: its help text, its options, and the function that runs it."""

    summary: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Report]


COMMANDS: Mapping[str, Command] = {
    "burst": Command(burst.SUMMARY, burst.add_options, burst.run),
    "duplex": Command(duplex.SUMMARY, duplex.add_options, duplex.run),
    "capacity": Command(capacity.SUMMARY, capacity.add_options, capacity.run),
    "interruption": Command(interruption.SUMMARY, interruption.add_options, interruption.run),
    "tools": Command(tools.SUMMARY, tools.add_options, tools.run),
    "lifecycle": Command(lifecycle.SUMMARY, lifecycle.add_options, lifecycle.run),
    "memory": Command(memory.SUMMARY, memory.add_options, memory.run),
    "growth": Command(growth.SUMMARY, growth.add_options, growth.run),
    "consumers": Command(consumers.SUMMARY, consumers.add_options, consumers.run),
    "imports": Command(imports.SUMMARY, imports.add_options, imports.run),
    "soak": Command(soak.SUMMARY, soak.add_options, soak.run),
}


def make_parser() -> argparse.ArgumentParser:
    """Create the parser of the complete command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="NAME")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.summary, description=command.summary)
        form = sub.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print all figures as JSON")
        form.add_argument(
            "--markdown", action="store_true", help="print the figures as a table in Markdown"
        )
        command.add_options(sub)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark, print its report, and return the exit status."""
    options = make_parser().parse_args(arguments)
    report = COMMANDS[options.command].run(options)
    print(_shown(report, options))
    return report.exit_status


def _shown(report: Report, options: argparse.Namespace) -> str:
    if options.json:
        return json.dumps(report.to_json(), indent=2)
    return report.to_markdown() if options.markdown else report.to_text()
