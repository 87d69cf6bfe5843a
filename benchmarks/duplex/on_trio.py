"""Runs the sessions of a client in one trio run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import attrs
import trio

from benchmarks.duplex.load import WARM_UP, DuplexLoad, DuplexMeasurement, DuplexMeter

NextAudio: TypeAlias = Callable[[], Awaitable[bytes]]
SendAudio: TypeAlias = Callable[[bytes], Awaitable[None]]


@attrs.frozen
class Exchange:
    """What one session does with its audio.

    Attributes:
        load: what each session does.
        meter: measures.
        start: set when all sessions are warm.
        task_status: told when this one is.
    """

    load: DuplexLoad
    meter: DuplexMeter
    start: trio.Event
    task_status: trio.TaskStatus[None]

    async def run(self, next_audio: NextAudio, send: SendAudio) -> None:
        """Exchange the audio of the load."""
        if self.load.mode == "lock":
            await self._lock(next_audio, send)
        else:
            await self._pace(next_audio, send)

    async def _lock(self, next_audio: NextAudio, send: SendAudio) -> None:
        microphone = self.load.microphone
        for _ in range(WARM_UP):
            await next_audio()
            await send(microphone)
        await next_audio()
        self.task_status.started()
        await self.start.wait()
        for _ in range(self.load.frames):
            await send(microphone)
            self.meter.receive(await next_audio())

    async def _pace(self, next_audio: NextAudio, send: SendAudio) -> None:
        self.task_status.started()
        await self.start.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._speak, send)
            for _ in range(self.load.frames):
                self.meter.receive(await next_audio())

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
    start = trio.Event()

    async def run_one(*, task_status: trio.TaskStatus[None]) -> None:
        await talk(url, Exchange(load, meter, start, task_status))

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as warm:
            for _ in range(load.sessions):
                warm.start_soon(nursery.start, run_one)
        meter.start()
        start.set()
    return meter.result()
