"""Compare the clients in one scenario: interleaved rounds, medians, and ratios to openai-agents.

A scenario is a coroutine function that uses a :class:`~benchmarks.conversation.Conversation`, so one
function runs with every client, on trio or on asyncio. Each client runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final, TypeAlias

import attrs

from benchmarks.clients import Client
from benchmarks.processes import fetch, run_client
from benchmarks.ratios import REFERENCE, ratios_to_reference
from benchmarks.reports import Table, TabularReport, environment

CLIENTS: Final[Mapping[str, Client]] = {
    "session": Client("benchmarks.library", "run_scenario"),
    "fast": Client("benchmarks.library", "run_scenario_fast"),
    "agents": Client("benchmarks.agents_sdk", "run_scenario", requires="openai-agents"),
}
"""The clients of every scenario: the default transport, ``connect_fast`` and openai-agents."""

Figures: TypeAlias = Mapping[str, float]
"""What one client measured in one round."""


def positive(text: str) -> int:
    """Return the value of an option that must be 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


def add_round_options(
    parser: argparse.ArgumentParser, clients: Iterable[str] = CLIENTS, *, repeat: int = 3
) -> None:
    """Add the options of every benchmark that compares clients."""
    parser.add_argument(
        "--repeat",
        type=positive,
        default=repeat,
        help=f"number of rounds; each client runs once per round (default: {repeat})",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[*clients],
        help="measure only this client (can be given several times)",
    )


def installed(names: Iterable[str], clients: Mapping[str, Client] = CLIENTS) -> list[str]:
    """Return the names of the clients that are installed."""
    return [name for name in names if clients[name].is_installed]


async def compare(
    scenario: str,
    port: int,
    settings: Mapping[str, Any],
    *,
    repeat: int,
    names: Sequence[str],
    fetches: bool = False,
) -> dict[str, list[Figures]]:
    """Run every client ``repeat`` times, in turns, against one server.

    Args:
        scenario: the module whose function ``run_client`` each client runs.
        port: where the server listens.
        settings: the settings that the scenario is given.
        repeat: the number of rounds.
        names: the clients.
        fetches: whether the server measures too. Its figures join those of the client.

    Raises:
        subprocess.CalledProcessError: a client failed; its messages are on stderr.
    """
    rounds: dict[str, list[Figures]] = {name: [] for name in names}
    for _ in range(repeat):
        for name, measured in rounds.items():
            arguments = [name, scenario, f"ws://127.0.0.1:{port}/v1", json.dumps(settings)]
            figures = json.loads(await run_client("benchmarks.run_scenario", *arguments))
            measured.append({**figures, **(await fetch(port) if fetches else {})})
    return rounds


@attrs.frozen
class Column:
    """A figure in the table of a comparison.

    Attributes:
        key: the figure's name.
        label: its heading.
        scale: what it is multiplied with.
        digits: digits after the point.
    """

    key: str
    label: str
    scale: float = 1.0
    digits: int = 1

    def show(self, rounds: Sequence[Figures]) -> str:
        """Return the median over the rounds."""
        return f"{median(one[self.key] for one in rounds) * self.scale:,.{self.digits}f}"


@attrs.frozen(kw_only=True)
class ComparisonReport(TabularReport):
    """The figures of all clients.

    Attributes:
        benchmark: its name.
        heading: what was measured, and in which units.
        settings: what each client did in each round.
        columns: the figures to print.
        compared: the keys of the figures whose ratios to openai-agents are of interest.
        rounds: the figures of each client, one set per round.
        missing: clients that are not installed.
        remarks: what else to print.
    """

    benchmark: str
    heading: str
    settings: Mapping[str, Any]
    columns: Sequence[Column]
    compared: Sequence[str]
    rounds: Mapping[str, Sequence[Figures]]
    missing: Sequence[str] = ()
    remarks: Sequence[str] = ()

    def ratios(self, key: str) -> dict[str, float]:
        """Return the ratio of each client to openai-agents in one figure, keyed ``session/agents`` etc."""
        return ratios_to_reference(
            {name: [one[key] for one in rounds] for name, rounds in self.rounds.items()}
        )

    def title(self) -> str:
        return self.heading

    def tables(self) -> Sequence[Table]:
        shown = [column for column in self.columns if column.key in self.compared]
        heads = [*(c.label for c in self.columns), *(f"ratio of {c.label}" for c in shown)]
        rows = [
            [
                name,
                *(column.show(rounds) for column in self.columns),
                *(self._ratio(name, column.key) for column in shown),
            ]
            for name, rounds in self.rounds.items()
        ]
        return [Table(["client", *heads], rows)]

    def _ratio(self, name: str, key: str) -> str:
        ratio = self.ratios(key).get(f"{name}/{REFERENCE}")
        return "" if ratio is None else f"{ratio:.2f}"

    def notes(self) -> Sequence[str]:
        return [*self.remarks, *missing_notes(self.missing, CLIENTS)]

    def to_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "settings": {**self.settings, **environment()},
            "rounds": {name: [dict(one) for one in all_] for name, all_ in self.rounds.items()},
            "missing": list(self.missing),
            "ratios": {key: self.ratios(key) for key in self.compared},
        }


def missing_notes(missing: Iterable[str], clients: Mapping[str, Client]) -> list[str]:
    """Return a note about each client that is not installed."""
    return [f"{name}: not measured, {clients[name].requires} is not installed" for name in missing]
