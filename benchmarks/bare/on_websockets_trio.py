"""A loop over ``websockets`` on trio, which version 17 added, in an environment of its own.

The codecs are those of the loop over trio-websocket.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import trio
from websockets.trio.client import connect as connect_websockets

from benchmarks.bare.codecs import FAST
from benchmarks.bare.wire import Wire, consume, talk
from benchmarks.burst.load import Load, Measurement
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_trio import run_sessions


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Wire]:
    """Connect to a URL."""
    async with connect_websockets(url, compression=None) as ws:
        # msgspec reads UTF-8, so nothing need decode it.
        yield Wire(partial(ws.recv, decode=False), ws.send)


def run_burst(url: str, load: Load) -> Measurement:
    """Receive the bursts of a load."""
    return trio.run(consume, connect, FAST, url, load)


def run_duplex(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all connections in one trio run."""
    return run_sessions(url, load, partial(talk, connect, FAST))
