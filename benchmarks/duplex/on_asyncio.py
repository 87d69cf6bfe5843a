"""Runs the sessions of a client in one asyncio loop, in the same way as on trio."""

from __future__ import annotations

import asyncio  # noqa: TID251 - the clients of other projects
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import attrs

from benchmarks.conversation import NextAudio, SendAudio
from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement, DuplexMeter


@attrs.frozen
class AsyncioExchange(Exchange):
    """Exchanges the audio of one session on asyncio."""

    async def pace(self, next_audio: NextAudio, send: SendAudio) -> None:
        """Receive all deltas, and send the microphone's frames by deadlines meanwhile."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._speak(send))
            await self.listen(next_audio)

    async def _speak(self, send: SendAudio) -> None:
        loop = asyncio.get_running_loop()
        microphone, due = self.load.microphone, loop.time() + self.delay
        for _ in range(self.load.frames):
            await asyncio.sleep(max(due - loop.time(), 0))
            await send(microphone)
            due += self.load.frame_ms / 1000


Talk: TypeAlias = Callable[[str, Exchange], Coroutine[Any, Any, None]]


def run_sessions(url: str, load: DuplexLoad, talk: Talk) -> DuplexMeasurement:
    """Run all sessions. ``talk`` opens one and calls :meth:`Exchange.run`."""
    return asyncio.run(_run(url, load, talk))


async def _run(url: str, load: DuplexLoad, talk: Talk) -> DuplexMeasurement:
    meter = DuplexMeter(load)
    start, end = asyncio.Event(), asyncio.Event()
    warm = [asyncio.Event() for _ in range(load.sessions)]
    async with asyncio.TaskGroup() as group:
        for number, one in enumerate(warm):
            delay = load.delay(number)
            exchange = AsyncioExchange(load, meter, start, end, one.set, delay)
            group.create_task(talk(url, exchange))
        for one in warm:
            await one.wait()
        meter.start()
        start.set()
    return meter.result()
