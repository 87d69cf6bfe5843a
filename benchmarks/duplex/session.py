"""Sessions of this library, through their public API."""

from __future__ import annotations

from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_trio import run_sessions
from trio_realtime import Endpoint, RealtimeAgent, events, open_realtime_session

AGENT: RealtimeAgent[None] = RealtimeAgent(name="Speaker", instructions="Talk.")


def run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all sessions in one trio run."""
    return run_sessions(url, load, _talk)


async def _talk(url: str, exchange: Exchange) -> None:
    endpoint = Endpoint.compatible(url, api_key="unused")
    async with open_realtime_session(AGENT, endpoint=endpoint) as session:

        async def next_audio() -> bytes:
            async for event in session:
                if isinstance(event, events.Audio):
                    return event.data
            raise RuntimeError("the session has ended")

        await session.send_message("Go on.")
        await exchange.run(next_audio, session.send_audio)
