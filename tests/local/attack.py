"""Load a local server with what exhausted its memory once, and measure how it serves others.

:mod:`test_attack` runs this program. To attack a server by hand::

    trio-realtime serve --pace unlimited
    python tests/local/attack.py calls ws://127.0.0.1:8765/v1/realtime

It prints a JSON object with the seconds that another client waited for its slowest reply. The third
argument is the number of repetitions.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pybase64
import trio

from trio_realtime import Endpoint, RealtimeAgent, SessionConfig, open_realtime_session
from trio_realtime.transports import ConnectOptions, Transport, connect_trio_websocket

MEBIBYTE = 1024 * 1024
KEY = (("Authorization", "Bearer local"),)


class Client:
    """A client that sends faster than a well-behaved one."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self, kind: str, **fields: Any) -> None:
        await self._transport.send(json.dumps({"type": kind, **fields}))

    async def receive(self, *kinds: str, count: int = 1) -> None:
        """Receive until ``count`` events of these types have arrived."""
        while count:
            event = json.loads(await self._transport.receive())
            count -= event["type"] in kinds


async def connect(url: str, talk: Callable[[Client], Awaitable[None]]) -> None:
    options = ConnectOptions(f"{url}?model=gpt-realtime", KEY)
    async with connect_trio_websocket(options) as transport:
        await talk(Client(transport))


# -- attacks -------------------------------------------------------------------------------------


def noise(size: int) -> str:
    """Return loud audio as base64, which turn detection takes for speech."""
    block = random.Random(0).randbytes(48_000)
    return pybase64.b64encode((block * (size // len(block) + 1))[:size]).decode()


async def create_responses(url: str, count: int) -> None:
    """Create out-of-band responses that each speak 2,000 characters."""
    content = [{"type": "input_text", "text": "word " * 400}]
    message = {"type": "message", "role": "user", "content": content}
    response = {"conversation": "none", "input": [message]}

    async def talk(client: Client) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all, client)
            await client.receive("response.created", "error", count=count)

    async def send_all(client: Client) -> None:
        for _ in range(count):
            await client.send("response.create", response=response)

    await connect(url, talk)


async def append_audio(url: str, count: int, *, size: int, clients: int) -> None:
    """Append audio, with turn detection from the first client, and without it from the others."""
    audio = noise(size)

    async def talk(client: Client, *, detect: bool) -> None:
        if not detect:
            settings = {"audio": {"input": {"turn_detection": None}}}
            await client.send("session.update", session={"type": "realtime", **settings})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all, client)
            await client.receive("input_audio_buffer.cleared")

    async def send_all(client: Client) -> None:
        for _ in range(count // clients):
            await client.send("input_audio_buffer.append", audio=audio)
        await client.send("input_audio_buffer.clear")

    async with trio.open_nursery() as nursery:
        for number in range(clients):
            nursery.start_soon(connect, url, partial(talk, detect=number == 0))


async def make_calls(url: str, count: int) -> None:
    """Make calls of 100 seconds each, one after another."""
    question = noise(48_000 * 20)
    content = [{"type": "input_text", "text": "word " * 270}]
    message = {"type": "message", "role": "user", "content": content}

    async def talk(client: Client) -> None:
        await client.send("input_audio_buffer.append", audio=question)
        await client.send("input_audio_buffer.commit")
        await client.send("conversation.item.create", item=message)
        await client.send("response.create")
        await client.receive("response.done")

    for _ in range(count):
        await connect(url, talk)


# -- the other client ----------------------------------------------------------------------------


async def ask_repeatedly(url: str, seconds: list[float]) -> None:
    endpoint = Endpoint.compatible(url, api_key="local", model="gpt-realtime")
    config = SessionConfig(output_modalities=("text",))
    async with open_realtime_session(
        RealtimeAgent(name="A"), endpoint=endpoint, config=config
    ) as session:
        while True:
            began = trio.current_time()
            await session.ask("Hello")
            seconds.append(trio.current_time() - began)
            await trio.sleep(0.2)


#: The attacks by name, each with its full count.
ATTACKS: dict[str, tuple[Callable[[str, int], Awaitable[None]], int]] = {
    "creates": (create_responses, 2000),
    "appends": (partial(append_audio, size=6 * MEBIBYTE, clients=1), 291),
    "large-appends": (partial(append_audio, size=15 * MEBIBYTE, clients=2), 30),
    "calls": (make_calls, 100),
}


async def main(scenario: str, url: str, count: int | None) -> None:
    attack, full_count = ATTACKS[scenario]
    seconds: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_repeatedly, url, seconds)
        began = trio.current_time()
        await attack(url, full_count if count is None else count)
        report = {
            "attack_seconds": round(trio.current_time() - began, 1),
            "asks": len(seconds),
            "slowest_ask": round(max(seconds, default=math.nan), 3),
        }
        nursery.cancel_scope.cancel()
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None)
