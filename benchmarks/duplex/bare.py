"""The lower bound on trio: trio-websocket, msgspec and pybase64, and nothing else."""

from __future__ import annotations

import json

import msgspec
import pybase64
from trio_websocket import open_websocket_url

from benchmarks.burst.bare import REQUESTS
from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_trio import run_sessions


def run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all connections in one trio run."""
    return run_sessions(url, load, _talk)


async def _talk(url: str, exchange: Exchange) -> None:
    async with open_websocket_url(url, receive_buffer_size=None, message_queue_size=64) as ws:

        async def next_audio() -> bytes:
            while True:
                frame = msgspec.json.decode(await ws.get_message())
                if frame["type"] == "response.output_audio.delta":
                    return pybase64.b64decode(frame["delta"])

        async def send(audio: bytes) -> None:
            text = pybase64.b64encode(audio).decode()
            await ws.send_message('{"type":"input_audio_buffer.append","audio":"' + text + '"}')

        for request in REQUESTS:
            await ws.send_message(json.dumps(request))
        await exchange.run(next_audio, send)
