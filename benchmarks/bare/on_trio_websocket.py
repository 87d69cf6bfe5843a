"""A loop over trio-websocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import trio
from trio_websocket import open_websocket_url

from benchmarks.bare.codecs import FAST, STDLIB
from benchmarks.bare.wire import Wire, consume, talk
from benchmarks.burst.load import Load, Measurement
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_trio import run_sessions

MESSAGE_QUEUE = 64
"""The size that the transport of the library uses."""


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Wire]:
    """Connect to a URL."""
    async with open_websocket_url(
        url, receive_buffer_size=None, message_queue_size=MESSAGE_QUEUE
    ) as ws:
        yield Wire(ws.get_message, ws.send_message)


def run_burst(url: str, load: Load) -> Measurement:
    """Decode with msgspec and pybase64, as the library does."""
    return trio.run(consume, connect, FAST, url, load)


def run_burst_stdlib(url: str, load: Load) -> Measurement:
    """Decode with the standard library."""
    return trio.run(consume, connect, STDLIB, url, load)


def run_duplex(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all connections in one trio run."""
    return run_sessions(url, load, partial(talk, connect, FAST))
