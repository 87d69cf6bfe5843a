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
        microphone, due = self.load.microphone, trio.current_time()
        for _ in range(self.load.frames):
            await send(microphone)
            due += self.load.frame_ms / 1000
            await trio.sleep_until(due)


Talk: TypeAlias = Callable[[str, Exchange], Awaitable[None]]


def run_sessions(url: str, load: DuplexLoad, talk: Talk) -> DuplexMeasurement:
    """Run all sessions. ``talk`` opens one and calls :meth:`Exchange.run`."""
    return trio.run(_run, url, load, talk)


async def _run(url: str, load: DuplexLoad, talk: Talk) -> DuplexMeasurement:
    meter = DuplexMeter(load)
    start, end = trio.Event(), trio.Event()

    async def run_one(*, task_status: trio.TaskStatus[None]) -> None:
        await talk(url, TrioExchange(load, meter, start, end, task_status.started))

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as warm:
            for _ in range(load.sessions):
                warm.start_soon(nursery.start, run_one)
        meter.start()
        start.set()
    return meter.result()
