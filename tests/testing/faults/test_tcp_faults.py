"""Faults of real sockets on the loopback interface."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from support.sessions import task_count
from trio_realtime import RealtimeAgent, SessionConfig, errors, open_realtime_session
from trio_realtime.local import LocalServer, serve_local
from trio_realtime.testing.faults import TcpFaultConnection, TcpFaultProxy, serve_tcp_faults
from trio_realtime.transports import (
    ConnectOptions,
    Connector,
    TransportClosed,
    TransportConnectError,
    TransportConnectTimeout,
)

pytestmark = pytest.mark.slow

# More than all buffers of a connection with small buffers.
BIG = b"x" * 4_000_000
SMALL_BUFFER = 16 * 1024


@attrs.define(eq=False)
class Chain:
    """A client, the proxy, and a server."""

    client: trio.SocketStream
    server: trio.SocketStream
    connection: TcpFaultConnection
    proxy: TcpFaultProxy


@asynccontextmanager
async def open_chain(buffer: int | None = None) -> AsyncGenerator[Chain]:
    put, accepted = trio.open_memory_channel[trio.SocketStream](1)

    async def serve(stream: trio.SocketStream) -> None:
        await put.send(stream)
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            port = listener.socket.getsockname()[1]
            async with (
                serve_tcp_faults("127.0.0.1", port, buffer=buffer) as proxy,
                await trio.open_tcp_stream(proxy.host, proxy.port) as client,
            ):
                server = await accepted.receive()
                connection = await proxy.wait_connection()
                yield Chain(client, server, connection, proxy)
            nursery.cancel_scope.cancel()


async def receive_exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await stream.receive_some(count - len(data))
        assert more, f"the stream ended after {data!r}"
        data += more
    return data


async def receive_until_reset(stream: trio.SocketStream) -> bytes:
    data = b""
    with pytest.raises(trio.BrokenResourceError):
        while more := await stream.receive_some():
            data += more
    return data


async def test_bytes_pass_in_both_directions() -> None:
    async with open_chain() as chain:
        await chain.client.send_all(b"request")
        assert await receive_exactly(chain.server, 7) == b"request"
        await chain.server.send_all(b"answer")
        assert await receive_exactly(chain.client, 6) == b"answer"
        assert chain.connection.transferred("outgoing") == 7
        assert chain.connection.transferred("incoming") == 6


async def test_each_direction_ends_by_itself() -> None:
    async with open_chain() as chain:
        await chain.client.send_eof()
        assert await chain.server.receive_some() == b""
        await chain.server.send_all(b"answer")
        assert await receive_exactly(chain.client, 6) == b"answer"
        await chain.server.send_eof()
        assert await chain.client.receive_some() == b""
        await chain.connection.closed.wait()


async def test_no_task_and_no_socket_is_left() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    tasks = task_count()
    async with open_chain():
        pass  # the modules for sockets are loaded
    before = descriptors()
    async with open_chain() as chain:
        chain.connection.freeze()
        await chain.client.send_all(b"x")
    with trio.CancelScope() as scope:
        async with open_chain():
            scope.cancel()
            await trio.lowlevel.checkpoint()
    async with open_chain() as chain:
        chain.proxy.reset()
        chain.proxy.reset()
        await chain.connection.closed.wait()
        chain.connection.freeze()
    assert (task_count(), descriptors()) == (tasks, before)


async def test_a_reset_reaches_both_ends() -> None:
    async with open_chain() as chain:
        chain.connection.reset()
        assert await receive_until_reset(chain.client) == b""
        assert await receive_until_reset(chain.server) == b""
        await chain.connection.closed.wait()


async def test_a_reset_after_the_end_has_no_effect() -> None:
    async with open_chain() as chain:
        await chain.client.send_eof()
        await chain.server.send_eof()
        await chain.connection.closed.wait()
        chain.connection.reset()
        chain.proxy.reset()


async def test_a_close_reaches_both_ends() -> None:
    async with open_chain() as chain:
        chain.connection.close()
        assert await chain.client.receive_some() == b""
        assert await chain.server.receive_some() == b""


@pytest.mark.parametrize("one_way", [False, True])
async def test_a_reset_of_one_end_reaches_the_other_unless_it_is_lost(one_way: bool) -> None:
    async with open_chain() as chain:
        if one_way:
            chain.connection.lose("outgoing")
        no_linger = struct.pack("ii", 1, 0)
        chain.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        chain.client.socket.close()
        if one_way:
            with trio.move_on_after(0.1) as scope:
                await chain.server.receive_some()
            assert scope.cancelled_caught
            chain.connection.resume()
        assert await receive_until_reset(chain.server) == b""


async def test_a_frozen_connection_blocks_its_sender_until_it_is_resumed() -> None:
    async with open_chain(SMALL_BUFFER) as chain, trio.open_nursery() as nursery:
        chain.connection.freeze("incoming")
        sent = trio.Event()

        async def send_big() -> None:
            await chain.server.send_all(BIG)
            sent.set()

        nursery.start_soon(send_big)
        await chain.client.send_all(b"request")
        assert await receive_exactly(chain.server, 7) == b"request"
        with trio.move_on_after(0.1):
            await sent.wait()
        assert not sent.is_set()
        assert chain.connection.transferred("incoming") == 0
        chain.connection.resume()
        assert await receive_exactly(chain.client, len(BIG)) == BIG


async def test_a_frozen_connection_hides_the_end() -> None:
    async with open_chain() as chain:
        chain.connection.freeze()
        await chain.server.aclose()
        with trio.move_on_after(0.1) as scope:
            await chain.client.receive_some()
        assert scope.cancelled_caught
        chain.connection.resume()
        assert await chain.client.receive_some() == b""


async def test_a_one_way_connection_discards_bytes() -> None:
    async with open_chain(SMALL_BUFFER) as chain:
        chain.connection.lose("outgoing")
        await chain.client.send_all(BIG)  # nobody reads it
        await chain.server.send_all(b"answer")
        assert await receive_exactly(chain.client, 6) == b"answer"
        await chain.client.send_eof()
        with trio.move_on_after(0.1) as scope:
            await chain.server.receive_some()
        assert scope.cancelled_caught
        assert chain.connection.transferred("outgoing") == 0


async def test_bytes_trickle() -> None:
    async with open_chain() as chain:
        chain.connection.trickle(0.01, "outgoing")
        await chain.client.send_all(b"abcdef")
        assert await chain.server.receive_some() == b"a"
        assert chain.connection.transferred("outgoing") == 1
        chain.connection.resume()
        assert await receive_exactly(chain.server, 5) == b"bcdef"
        with pytest.raises(ValueError, match="must be > 0"):
            chain.connection.trickle(0)


async def test_a_connection_is_cut_after_some_bytes() -> None:
    async with open_chain() as chain:
        chain.connection.cut_after(5, "incoming")
        await chain.server.send_all(b"abc")
        assert await receive_exactly(chain.client, 3) == b"abc"
        await chain.server.send_all(b"defg")
        assert await receive_until_reset(chain.client) in (b"de", b"")
        assert chain.connection.transferred("incoming") == 5


async def test_connections_are_refused_and_accepted_again() -> None:
    async with open_chain() as chain:
        proxy = chain.proxy
        proxy.refuse_connections()
        proxy.refuse_connections()
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream(proxy.host, proxy.port)
        await chain.client.send_all(b"open connections go on")
        await chain.server.receive_some()
        proxy.accept_connections()
        proxy.accept_connections()
        async with await trio.open_tcp_stream(proxy.host, proxy.port):
            await proxy.wait_connection(2)


async def test_a_server_that_is_down_resets_the_client() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with (
            serve_tcp_faults("127.0.0.1", unused.getsockname()[1]) as proxy,
            await trio.open_tcp_stream(proxy.host, proxy.port) as client,
        ):
            assert await receive_until_reset(client) == b""


async def test_lasting_faults_of_the_proxy_apply_to_later_connections() -> None:
    async with open_chain() as chain:
        chain.proxy.lose("incoming")
        async with await trio.open_tcp_stream(chain.proxy.host, chain.proxy.port) as client:
            later = await chain.proxy.wait_connection(2)
            await client.send_all(b"x")
            chain.proxy.resume()
            later.reset()
            assert await receive_until_reset(client) == b""
        await chain.server.send_all(b"answer")
        assert await receive_exactly(chain.client, 6) == b"answer"


# --- WebSockets ---------------------------------------------------------------------------------


def options_for(server: LocalServer, proxy: TcpFaultProxy, **settings: float) -> ConnectOptions:
    url = server.url_with_model.replace(f":{server.port}", f":{proxy.port}")
    headers = (("Authorization", "Bearer local"),)
    return ConnectOptions(url=url, headers=headers, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("direction", ["incoming", "outgoing"])
async def test_a_websocket_is_cut_in_mid_frame(direction: str, connector: Connector) -> None:
    with trio.fail_after(60):
        async with (
            serve_local() as server,
            serve_tcp_faults("127.0.0.1", server.port) as proxy,
            connector(options_for(server, proxy)) as transport,
        ):
            await transport.receive()
            proxy.connections[0].cut_frame(direction)  # type: ignore[arg-type]
            await transport.send('{"type":"session.update","session":{"type":"realtime"}}')
            with pytest.raises(TransportClosed) as caught:
                await transport.receive()
            assert caught.value.code == 1006


async def test_a_dial_fails_while_connections_are_refused_or_frozen(connector: Connector) -> None:
    with trio.fail_after(60):
        async with serve_local() as server, serve_tcp_faults("127.0.0.1", server.port) as proxy:
            proxy.refuse_connections()
            with pytest.raises(TransportConnectError):
                async with connector(options_for(server, proxy)):
                    pytest.fail("it connected")
            proxy.accept_connections()
            proxy.freeze()
            with pytest.raises(TransportConnectTimeout):
                async with connector(options_for(server, proxy, connect_timeout=0.1)):
                    pytest.fail("it connected")


async def test_a_session_ends_when_its_connection_is_reset() -> None:
    with trio.fail_after(60):
        async with serve_local() as server, serve_tcp_faults("127.0.0.1", server.port) as proxy:
            endpoint = attrs.evolve(
                server.endpoint, url=server.endpoint.url.replace(str(server.port), str(proxy.port))
            )
            with pytest.raises(errors.ConnectionLost) as caught:
                async with open_realtime_session(
                    RealtimeAgent[None](name="A"),
                    endpoint=endpoint,
                    config=SessionConfig(reconnect=None),
                ) as s:
                    proxy.reset()
                    async for _ in s:
                        pass
            assert caught.value.code == 1006
