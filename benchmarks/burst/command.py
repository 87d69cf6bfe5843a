"""``python -m benchmarks burst``: start the server, run the clients, and report."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from benchmarks.burst.client import CLIENTS
from benchmarks.burst.load import WARM_UP_TURNS, Load, Measurement
from benchmarks.burst.profile import ProfileTable, read_profile
from benchmarks.burst.report import LIBRARY, BurstReport

SUMMARY = (
    "CPU time per frame of a session that receives a burst of audio, compared with other clients"
)

ROOT = Path(__file__).resolve().parents[2]

# Without this, openai-agents uploads traces of its runs.
_ENVIRONMENT = {"OPENAI_AGENTS_DISABLE_TRACING": "1"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--frames", type=_positive, default=20_000, help="frames per run")
    parser.add_argument(
        "--repeat",
        type=_positive,
        default=5,
        help="number of rounds; each client runs once per round",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[*CLIENTS],
        help="measure only this client (can be given several times)",
    )
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="also run the session under cProfile, print where it spends time, and write the statistics to FILE",
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


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
    missing = [name for name in names if not CLIENTS[name].is_installed]
    rounds: Mapping[str, list[Measurement]] = {n: [] for n in names if n not in missing}
    async with _load_server(load) as url:
        for _ in range(repeat):
            for name, measured in rounds.items():
                measured.append(await _run_client(name, url, load))
        table = None if profile is None else await _profile(url, load, profile)
    return BurstReport(load=load, rounds=rounds, missing=missing, profile=table)


async def _profile(url: str, load: Load, path: Path) -> ProfileTable:
    await _run_client(LIBRARY, url, load, str(path))
    # The profile includes the warm-up.
    return read_profile(path, load.frames + WARM_UP_TURNS * load.frames_per_turn)


@asynccontextmanager
async def _load_server(load: Load) -> AsyncGenerator[str, None]:
    """Run the server in a child process during the block. Yields its URL."""
    async with trio.open_nursery() as nursery:
        start = partial(
            trio.run_process,
            [sys.executable, "-m", "benchmarks.burst.server", str(load.frames_per_turn)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        process: trio.Process = await nursery.start(start)
        assert process.stdin is not None
        try:
            yield f"ws://127.0.0.1:{await _read_port(process)}/v1"
        finally:
            # The server exits at the end of its stdin. A cancellation kills it.
            await trio.aclose_forcefully(process.stdin)


async def _read_port(process: trio.Process) -> int:
    assert process.stdout is not None
    output = b""
    async for chunk in process.stdout:
        output += chunk
        if output.endswith(b"\n"):
            return int(output)
    raise RuntimeError("the load server exited before it printed its port")


async def _run_client(name: str, url: str, load: Load, *profile: str) -> Measurement:
    arguments = [name, url, str(load.turns), str(load.frames_per_turn), *profile]
    done = await trio.run_process(
        [sys.executable, "-m", "benchmarks.burst.client", *arguments],
        capture_stdout=True,
        cwd=ROOT,
        env={**os.environ, **_ENVIRONMENT},
    )
    return Measurement(**json.loads(done.stdout))
