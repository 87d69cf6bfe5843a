"""``python -m benchmarks imports``: import this library and openai-agents, and report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Final

import trio

from benchmarks.clients import CLIENTS, why_missing
from benchmarks.comparison import Column, ComparisonReport, Figures, Layout
from benchmarks.options import add_number
from benchmarks.processes import run_client

SUMMARY = "CPU time of importing the library, compared with openai-agents"

MODULES: Final[Mapping[str, str]] = {"session": "trio_realtime", "agents": "agents.realtime"}
"""The module of each client."""

LAYOUT: Final = Layout(
    name="imports",
    heading="the first import in a process; milliseconds of CPU time, MB of memory",
    columns=(
        Column("cpu", "CPU time", 1000, 0),
        Column("modules", "modules", 1, 0),
        Column("memory", "memory", 1e-6),
    ),
    compared=("cpu", "memory"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_number(parser, "--repeat", 5, "number of rounds")


def run(options: argparse.Namespace) -> ComparisonReport:
    """Run the benchmark with the given options."""
    return trio.run(measure, options.repeat)


async def measure(repeat: int) -> ComparisonReport:
    """Import every module ``repeat`` times, in turns."""
    missing = why_missing(MODULES, CLIENTS)
    rounds: Mapping[str, list[Figures]] = {n: [] for n in MODULES if n not in missing}
    for name in rounds:
        await _import(name)
    for _ in range(repeat):
        for name, measured in rounds.items():
            measured.append(await _import(name))
    return ComparisonReport(layout=LAYOUT, settings={}, rounds=rounds, missing=missing)


async def _import(name: str) -> Figures:
    figures: Figures = json.loads(await run_client("benchmarks.imports.client", MODULES[name]))
    return figures
