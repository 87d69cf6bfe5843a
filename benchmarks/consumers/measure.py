"""The measurements of consumers and guardrails."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
import trio

from benchmarks.burst import frames as fr
from benchmarks.burst.load import GROUP_FRAMES
from benchmarks.library import AGENT
from benchmarks.memory_session import MemorySession, open_memory_session
from benchmarks.stopwatch import Stopwatch
from trio_realtime import (
    AgentContext,
    EventChannel,
    RealtimeAgent,
    SessionConfig,
    errors,
    events,
    output_guardrail,
)
from trio_realtime.config import OverflowPolicy

RESPONSE: Final = "resp_" + "0" * 21
ITEM: Final = "item_" + "0" * 21
WARM_UP: Final = 1000
"""Deltas before the clock starts."""


@output_guardrail
async def says_something(_context: AgentContext[Any], text: str) -> bool:
    """Trip if the agent says nothing."""
    return not text


GUARDED: Final[RealtimeAgent[None]] = RealtimeAgent(
    name="Speaker", instructions="Talk.", output_guardrails=[says_something]
)
GUARDS: Final[Mapping[str, tuple[RealtimeAgent[None], SessionConfig]]] = {
    "none": (AGENT, SessionConfig()),
    "guardrail": (GUARDED, SessionConfig()),
    "guardrail and gate": (GUARDED, SessionConfig(guardrail_audio_gate=True)),
}
"""The agent and the settings of each row of the table of guardrails."""


@attrs.frozen(kw_only=True)
class SlowFigures:
    """What happened beside a slow consumer.

    Attributes:
        cpu: seconds of CPU time of one delta.
        received: deltas that the reading consumer got.
        buffered_events: events that were buffered for the slow one at the end.
        buffered_audio: bytes of audio in them.
        dropped: events that were dropped.
        failure: the name of the exception that the slow consumer got, or an empty string.
    """

    cpu: float
    received: int
    buffered_events: int = 0
    buffered_audio: int = 0
    dropped: int = 0
    failure: str = ""


async def measure_consumers(consumers: int, deltas: int) -> float:
    """Return the seconds of CPU time of one delta that this number of consumers read."""
    async with open_memory_session() as memory:
        await _begin(memory)
        await _read_by_all(memory, consumers, WARM_UP)
        gc.collect()
        watch = Stopwatch()
        await _read_by_all(memory, consumers, deltas)
        return watch.cpu() / deltas


async def measure_slow(overflow: OverflowPolicy | None, deltas: int) -> SlowFigures:
    """Return what happens with this policy of the slow consumer; without one if the policy is None."""
    async with open_memory_session() as memory:
        await _begin(memory)
        await _read_by_all(memory, 1, WARM_UP)
        if overflow is None:
            cpu, received = await _read_timed(memory, deltas)
            return SlowFigures(cpu=cpu, received=received)
        with memory.session.subscribe(events.Audio, overflow=overflow) as slow:
            cpu, received = await _read_timed(memory, deltas)
            buffered = slow.statistics()
            return SlowFigures(
                cpu=cpu,
                received=received,
                buffered_events=buffered.buffered_events,
                buffered_audio=buffered.buffered_audio,
                dropped=buffered.dropped_events,
                failure=await _failure_of(slow, buffered.buffered_events),
            )


async def measure_guardrails(guards: str, deltas: int) -> float:
    """Return the seconds of CPU time of one delta with these guardrails."""
    agent, config = GUARDS[guards]
    async with open_memory_session(agent, config) as memory:
        await _respond(memory, 1, WARM_UP)
        gc.collect()
        frames = _response_frames(2, deltas)
        watch = Stopwatch()
        await memory.deliver(frames, events.AgentEnd, 1)
        return watch.cpu() / deltas


async def _respond(memory: MemorySession, number: int, deltas: int) -> None:
    await memory.deliver(_response_frames(number, deltas), events.AgentEnd, 1)


def _response_frames(number: int, deltas: int) -> list[str]:
    response, item = f"resp_{number:021}", f"item_{number:021}"
    deltas -= deltas % GROUP_FRAMES
    return _encoded(
        [
            *fr.opening_frames(response, item, None, None),
            *fr.burst_frames(response, item, deltas),
            *fr.closing_frames(response, item, deltas, None),
        ]
    )


async def _begin(memory: MemorySession) -> None:
    opening = _encoded(fr.opening_frames(RESPONSE, ITEM, None, None))
    await memory.deliver(opening, events.HistoryAdded, 1)


def _encoded(frames: Iterable[fr.Frame]) -> list[str]:
    return [fr.encode(one) for one in frames]


def _audio(deltas: int) -> list[str]:
    noise = random.Random(1).randbytes(960)
    return [fr.encode(fr.audio_frame(RESPONSE, ITEM, noise))] * deltas


async def _read_by_all(memory: MemorySession, consumers: int, deltas: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(consumers):
            await nursery.start(_read, memory, deltas)
        nursery.start_soon(memory.service.send, _audio(deltas))


async def _read(memory: MemorySession, deltas: int, task_status: trio.TaskStatus[None]) -> None:
    with memory.session.subscribe(events.Audio) as channel:
        task_status.started()
        for _ in range(deltas):
            await channel.receive()


async def _read_timed(memory: MemorySession, deltas: int) -> tuple[float, int]:
    gc.collect()
    watch = Stopwatch()
    await _read_by_all(memory, 1, deltas)
    return watch.cpu() / deltas, deltas


async def _failure_of(channel: EventChannel[events.Audio], buffered: int) -> str:
    """Read what is buffered, and return the exception that follows it."""
    try:
        for _ in range(buffered):
            await channel.receive()
        with trio.move_on_after(0.01):
            await channel.receive()
    except errors.RealtimeError as exc:
        return type(exc).__name__
    return ""
