"""A loop over ``websockets`` on asyncio, with ``json`` and ``base64``."""

from __future__ import annotations

import asyncio  # noqa: TID251 - the loop of this client
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from websockets.asyncio.client import connect as connect_websockets

from benchmarks.bare.codecs import STDLIB
from benchmarks.bare.wire import Wire, consume, talk
from benchmarks.burst.load import Load, Measurement
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_asyncio import run_sessions


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Wire]:
    """Connect to a URL."""
    async with connect_websockets(url, compression=None) as ws:
        yield Wire(ws.recv, ws.send)


def run_burst(url: str, load: Load) -> Measurement:
    """Receive the bursts of a load."""
    return asyncio.run(consume(connect, STDLIB, url, load))


def run_duplex(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all connections in one loop."""
    return run_sessions(url, load, partial(talk, connect, STDLIB))
