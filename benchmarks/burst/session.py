"""The client of this library, through its public API."""

from __future__ import annotations

from typing import Any

import trio

from benchmarks.burst.load import Load, Measurement, Meter
from trio_realtime import (
    Endpoint,
    EventChannel,
    RealtimeAgent,
    RealtimeSession,
    events,
    open_realtime_session,
)
from trio_realtime.transports import Connector, connect_fast, connect_trio_websocket

AGENT: RealtimeAgent[None] = RealtimeAgent(name="Speaker", instructions="Talk.")


def run_iterating(url: str, load: Load) -> Measurement:
    """Iterate over the session."""
    return trio.run(_iterate, url, load, connect_trio_websocket)


def run_fast(url: str, load: Load) -> Measurement:
    """Iterate over a session with the other connector."""
    return trio.run(_iterate, url, load, connect_fast)


def run_subscribed(url: str, load: Load) -> Measurement:
    """Subscribe to the measured events only; nothing reads the main channel."""
    return trio.run(_subscribe, url, load)


async def _iterate(url: str, load: Load, connector: Connector) -> Measurement:
    async with open_realtime_session(
        AGENT, endpoint=_endpoint(url), transport=connector
    ) as session:
        return await _measure(session, session.events, Meter(load))


async def _subscribe(url: str, load: Load) -> Measurement:
    async with open_realtime_session(AGENT, endpoint=_endpoint(url)) as session:
        with session.subscribe(events.Audio, events.TranscriptDelta, events.AgentEnd) as channel:
            return await _measure(session, channel, Meter(load))


def _endpoint(url: str) -> Endpoint:
    return Endpoint.compatible(url, api_key="unused")


async def _measure(
    session: RealtimeSession[None], channel: EventChannel[Any], meter: Meter
) -> Measurement:
    await session.send_message("Go on.")
    async for event in channel:
        match event:
            case events.Audio(data=pcm):
                meter.count_audio(pcm)
            case events.TranscriptDelta():
                meter.count_text()
            case events.AgentEnd():
                if meter.end_turn():
                    break
                await session.send_message("Go on.")
            case _:
                pass
    return meter.result()
