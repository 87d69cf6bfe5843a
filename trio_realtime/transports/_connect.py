"""Open the byte stream of a connection, and build the target and the headers of its upgrade request.

This module uses the network. It handles no WebSocket frames.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

import trio

from trio_realtime._nursery import open_bare_nursery

from ._buffered_stream import BufferedStream
from ._byte_streams import byte_stream_of
from ._credentials import basic_credentials
from ._proxy import open_tunnel
from ._streams import closed_on_error, default_context, open_tcp, tls_error
from ._tls import TlsCodec
from .base import ConnectOptions, Transport, TransportConnectTimeout, TransportError

__all__ = [
    "ConnectStep",
    "OpenStream",
    "connect_deadline",
    "host_header",
    "open_stream",
    "open_transport",
    "open_tunnel_stream",
    "request_headers",
    "request_target",
]

ConnectStep: TypeAlias = Literal["lookup", "tcp", "proxy", "tls", "upgrade", "session"]
"""What a connection consists of, in this order. ``proxy`` replaces ``tcp``."""
OpenStream: TypeAlias = Callable[[ConnectOptions], Awaitable[BufferedStream]]
"""A function like :func:`open_stream`."""
Connect: TypeAlias = Callable[[trio.Nursery, ConnectOptions, OpenStream], Awaitable[Transport]]
"""Connects a transport whose tasks run in the nursery."""

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_USER_AGENT = "trio-realtime/0.1"


@asynccontextmanager
async def open_transport(
    connect: Connect, options: ConnectOptions, open_stream: OpenStream
) -> AsyncGenerator[Transport]:
    """Open a transport for the duration of the block, with a nursery for its tasks."""
    async with open_bare_nursery(TransportError) as nursery:
        transport = await connect(nursery, options, open_stream)
        try:
            yield transport
        finally:
            await transport.aclose()


def _ignore(_step: ConnectStep) -> None: ...


async def open_stream(
    options: ConnectOptions, begin: Callable[[ConnectStep], None] = _ignore
) -> BufferedStream:
    """Connect, through the proxy if there is one, with TLS for ``wss``.

    Failure and cancellation leave no socket open.

    Args:
        options: The options of the connection.
        begin: Called before each step.

    Raises:
        TransportConnectError: The message contains the host, the port and the system's error text.
        MissingPackage: The proxy needs an optional package.
    """
    tls = _tls_of(options)
    begin("tcp" if options.proxy is None else "proxy")
    stream = BufferedStream(byte_stream_of(await open_tunnel_stream(options)), tls)
    async with closed_on_error(stream):
        if tls is not None:
            begin("tls")
        await stream.do_handshake(_peer_name(options))
    begin("upgrade")
    return stream


def _tls_of(options: ConnectOptions) -> TlsCodec | None:
    parts = urlsplit(options.url)
    if parts.scheme != "wss":
        return None
    try:
        return TlsCodec(options.ssl_context or default_context(), _host(parts))
    except (OSError, ValueError) as exc:  # the context, or the host name
        raise tls_error(exc, _peer_name(options)) from exc


async def open_tunnel_stream(options: ConnectOptions) -> trio.abc.Stream:
    """Connect, through the proxy if there is one, without TLS; otherwise like :func:`open_stream`."""
    parts = urlsplit(options.url)
    if options.proxy is None:
        return await open_tcp(_host(parts), _port(parts), _peer_name(options))
    return await open_tunnel(options, _host(parts), _port(parts))


@contextmanager
def connect_deadline(options: ConnectOptions) -> Generator[None]:
    """Limit the time that the block takes to ``options.connect_timeout``.

    Raises:
        TransportConnectTimeout: The block has taken longer.
    """
    try:
        with trio.fail_after(options.connect_timeout):
            yield
    except trio.TooSlowError:
        message = f"no connection within {options.connect_timeout:g} s"
        raise TransportConnectTimeout(message) from None


def _peer_name(options: ConnectOptions) -> str:
    """Return the name of the server for error messages."""
    parts = urlsplit(options.url)
    return f"{_host(parts)}:{_port(parts)}"


def _host(parts: SplitResult) -> str:
    return parts.hostname or ""


def _port(parts: SplitResult) -> int:
    return parts.port or _DEFAULT_PORTS[parts.scheme]


def host_header(options: ConnectOptions) -> str:
    """Return the ``Host`` header, with brackets around an IPv6 address and no default port."""
    parts = urlsplit(options.url)
    host = f"[{_host(parts)}]" if ":" in _host(parts) else _host(parts)
    return host if _port(parts) == _DEFAULT_PORTS[parts.scheme] else f"{host}:{_port(parts)}"


def request_target(options: ConnectOptions) -> str:
    """Return the path and query for the request line."""
    parts = urlsplit(options.url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def request_headers(options: ConnectOptions) -> list[tuple[bytes, bytes]]:
    """Return the headers of the options, and default headers with other names."""
    given = {name.lower() for name, _ in options.headers}
    credentials = basic_credentials(urlsplit(options.url))
    defaults = [("User-Agent", _USER_AGENT)]
    if credentials is not None:
        defaults.append(("Authorization", credentials))
    headers = [*options.headers, *(pair for pair in defaults if pair[0].lower() not in given)]
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
