"""The interface of transports: connection options, the transport protocol and the exceptions.

A transport carries whole messages and does not interpret them. This module defines the argument of
a connector (:class:`ConnectOptions`), its result (:class:`Transport`) and the exceptions that both
may raise. It performs no I/O.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias, final
from urllib.parse import urlsplit

import attrs

from trio_realtime._redaction import MASK, redact_url
from trio_realtime._validation import HEADER_NAME

__all__ = [
    "ABNORMAL",
    "Connector",
    "ConnectOptions",
    "TransportConnectError",
    "TransportConnectTimeout",
    "HandshakeRejected",
    "Transport",
    "TransportClosed",
    "TransportError",
]

#: The close code of a connection that ended without a close frame.
ABNORMAL = 1006

_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_SUBPROTOCOL = HEADER_NAME


class TransportError(Exception):
    """Base class of the exceptions that transports and connectors raise."""


class TransportClosed(TransportError):
    """The connection is closed. Open a new one to continue.

    ``receive`` raises this only after it has returned all messages that arrived before the close.

    Attributes:
        code: The code of the close frame that ended the connection, sent by either side. 1006 if
            there was no close frame.
        reason: The reason of that close frame, or an empty string.
    """

    def __init__(self, code: int = ABNORMAL, reason: str = "") -> None:
        super().__init__(f"the connection is closed ({code}{': ' if reason else ''}{reason})")
        self.code = code
        self.reason = reason


class HandshakeRejected(TransportError):
    """The server rejected the WebSocket upgrade with an HTTP status.

    Attributes:
        status: The HTTP status code.
        body: The first 4096 characters of the response body.
        headers: The headers of the response.
    """

    def __init__(
        self, status: int, body: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(f"the server rejected the connection with HTTP status {status}")
        self.status = status
        self.body = body
        self.headers = headers


class TransportConnectError(TransportError):
    """The connection failed: name lookup, TCP, TLS, or a server that does not speak WebSocket."""


class TransportConnectTimeout(TransportConnectError):
    """The connection was not established within ``connect_timeout``."""


@final
@attrs.frozen(repr=False)
class ConnectOptions:
    """The options of one connection. The repr masks all secrets.

    Args:
        url: A ``ws://`` or ``wss://`` URL. A user part is sent as Basic credentials.
        headers: Headers of the upgrade request, in this order, after those of the WebSocket
            handshake.
        subprotocols: The subprotocols to offer, in order of preference.
        ssl_context: The TLS context for ``wss``. By default the system's trust store is used.
        proxy: The URL of the proxy to connect through; None for a direct connection.
        connect_timeout: Seconds for TCP, TLS and upgrade together.
        close_timeout: Seconds for the close handshake.
        max_message_size: The maximum length of an incoming message, in characters (text) or bytes
            (binary).

    Raises:
        ValueError: The URL, a header, a subprotocol or a limit is invalid.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    ssl_context: ssl.SSLContext | None = None
    proxy: str | None = None
    connect_timeout: float = 10.0
    close_timeout: float = 1.0
    max_message_size: int = 32 * 1024 * 1024

    def __attrs_post_init__(self) -> None:
        _check_url(self.url)
        for name, value in self.headers:
            _check_header(name, value)
        if not all(_SUBPROTOCOL.fullmatch(name) for name in self.subprotocols):
            raise ValueError("a subprotocol must be a non-empty token without spaces or commas")
        _check_positive("connect_timeout", self.connect_timeout)
        _check_positive("close_timeout", self.close_timeout)
        _check_positive("max_message_size", self.max_message_size)

    def __repr__(self) -> str:
        names = ", ".join(f"{name}: {MASK}" for name, _ in self.headers)
        return (
            f"ConnectOptions(url={redact_url(self.url)!r}, headers=<{names}>, "
            f"subprotocols=<{len(self.subprotocols)}>, "
            f"connect_timeout={self.connect_timeout}, close_timeout={self.close_timeout})"
        )


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or not url.isascii() or re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError(f"not a valid ws:// or wss:// URL: {redact_url(url)}")


def _check_header(name: str, value: str) -> None:
    if not HEADER_NAME.fullmatch(name):
        raise ValueError("a header name contains characters that HTTP does not allow")
    if not _HEADER_VALUE.fullmatch(value) or value != value.strip():
        # The value may be a key, so the message omits it.
        raise ValueError(
            f"the value of header {name!r} contains characters that HTTP does not allow, "
            "or starts or ends with white space"
        )


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} must be > 0, got {value!r}")


class Transport(Protocol):
    """An open connection that carries whole messages, in order, in both directions.

    One task may send while another receives. **Only one task should send, and never inside a
    cancel scope of the user**: a cancelled write may leave a partial frame on the wire, which ends
    the connection.
    """

    async def send(self, text: str) -> None:
        """Send one text message.

        Returns when the operating system has accepted the data, not when the peer has received it.

        If cancelled before the first byte is written, nothing is sent. If cancelled later, the
        connection is broken: the socket is closed, and all further calls raise
        :class:`TransportClosed` with code 1006.

        Raises:
            TransportClosed: Either side has closed the connection.
        """
        ...

    async def receive(self) -> str | bytes:
        """Return the next message: a ``str`` for text, ``bytes`` for binary.

        Messages that arrived before the peer closed are returned first. Cancellation loses no
        message.

        Raises:
            TransportClosed: The connection is closed and all messages were returned.
        """
        ...

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Perform the close handshake, for at most ``close_timeout`` seconds, and close the socket.

        Cancellation does not interrupt the close. A peer that is unresponsive or gone raises
        nothing. May be called more than once. Messages that were not yet received may be discarded.
        """
        ...


#: A function that opens one connection. It takes :class:`ConnectOptions` and returns an async
#: context manager of a :class:`Transport`. Entering raises :class:`HandshakeRejected`,
#: :class:`TransportConnectError` or :class:`TransportConnectTimeout`, never an exception group.
#: Leaving closes the connection.
Connector: TypeAlias = Callable[[ConnectOptions], AbstractAsyncContextManager[Transport]]
