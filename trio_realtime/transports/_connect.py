"""From a :class:`ConnectOptions` to a byte stream: name lookup, TCP, TLS, each failure in plain words.

May touch the network and the system's trust store. Knows nothing of WebSocket frames, only of what
its opening request must carry.
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

__all__ = ["ByteStream", "host_header", "open_stream", "request_headers", "resource"]

ByteStream: TypeAlias = "trio.SocketStream | trio.SSLStream[trio.SocketStream]"

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_USER_AGENT = "trio-realtime/0.1"


async def open_stream(dial: ConnectOptions) -> ByteStream:
    """Connect, with TLS for ``wss``. Leaves no socket behind when it fails or is cancelled.

    Raises:
        TransportConnectError: with the host and port, and the system's words for what went wrong.
    """
    parts = urlsplit(dial.url)
    tcp = await _open_tcp(parts)
    if parts.scheme == "ws":
        return tcp
    context = dial.ssl_context or _default_context()
    return await _start_tls(tcp, context, _host(parts))


async def _open_tcp(parts: SplitResult) -> trio.SocketStream:
    host, port = _host(parts), _port(parts)
    try:
        return await trio.open_tcp_stream(host, port)
    except (OSError, UnicodeError) as exc:
        raise TransportConnectError(f"no connection to {host}:{port}: {_plain(exc)}") from exc


def _plain(exc: BaseException) -> str:
    """Trio says only that all attempts failed; why is in the group that it chained."""
    return "; ".join(dict.fromkeys(str(leaf) for leaf in leaves_of(exc.__cause__ or exc)))


async def _start_tls(
    tcp: trio.SocketStream, context: ssl.SSLContext, host: str
) -> trio.SSLStream[trio.SocketStream]:
    # https_compatible: peers hang up without close_notify, and so may we.
    stream = trio.SSLStream(tcp, context, server_hostname=host, https_compatible=True)
    try:
        await _shake_hands_or_drop(stream)
    except (OSError, trio.BrokenResourceError) as exc:
        raise TransportConnectError(f"no TLS with {host}: {_plain(exc)}") from exc
    return stream


async def _shake_hands_or_drop(stream: trio.SSLStream[trio.SocketStream]) -> None:
    try:
        await stream.do_handshake()
    except BaseException:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
        raise


@functools.cache
def _default_context() -> ssl.SSLContext:
    # Once: reading the trust store costs tens of milliseconds.
    return ssl.create_default_context()


def _host(parts: SplitResult) -> str:
    return parts.hostname or ""


def _port(parts: SplitResult) -> int:
    return parts.port or _DEFAULT_PORTS[parts.scheme]


def host_header(dial: ConnectOptions) -> str:
    """The ``Host`` header: brackets round an IPv6 address, no port where it is the scheme's own."""
    parts = urlsplit(dial.url)
    host = f"[{_host(parts)}]" if ":" in _host(parts) else _host(parts)
    return host if _port(parts) == _DEFAULT_PORTS[parts.scheme] else f"{host}:{_port(parts)}"


def resource(dial: ConnectOptions) -> str:
    """Path and query, as they stand in the request line."""
    parts = urlsplit(dial.url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def request_headers(dial: ConnectOptions) -> list[tuple[bytes, bytes]]:
    """The dial's own headers, and ours where it has none of that name."""
    given = {name.lower() for name, _ in dial.headers}
    ours = [("User-Agent", _USER_AGENT), *_basic_credentials(urlsplit(dial.url))]
    headers = [*dial.headers, *(pair for pair in ours if pair[0].lower() not in given)]
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]


def _basic_credentials(parts: SplitResult) -> list[tuple[str, str]]:
    if parts.username is None:
        return []
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return [("Authorization", "Basic " + b64encode(pair.encode()).decode("ascii"))]
