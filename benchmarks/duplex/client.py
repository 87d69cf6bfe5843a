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

CLIENTS: Mapping[str, Client] = {
    "bare": Client("benchmarks.duplex.bare", "run"),
    "bare-fast": Client("benchmarks.duplex.bare_fast", "run"),
    "asyncio": Client("benchmarks.duplex.bare_asyncio", "run", requires="websockets"),
    "session": Client("benchmarks.duplex.session", "run"),
    "fast": Client("benchmarks.duplex.session", "run_fast"),
    "agents": Client("benchmarks.duplex.agents_sdk", "run", requires="openai-agents"),
}


def main(name: str, url: str, load: str) -> None:
    measured = CLIENTS[name].load()(url, DuplexLoad(**json.loads(load)))
    print(json.dumps(attrs.asdict(measured)))


if __name__ == "__main__":
    main(*sys.argv[1:])
