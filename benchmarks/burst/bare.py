"""The lower bound: a client that only receives and decodes, on the library's own dependencies."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import pybase64
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from benchmarks.burst.load import Load, Measurement, Meter

MESSAGE_QUEUE = 64
"""The size that the transport of the library uses."""

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

Parse: TypeAlias = Callable[[str | bytes], Any]
Decode: TypeAlias = Callable[[str], bytes]


def run_fast(url: str, load: Load) -> Measurement:
    """Decode with msgspec and pybase64, as the library does."""
    return trio.run(_consume, url, load, msgspec.json.decode, pybase64.b64decode)


def run_stdlib(url: str, load: Load) -> Measurement:
    """Decode with the standard library."""
    return trio.run(_consume, url, load, json.loads, base64.b64decode)


async def _consume(url: str, load: Load, parse: Parse, decode: Decode) -> Measurement:
    async with open_websocket_url(
        url, receive_buffer_size=None, message_queue_size=MESSAGE_QUEUE
    ) as ws:
        return await _measure(ws, Meter(load), parse, decode)


async def _measure(
    ws: WebSocketConnection, meter: Meter, parse: Parse, decode: Decode
) -> Measurement:
    await _request(ws)
    while True:
        frame = parse(await ws.get_message())
        kind = frame["type"]
        if kind == "response.output_audio.delta":
            meter.count_audio(decode(frame["delta"]))
        elif kind == "response.output_audio_transcript.delta":
            meter.count_text()
        elif kind == "response.done":
            if meter.end_turn():
                return meter.result()
            await _request(ws)


async def _request(ws: WebSocketConnection) -> None:
    for request in REQUESTS:
        await ws.send_message(json.dumps(request))
