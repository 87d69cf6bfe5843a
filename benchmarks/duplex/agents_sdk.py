"""Sessions of ``openai-agents``, an SDK on asyncio, used as its documentation says."""

from __future__ import annotations

from agents.realtime import RealtimeAgent, RealtimeRunner

from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_asyncio import run_sessions


def run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all sessions in one loop."""
    return run_sessions(url, load, _talk)


async def _talk(url: str, exchange: Exchange) -> None:
    agent: RealtimeAgent[None] = RealtimeAgent(name="Speaker", instructions="Talk.")
    runner = RealtimeRunner(agent)
    async with await runner.run(model_config={"url": url, "api_key": "unused"}) as session:
        incoming = aiter(session)

        async def next_audio() -> bytes:
            async for event in incoming:
                if event.type == "audio":
                    return event.audio.data
            raise RuntimeError("the session has ended")

        await session.send_message("Go on.")
        await exchange.run(next_audio, session.send_audio)
