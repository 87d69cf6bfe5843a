"""``python -m benchmarks burst``: start the server, run the clients, and report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import trio

from benchmarks.burst.client import CLIENTS
from benchmarks.burst.load import WARM_UP_TURNS, Load, Measurement
from benchmarks.burst.profile import ProfileTable, read_profile
from benchmarks.burst.report import BurstReport
from benchmarks.options import add_round_options, positive
from benchmarks.processes import load_server, run_client

SUMMARY = (
    "CPU time per frame of a session that receives a burst of audio, compared with other clients"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--frames", type=positive, metavar="N", default=20_000, help="frames per run"
    )
    add_round_options(parser, CLIENTS, repeat=5)
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="also run the session under cProfile, print where it spends time, and write the statistics to FILE",
    )


def run(options: argparse.Namespace) -> BurstReport:
    """Run the benchmark with the given options."""
    return trio.run(
        partial(
            measure,
            Load.approximately(options.frames),
            repeat=options.repeat,
            names=options.only or [*CLIENTS],
            profile=options.profile and options.profile.resolve(),
        )
    )


async def measure(
    load: Load, *, repeat: int, names: Iterable[str], profile: Path | None = None
) -> BurstReport:
    """Run every client ``repeat`` times, in turns, against one server.

    Raises:
        subprocess.CalledProcessError: a client failed; its messages are on stderr.
    """
    reasons = {name: CLIENTS[name].why_missing() for name in names}
    missing = {name: reason for name, reason in reasons.items() if reason is not None}
    rounds: Mapping[str, list[Measurement]] = {n: [] for n in reasons if n not in missing}
    server = load_server("benchmarks.burst.server", str(load.frames_per_turn))
    async with server as port:
        url = f"ws://127.0.0.1:{port}/v1"
        for _ in range(repeat):
            for name, measured in rounds.items():
                measured.append(await _run_client(name, url, load))
        table = None if profile is None else await _profile(url, load, profile)
    return BurstReport(load=load, rounds=rounds, missing=missing, profile=table)


async def _profile(url: str, load: Load, path: Path) -> ProfileTable:
    await _run_client("session", url, load, str(path))
    # The profile includes the warm-up.
    return read_profile(path, load.frames + WARM_UP_TURNS * load.frames_per_turn)


async def _run_client(name: str, url: str, load: Load, *profile: str) -> Measurement:
    arguments = [name, url, str(load.turns), str(load.frames_per_turn), *profile]
    printed = await run_client("benchmarks.burst.client", *arguments, python=CLIENTS[name].python)
    return Measurement(**json.loads(printed))
