"""One client of a gateway."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import msgspec
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from benchmarks.percentiles import Latencies

BYTES_PER_MS = 48
REPORT_SECONDS = 0.5
QUESTION_SECONDS = 4.0


class _Event(msgspec.Struct):
    """What the client reads of an event."""

    type: str
    time: float = 0.0
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    id: str | None = None


class Load:
    """Clients of a gateway, and what they have measured.

    Args:
        url: the URL of the gateway.
        clients: how many clients there will be.
        frame_ms: milliseconds of audio in a frame of the microphones.

    Attributes:
        all_connected: set when the sessions of all clients are connected.
        latencies: ``event`` from the gateway to the client, and ``ping`` there and back, in seconds.
        counts: what was sent and received.
    """

    def __init__(self, url: str, clients: int, frame_ms: int) -> None:
        self.latencies = Latencies()
        self.counts: Counter[str] = Counter()
        self.all_connected = trio.Event()
        self.frame_seconds = frame_ms / 1000
        self.frame = bytes(frame_ms * BYTES_PER_MS)
        self._waiting = clients
        self._url = url.replace("http", "ws", 1)
        self._decoder = msgspec.json.Decoder(_Event)

    async def run_client(self, path: str, token: str, delay: float) -> None:
        """Run one client until cancelled.

        Args:
            path: the path of the stream.
            token: admits the client.
            delay: seconds before its first question, so that not all ask at once.
        """
        async with open_websocket_url(self._url + path) as socket:
            await socket.send_message(json.dumps({"type": "hello", "protocol": 1, "token": token}))
            client = _Client(self, socket)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.receive)
                await client.connected.wait()
                self._waiting -= 1
                if not self._waiting:
                    self.all_connected.set()
                nursery.start_soon(client.speak, delay / 100)
                nursery.start_soon(client.ask, delay)
                nursery.start_soon(client.report, delay / 10)

    def decode(self, message: str | bytes) -> tuple[_Event, int]:
        """Return an event, and the bytes of its audio."""
        if isinstance(message, str):
            return self._decoder.decode(message), 0
        size = int.from_bytes(message[:4], "big")
        return self._decoder.decode(message[4 : 4 + size]), len(message) - 4 - size


class _Client:
    """A client that is connected."""

    def __init__(self, load: Load, socket: WebSocketConnection) -> None:
        self.connected = trio.Event()
        self._load = load
        self._socket = socket
        self._playing: dict[str, float] = {}
        self._pings: dict[str, float] = {}

    async def receive(self) -> None:
        """Receive events, and measure how long they took."""
        load = self._load
        while True:
            event, audio = load.decode(await self._socket.get_message())
            now = time.time()
            if event.time:
                load.latencies.add("event", now - event.time)
            load.counts[event.type] += 1
            if event.type == "realtime_audio":
                item = event.data["item_id"]
                self._playing[item] = self._playing.get(item, 0.0) + audio / BYTES_PER_MS
            elif event.type == "run_connected":
                self.connected.set()
            elif event.type == "pong" and event.id is not None:
                load.latencies.add("ping", now - self._pings.pop(event.id))

    async def speak(self, delay: float) -> None:
        """Send frames of silence when they are due."""
        due = trio.current_time() + delay
        while True:
            await trio.sleep_until(due)
            await self._socket.send_message(self._load.frame)
            self._load.counts["frames"] += 1
            due += self._load.frame_seconds

    async def ask(self, delay: float) -> None:
        """Ask questions."""
        await trio.sleep(delay)
        while True:
            await self._send(type="text", text="Please say something that takes a moment to say.")
            await trio.sleep(QUESTION_SECONDS)

    async def report(self, delay: float) -> None:
        """Report what was played, and ping."""
        await trio.sleep(delay)
        for number in range(1_000_000):
            played, self._playing = self._playing, {}
            for item, ms in played.items():
                await self._send(type="playback", item_id=item, content_index=0, played_ms=ms)
            name = str(number)
            self._pings[name] = time.time()
            await self._send(type="ping", id=name)
            await trio.sleep(REPORT_SECONDS)

    async def _send(self, **message: Any) -> None:
        await self._socket.send_message(json.dumps(message))
