"""What went wrong in the transport on the bare socket once. The default has to do the same."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection

from trio_realtime.transports import (
    ConnectOptions,
    Connector,
    HandshakeRejected,
    TransportClosed,
    TransportConnectError,
)
from trio_realtime.transports._buffered_stream import BufferedStream
from trio_realtime.transports._byte_streams import PlainSocket

PEM = Path(__file__).with_name("localhost.pem")
CLOSE_4001 = b"\x88\x02\x0f\xa1"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def text(payload: bytes) -> bytes:
    return bytes((0x81, len(payload))) + payload


class TlsServer:
    """The server's side of TLS, which can send anything between its records."""

    def __init__(self, stream: trio.SocketStream, version: ssl.TLSVersion) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEM)
        context.minimum_version = context.maximum_version = version
        self._stream = stream
        self._received, self._output = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._output, server_side=True)

    async def do_handshake(self, early: bytes = b"") -> None:
        """Perform the handshake, and send the early data together with its end."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._stream.send_all(self._output.read())
                self._received.write(await self._stream.receive_some())
            else:
                break
        if early:
            self._tls.write(early)
        await self._stream.send_all(self._output.read())

    def encrypted(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._output.read()

    async def receive_some(self) -> bytes:
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                self._received.write(await self._stream.receive_some())


def accepted(request: bytes) -> bytes:
    wire = WSConnection(ConnectionType.SERVER)
    wire.receive_data(request)
    list(wire.events())
    return wire.send(AcceptConnection())


@asynccontextmanager
async def serve(
    handler: Callable[[trio.SocketStream], Awaitable[None]], **options: Any
) -> AsyncGenerator[ConnectOptions]:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            yield await start(nursery, handler, options)
            nursery.cancel_scope.cancel()


async def start(
    nursery: trio.Nursery, handler: Callable[[trio.SocketStream], Awaitable[None]], options: Any
) -> ConnectOptions:
    [listener] = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
    port = listener.socket.getsockname()[1]
    scheme, host = ("wss", "localhost") if "ssl_context" in options else ("ws", "127.0.0.1")
    return ConnectOptions(f"{scheme}://{host}:{port}/", **options)


async def accept_tls(stream: trio.SocketStream, version: ssl.TLSVersion) -> TlsServer:
    tls = TlsServer(stream, version)
    await tls.do_handshake()
    await stream.send_all(tls.encrypted(accepted(await tls.receive_some())))
    return tls


async def accept(stream: trio.SocketStream) -> None:
    await stream.send_all(accepted(bytes(await stream.receive_some())))


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_ping_before_tls_breaks_does_not_crash(
    version: ssl.TLSVersion, connector: Connector
) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        tls = await accept_tls(stream, version)
        broken = b"\x17\x03\x03\x00\x20" + b"z" * 32
        await stream.send_all(tls.encrypted(b"\x89\x01!" + text(b"last")) + broken)
        await trio.sleep_forever()

    context = ssl.create_default_context(cafile=PEM)
    async with serve(handle, ssl_context=context) as options, connector(options) as transport:
        assert await transport.receive() == "last"
        with pytest.raises(TransportClosed):
            await transport.receive()
        with pytest.raises(TransportClosed):
            await transport.send("more")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_sender_does_not_see_how_tls_ends(
    version: ssl.TLSVersion, connector: Connector
) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        tls = await accept_tls(stream, version)
        await stream.send_all(tls.encrypted(text(b"last")))
        stream.socket.shutdown(socket.SHUT_WR)
        async for _ in stream:
            pass

    async def send(transport: Any, until: trio.Event) -> None:
        with pytest.raises(TransportClosed):
            while True:
                if not transport.try_send("x") or transport.has_rest:
                    await transport.send("x")
                await trio.lowlevel.checkpoint()
        until.set()

    context = ssl.create_default_context(cafile=PEM)
    async with (
        serve(handle, ssl_context=context) as options,
        connector(options) as transport,
        trio.open_nursery() as nursery,
    ):
        sender_ended = trio.Event()
        nursery.start_soon(send, transport, sender_ended)
        assert await transport.receive() == "last"
        with pytest.raises(TransportClosed):
            await transport.receive()
        await sender_ended.wait()


@pytest.mark.parametrize("ends_by", ["end of stream", "close frame"])
async def test_a_blocked_send_ends_when_the_peer_has_ended(
    ends_by: str, connector: Connector
) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await accept(stream)
        if ends_by == "end of stream":
            stream.socket.shutdown(socket.SHUT_WR)
        else:
            await stream.send_all(CLOSE_4001)
        await trio.sleep_forever()

    limits = {"close_timeout": 0.1, "ping_interval": 0.1, "ping_timeout": 0.1}
    async with serve(handle, **limits) as options, connector(options) as transport:
        with pytest.raises(TransportClosed):
            while True:
                await transport.send("x" * 24 * 2**20)


async def test_nothing_is_received_after_a_message_that_is_too_long(connector: Connector) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await accept(stream)
        await stream.send_all(text(b"a") + text(b"b" * 11) + text(b"c"))
        await trio.sleep_forever()

    received: list[str | bytes] = []
    limits = {"max_message_size": 10, "close_timeout": 0.1}
    async with serve(handle, **limits) as options, connector(options) as transport:
        with pytest.raises(TransportClosed) as caught:
            while True:
                received.append(await transport.receive())
    assert (received, caught.value.code) == (["a"], 1009)


@pytest.mark.parametrize(
    "header", [("Host", "x"), ("Content-Length", "abc"), ("Sec-WebSocket-Key", "abcdefgh")]
)
async def test_a_header_that_the_upgrade_cannot_have_is_an_error_of_connecting(
    header: tuple[str, str], connector: Connector
) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: x\r\n\r\n"
        )

    async with serve(handle, headers=(header,)) as options:
        with pytest.raises(TransportConnectError) as caught:
            async with connector(options):
                raise AssertionError("connected")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_answer_that_comes_with_the_tls_handshake_is_read(
    version: ssl.TLSVersion, connector: Connector
) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
        await TlsServer(stream, version).do_handshake(answer)
        await trio.sleep_forever()

    context = ssl.create_default_context(cafile=PEM)
    async with serve(handle, ssl_context=context) as options:
        with pytest.raises(HandshakeRejected) as caught:
            async with connector(options):
                raise AssertionError("connected")
    assert caught.value.status == 503


async def test_a_close_after_a_broken_frame_does_not_wait_for_a_server_that_waits(
    connector: Connector,
) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await accept(stream)
        await stream.send_all(b"\x83\x00")
        async for _ in stream:
            pass

    async with serve(handle, close_timeout=60.0) as options, connector(options) as transport:
        with pytest.raises(TransportClosed):
            await transport.receive()


async def test_the_repr_of_a_stream_does_not_show_what_it_sends() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, await trio.testing.open_stream_to_socket_listener(listener) as stream:
        plain = PlainSocket.of(stream)
        assert plain is not None
        buffered = BufferedStream(plain)
        buffered.push(b"x" * 20_000_000)
        buffered.push(b"secret")
        assert buffered.has_rest
        assert "secret" not in repr(buffered)
