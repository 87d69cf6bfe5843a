"""Open the byte stream of a connection: name lookup, TCP and TLS, with readable errors.

This module also builds the target and the headers of the upgrade request, but handles no WebSocket
frames. It uses the network and the system's trust store.
"""

from __future__ import annotations

import functools
import ssl
from base64 import b64encode
from typing import TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

import trio

from trio_realtime._nursery import leaves_of

from .base import ConnectOptions, TransportConnectError

__all__ = ["ByteStream", "host_header", "open_stream", "request_headers", "request_target"]

ByteStream: TypeAlias = "trio.SocketStream | trio.SSLStream[trio.SocketStream]"

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_USER_AGENT = "trio-realtime/0.1"


async def open_stream(options: ConnectOptions) -> ByteStream:
    """Connect, with TLS for ``wss``. Failure and cancellation leave no socket open.

    Raises:
        TransportConnectError: The message contains the host, the port and the system's error text.
    """
    parts = urlsplit(options.url)
    tcp = await _open_tcp(parts)
    if parts.scheme == "ws":
        return tcp
    context = options.ssl_context or _default_context()
    return await _start_tls(tcp, context, _host(parts))


async def _open_tcp(parts: SplitResult) -> trio.SocketStream:
    host, port = _host(parts), _port(parts)
    try:
        return await trio.open_tcp_stream(host, port)
    except (OSError, UnicodeError) as exc:
        message = f"could not connect to {host}:{port}: {_error_text(exc)}"
        raise TransportConnectError(message) from exc


def _error_text(exc: BaseException) -> str:
    # Trio's own message only says that all attempts failed. The reasons are in the chained group.
    return "; ".join(dict.fromkeys(str(leaf) for leaf in leaves_of(exc.__cause__ or exc)))


async def _start_tls(
    tcp: trio.SocketStream, context: ssl.SSLContext, host: str
) -> trio.SSLStream[trio.SocketStream]:
    # https_compatible: either side may close without close_notify.
    stream = trio.SSLStream(tcp, context, server_hostname=host, https_compatible=True)
    try:
        await _do_handshake_or_close(stream)
    except (OSError, trio.BrokenResourceError) as exc:
        message = f"the TLS handshake with {host} failed: {_error_text(exc)}"
        raise TransportConnectError(message) from exc
    return stream


async def _do_handshake_or_close(stream: trio.SSLStream[trio.SocketStream]) -> None:
    try:
        await stream.do_handshake()
    except BaseException:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
        raise


@functools.cache
def _default_context() -> ssl.SSLContext:
    # Cached, because reading the trust store takes tens of milliseconds.
    return ssl.create_default_context()


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
    defaults = [("User-Agent", _USER_AGENT), *_basic_credentials(urlsplit(options.url))]
    headers = [*options.headers, *(pair for pair in defaults if pair[0].lower() not in given)]
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]


def _basic_credentials(parts: SplitResult) -> list[tuple[str, str]]:
    if parts.username is None:
        return []
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return [("Authorization", "Basic " + b64encode(pair.encode()).decode("ascii"))]
