"""The lower bound on asyncio: ``websockets``, ``json`` and ``base64``, and nothing else."""

from __future__ import annotations

import asyncio  # noqa: TID251 - a client on asyncio
import base64
import json
from typing import Any

from websockets.asyncio.client import connect

from benchmarks.burst.bare import REQUESTS
from benchmarks.duplex.load import WARM_UP, DuplexLoad, DuplexMeasurement, DuplexMeter


def run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all connections in one loop."""
    return asyncio.run(_run(url, load))


async def _run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    meter = DuplexMeter(load)
    start = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        warm = [asyncio.Event() for _ in range(load.sessions)]
        for one in warm:
            group.create_task(_talk(url, load, meter, start, one))
        for one in warm:
            await one.wait()
        meter.start()
        start.set()
    return meter.result()


async def _talk(
    url: str, load: DuplexLoad, meter: DuplexMeter, start: asyncio.Event, warm: asyncio.Event
) -> None:
    async with connect(url, compression=None) as ws:
        for request in REQUESTS:
            await ws.send(json.dumps(request))
        if load.mode == "lock":
            received = 0
            while received < WARM_UP + load.frames:
                audio = await _next_audio(ws)
                received += 1
                if received > WARM_UP:
                    meter.receive(audio)
                if received == WARM_UP:
                    warm.set()
                    await start.wait()
                if received < WARM_UP + load.frames:
                    await _send(ws, load.microphone)
            return
        warm.set()
        await start.wait()
        async with asyncio.TaskGroup() as group:
            speaking = group.create_task(_speak(ws, load))
            for _ in range(load.frames):
                meter.receive(await _next_audio(ws))
            await speaking


async def _next_audio(ws: Any) -> bytes:
    while True:
        frame = json.loads(await ws.recv())
        if frame["type"] == "response.output_audio.delta":
            return base64.b64decode(frame["delta"])


async def _send(ws: Any, audio: bytes) -> None:
    text = base64.b64encode(audio).decode()
    await ws.send(json.dumps({"type": "input_audio_buffer.append", "audio": text}))


async def _speak(ws: Any, load: DuplexLoad) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    for _ in range(load.frames):
        await _send(ws, load.microphone)
        due += load.frame_ms / 1000
        await asyncio.sleep(max(due - loop.time(), 0))
