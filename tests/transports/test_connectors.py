"""Both connectors: connection failures, the upgrade request, and redaction."""

from __future__ import annotations

import socket
import ssl
import struct
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request

from trio_realtime.transports import (
    ConnectOptions,
    Connector,
    HandshakeRejected,
    TransportClosed,
    TransportConnectError,
    TransportConnectTimeout,
    TransportError,
)

SECRET = "sk-proj-do-not-show-0123456789"
AUTHORIZED = (("Authorization", f"Bearer {SECRET}"),)
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
# A self-signed certificate for localhost and its key, used only in tests.
PEM = Path(__file__).with_name("localhost.pem")


@asynccontextmanager
async def serve_bytes(
    handler: Callable[[trio.SocketStream], Awaitable[None]],
) -> AsyncGenerator[ConnectOptions, None]:
    """Run a TCP server whose connections the handler serves."""

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await handler(stream)

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, handle, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        port = listener.socket.getsockname()[1]
        yield ConnectOptions(f"ws://127.0.0.1:{port}/v1/realtime?model=m", AUTHORIZED)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def serve_requests(
    handler: Callable[[WebSocketRequest], Awaitable[None]],
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncGenerator[ConnectOptions, None]:
    """Run trio-websocket's own server."""

    async def handle(request: WebSocketRequest) -> None:
        with suppress(ConnectionClosed):
            await handler(request)

    async with trio.open_nursery() as nursery:
        serve = partial(serve_websocket, handle, "127.0.0.1", 0, ssl_context)
        server = await nursery.start(serve)
        scheme, host = ("wss", "localhost") if ssl_context else ("ws", "127.0.0.1")
        yield ConnectOptions(f"{scheme}://{host}:{server.port}/v1/realtime?model=m", AUTHORIZED)
        nursery.cancel_scope.cancel()


async def echo(request: WebSocketRequest) -> None:
    connection = await request.accept()
    while True:
        await connection.send_message(await connection.get_message())


async def accept_upgrade(stream: trio.abc.Stream) -> None:
    wire = WSConnection(ConnectionType.SERVER)
    wire.receive_data(bytes(await stream.receive_some()))
    assert [type(event) for event in wire.events()] == [Request]
    await stream.send_all(wire.send(AcceptConnection()))


def answer_with(answer: bytes) -> Callable[[trio.SocketStream], Awaitable[None]]:
    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)

    return handle


async def connect_error(connector: Connector, options: ConnectOptions) -> TransportError:
    with pytest.raises(TransportError) as caught:
        async with connector(options):
            raise AssertionError("connected")
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in shown
    assert SECRET not in repr(vars(caught.value))
    return caught.value


async def test_messages_are_exchanged_with_an_independent_server(connector: Connector) -> None:
    async with serve_requests(echo) as options, connector(options) as transport:
        await transport.send('{"type": "session.update"}')
        assert await transport.receive() == '{"type": "session.update"}'


async def test_the_upgrade_carries_path_headers_and_subprotocols(connector: Connector) -> None:
    seen: list[WebSocketRequest] = []

    async def record_request(request: WebSocketRequest) -> None:
        seen.append(request)
        await request.accept(subprotocol="realtime")

    async with serve_requests(record_request) as options:
        with_subprotocols = attrs.evolve(options, subprotocols=("realtime", "other"))
        async with connector(with_subprotocols):
            pass
    headers = {name.lower(): value for name, value in seen[0].headers}
    assert seen[0].path == "/v1/realtime?model=m"
    assert seen[0].proposed_subprotocols == ("realtime", "other")
    assert headers[b"authorization"] == f"Bearer {SECRET}".encode()
    assert headers[b"user-agent"].startswith(b"trio-realtime/")
    assert b"openai-beta" not in headers


async def test_given_headers_override_default_headers(connector: Connector) -> None:
    seen: list[WebSocketRequest] = []

    async def record_request(request: WebSocketRequest) -> None:
        seen.append(request)
        await request.accept()

    async with serve_requests(record_request) as options:
        headers = (("user-agent", "mine"), *options.headers)
        url = options.url.replace("ws://", "ws://me:pass%20word@")
        async with connector(attrs.evolve(options, url=url, headers=headers)):
            pass
        async with connector(attrs.evolve(options, url=url, headers=())):
            pass
    first, second = ([(name.lower(), value) for name, value in request.headers] for request in seen)
    assert [value for name, value in first if name == b"user-agent"] == [b"mine"]
    assert [value for name, value in first if name == b"authorization"] == [
        f"Bearer {SECRET}".encode()
    ]
    assert (b"authorization", b"Basic bWU6cGFzcyB3b3Jk") in second


async def test_a_rejected_upgrade_has_status_body_and_headers(connector: Connector) -> None:
    async def reject(request: WebSocketRequest) -> None:
        body = f'{{"error": "bad key {SECRET}"}}'.encode()
        await request.reject(401, extra_headers=[(b"x-request-id", b"req_1")], body=body)

    async with serve_requests(reject) as options:
        failure = await connect_error(connector, options)
    assert isinstance(failure, HandshakeRejected)
    assert (failure.status, failure.body) == (401, '{"error": "bad key ***"}')
    assert ("x-request-id", "req_1") in failure.headers


async def test_a_redirect_is_not_followed(connector: Connector) -> None:
    requests: list[bytes] = []

    async def receive(stream: trio.SocketStream) -> None:
        requests.append(bytes(await stream.receive_some()))

    async with serve_bytes(receive) as other:
        head = f"HTTP/1.1 302 Found\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n"
        async with serve_bytes(answer_with(head.encode())) as options:
            failure = await connect_error(connector, options)
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert isinstance(failure, HandshakeRejected)
    assert failure.location == other.url
    assert requests == []


async def test_a_rejection_may_have_no_body(connector: Connector) -> None:
    async with serve_requests(lambda request: request.reject(404)) as options:
        failure = await connect_error(connector, options)
    assert isinstance(failure, HandshakeRejected)
    assert (failure.status, failure.body) == (404, "")


async def test_a_rejection_delimited_by_the_end_of_the_connection_has_status_and_body(
    connector: Connector,
) -> None:
    answer = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nX-Why: this\r\n\r\nnot " + (
        SECRET.encode()
    )
    async with serve_bytes(answer_with(answer)) as options:
        failure = await connect_error(connector, options)
    assert isinstance(failure, HandshakeRejected)
    assert (failure.status, failure.body) == (403, "not ***")
    assert ("x-why", "this") in failure.headers


async def test_an_endless_rejection_body_is_truncated(connector: Connector) -> None:
    async def flood(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 500 Oops\r\nContent-Length: 99999999999\r\n\r\n")
        with suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"x" * 65536)

    async with serve_bytes(flood) as options:
        failure = await connect_error(connector, options)
    assert isinstance(failure, HandshakeRejected)
    assert (failure.status, failure.body) == (500, "x" * 4096)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 101 Switching",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        UPGRADE + b"Sec-WebSocket-Accept: wrong\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
    ids=["empty", "incomplete", "not HTTP", "wrong accept", "no upgrade"],
)
async def test_a_server_that_does_not_speak_websocket_fails_at_once(
    connector: Connector, answer: bytes
) -> None:
    async with serve_bytes(answer_with(answer)) as options:
        failure = await connect_error(connector, options)
    assert type(failure) is TransportConnectError


async def test_a_reset_during_the_handshake_fails_at_once(connector: Connector) -> None:
    async def reset(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with serve_bytes(reset) as options:
        failure = await connect_error(connector, options)
    assert type(failure) is TransportConnectError


async def test_a_connection_closed_before_the_request_fails_at_once(
    connector: Connector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near, far = trio.testing.memory_stream_pair()
    await far.aclose()

    async def open_stream(_: ConnectOptions) -> trio.abc.Stream:
        return near

    monkeypatch.setattr("trio_realtime.transports._connect.open_tunnel_stream", open_stream)
    failure = await connect_error(connector, ConnectOptions("ws://peer.test", AUTHORIZED))
    assert type(failure) is TransportConnectError


async def test_a_reset_after_the_handshake_closes_with_1006(connector: Connector) -> None:
    async def reset(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with serve_bytes(reset) as options, connector(options) as transport:
        with pytest.raises(TransportClosed, match="1006"):
            await transport.receive()


async def test_a_refused_connection_names_host_and_port(connector: Connector) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    failure = await connect_error(connector, ConnectOptions(f"ws://127.0.0.1:{port}/", AUTHORIZED))
    assert type(failure) is TransportConnectError
    assert f"127.0.0.1:{port}" in str(failure)
    assert "refused" in str(failure).lower()


async def test_a_failed_name_lookup_names_host_and_port(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail_lookup(host: str, port: int) -> trio.SocketStream:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(trio, "open_tcp_stream", fail_lookup)
    failure = await connect_error(connector, ConnectOptions("wss://unknown.invalid/v1", AUTHORIZED))
    assert type(failure) is TransportConnectError
    assert "unknown.invalid:443" in str(failure)
    assert "not known" in str(failure)


async def test_a_silent_server_fails_after_connect_timeout(connector: Connector) -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with serve_bytes(silent) as options:
        failure = await connect_error(connector, attrs.evolve(options, connect_timeout=0.02))
    assert type(failure) is TransportConnectTimeout
    assert "0.02" in str(failure)


async def test_a_cancellation_while_connecting_leaves_no_socket(connector: Connector) -> None:
    closed = trio.Event()

    async def silent(stream: trio.SocketStream) -> None:
        async for _ in stream:
            pass
        closed.set()

    async with serve_bytes(silent) as options:
        with trio.move_on_after(0.02) as scope:
            async with connector(options):
                raise AssertionError("connected")
        assert scope.cancelled_caught
        await closed.wait()


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancellation_at_any_step_of_connecting_leaves_no_stream(
    connector: Connector, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = trio.testing.memory_stream_pair()

    async def open_stream(_: ConnectOptions) -> trio.abc.Stream:
        return near

    async def answer(scope: trio.CancelScope) -> None:
        await accept_upgrade(far)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    monkeypatch.setattr("trio_realtime.transports._connect.open_tunnel_stream", open_stream)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, nursery.cancel_scope)
            async with connector(ConnectOptions("ws://peer.test", close_timeout=0.001)):
                await trio.Event().wait()
    assert nursery.cancel_scope.cancelled_caught
    with pytest.raises(trio.ClosedResourceError):
        await near.receive_some()


async def test_tls_with_a_trusted_certificate(connector: Connector) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(PEM)
    trusting = ssl.create_default_context(cafile=PEM)
    async with serve_requests(echo, server) as options:
        async with connector(attrs.evolve(options, ssl_context=trusting)) as transport:
            await transport.send("x" * 500_000)
            assert await transport.receive() == "x" * 500_000
        failure = await connect_error(connector, options)
    assert type(failure) is TransportConnectError
    assert "localhost" in str(failure)
    assert "certificate" in str(failure).lower()


async def test_a_context_that_fits_no_client_is_an_error_of_the_transport(
    connector: Connector,
) -> None:
    wrong = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    async with serve_bytes(answer_with(b"")) as options:
        url = options.url.replace("ws://", "wss://")
        failure = await connect_error(connector, attrs.evolve(options, url=url, ssl_context=wrong))
    assert type(failure) is TransportConnectError
    assert "client socket" in str(failure)


async def test_tls_to_a_server_without_tls_names_the_failed_step(connector: Connector) -> None:
    async with serve_bytes(answer_with(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as options:
        url = options.url.replace("ws://", "wss://")
        failure = await connect_error(connector, attrs.evolve(options, url=url))
    assert type(failure) is TransportConnectError
    assert "TLS handshake" in str(failure)


async def test_a_close_reason_that_quotes_the_key_is_masked(connector: Connector) -> None:
    async def quote(request: WebSocketRequest) -> None:
        connection = await request.accept()
        await connection.aclose(3000, f"bad key {SECRET}")

    async with serve_requests(quote) as options, connector(options) as transport:
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
    assert (caught.value.code, caught.value.reason) == (3000, "bad key ***")


async def test_the_transport_is_closed_after_the_block(connector: Connector) -> None:
    async with serve_requests(echo) as options:
        async with connector(options) as transport:
            pass
        with pytest.raises(TransportClosed, match="1000"):
            await transport.send("late")
        with pytest.raises(TransportClosed, match="1000"):
            await transport.receive()


def test_the_repr_of_connect_options_shows_no_secret() -> None:
    options = ConnectOptions(
        f"wss://user:{SECRET}@host.test/v1/realtime?model=m&key={SECRET}&{SECRET}",
        (*AUTHORIZED, ("X-Other", SECRET)),
        subprotocols=("realtime", f"openai-insecure-api-key.{SECRET}"),
    )
    assert SECRET not in repr(options)
    assert "host.test" in repr(options)
    assert "model=m" in repr(options)
    assert "Authorization" in repr(options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConnectOptions(f"https://user:{SECRET}@host.test"),
        lambda: ConnectOptions(f"ws:///v1?key={SECRET}"),
        lambda: ConnectOptions(f"ws://host.test:99999/?key={SECRET}"),
        lambda: ConnectOptions(f"ws://host.test/a b?key={SECRET}"),
        lambda: ConnectOptions(f"ws://host.test/\r\nX: {SECRET}"),
        lambda: ConnectOptions("ws://host.test", (("Authorization", f"Bearer {SECRET}\n"),)),
        lambda: ConnectOptions("ws://host.test", (("Authorization", f"Bearer \u2028{SECRET}"),)),
        lambda: ConnectOptions("ws://host.test", ((f"A: {SECRET}", "x"),)),
        lambda: ConnectOptions("ws://host.test", subprotocols=(f"a, {SECRET}",)),
        lambda: ConnectOptions("ws://host.test", connect_timeout=0),
        lambda: ConnectOptions("ws://host.test", close_timeout=-1),
        lambda: ConnectOptions("ws://host.test", max_message_size=0),
        lambda: ConnectOptions("ws://host.test", ping_interval=0),
        lambda: ConnectOptions("ws://host.test", ping_timeout=-1),
    ],
)
def test_invalid_connect_options_raise_without_showing_values(
    make: Callable[[], ConnectOptions],
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        make()
    assert SECRET not in "".join(traceback.format_exception_only(caught.value))
