"""The loops of both benchmarks, over any WebSocket library."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import attrs

from benchmarks.bare.codecs import Codec
from benchmarks.burst.load import Load, Measurement, Meter
from benchmarks.duplex.exchange import Exchange

REQUESTS = (
    {
        "type": "conversation.item.create",
        "item": {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "Go on."}],
        },
    },
    {"type": "response.create"},
)


@attrs.frozen
class Wire:
    """An open connection.

    Attributes:
        receive: returns the next message.
        send: sends a message.
    """

    receive: Callable[[], Awaitable[str | bytes]]
    send: Callable[[str], Awaitable[Any]]


Connect: TypeAlias = Callable[[str], AbstractAsyncContextManager[Wire]]
"""Connects to a URL."""


async def consume(connect: Connect, codec: Codec, url: str, load: Load) -> Measurement:
    """Receive the bursts of a load."""
    async with connect(url) as wire:
        meter = Meter(load)
        receive, parse, decode = wire.receive, codec.parse, codec.decode
        await _request(wire)
        while True:
            frame = parse(await receive())
            kind = frame["type"]
            if kind == "response.output_audio.delta":
                meter.count_audio(decode(frame["delta"]))
            elif kind == "response.output_audio_transcript.delta":
                meter.count_text()
            elif kind == "response.done":
                if meter.end_turn():
                    return meter.result()
                await _request(wire)


async def talk(connect: Connect, codec: Codec, url: str, exchange: Exchange) -> None:
    """Run a session of the duplex benchmark."""
    async with connect(url) as wire:
        receive, parse, decode = wire.receive, codec.parse, codec.decode
        send, append = wire.send, codec.append

        async def next_audio() -> bytes:
            while True:
                frame = parse(await receive())
                if frame["type"] == "response.output_audio.delta":
                    return decode(frame["delta"])

        async def send_audio(audio: bytes) -> None:
            await send(append(audio))

        await _request(wire)
        await exchange.run(next_audio, send_audio)


async def _request(wire: Wire) -> None:
    for request in REQUESTS:
        await wire.send(json.dumps(request))
