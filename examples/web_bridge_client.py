"""Clients like browsers, which prove that the bridge works. They need no key."""

import json
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url
from web_bridge import Bridge

from trio_realtime import RealtimeAgent, function_tool, serve_local

BYTES_PER_MS = 48
TONE = (b"\x00\x30" * 12 + b"\x00\xd0" * 12) * 20  # 20 ms at 1 kHz
SILENCE = bytes(len(TONE))


@function_tool
async def weather(city: str) -> str:
    """The weather in a city."""
    return f"It is sunny in {city}."


@function_tool(needs_approval=True)
async def refund(order: int) -> str:
    """Refund an order."""
    return f"Order {order} was refunded."


@function_tool(on_failure="end_session")
async def explode() -> str:
    """Fail."""
    raise RuntimeError("boom")


agent = RealtimeAgent[None](
    name="Assistant", instructions="Be brief.", tools=[weather, refund, explode]
)


class Browser:
    """A browser: it plays audio in real time, and reports how much of it was played."""

    def __init__(self, name: str, socket: WebSocketConnection) -> None:
        self.name = name
        self.heard_ms = 0.0  # of the current item
        self.dropped_ms = 0.0
        self._socket = socket
        self._item = ("", 0)
        self._buffer = bytearray()
        self.late_bytes = 0  # bytes of audio that came after their item was interrupted
        self._interrupted: set[str] = set()
        self._send_messages, self._messages = trio.open_memory_channel[dict[str, Any]](100)

    async def send(self, **message: Any) -> None:
        """Send a message."""
        await self._socket.send_message(json.dumps(message))

    async def expect(self, kind: str) -> dict[str, Any]:
        """Return the next message of a kind."""
        with trio.fail_after(15):
            async for message in self._messages:
                if message["type"] == kind:
                    return message
        raise RuntimeError(f"{self.name}: no {kind}")

    async def speak(self, seconds: float) -> None:
        """Speak, and be silent for a second, as a microphone would send it."""
        frames = [TONE] * round(seconds * 50) + [SILENCE] * 50
        start = trio.current_time()
        for number, frame in enumerate(frames):
            await trio.sleep_until(start + number * 0.02)
            await self._socket.send_message(frame)

    async def receive(self) -> None:
        """Receive until the server closes the connection."""
        try:
            while True:
                message = await self._socket.get_message()
                if isinstance(message, bytes):
                    if self._item[0] in self._interrupted:
                        self.late_bytes += len(message)
                    self._buffer += message
                else:
                    self._handle(json.loads(message))
        except ConnectionClosed as closed:
            print(f"{self.name}: closed, {closed.reason}")
            self._send_messages.close()

    def _handle(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "audio":
                self._item = (message["item"], message["part"])
                self._buffer.clear()  # a better player would play the previous item to its end
                self.heard_ms = 0.0
            case "interrupted":
                self._interrupted.add(message["item"])
                self.dropped_ms = len(self._buffer) / BYTES_PER_MS
                self._buffer.clear()
            case "words":
                return
            case _:
                pass
        self._send_messages.send_nowait(message)

    async def play(self) -> None:
        """Play 40 ms at a time."""
        while True:
            await trio.sleep(0.04)
            frame = len(self._buffer[: 40 * BYTES_PER_MS])
            del self._buffer[:frame]
            if frame:
                self.heard_ms += frame / BYTES_PER_MS
                item, part = self._item
                await self.send(type="played", item=item, part=part, ms=self.heard_ms)


@asynccontextmanager
async def browser(name: str, url: str) -> AsyncGenerator[Browser]:
    """Be a browser that is connected with the bridge."""
    async with open_websocket_url(url) as socket, trio.open_nursery() as nursery:
        it = Browser(name, socket)
        nursery.start_soon(it.receive)
        nursery.start_soon(it.play)
        yield it
        nursery.cancel_scope.cancel()


async def barge_in(url: str) -> None:
    """Interrupt the agent by speaking, and then with the button."""
    async with browser("Ann", url) as ann:
        await ann.send(type="text", text="Tell me the long story of the king. " * 10)
        await ann.expect("audio")
        await trio.sleep(1.5)
        await ann.speak(1.0)
        message = await ann.expect("interrupted")
        print(
            f"Ann: interrupted, the service knows of {message['ms']} ms, "
            f"dropped {ann.dropped_ms > 0}"
        )
        said = await ann.expect("transcript")
        print("Ann: first answer", said["status"])
        print("Ann:", await ann.expect("transcript"))
        print("Ann:", await ann.expect("transcript"))
        await ann.send(type="text", text="Another long story, please. " * 10)
        await ann.expect("audio")
        await trio.sleep(0.5)
        await ann.send(type="interrupt")
        message = await ann.expect("interrupted")
        print("Ann: stopped after", message["ms"], "ms")
        await trio.sleep(0.3)
        print("Ann: bytes of interrupted answers that came too late:", ann.late_bytes)


async def approvals(url: str) -> None:
    """Approve one call of a tool, and reject another one."""
    async with browser("Bob", url) as bob:
        await bob.send(type="text", text="What is the weather in Oslo?")
        print("Bob:", (await bob.expect("tool_end"))["output"])
        for decision in ("approve", "reject"):
            await bob.send(type="text", text="Please refund order 7.")
            request = await bob.expect("approval")
            await bob.send(type=decision, call=request["call"], message="Not today.")
            end = await bob.expect("tool_end")
            print("Bob:", request["tool"], request["arguments"], end["outcome"], end["output"])
            print("Bob:", (await bob.expect("transcript"))["text"])


async def failure(url: str) -> None:
    """Call a tool whose failure ends the session."""
    async with browser("Cat", url) as cat:
        await cat.send(type="text", text="Please explode.")
        print("Cat:", await cat.expect("ended"))


async def garbage(url: str) -> None:
    """Send what no real browser sends. The session goes on."""
    async with open_websocket_url(url) as socket:
        for message in (
            "no json",
            "[" * 200_000,
            "[1]",
            b"\x01",
            '{"type": "played", "item": "x"}',
        ):
            await socket.send_message(message)
        await socket.send_message('{"type": "text", "text": ""}')
        await socket.send_message('{"type": "text", "text": "Are you still there?"}')
        while not isinstance(message := await socket.get_message(), bytes):
            pass
        print("Dan: still there")


async def stay(url: str, bridge: Bridge) -> None:
    """Be on the line when the server stops."""
    async with browser("Eve", url) as eve:
        await eve.send(type="text", text="Hello?")
        await eve.expect("audio")
        bridge.stop.set()
        print("Eve:", await eve.expect("transcript"))
        print("Eve:", await eve.expect("ended"))
        await trio.sleep(0.2)


async def main() -> None:
    """Run the bridge and its clients, and stop the bridge while one of them is on the line."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("trio-websocket").setLevel(logging.ERROR)
    async with serve_local(transcripts=["Stop, please."]) as service:
        bridge = Bridge(agent, service.endpoint)
        async with trio.open_nursery() as nursery:
            server = await nursery.start(bridge.serve, "127.0.0.1", 0)
            url = f"ws://127.0.0.1:{server.port}/call"
            async with trio.open_nursery() as clients:
                for client in (barge_in, approvals, failure, garbage):
                    clients.start_soon(client, url)
            print("open calls:", bridge.open_calls)
            await stay(url, bridge)
        print("the bridge has stopped, open calls:", bridge.open_calls)
        print(
            "sessions:",
            len(service.connections),
            "still open:",
            sum(not c.ended.is_set() for c in service.connections),
        )


if __name__ == "__main__":
    trio.run(main)
