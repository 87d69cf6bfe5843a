"""Proxies on the loopback interface: HTTP CONNECT and SOCKS5. They record what they receive."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeAlias

import attrs
import trio

Handler: TypeAlias = Callable[["Proxy", trio.abc.Stream], Awaitable[None]]


@attrs.define(eq=False)
class Proxy:
    """A running proxy.

    Attributes:
        port: its port on 127.0.0.1.
        credentials: the user name and the password that it requires.
        requests: the head of each HTTP request, or the target of each SOCKS request.
        sent: what the clients sent through the tunnels.
    """

    port: int
    credentials: tuple[str, str] | None
    requests: list[str] = attrs.field(factory=list)
    sent: bytearray = attrs.field(factory=bytearray)


@asynccontextmanager
async def serve_proxy(
    handler: Handler,
    *,
    credentials: tuple[str, str] | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncGenerator[Proxy]:
    """Run a proxy for the duration of the block."""

    async def handle(stream: trio.abc.Stream) -> None:
        if ssl_context is not None:
            stream = trio.SSLStream(stream, ssl_context, server_side=True, https_compatible=True)
        async with stream:
            with suppress(trio.BrokenResourceError):
                await handler(proxy, stream)

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        proxy = Proxy(listener.socket.getsockname()[1], credentials)
        yield proxy
        nursery.cancel_scope.cancel()


async def handle_connect(proxy: Proxy, client: trio.abc.Stream) -> None:
    """Serve one connection of an HTTP proxy, which supports only CONNECT."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await client.receive_some(1)
    request = head.decode()
    proxy.requests.append(request)
    if proxy.credentials is not None:
        pair = b64encode(":".join(proxy.credentials).encode()).decode()
        if f"\r\nProxy-Authorization: Basic {pair}\r\n" not in request:
            await client.send_all(
                b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                b'Proxy-Authenticate: Basic realm="test"\r\nContent-Length: 0\r\n\r\n'
            )
            return
    method, target, _ = request.split(maxsplit=2)
    assert method == "CONNECT"
    host, _, port = target.rpartition(":")
    await _tunnel(proxy, client, host.strip("[]"), int(port), b"HTTP/1.0 200 Established\r\n\r\n")


async def handle_socks(proxy: Proxy, client: trio.abc.Stream) -> None:
    """Serve one connection of a SOCKS5 proxy (RFC 1928 and 1929)."""
    _, count = await _receive_exactly(client, 2)
    methods = await _receive_exactly(client, count)
    method = 2 if proxy.credentials is not None else 0
    if method not in methods:
        await client.send_all(b"\x05\xff")
        return
    await client.send_all(bytes([5, method]))
    if proxy.credentials is not None and not await _authenticate(proxy.credentials, client):
        return
    _, _, _, kind = await _receive_exactly(client, 4)
    if kind == 3:
        [length] = await _receive_exactly(client, 1)
        host = (await _receive_exactly(client, length)).decode()
    else:
        host = ".".join(map(str, await _receive_exactly(client, 4)))
    port = int.from_bytes(await _receive_exactly(client, 2), "big")
    proxy.requests.append(f"{host}:{port}")
    await _tunnel(proxy, client, host, port, b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")


async def _authenticate(credentials: tuple[str, str], client: trio.abc.Stream) -> bool:
    given: list[str] = []
    await _receive_exactly(client, 1)
    for _ in range(2):
        [length] = await _receive_exactly(client, 1)
        given.append((await _receive_exactly(client, length)).decode())
    is_valid = tuple(given) == credentials
    await client.send_all(b"\x01\x00" if is_valid else b"\x01\x01")
    return is_valid


async def _receive_exactly(stream: trio.abc.Stream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await stream.receive_some(count - len(data))
        if not more:
            raise trio.BrokenResourceError
        data += more
    return data


async def _tunnel(
    proxy: Proxy, client: trio.abc.Stream, host: str, port: int, answer: bytes
) -> None:
    async with await trio.open_tcp_stream(host, port) as server:
        await client.send_all(answer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_copy, client, server, proxy.sent)
            await _copy(server, client, bytearray())
            nursery.cancel_scope.cancel()


async def _copy(source: trio.abc.Stream, sink: trio.abc.Stream, copy: bytearray) -> None:
    with suppress(trio.BrokenResourceError):
        async for data in source:
            copy += data
            await sink.send_all(data)
