"""The client of ``openai-agents``, an SDK on asyncio, used as its documentation says."""

from __future__ import annotations

import asyncio  # noqa: TID251 - openai-agents runs on asyncio

from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession

from benchmarks.burst.load import Load, Measurement, Meter


def run(url: str, load: Load) -> Measurement:
    """Iterate over the session."""
    return asyncio.run(_iterate(url, load))


async def _iterate(url: str, load: Load) -> Measurement:
    agent: RealtimeAgent[None] = RealtimeAgent(name="Speaker", instructions="Talk.")
    runner = RealtimeRunner(agent)
    async with await runner.run(model_config={"url": url, "api_key": "unused"}) as session:
        return await _measure(session, Meter(load))


async def _measure(session: RealtimeSession, meter: Meter) -> Measurement:
    await session.send_message("Go on.")
    async for event in session:
        if event.type == "audio":
            meter.count_audio(event.audio.data)
        elif event.type == "raw_model_event":
            # The SDK has no session event for the transcript.
            if event.data.type == "transcript_delta":
                meter.count_text()
        elif event.type == "agent_end":
            if meter.end_turn():
                break
            await session.send_message("Go on.")
        elif event.type == "error":
            raise RuntimeError(f"openai-agents: {event.error}")
    return meter.result()
