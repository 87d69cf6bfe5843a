"""Streams in memory on a virtual clock: WebSockets, HTTP, ephemeral keys and lost clients."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias, Unpack, cast

import pytest
import trio
import trio.testing
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)
from wsproto.connection import Connection as WebSocketFrames, ConnectionType
from wsproto.events import Event, Ping, TextMessage

from trio_realtime.local import (
    Close,
    Limits,
    Say,
    ScriptedResponder,
    ServerConfig,
    ServerConfigDict,
)
from trio_realtime.local.outbox import Outbox
from trio_realtime.local.stream_server import StreamServer
from trio_realtime.transports._ping_timer import AFTER_MESSAGE

KEY = [(b"authorization", b"Bearer local")]
PATH = "/v1/realtime?model=gpt-realtime"


Stream: TypeAlias = trio.abc.HalfCloseableStream
StreamPair: TypeAlias = Callable[[], tuple[Stream, Stream]]


class Server:
    """A server in memory. Each stream is served by a task of ``nursery``."""

    def __init__(
        self, nursery: trio.Nursery, limits: Limits, **settings: Unpack[ServerConfigDict]
    ) -> None:
        self.nursery = nursery
        settings.setdefault("epoch", 0.0)
        self.streams = StreamServer(ServerConfig(**settings), limits)

    def open_stream(self, make_pair: StreamPair = trio.testing.memory_stream_pair) -> Stream:
        client, server = make_pair()
        self.nursery.start_soon(self.streams.serve, server)
        return client

    async def request(self, head: str, body: Any = None) -> tuple[int, Any]:
        """Send one HTTP request. Return the status and the body of the response."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{head} HTTP/1.1", "Host: a", f"Content-Length: {len(content)}", "", ""]
        async with self.open_stream() as stream:
            await stream.send_all("\r\n".join(lines).encode() + content)
            received = b"".join([bytes(data) async for data in stream])
        answer, _, text = received.partition(b"\r\n\r\n")
        return int(answer.split()[1]), json.loads(text)

    @asynccontextmanager
    async def connect(
        self,
        path: str = PATH,
        headers: Sequence[tuple[bytes, bytes]] = KEY,
        subprotocols: Sequence[str] = (),
        make_pair: StreamPair = trio.testing.memory_stream_pair,
    ) -> AsyncGenerator[WebSocketConnection]:
        async with trio.open_nursery() as nursery:
            websocket = await wrap_client_stream(
                nursery,
                cast("trio.SocketStream", self.open_stream(make_pair)),  # any stream will do
                "a",
                path,
                extra_headers=list(headers),
                subprotocols=list(subprotocols),
            )
            yield websocket
            with trio.move_on_after(1):
                await websocket.aclose()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_server(
    limits: Limits | None = None, **settings: Unpack[ServerConfigDict]
) -> AsyncGenerator[Server]:
    """Run a server, and check that it has no task left when its clients are gone."""
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            await trio.lowlevel.checkpoint()
            yield Server(nursery, limits or Limits(), **settings)


async def receive(websocket: WebSocketConnection) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(await websocket.get_message())
    return frame


def socket_pair(buffer: int = 4608) -> tuple[Stream, Stream]:
    """Return two connected sockets. By default, the server's buffer is smaller than most events."""
    client, server = trio.socket.socketpair()
    server.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, buffer)
    return trio.SocketStream(client), trio.SocketStream(server)


# -- HTTP ----------------------------------------------------------------------------------------


async def test_http_and_websockets_have_one_port(autojump_clock: trio.testing.MockClock) -> None:
    async with open_server() as server:
        status, models = await server.request("GET /v1/models")
        assert (status, models["object"]) == (200, "list")
        assert (await server.request("GET /"))[0] == 404
        async with server.connect() as websocket:
            assert (await receive(websocket))["type"] == "session.created"


@pytest.mark.parametrize("path", ["/chat", "/v1/realtime/client_secrets"])
async def test_a_websocket_on_another_path_is_not_found(
    path: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_server() as server:
        with pytest.RaisesGroup(pytest.RaisesExc(ConnectionRejected)) as caught:
            async with server.connect(path):
                pass
        (rejected,) = caught.value.exceptions
        assert isinstance(rejected, ConnectionRejected)
        assert rejected.status_code == 404
        assert rejected.body is not None
        assert json.loads(rejected.body)["error"]["type"] == "invalid_request_error"


async def test_a_client_that_sends_no_request_is_closed_after_ten_seconds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_server() as server:
        async with server.open_stream() as slow, server.open_stream() as silent:
            await slow.send_all(b"GET /v1/mod")
            assert await slow.receive_some() == b""
            assert await silent.receive_some() == b""
        assert trio.current_time() == pytest.approx(10.0)


# -- ephemeral keys ------------------------------------------------------------------------------

SECRET = {
    "expires_after": {"anchor": "created_at", "seconds": 30},
    "session": {"type": "realtime", "instructions": "Be brief."},
}


async def create_secret(server: Server) -> str:
    status, body = await server.request("POST /v1/realtime/client_secrets", SECRET)
    assert status == 200
    value: str = body["value"]
    return value


def bearer(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {key}".encode())]


async def test_an_ephemeral_key_opens_one_session_with_its_settings(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_server() as server:
        key = await create_secret(server)
        async with server.connect(headers=bearer(key)) as websocket:
            created = await receive(websocket)
            assert created["session"]["instructions"] == "Be brief."
        async with server.connect(headers=bearer(key)) as websocket:
            assert (await receive(websocket))["error"]["code"] == "invalid_api_key"


async def test_an_ephemeral_key_can_be_a_subprotocol(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_server() as server:
        offers = ["realtime", f"openai-insecure-api-key.{await create_secret(server)}"]
        async with server.connect(headers=(), subprotocols=offers) as websocket:
            assert (await receive(websocket))["type"] == "session.created"
            assert websocket.subprotocol == "realtime"


async def test_an_ephemeral_key_expires(autojump_clock: trio.testing.MockClock) -> None:
    async with open_server() as server:
        key = await create_secret(server)
        await trio.sleep(30)
        async with server.connect(headers=bearer(key)) as websocket:
            assert (await receive(websocket))["error"]["code"] == "invalid_api_key"


async def test_an_ephemeral_key_is_enough_for_a_server_with_keys(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_server(api_keys={"sk-right"}, auth_failure="http401") as server:
        secret = await server_secret(server)
        async with server.connect(headers=bearer(secret)) as websocket:
            assert (await receive(websocket))["type"] == "session.created"
        with pytest.RaisesGroup(pytest.RaisesExc(ConnectionRejected)):
            async with server.connect(headers=bearer(secret)):
                pass


async def server_secret(server: Server) -> str:
    """Create an ephemeral key with the API key of the server."""
    path = "POST /v1/realtime/client_secrets?api-key=sk-right"
    status, body = await server.request(path, SECRET)
    assert status == 200
    value: str = body["value"]
    return value


async def test_a_rejected_upgrade_does_not_use_the_key(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_server() as server:
        key = await create_secret(server)
        with pytest.RaisesGroup(pytest.RaisesExc(ConnectionRejected)):
            async with server.connect("/chat", headers=bearer(key)):
                pass
        async with server.connect(headers=bearer(key)) as websocket:
            assert (await receive(websocket))["type"] == "session.created"


# -- pings ---------------------------------------------------------------------------------------

UPGRADE = (
    f"GET {PATH} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Authorization: Bearer local\r\n\r\n"
)
PING = b"\x89\x04"
PONG = b"\x8a"


def frame_of(event: Event) -> bytes:
    """Return a frame as a client sends it."""
    return WebSocketFrames(ConnectionType.CLIENT).send(event)


async def upgrade_and_read(stream: trio.abc.Stream) -> None:
    """Open a WebSocket, and read up to the greeting."""
    await stream.send_all(UPGRADE.encode())
    received = b""
    while b"session.created" not in received:
        received += await stream.receive_some()


async def test_the_server_answers_pings(autojump_clock: trio.testing.MockClock) -> None:
    async with open_server() as server, server.connect() as websocket:
        with trio.fail_after(1):
            await websocket.ping()


async def test_a_quiet_client_that_answers_pings_stays_connected(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_server(session_seconds=3600.0) as server, server.connect() as websocket:
        await receive(websocket)
        await trio.sleep(910)
        (connection,) = server.streams.connections
        assert connection.closed is None


async def test_a_client_that_does_not_answer_pings_is_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limits = Limits(ping_interval=5.0, ping_timeout=3.0)
    async with open_server(limits) as server, server.open_stream() as stream:
        await stream.send_all(UPGRADE.encode())
        received = b""
        while data := await stream.receive_some():
            received += data
        (connection,) = server.streams.connections
        assert connection.closed == Close(1011, "the client does not answer pings")
        assert received.count(PING) == 1
        # The greeting is a message, and a ping soon follows a message.
        waited = AFTER_MESSAGE * limits.ping_interval + limits.ping_timeout
        assert trio.current_time() == pytest.approx(waited + limits.close_timeout)


async def test_a_client_that_pings_and_never_reads_does_not_stop_the_reader(
    autojump_clock: trio.testing.MockClock,
) -> None:
    update = json.dumps({"type": "session.update", "session": {"type": "realtime"}})
    # A lockstep pair buffers nothing.
    make_pair = trio.testing.lockstep_stream_pair
    async with open_server() as server, server.open_stream(make_pair) as stream:
        await upgrade_and_read(stream)
        with trio.fail_after(1):
            for n in range(20):
                pings = [Ping(payload=f"{n}-{i}".encode()) for i in range(1000)]
                await stream.send_all(b"".join(map(frame_of, pings)))
            await stream.send_all(frame_of(TextMessage(data=update)))
            await trio.testing.wait_all_tasks_blocked()
        (connection,) = server.streams.connections
        assert [frame["type"] for frame in connection.received] == ["session.update"]
        received = b""
        with trio.move_on_after(1):
            while True:
                received += await stream.receive_some()
        # Only the ping that was being answered and the last one took memory.
        assert received.count(PONG) == 2
        assert b"0-999" in received
        assert b"19-999" in received
        assert b"session.updated" in received


async def test_a_client_that_only_pings_and_never_reads_is_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limits = Limits(ping_interval=5.0, ping_timeout=3.0)
    make_pair = trio.testing.lockstep_stream_pair
    async with open_server(limits) as server, server.open_stream(make_pair) as stream:
        await stream.send_all(UPGRADE.encode())
        await stream.receive_some()
        with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
            while True:
                await stream.send_all(frame_of(Ping(payload=b"me too")))
                await trio.sleep(0.1)
        (connection,) = server.streams.connections
        assert connection.closed == Close(1011, "the client does not answer pings")
        assert trio.current_time() <= 5.0 + 3.0 + 2 * limits.close_timeout + 0.1


async def test_a_client_that_sends_a_large_message_slowly_stays_connected(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limits = Limits(ping_interval=5.0, ping_timeout=3.0)
    update = json.dumps({"type": "session.update", "session": {"type": "realtime"}})
    async with open_server(limits) as server, server.open_stream() as stream:
        await upgrade_and_read(stream)
        frame = frame_of(TextMessage(data=update + " " * 1000))
        for start in range(0, len(frame), 50):
            await stream.send_all(frame[start : start + 50])
            await trio.sleep(2)
        (connection,) = server.streams.connections
        assert [frame["type"] for frame in connection.received] == ["session.update"]


async def test_pings_can_be_disabled(autojump_clock: trio.testing.MockClock) -> None:
    limits = Limits(ping_interval=math.inf)
    async with open_server(limits) as server, server.open_stream() as stream:
        await stream.send_all(UPGRADE.encode())
        with trio.move_on_after(600):
            while data := await stream.receive_some():
                assert PING not in data
        (connection,) = server.streams.connections
        assert connection.closed is None


# -- closing -------------------------------------------------------------------------------------


async def test_closing_ends_all_connections_with_1001(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_server() as server, server.connect() as one, server.connect() as two:
        await server.streams.close_connections()
        for websocket in (one, two):
            await receive(websocket)
            with pytest.raises(ConnectionClosed):
                await websocket.get_message()
            assert websocket.closed is not None
            assert websocket.closed.code == 1001


async def test_a_ping_during_the_close_is_no_error(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_server() as server, server.open_stream() as stream:
        await stream.send_all(UPGRADE.encode())
        await stream.receive_some()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.streams.close_connections)
            await trio.testing.wait_all_tasks_blocked()
            await stream.send_all(b"\x89\x80\x00\x00\x00\x00")
        (connection,) = server.streams.connections
        assert connection.closed is not None
    assert not [record for record in caplog.records if record.levelname != "INFO"]


# -- writing -------------------------------------------------------------------------------------


async def test_events_to_a_client_that_reads_need_no_task_switch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queued: list[str] = []
    send = Outbox.send

    async def record(outbox: Outbox, text: str) -> None:
        queued.append(text)
        await send(outbox, text)

    monkeypatch.setattr(Outbox, "send", record)
    responder = ScriptedResponder([Say("Hello.")])
    async with open_server(responder=responder) as server, server.connect() as memory:
        await receive(memory)
        assert len(queued) == 1  # a stream in memory cannot write without waiting
        async with server.connect(make_pair=partial(socket_pair, 2**20)) as client:
            await receive(client)
            del queued[:]
            await client.send_message('{"type":"response.create"}')
            while (await receive(client))["type"] != "response.done":
                pass
            assert queued == []


async def test_a_client_that_reads_slowly_receives_every_event_in_order() -> None:
    responder = ScriptedResponder([Say("word " * 100)])
    async with open_server(responder=responder, pacing=math.inf) as server:
        async with server.connect(make_pair=socket_pair) as client, trio.open_nursery() as nursery:
            await client.send_message('{"type":"response.create"}')
            received: list[dict[str, Any]] = []
            while not received or received[-1]["type"] != "rate_limits.updated":
                received.append(await receive(client))
                if len(received) % 5 == 0:
                    nursery.start_soon(client.ping)  # the answer is a frame between the events
        (connection,) = server.streams.connections
        assert received == connection.sent
        assert len(received) > 150


async def test_a_client_that_is_lost_during_a_write_ends_its_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    responder = ScriptedResponder([Say("word " * 100)])
    async with open_server(responder=responder, pacing=math.inf) as server:
        client, remote = socket_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.streams.serve, remote)
            async with trio.open_nursery() as reading:
                websocket = await wrap_client_stream(
                    reading, cast("trio.SocketStream", client), "a", PATH, extra_headers=KEY
                )
                await receive(websocket)
                await websocket.send_message('{"type":"response.create"}')
                await receive(websocket)
                await client.aclose()
                reading.cancel_scope.cancel()
        (connection,) = server.streams.connections
        assert connection.ended.is_set()
    assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]
