"""WebSockets of an ASGI application, on streams in memory and a virtual clock."""

from __future__ import annotations

import logging
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeAlias

import h11
import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st
from starlette.types import Receive, Send
from starlette.websockets import WebSocket
from trio.testing import MockClock
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    wrap_client_stream,
)
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

from trio_realtime.server.gateway.asgi_websocket import (
    FirstRequest,
    read_first_request,
    serve_websocket,
)

UPGRADE = (
    b"GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: one, two\r\n\r\n"
)
CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe8"
FRAME = b"\x81\x85\x00\x00\x00\x00hello"

Handler: TypeAlias = Callable[[WebSocket], Awaitable[None]]


async def read_from(*pieces: bytes) -> FirstRequest:
    """Return what is read from a connection that sends these bytes, and then ends."""
    client, server = trio.testing.memory_stream_pair()
    first: list[FirstRequest] = []

    async def read() -> None:
        first.append(await read_first_request(server))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for piece in pieces:
            await client.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
    return first[0]


# --- the first request ----------------------------------------------------------------------------


@given(st.integers(0, len(UPGRADE)), st.sampled_from([b"", FRAME, FRAME[:1]]))
def test_an_upgrade_is_recognized_wherever_it_is_split(at: int, frames: bytes) -> None:
    first = trio.run(read_from, UPGRADE[:at], UPGRADE[at:] + frames)
    assert first.upgrade is not None
    # What follows in a piece of its own is left in the connection.
    assert (first.head, first.frames) == (UPGRADE, frames if at < len(UPGRADE) else b"")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01 this is TLS",
        b"GET / HTTP/1.1\r\nHost: x\r\nLong: " + b"x" * 20_000,
        UPGRADE.replace(b"GET", b"POST"),
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        UPGRADE.replace(b"WebSocket\r\n", b"h2c\r\n"),
        UPGRADE.replace(b", Upgrade", b""),
        UPGRADE.replace(b"Version: 13", b"Version: 8"),
        UPGRADE.replace(b"Sec-WebSocket-Key", b"Sec-WebSocket-Lock"),
        UPGRADE.replace(b"Host: x", b"Host: x\r\nContent-Length: 0"),
    ],
)
async def test_everything_else_is_left_to_the_http_server(request_bytes: bytes) -> None:
    first = await read_from(request_bytes)
    assert (first.head, first.frames, first.upgrade) == (request_bytes, b"", None)


@pytest.mark.parametrize("first", [FirstRequest(b"GET /?token=secret")])
def test_the_repr_has_no_secret(first: FirstRequest) -> None:
    assert "secret" not in repr(first)


async def test_the_scope_of_an_upgrade() -> None:
    first = await read_from(UPGRADE)
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, await trio.testing.open_stream_to_socket_listener(listener) as stream:
        assert isinstance(stream, trio.SocketStream)
        scope = first.to_scope(stream, is_tls=True, state={"a": 1})
        assert scope["client"] == stream.socket.getpeername()
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"c=d")
    assert (scope["scheme"], scope["subprotocols"]) == ("wss", ["one", "two"])
    assert (b"host", b"x") in scope["headers"]
    assert scope["state"] == {"a": 1}


class _LostSocket:
    """A socket of a client that has reset the connection."""

    def getpeername(self) -> Any:
        raise OSError(107, "Transport endpoint is not connected")


async def test_the_scope_of_a_client_that_is_lost_already() -> None:
    first = await read_from(UPGRADE)
    stream: Any = SimpleNamespace(socket=_LostSocket())
    with pytest.raises(trio.BrokenResourceError):
        first.to_scope(stream, is_tls=False, state={})


# --- WebSockets -----------------------------------------------------------------------------------


class Served:
    """A connection that is served: its ends."""

    def __init__(self) -> None:
        self.client: Any
        self.server: Any
        self.client, self.server = trio.testing.memory_stream_pair()

    async def serve(self, app: Any, *, send_timeout: float, max_message_size: int) -> None:
        first = await read_first_request(self.server)
        assert first.upgrade is not None
        scope: Any = {
            "type": "websocket",
            "headers": list(first.upgrade.headers),
            "subprotocols": ["one", "two"],
            "extensions": {"websocket.http.response": {}},
        }
        try:
            await serve_websocket(
                app,
                scope,
                self.server,
                first,
                max_message_size=max_message_size,
                send_timeout=send_timeout,
            )
        finally:
            await self.server.aclose()


@asynccontextmanager
async def serving(
    handler: Handler, *, send_timeout: float = 5, max_message_size: int = 1000
) -> AsyncGenerator[Served]:
    """Serve one connection. The end of the block waits until it has ended."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await handler(WebSocket(scope, receive, send))

    served = Served()
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            serve = partial(
                served.serve, app, send_timeout=send_timeout, max_message_size=max_message_size
            )
            nursery.start_soon(serve)  # noqa: ASYNC113 - streams buffer what is sent
            yield served


@asynccontextmanager
async def connected(handler: Handler, **options: Any) -> AsyncGenerator[WebSocketConnection]:
    """Connect a client with an application. Leaving the block closes the WebSocket."""
    async with serving(handler, **options) as served, trio.open_nursery() as nursery:
        client: WebSocketConnection = await wrap_client_stream(
            nursery, served.client, "x", "/", subprotocols=["one", "two"]
        )
        async with client:
            yield client


async def echo(socket: WebSocket) -> None:
    await socket.accept("two", headers=[(b"x-name", b"value")])
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        message["type"] = "websocket.send"
        await socket.send(message)


async def test_messages_in_both_directions(autojump_clock: MockClock) -> None:
    async with connected(echo) as client:
        assert client.subprotocol == "two"
        assert (b"x-name", b"value") in client.handshake_headers
        for message in ("text", b"bytes", "", b"", "x" * 1000, b"y" * 900):
            await client.send_message(message)
            assert await client.get_message() == message


async def test_nothing_is_compressed(autojump_clock: MockClock) -> None:
    async with serving(echo) as served:
        wire = WSConnection(ConnectionType.CLIENT)
        offer = Request(
            host="x", target="/", extensions=[PerMessageDeflate()], subprotocols=["two"]
        )
        await served.client.send_all(wire.send(offer))
        wire.receive_data(await served.client.receive_some())
        [accepted] = wire.events()
        assert isinstance(accepted, AcceptConnection)
        assert accepted.extensions == []
        await served.client.send_all(wire.send(TextMessage(data="plain")))
        assert b"plain" in await served.client.receive_some()
        await served.client.aclose()


async def test_the_application_learns_how_the_client_has_closed(autojump_clock: MockClock) -> None:
    seen: list[Any] = []

    async def listen(socket: WebSocket) -> None:
        await socket.accept()
        seen.append(await socket.receive())
        with pytest.raises(OSError, match="the client has gone"):
            await socket.send({"type": "websocket.send", "text": "too late"})

    async with connected(listen) as client:
        await client.aclose(4321, "why")
    assert seen == [{"type": "websocket.disconnect", "code": 4321, "reason": "why"}]


async def test_a_client_that_vanishes_is_a_disconnect(autojump_clock: MockClock) -> None:
    seen: list[Any] = []

    async def listen(socket: WebSocket) -> None:
        await socket.accept()
        seen.append(await socket.receive())

    async with serving(listen) as served:
        await served.client.send_all(UPGRADE)
        await served.client.receive_some()
        await served.client.aclose()
    assert [(message["type"], message["code"]) for message in seen] == [
        ("websocket.disconnect", 1006)
    ]


async def test_a_close_is_answered_also_if_the_application_ends_at_once(
    autojump_clock: MockClock,
) -> None:
    async def receive_one(socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_text()

    async with serving(receive_one) as served:
        await served.client.send_all(UPGRADE)
        await served.client.receive_some()
        await served.client.send_all(FRAME + CLOSE)
        received = b""
        while data := await served.client.receive_some():
            received += data
    assert received == b"\x88\x02\x03\xe8"


@pytest.mark.parametrize("at", [0, 3, len(FRAME)])
async def test_frames_that_arrive_before_the_upgrade_is_accepted(
    at: int, autojump_clock: MockClock
) -> None:
    seen: list[Any] = []

    async def accept_late(socket: WebSocket) -> None:
        await trio.sleep(5)
        await socket.accept()
        seen.append(await socket.receive_text())

    async with serving(accept_late) as served:
        await served.client.send_all(UPGRADE + FRAME[:at])
        await trio.sleep(1)
        await served.client.send_all(FRAME[at:])
        await trio.sleep(10)
        assert seen == ["hello"]
        await served.client.aclose()


async def test_nothing_is_read_before_the_upgrade_is_accepted(autojump_clock: MockClock) -> None:
    async def accept_late(socket: WebSocket) -> None:
        await trio.sleep(5)
        await socket.accept()

    reads: list[float] = []

    async def note_read() -> None:
        reads.append(trio.current_time())
        await trio.lowlevel.checkpoint()

    async with serving(accept_late) as served:
        served.server.receive_stream.receive_some_hook = note_read
        began = trio.current_time()
        for data in (UPGRADE, FRAME, FRAME):
            await served.client.send_all(data)
            await trio.sleep(1)
        await trio.sleep(3)
        await served.client.aclose()
    assert [at - began for at in reads[:2]] == [0, 5]


async def test_the_application_closes(autojump_clock: MockClock) -> None:
    async def close(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("last")
        await socket.close(4000, "done")

    async with connected(close) as client:
        assert await client.get_message() == "last"
        with pytest.raises(ConnectionClosed):
            await client.get_message()
        assert client.closed is not None
        assert (client.closed.code, client.closed.reason) == (4000, "done")


async def accept_and_return(socket: WebSocket) -> None:
    await socket.accept()


async def accept_and_fail(socket: WebSocket) -> None:
    await socket.accept()
    raise ValueError("a bug")


@pytest.mark.parametrize("handler", [accept_and_return, accept_and_fail])
async def test_an_application_that_ends_without_closing(
    handler: Handler, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    with caplog.at_level(logging.ERROR):
        async with connected(handler) as client:
            with pytest.raises(ConnectionClosed):
                await client.get_message()
            assert client.closed is not None
            assert client.closed.code == 1011
    assert ("a bug" in caplog.text) == (handler is accept_and_fail)


async def refuse(socket: WebSocket) -> None:
    await socket.close(1008)


async def deny(socket: WebSocket) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"6")]
    start = {"type": "websocket.http.response.start", "status": 429, "headers": headers}
    body = {"type": "websocket.http.response.body"}
    for message in (start, {**body, "body": b"too ", "more_body": True}, {**body, "body": b"ma"}):
        await socket._send(message)


async def deny_without_headers(socket: WebSocket) -> None:
    await socket._send({"type": "websocket.http.response.start", "status": 401})
    await socket._send({"type": "websocket.http.response.body"})


async def forget(_socket: WebSocket) -> None:
    await trio.lowlevel.checkpoint()


async def fail(_socket: WebSocket) -> None:
    await trio.lowlevel.checkpoint()
    raise ValueError("a bug")


async def accept_what_was_not_offered(socket: WebSocket) -> None:
    await socket.accept("three")


@pytest.mark.parametrize(
    ("handler", "status", "body"),
    [
        (refuse, 403, b""),
        (deny, 429, b"too ma"),
        (deny_without_headers, 401, b""),
        (forget, 500, b""),
        (fail, 500, b""),
        (accept_what_was_not_offered, 500, b""),
    ],
)
async def test_a_refused_upgrade(
    handler: Handler, status: int, body: bytes, autojump_clock: MockClock
) -> None:
    async with serving(handler) as served:
        await served.client.send_all(UPGRADE)
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        while data := await served.client.receive_some():
            parser.receive_data(data)
        response = parser.next_event()
        assert isinstance(response, h11.Response)
        content = parser.next_event()
        received = bytes(content.data) if isinstance(content, h11.Data) else b""
        assert (response.status_code, received) == (status, body)


async def test_a_refusal_is_the_end_of_the_messages(autojump_clock: MockClock) -> None:
    seen: list[Any] = []

    async def refuse_and_listen(socket: WebSocket) -> None:
        await socket._receive()
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                seen.append(await socket._receive())

            nursery.start_soon(listen)
            await trio.testing.wait_all_tasks_blocked()
            await socket._send({"type": "websocket.close"})
            await listen()

    async with serving(refuse_and_listen) as served:
        await served.client.send_all(UPGRADE)
        while await served.client.receive_some():
            pass
        await served.client.aclose()
    assert [(message["type"], message["code"]) for message in seen] == [
        ("websocket.disconnect", 1006)
    ] * 2


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([{"type": "websocket.send", "text": "a"}], "before it has accepted"),
        ([{"type": "websocket.close"}, {"type": "websocket.accept"}], "after it has refused"),
        ([{"type": "websocket.accept"}, {"type": "websocket.accept"}], "on an open WebSocket"),
    ],
)
async def test_messages_that_the_application_may_not_send(
    messages: list[Any], problem: str, autojump_clock: MockClock
) -> None:
    errors: list[str] = []

    async def send_all(socket: WebSocket) -> None:
        try:
            for message in messages:
                await socket._send(message)
        except RuntimeError as exc:
            errors.append(str(exc))

    async with serving(send_all) as served:
        await served.client.send_all(UPGRADE)
        while await served.client.receive_some():
            pass
        await served.client.aclose()
    assert len(errors) == 1
    assert problem in errors[0]


async def test_a_message_that_is_too_long_closes_the_websocket(autojump_clock: MockClock) -> None:
    async with connected(echo) as client:
        await client.send_message("x" * 1001)
        with pytest.raises(ConnectionClosed):
            await client.get_message()
        assert client.closed is not None
        assert client.closed.code == 1009


async def test_the_parts_of_a_message_take_no_more_space_than_the_message(
    autojump_clock: MockClock,
) -> None:
    count, part = 20_000, b"\x00\x81\x00\x00\x00\x00a"
    sizes: list[int] = []

    async def listen(socket: WebSocket) -> None:
        await socket.accept()
        sizes.append(len(await socket.receive_bytes()))

    async with serving(listen, max_message_size=count) as served:
        await served.client.send_all(UPGRADE)
        await served.client.receive_some()
        tracemalloc.start()
        try:
            await served.client.send_all(b"\x02\x80\x00\x00\x00\x00")
            for _ in range(100):
                await served.client.send_all(part * (count // 100))
                await served.client.send_all(b"\x00\x80\x00\x00\x00\x00" * 1000)  # empty parts
                await trio.testing.wait_all_tasks_blocked()
            assert tracemalloc.get_traced_memory()[0] < 500_000
        finally:
            tracemalloc.stop()
        await served.client.send_all(b"\x80\x80\x00\x00\x00\x00")
        await trio.testing.wait_all_tasks_blocked()
        await served.client.aclose()
    assert sizes == [count]


async def test_a_client_that_still_sends_too_much_is_told_why_it_is_closed(
    autojump_clock: MockClock,
) -> None:
    """Closing a socket with unread data resets it, and the client would lose the reason."""
    async with serving(echo) as served:
        await served.client.send_all(UPGRADE)
        await served.client.receive_some()
        await served.client.send_all(b"\x82\xfe\xff\xff\x00\x00\x00\x00" + bytes(2000))
        assert (await served.client.receive_some())[2:4] == b"\x03\xf1"  # 1009
        began = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()
        await served.client.send_all(bytes(5000))  # it is read
        await served.client.aclose()
    assert trio.current_time() == began


class _Blocked:
    """A send function of a memory stream whose peer does not read."""

    def __init__(self) -> None:
        self.is_blocked = False

    async def __call__(self) -> None:
        if self.is_blocked:
            await trio.sleep_forever()


async def test_a_client_that_does_not_read_is_closed(autojump_clock: MockClock) -> None:
    ended: list[tuple[float, str]] = []
    blocked = _Blocked()

    async def flood(socket: WebSocket) -> None:
        await socket.accept()
        blocked.is_blocked = True
        began = trio.current_time()
        try:
            await socket._send({"type": "websocket.send", "bytes": bytes(1000)})
        except OSError as exc:
            ended.append((trio.current_time() - began, str(exc)))

    async with serving(flood, send_timeout=5) as served:
        served.server.send_stream.send_all_hook = blocked
        await served.client.send_all(UPGRADE)
        while await served.client.receive_some():
            pass
    assert ended == [(5.0, "the client reads too slowly")]


async def test_the_wait_for_the_messages_of_other_tasks_takes_no_time_of_the_client(
    autojump_clock: MockClock,
) -> None:
    async def send_from_three_tasks(socket: WebSocket) -> None:
        await socket.accept()
        served.server.send_stream.send_all_hook = partial(trio.sleep, 3)
        async with trio.open_nursery() as nursery:
            for text in "abc":
                nursery.start_soon(socket.send_text, text)
        served.server.send_stream.send_all_hook = None

    async with serving(send_from_three_tasks, send_timeout=5) as served:
        await served.client.send_all(UPGRADE)
        received = b""
        while data := await served.client.receive_some():
            received += data
    assert all(b"\x81\x01" + text in received for text in (b"a", b"b", b"c"))


async def test_a_client_that_answers_no_ping_is_lost(autojump_clock: MockClock) -> None:
    lost: list[float] = []

    async def listen(socket: WebSocket) -> None:
        await socket.accept()
        began = trio.current_time()
        assert (await socket.receive())["type"] == "websocket.disconnect"
        lost.append(trio.current_time() - began)

    async with serving(listen) as served:
        await served.client.send_all(UPGRADE)
        received = b""
        while data := await served.client.receive_some():
            received += data
    assert b"\x89\x04" in received  # a ping
    assert 20 < lost[0] <= 45


async def test_a_connection_that_breaks_ends_both_sides(autojump_clock: MockClock) -> None:
    async with serving(echo) as served, trio.open_nursery() as nursery:
        client = await wrap_client_stream(nursery, served.client, "x", "/", subprotocols=["two"])
        await trio.testing.wait_all_tasks_blocked()
        await served.server.aclose()
        with pytest.raises(ConnectionClosed):
            await client.get_message()
