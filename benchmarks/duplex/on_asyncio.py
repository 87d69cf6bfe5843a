"""Runs the sessions of a client in one asyncio loop, in the same way as on trio."""

from __future__ import annotations

import asyncio  # noqa: TID251 - the clients of other projects
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

import attrs

from benchmarks.duplex.load import WARM_UP, DuplexLoad, DuplexMeasurement, DuplexMeter

NextAudio: TypeAlias = Callable[[], Awaitable[bytes]]
SendAudio: TypeAlias = Callable[[bytes], Awaitable[None]]


@attrs.frozen
class AsyncioExchange:
    """What one session does with its audio.

    Attributes:
        load: what each session does.
        meter: measures.
        start: set when all sessions are warm.
        warm: set when this one is.
    """

    load: DuplexLoad
    meter: DuplexMeter
    start: asyncio.Event
    warm: asyncio.Event = attrs.field(factory=asyncio.Event)

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
        self.warm.set()
        await self.start.wait()
        for _ in range(self.load.frames):
            await send(microphone)
            self.meter.receive(await next_audio())

    async def _pace(self, next_audio: NextAudio, send: SendAudio) -> None:
        self.warm.set()
        await self.start.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._speak(send))
            for _ in range(self.load.frames):
                self.meter.receive(await next_audio())

    async def _speak(self, send: SendAudio) -> None:
        loop = asyncio.get_running_loop()
        microphone, due = self.load.microphone, loop.time()
        for _ in range(self.load.frames):
            await send(microphone)
            due += self.load.frame_ms / 1000
            await asyncio.sleep(max(due - loop.time(), 0))


Talk: TypeAlias = Callable[[str, AsyncioExchange], Coroutine[Any, Any, None]]


def run_sessions(url: str, load: DuplexLoad, talk: Talk) -> DuplexMeasurement:
    """Run all sessions. ``talk`` opens one and calls :meth:`AsyncioExchange.run`."""
    return asyncio.run(_run(url, load, talk))


async def _run(url: str, load: DuplexLoad, talk: Talk) -> DuplexMeasurement:
    meter = DuplexMeter(load)
    start = asyncio.Event()
    exchanges = [AsyncioExchange(load, meter, start) for _ in range(load.sessions)]
    async with asyncio.TaskGroup() as group:
        for exchange in exchanges:
            group.create_task(talk(url, exchange))
        for exchange in exchanges:
            await exchange.warm.wait()
        meter.start()
        start.set()
    return meter.result()
