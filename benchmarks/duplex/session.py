"""Sessions of this library, through their public API."""

from __future__ import annotations

from functools import partial

from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_trio import run_sessions
from trio_realtime import Endpoint, RealtimeAgent, events, open_realtime_session
from trio_realtime.transports import Connector, connect_fast, connect_trio_websocket

AGENT: RealtimeAgent[None] = RealtimeAgent(name="Speaker", instructions="Talk.")


def run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all sessions in one trio run."""
    return run_sessions(url, load, partial(_talk, connect_trio_websocket))


def run_fast(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all sessions in one trio run, with the other connector."""
    return run_sessions(url, load, partial(_talk, connect_fast))


async def _talk(connector: Connector, url: str, exchange: Exchange) -> None:
    endpoint = Endpoint.compatible(url, api_key="unused")
    async with open_realtime_session(AGENT, endpoint=endpoint, transport=connector) as session:

        async def next_audio() -> bytes:
            async for event in session:
                if isinstance(event, events.Audio):
                    return event.data
            raise RuntimeError("the session has ended")

        await session.send_message("Go on.")
        await exchange.run(next_audio, session.send_audio)
