"""How long ``session.interrupt()`` takes while tools run."""

from __future__ import annotations

import time
from typing import Final

import trio

from benchmarks.burst import frames as fr
from benchmarks.memory_session import open_memory_session
from trio_realtime import RealtimeAgent, events, function_tool

WARM_UP: Final = 3
"""Sessions before those that are measured."""


@function_tool
async def work(number: int) -> str:
    """Work until the call is cancelled, and clean up."""
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()
    return str(number)


AGENT: Final[RealtimeAgent[None]] = RealtimeAgent(
    name="Speaker", instructions="Talk.", tools=[work]
)


async def measure_interrupt(tools: int, repeat: int) -> list[float]:
    """Return the seconds until the last of the running tools has ended, one figure per session."""
    figures = [await _interrupt(tools) for _ in range(WARM_UP + repeat)]
    return figures[WARM_UP:]


async def _interrupt(tools: int) -> float:
    async with open_memory_session(AGENT) as memory:
        frames = [fr.encode(one) for number in range(tools) for one in _call_frames(number)]
        await memory.deliver(frames, events.ToolStart, tools)
        begin = time.perf_counter()
        await memory.session.interrupt()
        taken = time.perf_counter() - begin
        assert memory.session.statistics().running_tools == 0
        return taken


def _call_frames(number: int) -> list[fr.Frame]:
    arguments = f'{{"number": {number}}}'
    call = f"call_{number:021}"
    return [*fr.call_frames(f"resp_{number:021}", call, "work", arguments, None, None)]
