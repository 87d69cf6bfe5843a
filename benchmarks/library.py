"""Sessions of this library, through their public API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import trio

from benchmarks.conversation import Conversation
from benchmarks.scenario import Scenario
from trio_realtime import Endpoint, RealtimeAgent, events, function_tool, open_realtime_session
from trio_realtime.transports import Connector, connect_fast, connect_trio_websocket


@function_tool
async def get_order_status(number: int) -> str:
    """Return the status of an order."""
    return f"Order {number} is on its way."


AGENT: RealtimeAgent[None] = RealtimeAgent(name="Speaker", instructions="Talk.")
AGENT_WITH_TOOL: RealtimeAgent[None] = RealtimeAgent(
    name="Speaker", instructions="Talk.", tools=[get_order_status]
)


@asynccontextmanager
async def open_conversation(
    connector: Connector, url: str, agent: RealtimeAgent[None] = AGENT
) -> AsyncGenerator[Conversation]:
    """Open a session for the duration of the block."""
    endpoint = Endpoint.compatible(url, api_key="unused")
    async with open_realtime_session(agent, endpoint=endpoint, transport=connector) as session:

        async def next_audio() -> bytes:
            async for event in session:
                if isinstance(event, events.Audio):
                    return event.data
            raise RuntimeError("the session has ended")

        yield Conversation(next_audio, session.send_audio, session.send_message)


def run_scenario(url: str, scenario: Scenario) -> dict[str, float]:
    """Run a scenario with the default transport."""
    return _run(connect_trio_websocket, url, scenario)


def run_scenario_fast(url: str, scenario: Scenario) -> dict[str, float]:
    """Run a scenario with ``connect_fast``."""
    return _run(connect_fast, url, scenario)


def _run(connector: Connector, url: str, scenario: Scenario) -> dict[str, float]:
    agent = AGENT_WITH_TOOL if scenario.has_tool else AGENT
    return trio.run(scenario.run, partial(open_conversation, connector, url, agent))
