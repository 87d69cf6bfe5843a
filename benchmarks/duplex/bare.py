"""The lower bound on trio: trio-websocket, msgspec and pybase64, and nothing else."""

from __future__ import annotations

import json

import msgspec
import pybase64
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from benchmarks.burst.bare import REQUESTS
from benchmarks.duplex.load import WARM_UP, DuplexLoad, DuplexMeasurement, DuplexMeter


def run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all connections in one trio run."""
    return trio.run(_run, url, load)


async def _run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    meter = DuplexMeter(load)
    start = trio.Event()
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as warm:
            for _ in range(load.sessions):
                warm.start_soon(nursery.start, _talk, url, load, meter, start)
        meter.start()
        start.set()
    return meter.result()


async def _talk(
    url: str,
    load: DuplexLoad,
    meter: DuplexMeter,
    start: trio.Event,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    async with open_websocket_url(url, receive_buffer_size=None, message_queue_size=64) as ws:
        for request in REQUESTS:
            await ws.send_message(json.dumps(request))
        if load.mode == "lock":
            received = 0
            while received < WARM_UP + load.frames:
                audio = await _next_audio(ws)
                received += 1
                if received > WARM_UP:
                    meter.receive(audio)
                if received == WARM_UP:
                    task_status.started()
                    await start.wait()
                if received < WARM_UP + load.frames:
                    await _send(ws, load.microphone)
            return
        task_status.started()
        await start.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_speak, ws, load)
            for _ in range(load.frames):
                meter.receive(await _next_audio(ws))


async def _next_audio(ws: WebSocketConnection) -> bytes:
    while True:
        frame = msgspec.json.decode(await ws.get_message())
        if frame["type"] == "response.output_audio.delta":
            return pybase64.b64decode(frame["delta"])


async def _send(ws: WebSocketConnection, audio: bytes) -> None:
    text = pybase64.b64encode(audio).decode()
    await ws.send_message('{"type":"input_audio_buffer.append","audio":"' + text + '"}')


async def _speak(ws: WebSocketConnection, load: DuplexLoad) -> None:
    due = trio.current_time()
    for _ in range(load.frames):
        await _send(ws, load.microphone)
        due += load.frame_ms / 1000
        await trio.sleep_until(due)
