"""Sessions of ``openai-agents``, an SDK on asyncio, used as its documentation says."""

from __future__ import annotations

from benchmarks.agents_sdk import open_conversation
from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_asyncio import run_sessions


def run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all sessions in one loop."""
    return run_sessions(url, load, _talk)


async def _talk(url: str, exchange: Exchange) -> None:
    async with open_conversation(url) as conversation:
        await exchange.begin(conversation)
