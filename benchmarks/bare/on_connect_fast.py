"""A loop over the transport of ``connect_fast``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import trio

from benchmarks.bare.codecs import FAST
from benchmarks.bare.wire import Wire, consume, talk
from benchmarks.burst.load import Load, Measurement
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_trio import run_sessions
from trio_realtime.transports import ConnectOptions, connect_fast


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Wire]:
    """Connect to a URL."""
    async with connect_fast(ConnectOptions(url)) as transport:
        # Its members that save steps are optional in the protocol.
        fast = cast("Any", transport)
        received: list[str | bytes] = []

        async def receive() -> str | bytes:
            while not received:
                received.extend(reversed(await fast.receive_many()))
            return received.pop()

        async def send(message: str) -> None:
            if not fast.try_send(message) or fast.has_rest:
                await fast.flush()

        yield Wire(receive, send)


def run_burst(url: str, load: Load) -> Measurement:
    """Receive the bursts of a load."""
    return trio.run(consume, connect, FAST, url, load)


def run_duplex(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all connections in one trio run."""
    return run_sessions(url, load, partial(talk, connect, FAST))
