"""The WebSocket of a client, on the servers that may accept it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from starlette.websockets import WebSocket
from trio.testing import MockClock, wait_all_tasks_blocked
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    serve_websocket,
    wrap_client_stream,
)

from support.gateway import MemorySocket
from trio_realtime.server.gateway import ClientGone, StarletteSocket, TrioSocket
from trio_realtime.server.gateway.sockets import ClientTooSlow, ReadAhead, Sender

Message = MutableMapping[str, Any]


class AsgiServer:
    """The side of an ASGI server: what the application receives, and what it has sent."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)
        self.sent: list[Message] = []
        self.failure: Exception | None = None
        self.is_sending = False

    async def receive(self) -> Message:
        await trio.lowlevel.checkpoint()
        if not self._messages:
            await trio.sleep_forever()
        return self._messages.pop(0)

    async def send(self, message: Message) -> None:
        assert not self.is_sending, "an ASGI server takes one message at a time"
        self.is_sending = True
        await trio.sleep(1)
        self.is_sending = False
        if self.failure is not None:
            raise self.failure
        self.sent.append(message)

    async def accept(self) -> StarletteSocket:
        """Return the accepted WebSocket."""
        self._messages.insert(0, {"type": "websocket.connect"})
        scope: Message = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
        receive: Callable[[], Awaitable[Message]] = self.receive
        socket = WebSocket(scope, receive, self.send)
        await socket.accept()
        self.sent.clear()
        return StarletteSocket(socket)


async def test_messages_of_an_asgi_server(autojump_clock: MockClock) -> None:
    server = AsgiServer(
        {"type": "websocket.receive", "text": "hello"},
        {"type": "websocket.receive", "bytes": b"\1\2"},
        {"type": "websocket.receive", "text": "", "bytes": None},
        {"type": "websocket.receive", "text": None, "bytes": b""},
        {"type": "websocket.disconnect", "code": 1001},
    )
    socket = await server.accept()
    assert [await socket.receive() for _ in range(4)] == ["hello", b"\1\2", "", b""]
    for _ in range(2):  # also after the disconnect
        with pytest.raises(ClientGone):
            await socket.receive()


async def test_sending_to_an_asgi_server(autojump_clock: MockClock) -> None:
    server = AsgiServer()
    socket = await server.accept()
    await socket.send("text")
    await socket.send(b"bytes")
    assert [message.get("text") or message["bytes"] for message in server.sent] == [
        "text",
        b"bytes",
    ]
    server.sent.clear()
    await socket.close(4400, "é" * 200)
    [closed] = server.sent
    assert (closed["type"], closed["code"]) == ("websocket.close", 4400)
    assert closed["reason"] == "é" * 61  # at most 123 bytes
    await socket.close(1000, "again")
    assert len(server.sent) == 1
    with pytest.raises(ClientGone):
        await socket.send("too late")


@pytest.mark.parametrize(
    "failure", [OSError("gone"), RuntimeError("closed"), trio.BrokenResourceError("gone")]
)
async def test_an_asgi_server_whose_client_has_gone(
    failure: Exception, autojump_clock: MockClock
) -> None:
    server = AsgiServer({"type": "websocket.disconnect", "code": 1006})
    socket = await server.accept()
    server.failure = failure
    with pytest.raises(ClientGone):
        await socket.send("text")
    await socket.close(1011, "the server failed")
    with pytest.raises(ClientGone):
        await socket.receive()
    with pytest.raises(ClientGone):
        await socket.send("text")


# --- trio-websocket -----------------------------------------------------------------------------


@asynccontextmanager
async def connected() -> AsyncGenerator[tuple[TrioSocket, WebSocketConnection]]:
    """Connect a client to a server of trio-websocket; yield both ends."""
    accepted, sockets = trio.open_memory_channel[WebSocketConnection](1)
    done = trio.Event()

    async def serve(request: WebSocketRequest) -> None:
        await accepted.send(await request.accept())
        await done.wait()

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_websocket, serve, "127.0.0.1", 0, None)
            async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
                client = await wrap_client_stream(nursery, stream, "127.0.0.1", "/")
                yield TrioSocket(await sockets.receive()), client
                done.set()
            nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_messages_of_trio_websocket() -> None:
    async with connected() as (socket, client):
        await client.send_message("hello")
        await client.send_message(b"\1\2")
        assert [await socket.receive() for _ in range(2)] == ["hello", b"\1\2"]
        await socket.send("text")
        await socket.send(b"bytes")
        assert [await client.get_message() for _ in range(2)] == ["text", b"bytes"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(socket.close, 4400, "é" * 200)
            with pytest.raises(ConnectionClosed) as info:
                await client.get_message()
        assert info.value.reason is not None
        assert (info.value.reason.code, info.value.reason.reason) == (4400, "é" * 61)
        with pytest.raises(ClientGone):
            await socket.send("too late")
        await socket.close(1000, "again")


@pytest.mark.slow
async def test_trio_websocket_whose_client_has_gone() -> None:
    async with connected() as (socket, client):
        await client.aclose()
        with pytest.raises(ClientGone):
            await socket.receive()
        with pytest.raises(ClientGone):
            await socket.send("text")
        await socket.close(1000, "the session has ended")


# --- sending ------------------------------------------------------------------------------------


async def test_the_messages_of_several_tasks_are_sent_one_after_the_other(
    autojump_clock: MockClock,
) -> None:
    server = AsgiServer()
    sender = Sender(await server.accept(), timeout=1.5)
    async with trio.open_nursery() as nursery:
        for text in "abcde":  # each takes a second, and the last one waits for four
            nursery.start_soon(sender.send, text)
    assert sorted(message["text"] for message in server.sent) == ["a", "b", "c", "d", "e"]


async def test_a_message_that_is_not_read_in_time(autojump_clock: MockClock) -> None:
    server = AsgiServer()
    sender = Sender(await server.accept(), timeout=0.5)
    with pytest.raises(ClientTooSlow):
        await sender.send("text")


async def test_a_wait_for_the_messages_of_others_can_be_cancelled(
    autojump_clock: MockClock,
) -> None:
    server = AsgiServer()
    sender = Sender(await server.accept(), timeout=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send, "first")
        await trio.sleep(0.1)
        with trio.move_on_after(0.5) as scope:
            await sender.send("second")
        assert scope.cancelled_caught
        await sender.send("third")
    assert [message["text"] for message in server.sent] == ["first", "third"]


# --- reading ahead ------------------------------------------------------------------------------


async def test_reading_ahead_keeps_the_order_and_ends_with_the_client(
    autojump_clock: MockClock,
) -> None:
    socket = MemorySocket()
    ahead = ReadAhead(socket)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ahead.run)
        sent: list[str | bytes] = ["a", b"", "", b"b"]
        for message in sent:
            await socket.to_server.send(message)
        assert [await ahead.receive() for _ in sent] == sent
        socket.disconnect()


async def test_a_client_is_not_read_further_ahead_than_a_limit(autojump_clock: MockClock) -> None:
    socket = MemorySocket()
    ahead = ReadAhead(socket)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ahead.run)
        for _ in range(20):
            await socket.to_server.send(bytes(100_000))
        await wait_all_tasks_blocked()
        waiting = socket.at_server.statistics().current_buffer_used
        assert waiting == 20 - 11  # 1 MiB, and the message that exceeds it
        for _ in range(20):
            assert await ahead.receive() == bytes(100_000)
        nursery.cancel_scope.cancel()
