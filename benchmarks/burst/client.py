"""Runs one client: ``python -m benchmarks.burst.client NAME URL TURNS FRAMES [FILE]``.

The program prints its measurement as one line of JSON. With FILE, the client runs under cProfile, which
writes its statistics to FILE; the measurement then includes the cost of profiling.
"""

from __future__ import annotations

import cProfile
import json
import sys
import time
from collections.abc import Callable, Mapping

from benchmarks.burst.load import Load, Measurement
from benchmarks.clients import Client
from benchmarks.peers.pins import PEERS

CLIENTS: Mapping[str, Client] = {
    "bare": Client("benchmarks.bare.on_trio_websocket", "run_burst"),
    "bare_stdlib": Client("benchmarks.bare.on_trio_websocket", "run_burst_stdlib"),
    "bare-fast": Client("benchmarks.bare.on_connect_fast", "run_burst"),
    "bare-websockets": Client(
        "benchmarks.bare.on_websockets_trio", "run_burst", peer=PEERS["websockets"]
    ),
    "asyncio": Client("benchmarks.bare.on_asyncio", "run_burst", requires="websockets"),
    "session": Client("benchmarks.burst.session", "run_iterating"),
    "subscribe": Client("benchmarks.burst.session", "run_subscribed"),
    "fast": Client("benchmarks.burst.session", "run_fast"),
    "agents": Client("benchmarks.burst.agents_sdk", "run", requires="openai-agents"),
    "pydantic-ai": Client("benchmarks.peers.pydantic_ai", "run_burst", peer=PEERS["pydantic-ai"]),
    "pipecat-ai": Client("benchmarks.peers.pipecat_ai", "run_burst", peer=PEERS["pipecat-ai"]),
    "livekit-agents": Client(
        "benchmarks.peers.livekit_agents", "run_burst", peer=PEERS["livekit-agents"]
    ),
}


def main(name: str, url: str, turns: str, frames_per_turn: str, profile: str | None = None) -> None:
    run = CLIENTS[name].load()
    load = Load(turns=int(turns), frames_per_turn=int(frames_per_turn))
    measured = run(url, load) if profile is None else _profiled(run, url, load, profile)
    print(json.dumps(measured.to_json()))


def _profiled(
    run: Callable[[str, Load], Measurement], url: str, load: Load, path: str
) -> Measurement:
    profiler = cProfile.Profile(time.process_time)  # CPU time, because the machine may be busy
    try:
        return profiler.runcall(run, url, load)
    finally:
        profiler.dump_stats(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
