"""Messages in batches, and writes without waiting, over real sockets."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, strategies as st
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket
from websockets.speedups import apply_mask
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection
from wsproto.events import AcceptConnection, Request, TextMessage

from trio_realtime import Endpoint, RealtimeAgent, SessionConfig, open_realtime_session
from trio_realtime.testing.peer import DEFAULT_SESSION
from trio_realtime.transports import (
    ConnectOptions,
    Connector,
    TransportClosed,
)
from trio_realtime.transports._engine import (
    _mask_without_extension,
    masked_frame,
    unmasked_frame,
)

SMALL_BUFFER = 4608
PEM = Path(__file__).with_name("localhost.pem")
"""A self-signed certificate of localhost, with its key."""
TIMEOUT = 20


@attrs.define(eq=False)
class Server:
    """A server that greets like the service, and reads only when it may."""

    received: list[str] = attrs.field(factory=list)
    closed: trio.Event = attrs.field(factory=trio.Event)
    has_sent: trio.Event = attrs.field(factory=trio.Event)
    may_read: trio.Event = attrs.field(factory=trio.Event)
    burst: tuple[str, ...] = ()
    url: str = ""

    async def handle(self, request: WebSocketRequest) -> None:
        websocket = await request.accept()
        try:
            for kind in ("session.created", "session.updated"):
                await websocket.send_message(json.dumps({"type": kind, "session": DEFAULT_SESSION}))
            for text in self.burst:
                await websocket.send_message(text)
            self.has_sent.set()
            await self.may_read.wait()
            while True:
                message = await websocket.get_message()
                assert isinstance(message, str)
                self.received.append(message)
        except ConnectionClosed:
            self.closed.set()


@asynccontextmanager
async def serve(*burst: str, tls: bool = False) -> AsyncGenerator[Server]:
    server = Server(burst=burst)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if tls else None
    if context is not None:
        context.load_cert_chain(PEM)
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + TIMEOUT
        start = partial(
            serve_websocket, server.handle, "127.0.0.1", 0, context, max_message_size=2**23
        )
        running = await nursery.start(start)
        origin = "wss://localhost" if tls else "ws://127.0.0.1"
        server.url = f"{origin}:{running.port}/v1/realtime"
        yield server
        nursery.cancel_scope.cancel()
    assert not nursery.cancel_scope.cancelled_caught or trio.current_time() < (
        nursery.cancel_scope.deadline
    ), "the test hangs"


@pytest.fixture
def connect_with_small_buffer(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> Connector:
    open_stream = trio.open_tcp_stream

    async def open_with_small_buffer(host: str, port: int) -> trio.SocketStream:
        stream = await open_stream(host, port)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        return stream

    monkeypatch.setattr(trio, "open_tcp_stream", open_with_small_buffer)
    trusting = ssl.create_default_context(cafile=PEM)
    return lambda options: connector(attrs.evolve(options, ssl_context=trusting))


@given(st.text(max_size=300), st.sampled_from((0, 1, 125, 126, 65_535, 65_536)))
def test_a_server_reads_what_was_masked(text: str, padding: int) -> None:
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    server.receive_data(client.send(Request(host="localhost", target="/")))
    list(server.events())
    server.send(AcceptConnection())
    sent = text + "x" * padding
    server.receive_data(masked_frame(sent.encode()))
    events = [event for event in server.events() if isinstance(event, TextMessage)]
    assert "".join(event.data for event in events) == sent
    assert events[-1].message_finished


@given(st.text(max_size=300), st.sampled_from((0, 1, 125, 126, 65_535, 65_536)))
def test_a_client_reads_what_a_server_framed(text: str, padding: int) -> None:
    frames = Connection(ConnectionType.CLIENT)
    sent = text + "x" * padding
    frames.receive_data(unmasked_frame(sent.encode()))
    events = [event for event in frames.events() if isinstance(event, TextMessage)]
    assert "".join(event.data for event in events) == sent
    assert events[-1].message_finished


@given(st.binary(max_size=2000), st.binary(min_size=4, max_size=4))
def test_the_mask_without_an_extension_is_the_same(payload: bytes, key: bytes) -> None:
    assert _mask_without_extension(payload, key) == apply_mask(payload, key)


async def test_all_messages_that_have_arrived_are_received_at_once(connector: Connector) -> None:
    texts = [str(number) for number in range(200)]
    async with serve(*texts) as server, connector(ConnectOptions(server.url)) as near:
        await server.has_sent.wait()
        received: list[str | bytes] = []
        batches = 0
        while len(received) < 202:
            batch = await near.receive_many()  # type: ignore[attr-defined]
            assert batch
            received += batch
            batches += 1
        assert received[2:] == texts
        assert batches < 200


async def test_a_message_is_written_without_a_checkpoint(connector: Connector) -> None:
    async with serve() as server, connector(ConnectOptions(server.url)) as near:
        direct: Any = near
        assert direct.try_send("one")
        assert not direct.has_rest
        assert direct.try_send("two ✓")
        await near.send("three")
        server.may_read.set()
        await near.aclose()
        await server.closed.wait()
        assert server.received == ["one", "two ✓", "three"]
        assert not direct.try_send("too late")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("ends_by", ["flush", "send", "aclose"])
async def test_what_the_kernel_has_not_taken_goes_out_before_anything_else(
    ends_by: str, tls: bool, connect_with_small_buffer: Connector
) -> None:
    text = "x" * 3_000_000
    async with (
        serve(tls=tls) as server,
        connect_with_small_buffer(ConnectOptions(server.url)) as near,
    ):
        direct: Any = near
        assert direct.try_send(text)
        assert direct.has_rest
        assert not direct.try_send("refused")
        server.may_read.set()
        if ends_by == "flush":
            await direct.flush()
            assert not direct.has_rest
            assert direct.try_send("after")
        elif ends_by == "send":
            await near.send("after")
            assert not direct.has_rest
        await near.aclose()
        await server.closed.wait()
        assert server.received == ([text] if ends_by == "aclose" else [text, "after"])


@pytest.mark.parametrize("tls", [False, True])
async def test_a_flush_that_is_cancelled_ends_the_connection(
    tls: bool, connect_with_small_buffer: Connector
) -> None:
    async with (
        serve(tls=tls) as server,
        connect_with_small_buffer(ConnectOptions(server.url)) as near,
    ):
        direct: Any = near
        assert direct.try_send("x" * 3_000_000)
        with trio.CancelScope() as scope:
            scope.cancel()
            await direct.flush()
        assert scope.cancelled_caught
        with pytest.raises(TransportClosed):
            await near.send("after")
        server.may_read.set()
        await server.closed.wait()
        assert server.received == []


@pytest.mark.parametrize("tls", [False, True])
async def test_sends_that_are_cancelled_at_random_leave_whole_frames(
    tls: bool, connect_with_small_buffer: Connector
) -> None:
    """A send that was cancelled has sent nothing, and each other one all of its audio."""
    random = Random(1)
    sent: list[bytes] = []
    cancelled = queued = 0

    async with serve(tls=tls) as server, trio.open_nursery() as nursery:
        config = SessionConfig(max_outgoing_audio=100_000, max_audio_latency=None, reconnect=None)

        async def send(session: Any, name: int) -> None:
            nonlocal cancelled, queued
            for number in range(100):
                chunk = bytes((name, number)) * random.randrange(1, 30_000)
                with trio.CancelScope() as scope:
                    if random.random() < 0.3:
                        scope.cancel()
                    elif random.random() < 0.5:
                        scope.deadline = trio.current_time() + random.random() / 500
                    await session.send_audio(chunk)
                    sent.append(chunk)
                queued = max(queued, session.statistics().outgoing_frames)
                if scope.cancelled_caught:
                    cancelled += 1
                elif random.random() < 0.2:
                    await trio.sleep(0.001)

        async with open_realtime_session(
            RealtimeAgent[None](name="A"),
            endpoint=Endpoint.compatible(server.url, api_key="k"),
            config=config,
            transport=connect_with_small_buffer,
        ) as session:
            server.may_read.set()
            async with trio.open_nursery() as senders:
                for name in range(4):
                    senders.start_soon(partial(send, session, name))
        await server.closed.wait()
        frames = [json.loads(text) for text in server.received]
        audio = [base64.b64decode(f["audio"]) for f in frames if f["type"].endswith("append")]
        assert audio == sent
        assert cancelled > 50
        assert queued > 0
        nursery.cancel_scope.cancel()
