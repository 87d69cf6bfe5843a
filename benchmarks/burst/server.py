"""The load server: answers settings and items, and every ``response.create`` with a burst.

All bytes of a burst are made once, WebSocket framing included; only the ids are put in for each
response. So the server is never what the clients wait for, and costs none of their CPU.

``python -m benchmarks.burst.server FRAMES`` prints the port that it listens on, and serves until its
standard input ends: it does not outlive whoever started it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from functools import partial
from typing import Any, final

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    Request,
    TextMessage,
)

from benchmarks.burst import frames as fr

TEMPLATE_RESPONSE = "resp_" + "0" * 21
TEMPLATE_ITEM = "item_" + "0" * 21


def make_burst(frames: int) -> bytes:
    """The deltas of one response on the wire, with the template's ids."""
    wire = _open_wire()
    burst = fr.burst_frames(TEMPLATE_RESPONSE, TEMPLATE_ITEM, frames)
    return b"".join(wire.send(TextMessage(data=fr.text_of(frame))) for frame in burst)


def _open_wire() -> WSConnection:
    """A connection past its handshake. What it makes of a message is right for any other."""
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    server.receive_data(client.send(Request(host="localhost", target="/")))
    list(server.events())
    server.send(AcceptConnection())
    return server


@final
class Connection:
    """One client. Reads a request, writes its answer, and so on."""

    def __init__(self, stream: trio.SocketStream, burst: bytes, frames: int) -> None:
        self._stream = stream
        self._burst = burst
        self._frames = frames
        self._wire = WSConnection(ConnectionType.SERVER)
        self._text = ""
        self._items: list[str | None] = [None]
        self._responses = 0

    async def serve(self) -> None:
        """Until the client goes away."""
        while data := await self._stream.receive_some():
            self._wire.receive_data(data)
            for event in self._wire.events():
                await self._answer(event)

    async def _answer(self, event: Event) -> None:
        match event:
            case Request():
                await self._stream.send_all(self._wire.send(AcceptConnection()))
                await self._send([fr.session_frame("session.created")])
            case TextMessage(data=data, message_finished=finished):
                self._text += data
                if finished:
                    text, self._text = self._text, ""
                    await self._answer_frame(json.loads(text))
            case Ping() | CloseConnection():
                await self._stream.send_all(self._wire.send(event.response()))
            case _:
                pass

    async def _answer_frame(self, frame: dict[str, Any]) -> None:
        match frame:
            case {"type": "session.update"}:
                await self._send([fr.session_frame("session.updated")])
            case {"type": "conversation.item.create", "item": item}:
                previous = self._next_item(f"item_user{len(self._items):017}")
                await self._send(fr.item_frames({**item, "id": self._items[-1]}, previous))
            case {"type": "response.create", "response": {"metadata": metadata}}:
                await self._respond(metadata)
            case {"type": "response.create"}:
                await self._respond(None)
            case _:
                pass

    def _next_item(self, item_id: str) -> str | None:
        """The item that this one comes after."""
        self._items.append(item_id)
        return self._items[-2]

    async def _respond(self, metadata: Any) -> None:
        self._responses += 1
        response, item = f"resp_{self._responses:021}", f"item_{self._responses:021}"
        previous = self._next_item(item)
        # Before the client is told anything, so that it never waits in the middle.
        burst = self._burst.replace(TEMPLATE_RESPONSE.encode(), response.encode())
        burst = burst.replace(TEMPLATE_ITEM.encode(), item.encode())
        await self._send(fr.opening_frames(response, item, previous, metadata))
        await self._stream.send_all(burst)
        await self._send(fr.closing_frames(response, item, self._frames, metadata))

    async def _send(self, frames: Iterable[fr.Frame]) -> None:
        messages = [self._wire.send(TextMessage(data=fr.text_of(frame))) for frame in frames]
        await self._stream.send_all(b"".join(messages))


async def serve(
    frames: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Listen on a free port of this machine, which is told when it stands."""
    burst = await trio.to_thread.run_sync(make_burst, frames)
    async with trio.open_nursery() as nursery:
        handler = partial(_serve_one, burst=burst, frames=frames)
        listeners = await nursery.start(
            partial(trio.serve_tcp, handler, 0, host="127.0.0.1", handler_nursery=nursery)
        )
        task_status.started(listeners[0].socket.getsockname()[1])


async def _serve_one(stream: trio.SocketStream, *, burst: bytes, frames: int) -> None:
    try:
        async with stream:
            await Connection(stream, burst, frames).serve()
    except trio.BrokenResourceError:
        return  # a client may leave as it likes


async def _main(frames: int) -> None:
    async with trio.open_nursery() as nursery:
        print(await nursery.start(serve, frames), flush=True)
        async for _ in trio.lowlevel.FdStream(sys.stdin.fileno()):
            pass
        nursery.cancel_scope.cancel(reason="standard input ended")


if __name__ == "__main__":
    trio.run(_main, int(sys.argv[1]))
