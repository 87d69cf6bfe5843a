"""Runs one client: ``python -m benchmarks.duplex.client NAME URL LOAD``, with the load as JSON.

The program prints its measurement as one line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import attrs

from benchmarks.clients import Client
from benchmarks.duplex.load import DuplexLoad
from benchmarks.peers.pins import PEERS


@attrs.frozen
class DuplexClient(Client):
    """One implementation to measure.

    Attributes:
        chunk_ms: milliseconds of the microphone that it collects before it sends them in one message.
    """

    chunk_ms: int = 0

    def why_not(self, load: DuplexLoad) -> str | None:
        """Return why it cannot run the load, or None if it can."""
        if load.mode == "lock" and load.frame_ms < self.chunk_ms:
            return (
                f"it sends {self.chunk_ms} ms of audio at a time, "
                f"so nothing answers a frame of {load.frame_ms} ms"
            )
        return self.why_missing()


CLIENTS: Mapping[str, DuplexClient] = {
    "bare": DuplexClient("benchmarks.bare.on_trio_websocket", "run_duplex"),
    "bare-fast": DuplexClient("benchmarks.bare.on_connect_fast", "run_duplex"),
    "bare-websockets": DuplexClient(
        "benchmarks.bare.on_websockets_trio", "run_duplex", peer=PEERS["websockets"]
    ),
    "asyncio": DuplexClient("benchmarks.bare.on_asyncio", "run_duplex", requires="websockets"),
    "session": DuplexClient("benchmarks.duplex.session", "run"),
    "fast": DuplexClient("benchmarks.duplex.session", "run_fast"),
    "agents": DuplexClient("benchmarks.duplex.agents_sdk", "run", requires="openai-agents"),
    "pydantic-ai": DuplexClient(
        "benchmarks.peers.pydantic_ai", "run_duplex", peer=PEERS["pydantic-ai"]
    ),
    "pipecat-ai": DuplexClient(
        "benchmarks.peers.pipecat_ai", "run_duplex", peer=PEERS["pipecat-ai"]
    ),
    "livekit-agents": DuplexClient(
        "benchmarks.peers.livekit_agents",
        "run_duplex",
        peer=PEERS["livekit-agents"],
        chunk_ms=100,
    ),
}


def main(name: str, url: str, load: str) -> None:
    measured = CLIENTS[name].load()(url, DuplexLoad(**json.loads(load)))
    print(json.dumps(attrs.asdict(measured)))


if __name__ == "__main__":
    main(*sys.argv[1:])
