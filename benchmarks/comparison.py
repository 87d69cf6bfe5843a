"""Compare the clients in one scenario: interleaved rounds, medians, and ratios to openai-agents.

A scenario is a coroutine function that uses a :class:`~benchmarks.conversation.Conversation`, so one
function runs with every client, on trio or on asyncio. Each client runs in a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, TypeAlias

import attrs
import trio

from benchmarks.clients import CLIENTS, why_missing
from benchmarks.processes import fetch, load_server, run_client
from benchmarks.ratios import REFERENCE, ratios_to_reference
from benchmarks.reports import Table, TabularReport, environment, missing_notes

Figures: TypeAlias = Mapping[str, float]
"""What one client measured in one round."""


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
class Layout:
    """What the report of a comparison says.

    Attributes:
        name: the name of the benchmark.
        heading: what is measured, and in which units, with the settings in braces.
        columns: the figures to print.
        compared: the keys of the figures whose ratios to openai-agents are of interest.
    """

    name: str
    heading: str
    columns: Sequence[Column]
    compared: Sequence[str]


@attrs.frozen(kw_only=True)
class Comparison(Layout):
    """A benchmark that compares the clients in one scenario.

    Attributes:
        scenario: the module whose function ``run_client`` each client runs.
        server_measures: whether the server measures too. Its figures join those of the client.
    """

    scenario: str
    server_measures: bool = False

    def run(
        self,
        server: Sequence[str],
        settings: Mapping[str, Any],
        *,
        repeat: int,
        only: Sequence[str] | None = None,
    ) -> ComparisonReport:
        """Run every client ``repeat`` times, in turns, against one server.

        Args:
            server: the module of the load server, and its arguments.
            settings: the settings that the scenario is given.
            repeat: the number of rounds.
            only: the clients; all by default.

        Raises:
            subprocess.CalledProcessError: a client failed; its messages are on stderr.
        """
        names = only or [*CLIENTS]
        missing = why_missing(names, CLIENTS)
        rounds: dict[str, list[Figures]] = {n: [] for n in names if n not in missing}
        trio.run(self._measure, server, settings, repeat, rounds)
        return ComparisonReport(layout=self, settings=settings, rounds=rounds, missing=missing)

    async def _measure(
        self,
        server: Sequence[str],
        settings: Mapping[str, Any],
        repeat: int,
        rounds: Mapping[str, list[Figures]],
    ) -> None:
        async with load_server(*server) as port:
            url = f"ws://127.0.0.1:{port}/v1"
            for _ in range(repeat):
                for name, measured in rounds.items():
                    arguments = [name, self.scenario, url, json.dumps(settings)]
                    printed = await run_client("benchmarks.run_scenario", *arguments)
                    heard = await fetch(port) if self.server_measures else {}
                    measured.append({**json.loads(printed), **heard})


@attrs.frozen(kw_only=True)
class ComparisonReport(TabularReport):
    """The figures of all clients.

    Attributes:
        layout: what to say about them.
        settings: what each client did in each round.
        rounds: the figures of each client, one set per round.
        missing: why other clients were not measured.
    """

    layout: Layout
    settings: Mapping[str, Any]
    rounds: Mapping[str, Sequence[Figures]]
    missing: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def ratios(self, key: str) -> dict[str, float]:
        """Return the ratio of each client to openai-agents in one figure, keyed ``session/agents`` etc."""
        return ratios_to_reference(
            {name: [one[key] for one in rounds] for name, rounds in self.rounds.items()}
        )

    def title(self) -> str:
        return self.layout.heading.format(**self.settings)

    def tables(self) -> Sequence[Table]:
        heads = ["client"]
        for column in self.layout.columns:
            heads += [column.label, *(["ratio"] if self._is_compared(column) else [])]
        return [Table(heads, [self._row(name) for name in self.rounds])]

    def _is_compared(self, column: Column) -> bool:
        return column.key in self.layout.compared

    def _row(self, name: str) -> list[str]:
        cells = [name]
        for column in self.layout.columns:
            cells.append(column.show(self.rounds[name]))
            if self._is_compared(column):
                ratio = self.ratios(column.key).get(f"{name}/{REFERENCE}")
                cells.append("" if ratio is None else f"{ratio:.2f}")
        return cells

    def notes(self) -> Sequence[str]:
        return [f"ratio: to {REFERENCE}, within each round", *missing_notes(self.missing)]

    def to_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.layout.name,
            "settings": {**self.settings, **environment()},
            "rounds": {name: [dict(one) for one in all_] for name, all_ in self.rounds.items()},
            "missing": dict(self.missing),
            "ratios": {key: self.ratios(key) for key in self.layout.compared},
        }
