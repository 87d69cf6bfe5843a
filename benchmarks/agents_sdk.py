"""Sessions of ``openai-agents``, an SDK on asyncio, used as its documentation says."""

from __future__ import annotations

import asyncio  # noqa: TID251 - openai-agents runs on asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner

from benchmarks.conversation import Conversation
from benchmarks.scenario import Scenario


@function_tool
async def get_order_status(number: int) -> str:
    """Return the status of an order."""
    return f"Order {number} is on its way."


@asynccontextmanager
async def open_conversation(url: str, *, has_tool: bool = False) -> AsyncGenerator[Conversation]:
    """Open a session for the duration of the block."""
    agent: RealtimeAgent[None] = RealtimeAgent(
        name="Speaker", instructions="Talk.", tools=[get_order_status] if has_tool else []
    )
    runner = RealtimeRunner(agent)
    async with await runner.run(model_config={"url": url, "api_key": "unused"}) as session:
        incoming = aiter(session)

        async def next_audio() -> bytes:
            async for event in incoming:
                if event.type == "audio":
                    return event.audio.data
                if event.type == "error":
                    raise RuntimeError(f"openai-agents: {event.error}")
            raise RuntimeError("the session has ended")

        yield Conversation(next_audio, session.send_audio, session.send_message)


def run_scenario(url: str, scenario: Scenario) -> dict[str, float]:
    """Run a scenario."""
    return asyncio.run(scenario.run(partial(open_conversation, url, has_tool=scenario.has_tool)))
