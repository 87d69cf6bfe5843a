"""Runs the sessions of a client in one trio run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import attrs
import trio

from benchmarks.conversation import NextAudio, SendAudio
from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement, DuplexMeter


@attrs.frozen
class TrioExchange(Exchange):
    """Exchanges the audio of one session on trio."""

    async def pace(self, next_audio: NextAudio, send: SendAudio) -> None:
        """Receive all deltas, and send the microphone's frames by deadlines meanwhile."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._speak, send)
            await self.listen(next_audio)

    async def _speak(self, send: SendAudio) -> None:
        microphone, due = self.load.microphone, trio.current_time() + self.delay
        for _ in range(self.load.frames):
            await trio.sleep_until(due)
            await send(microphone)
            due += self.load.frame_ms / 1000


Talk: TypeAlias = Callable[[str, Exchange], Awaitable[None]]


def run_sessions(url: str, load: DuplexLoad, talk: Talk) -> DuplexMeasurement:
    """Run all sessions. ``talk`` opens one and calls :meth:`Exchange.run`."""
    return trio.run(_run, url, load, talk)


async def _run(url: str, load: DuplexLoad, talk: Talk) -> DuplexMeasurement:
    meter = DuplexMeter(load)
    start, end = trio.Event(), trio.Event()

    async def run_one(number: int, *, task_status: trio.TaskStatus[None]) -> None:
        delay = load.delay(number)
        await talk(url, TrioExchange(load, meter, start, end, task_status.started, delay))

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as warm:
            for number in range(load.sessions):
                warm.start_soon(nursery.start, run_one, number)
        meter.start()
        start.set()
    return meter.result()
