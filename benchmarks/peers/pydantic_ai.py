"""Realtime sessions of ``pydantic-ai``, on asyncio, used as its documentation says.

``duplex`` reads the view of the audio that the documentation recommends. ``burst`` reads the events of the
session, which have the audio too: it needs the transcript and the ends of turns as well, and a view would
make it read each delta twice.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - pydantic-ai runs on asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pydantic_ai import Agent
from pydantic_ai.messages import PartDeltaEvent, SpeechPartDelta
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.realtime import (
    RealtimeSession,
    RealtimeSessionErrorEvent,
    RealtimeTurnCompleteEvent,
)
from pydantic_ai.realtime.openai import OpenAIRealtimeModel

from benchmarks.burst.load import Load, Measurement, Meter
from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_asyncio import run_sessions
from benchmarks.peers.failure import give_up


def run_burst(url: str, load: Load) -> Measurement:
    """Iterate over the events and the audio of one session."""
    return asyncio.run(_consume(url, load))


def run_duplex(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all sessions in one loop."""
    return run_sessions(url, load, _talk)


@asynccontextmanager
async def _open(url: str) -> AsyncGenerator[RealtimeSession]:
    # The provider takes the base URL of the HTTP API, and derives that of the WebSocket.
    provider = OpenAIProvider(base_url=url.replace("ws", "http", 1), api_key="unused")
    model = OpenAIRealtimeModel("gpt-realtime-2.1", provider=provider)
    agent = Agent(instructions="Talk.")
    async with agent.realtime(model).session() as session:
        yield session


async def _talk(url: str, exchange: Exchange) -> None:
    async with _open(url) as session:
        audio = session.stream_audio()
        await session.send("Go on.")
        await exchange.run(lambda: anext(audio), session.send_audio)


async def _consume(url: str, load: Load) -> Measurement:
    async with _open(url) as session:
        return await _measure(session, Meter(load))


async def _measure(session: RealtimeSession, meter: Meter) -> Measurement:
    await session.send("Go on.")
    async for event in session:
        if isinstance(event, PartDeltaEvent):
            if isinstance(event.delta, SpeechPartDelta):
                _count(event.delta, meter)
        elif isinstance(event, RealtimeTurnCompleteEvent):
            if meter.end_turn():
                break
            await session.send("Go on.")
        elif isinstance(event, RealtimeSessionErrorEvent):
            give_up(f"pydantic-ai: {event.message}")
    return meter.result()


def _count(delta: SpeechPartDelta, meter: Meter) -> None:
    if delta.audio_chunk:
        meter.count_audio(delta.audio_chunk)
    elif delta.transcript_delta:
        meter.count_text()
