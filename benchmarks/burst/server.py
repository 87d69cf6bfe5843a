"""The load server, which answers every ``response.create`` with a burst of audio.

The bytes of a burst are built once, including the WebSocket framing; each response only replaces the
ids. So clients never wait for the server, and it runs outside their CPU time.

``python -m benchmarks.burst.server FRAMES`` prints the port that it listens on, and serves until
end-of-file on stdin, so that it does not outlive its parent process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from functools import partial
from typing import Any, final

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    Request,
    TextMessage,
)

from benchmarks.burst import frames as fr

PLACEHOLDER_RESPONSE = "resp_" + "0" * 21
PLACEHOLDER_ITEM = "item_" + "0" * 21


def make_burst(frames: int) -> bytes:
    """Return the bytes of the deltas of one response, with placeholder ids."""
    connection = _make_connection()
    burst = fr.burst_frames(PLACEHOLDER_RESPONSE, PLACEHOLDER_ITEM, frames)
    return b"".join(connection.send(TextMessage(data=fr.encode(frame))) for frame in burst)


def _make_connection() -> WSConnection:
    """Return a connection after its handshake; its frames are valid on any other connection."""
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    server.receive_data(client.send(Request(host="localhost", target="/")))
    list(server.events())
    server.send(AcceptConnection())
    return server


@final
class Connection:
    """The connection of one client. Reads requests and sends the answers."""

    def __init__(self, stream: trio.SocketStream, burst: bytes, frames: int) -> None:
        self._stream = stream
        self._burst = burst
        self._frames = frames
        self._wire = WSConnection(ConnectionType.SERVER)
        self._text = ""
        self._items: list[str | None] = [None]
        self._responses = 0

    async def serve(self) -> None:
        """Answer requests until the client closes the connection."""
        while data := await self._stream.receive_some():
            self._wire.receive_data(data)
            for event in self._wire.events():
                await self._answer(event)
            if self._wire.state is ConnectionState.CLOSED:
                return  # the server disconnects first, and some clients wait for that

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
        """Append an item to the conversation and return the id of the item before it."""
        self._items.append(item_id)
        return self._items[-2]

    async def _respond(self, metadata: Any) -> None:
        self._responses += 1
        response, item = f"resp_{self._responses:021}", f"item_{self._responses:021}"
        previous = self._next_item(item)
        # Built before the first frame is sent, so that the client never waits during a response.
        burst = self._burst.replace(PLACEHOLDER_RESPONSE.encode(), response.encode())
        burst = burst.replace(PLACEHOLDER_ITEM.encode(), item.encode())
        await self._send(fr.opening_frames(response, item, previous, metadata))
        await self._stream.send_all(burst)
        await self._send(fr.closing_frames(response, item, self._frames, metadata))

    async def _send(self, frames: Iterable[fr.Frame]) -> None:
        messages = [self._wire.send(TextMessage(data=fr.encode(frame))) for frame in frames]
        await self._stream.send_all(b"".join(messages))


async def serve(
    frames: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Listen on a free port, which is passed to ``task_status.started()``."""
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
        return  # clients may disconnect at any time


async def _main(frames: int) -> None:
    async with trio.open_nursery() as nursery:
        print(await nursery.start(serve, frames), flush=True)
        async for _ in trio.lowlevel.FdStream(sys.stdin.fileno()):
            pass
        nursery.cancel_scope.cancel(reason="standard input ended")


if __name__ == "__main__":
    trio.run(_main, int(sys.argv[1]))
