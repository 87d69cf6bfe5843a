"""The lower bound of ``connect_fast``: the transport, msgspec and pybase64, and nothing else."""

from __future__ import annotations

import json
from typing import Any, cast

import msgspec
import pybase64

from benchmarks.burst.bare import REQUESTS
from benchmarks.duplex.exchange import Exchange
from benchmarks.duplex.load import DuplexLoad, DuplexMeasurement
from benchmarks.duplex.on_trio import run_sessions
from trio_realtime.transports import ConnectOptions, connect_fast


def run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all connections in one trio run."""
    return run_sessions(url, load, _talk)


async def _talk(url: str, exchange: Exchange) -> None:
    async with connect_fast(ConnectOptions(url)) as transport:
        # Its members that save steps are optional in the protocol.
        fast = cast("Any", transport)
        received: list[str | bytes] = []

        async def next_audio() -> bytes:
            while True:
                if not received:
                    received.extend(reversed(await fast.receive_many()))
                frame = msgspec.json.decode(received.pop())
                if frame["type"] == "response.output_audio.delta":
                    return pybase64.b64decode(frame["delta"])

        async def send(audio: bytes) -> None:
            text = pybase64.b64encode(audio).decode()
            message = '{"type":"input_audio_buffer.append","audio":"' + text + '"}'
            if not fast.try_send(message) or fast.has_rest:
                await fast.flush()

        for request in REQUESTS:
            await transport.send(json.dumps(request))
        await exchange.run(next_audio, send)
