"""The lower bound on asyncio: ``websockets``, ``json`` and ``base64``, and nothing else."""

from __future__ import annotations

import base64
import json

from websockets.asyncio.client import connect

from benchmarks.burst.bare import REQUESTS
from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_asyncio import run_sessions


def run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all connections in one loop."""
    return run_sessions(url, load, _talk)


async def _talk(url: str, exchange: Exchange) -> None:
    async with connect(url, compression=None) as ws:

        async def next_audio() -> bytes:
            while True:
                frame = json.loads(await ws.recv())
                if frame["type"] == "response.output_audio.delta":
                    return base64.b64decode(frame["delta"])

        async def send(audio: bytes) -> None:
            text = base64.b64encode(audio).decode()
            await ws.send(json.dumps({"type": "input_audio_buffer.append", "audio": text}))

        for request in REQUESTS:
            await ws.send(json.dumps(request))
        await exchange.run(next_audio, send)
