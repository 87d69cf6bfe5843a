"""Sessions of this library, through their public API."""

from __future__ import annotations

from functools import partial

from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_trio import run_sessions
from benchmarks.library import open_conversation
from trio_realtime.transports import Connector, connect_fast, connect_trio_websocket


def run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all sessions in one trio run."""
    return run_sessions(url, load, partial(_talk, connect_trio_websocket))


def run_fast(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all sessions in one trio run, with the other connector."""
    return run_sessions(url, load, partial(_talk, connect_fast))


async def _talk(connector: Connector, url: str, exchange: Exchange) -> None:
    async with open_conversation(connector, url) as conversation:
        await exchange.begin(conversation)
