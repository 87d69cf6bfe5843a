"""Clients of the OpenAI Realtime protocol with in-memory WebSockets, on a gateway under test."""

from __future__ import annotations

import base64
import json
import math
import wave
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import trio

from support.gateway import GatewayUnderTest, MemorySocket
from trio_realtime.server.gateway.openai_mode import serve_openai_client

_SPEECH = Path(__file__).parents[2] / "trio_realtime" / "cli" / "speech.wav"
_FRAME_MS = 20
_FRAME_SIZE = 24 * _FRAME_MS * 2
HIDDEN_WORDS = ("function_call", "get_weather", "mcp_", '"system"', "trio_realtime")
"""What no client may see."""


def speech_frames(silence_ms: int = 1000) -> Iterator[bytes]:
    """Yield a spoken sentence of 2.1 s, and then silence: PCM16 mono at 24 kHz."""
    with wave.open(str(_SPEECH)) as file:
        audio = file.readframes(file.getnframes()) + bytes(48 * silence_ms)
    for start in range(0, len(audio), _FRAME_SIZE):
        yield audio[start : start + _FRAME_SIZE].ljust(_FRAME_SIZE, b"\0")


class OpenAIClient:
    """A client of the OpenAI protocol.

    Attributes:
        socket: its WebSocket.
        events: the events that it has received.
        audio: the audio that it has received, in milliseconds by item.
    """

    def __init__(self, socket: MemorySocket) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self.audio: dict[str, float] = {}

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    async def send(self, type_: str, **fields: Any) -> None:
        await self.socket.to_server.send(json.dumps({"type": type_, **fields}))

    async def send_text(self, text: str, *, respond: bool = True) -> None:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await self.send("conversation.item.create", item=item)
        if respond:
            await self.send("response.create")

    async def append(self, audio: bytes) -> None:
        await self.send("input_audio_buffer.append", audio=base64.b64encode(audio).decode())

    async def speak(self, silence_ms: int = 1000) -> None:
        """Send a spoken sentence when it is due."""
        for frame in speech_frames(silence_ms):
            await self.append(frame)
            await trio.sleep(_FRAME_MS / 1000)

    async def receive(self) -> dict[str, Any]:
        """Return the next event.

        Raises:
            trio.EndOfChannel: the gateway has closed the WebSocket.
        """
        message = await self.socket.at_client.receive()
        assert isinstance(message, str)
        for word in HIDDEN_WORDS:
            assert word not in message
        event: dict[str, Any] = json.loads(message)
        self.events.append(event)
        if event["type"] == "response.output_audio.delta":
            milliseconds = len(base64.b64decode(event["delta"])) / 48
            self.audio[event["item_id"]] = self.audio.get(event["item_id"], 0) + milliseconds
        return event

    async def receive_until(self, *types: str) -> dict[str, Any]:
        while True:
            event = await self.receive()
            if event["type"] in types:
                return event

    async def reply(self) -> str:
        """Wait for a response with a message; return its transcript."""
        while True:
            done = await self.receive_until("response.done")
            for item in done["response"]["output"]:
                return str(item["content"][0].get("transcript") or item["content"][0].get("text"))

    async def receive_for(self, seconds: float) -> None:
        """Receive whatever comes."""
        with trio.move_on_after(seconds):
            while True:
                await self.receive()

    async def receive_all(self) -> tuple[int, str]:
        """Receive until the gateway closes the WebSocket. Return the code and the reason."""
        try:
            while True:
                await self.receive()
        except trio.EndOfChannel:
            assert self.socket.closed is not None
            return self.socket.closed


def dial(
    under_test: GatewayUnderTest,
    nursery: trio.Nursery,
    *,
    model: str = "gpt-realtime",
    buffer: float = math.inf,
) -> OpenAIClient:
    """Open a WebSocket of the OpenAI protocol."""
    socket = MemorySocket(buffer)
    nursery.start_soon(
        partial(serve_openai_client, under_test.gateway, socket, tenant="acme", model=model)
    )
    return OpenAIClient(socket)
