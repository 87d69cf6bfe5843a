"""Sessions of the realtime model of ``livekit-plugins-openai``, on asyncio, without an agent or a room.

``AgentSession`` would add pacing, transcription and a room, so the session of the model is used, as the
agent uses it. It collects the microphone's audio and sends 100 ms at a time:

* ``lock`` with frames of 20 ms cannot run, because nothing answers a single frame.
* In ``paced`` with frames of 20 ms, it sends a fifth of the messages of other clients.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - livekit-agents runs on asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager

import aiohttp
from livekit import rtc
from livekit.agents.llm import GenerationCreatedEvent, RealtimeModelError
from livekit.plugins.openai.realtime import RealtimeModel, RealtimeSession

from benchmarks.burst.load import Load, Measurement, Meter
from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_asyncio import run_sessions
from benchmarks.peers.failure import give_up

RATE = 24_000

# It warns of each response that has not ended when its session closes.
logging.getLogger("livekit.agents").setLevel(logging.ERROR)


def run_burst(url: str, load: Load) -> Measurement:
    """Count the audio and the text of one session."""
    return asyncio.run(_consume(url, load))


def run_duplex(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all sessions in one loop."""
    return run_sessions(url, load, _talk)


@asynccontextmanager
async def _open(url: str) -> AsyncGenerator[RealtimeSession]:
    # An agent's job provides the HTTP session; here is no job.
    async with aiohttp.ClientSession() as http:
        model = RealtimeModel(base_url=url, api_key="unused", http_session=http)
        session = model.session()
        session.on("error", _fail)
        try:
            yield session
        finally:
            await session.aclose()
            await model.aclose()


def _fail(event: RealtimeModelError) -> None:
    give_up(f"livekit-agents: {event.error}")


async def _talk(url: str, exchange: Exchange) -> None:
    async with _open(url) as session:
        generation = await session.generate_reply()
        message = await anext(aiter(generation.message_stream))
        audio = aiter(message.audio_stream)

        async def next_audio() -> bytes:
            return (await anext(audio)).data.tobytes()

        async def send_audio(data: bytes) -> None:
            session.push_audio(rtc.AudioFrame(data, RATE, 1, len(data) // 2))

        await exchange.run(next_audio, send_audio)


async def _consume(url: str, load: Load) -> Measurement:
    async with _open(url) as session:
        meter = Meter(load)
        while True:
            await _listen(await session.generate_reply(), meter)
            if meter.end_turn():
                return meter.result()


async def _listen(generation: GenerationCreatedEvent, meter: Meter) -> None:
    async for message in generation.message_stream:
        async with asyncio.TaskGroup() as group:
            group.create_task(_read(message.text_stream, meter))
            async for frame in message.audio_stream:
                meter.count_audio(frame.data.tobytes())


async def _read(texts: AsyncIterable[str], meter: Meter) -> None:
    async for _ in texts:
        meter.count_text()
