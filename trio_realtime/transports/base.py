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
from urllib.parse import SplitResult, urlsplit

import attrs

from trio_realtime._redaction import MASK, redact_url
from trio_realtime._validation import HEADER_NAME, PROXY_SCHEMES, is_socks_user

from ._retry_after import parse_retry_after

__all__ = [
    "ABNORMAL",
    "CallEnded",
    "Connector",
    "ConnectOptions",
    "DirectSender",
    "MissingPackage",
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
        reason: The reason of that close frame. Without one, why this side ended the connection, or an
            empty string.
    """

    def __init__(self, code: int = ABNORMAL, reason: str = "") -> None:
        super().__init__(f"the connection is closed ({code}{': ' if reason else ''}{reason})")
        self.code = code
        self.reason = reason


class CallEnded(TransportClosed):
    """The phone call that the connection carried is over: a party has hung up.

    A session then ends without an exception. A realtime model of your own raises this in ``receive``
    when its call ends normally. The default model raises it if the service closes the connection of a
    session that has joined a call with code 1000.
    """

    def __init__(self, code: int = 1000, reason: str = "") -> None:
        super().__init__(code, reason)


class HandshakeRejected(TransportError):
    """The server answered the WebSocket upgrade with an HTTP status.

    Redirects are not followed, so that no credential reaches a second server.

    Attributes:
        status: The HTTP status code.
        body: The first 4096 characters of the response body.
        headers: The headers of the response.
        location: The target of a redirect, with its user part and query masked. ``None`` if the
            response is not a redirect.
        retry_after: Seconds to wait before the next attempt, from the header ``Retry-After``.
            ``None`` without a valid one.
    """

    def __init__(
        self, status: int, body: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.location: str | None = _location(status, headers)
        self.retry_after: float | None = parse_retry_after(headers)
        super().__init__(self._message())

    def _message(self) -> str:
        if self.location is not None:
            return (
                f"the server redirects to {self.location} (HTTP status {self.status}). Redirects "
                "are not followed: if you trust the target, connect to it instead"
            )
        if self.status < 300:
            return (
                f"the server answered with HTTP status {self.status} instead of opening a "
                "WebSocket: check the path of the URL"
            )
        return f"the server rejected the connection with HTTP status {self.status}"


def _location(status: int, headers: tuple[tuple[str, str], ...]) -> str | None:
    if not 300 <= status < 400:
        return None
    targets = (redact_url(value) for name, value in headers if name.lower() == "location")
    return next(targets, None)


class TransportConnectError(TransportError):
    """The connection failed: name lookup, TCP, TLS, a proxy, or a server without WebSocket.

    Attributes:
        status: The HTTP status with which a proxy refused the connection, or ``None``.
        retry_after: Seconds to wait before the next attempt, if the proxy sent ``Retry-After``.
    """

    def __init__(
        self, message: str = "", *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class TransportConnectTimeout(TransportConnectError):
    """The connection was not established within ``connect_timeout``."""


class MissingPackage(TransportError):
    """An option needs a package that is not installed. The message says how to install it."""


@final
@attrs.frozen(repr=False)
class ConnectOptions:
    """The options of one connection. The repr masks all secrets.

    Args:
        url: A ``ws://`` or ``wss://`` URL. A user part is sent as Basic credentials.
        headers: Headers of the upgrade request, in this order, after those of the WebSocket
            handshake.
        subprotocols: The subprotocols to offer, in order of preference.
        ssl_context: The TLS context for ``wss`` and for an ``https`` proxy. By default the trust
            store of the system is used, or the file that ``SSL_CERT_FILE`` names.
        proxy: The URL of the proxy to connect through; None for a direct connection. Its scheme is
            ``http``, ``https``, ``socks5`` (this machine looks up the name of the server) or
            ``socks5h`` (the proxy does). A user part is sent to the proxy. The SOCKS schemes need
            ``pip install 'trio-realtime[socks]'``.
        connect_timeout: Seconds for the proxy, TCP, TLS and upgrade together.
        close_timeout: Seconds for the close handshake.
        max_message_size: The maximum length of an incoming message, in characters (text) or bytes
            (binary).
        ping_interval: Seconds between two pings; None for no pings. Pings also keep proxies from
            closing a quiet connection.
        ping_timeout: Seconds that the peer may stay silent after a ping; None for no pings. After
            that, the connection ends with code 1006.

    A connector may ignore ``ping_interval`` and ``ping_timeout``, for example because it connects
    within one process. A session with such a connector does not notice a peer that is lost without
    closing the connection.

    Raises:
        ValueError: A URL, a header, a subprotocol or a limit is invalid.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    ssl_context: ssl.SSLContext | None = None
    proxy: str | None = None
    connect_timeout: float = 10.0
    close_timeout: float = 1.0
    max_message_size: int = 32 * 1024 * 1024
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 10.0

    def __attrs_post_init__(self) -> None:
        _check_url(self.url)
        if self.proxy is not None:
            _check_proxy(self.proxy)
        for name, value in self.headers:
            _check_header(name, value)
        if not all(_SUBPROTOCOL.fullmatch(name) for name in self.subprotocols):
            raise ValueError("a subprotocol must be a non-empty token without spaces or commas")
        _check_positive("connect_timeout", self.connect_timeout)
        _check_positive("close_timeout", self.close_timeout)
        _check_positive("max_message_size", self.max_message_size)
        if self.ping_interval is not None:
            _check_positive("ping_interval", self.ping_interval)
        if self.ping_timeout is not None:
            _check_positive("ping_timeout", self.ping_timeout)

    def __repr__(self) -> str:
        names = ", ".join(f"{name}: {MASK}" for name, _ in self.headers)
        proxy = redact_url(self.proxy) if self.proxy is not None else None
        return (
            f"ConnectOptions(url={redact_url(self.url)!r}, headers=<{names}>, "
            f"subprotocols=<{len(self.subprotocols)}>, proxy={proxy!r}, "
            f"connect_timeout={self.connect_timeout}, close_timeout={self.close_timeout})"
        )


def _check_url(url: str) -> None:
    if _parse_url(url, ("ws", "wss")) is None:
        raise ValueError(f"not a valid ws:// or wss:// URL: {redact_url(url)}")


def _check_proxy(url: str) -> None:
    parts = _parse_url(url, PROXY_SCHEMES)
    if parts is None or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            f"not a valid URL of a proxy: {redact_url(url)}. Expected a URL like "
            f"http://user:password@host:port with one of the schemes {', '.join(PROXY_SCHEMES)}, "
            "and special characters of the password percent-encoded"
        )
    if not is_socks_user(parts):
        raise ValueError(
            "the user name and the password of a SOCKS proxy must be 1 to 255 ASCII characters each"
        )


def _parse_url(url: str, schemes: tuple[str, ...]) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    if not is_valid or not url.isascii() or re.search(r"[\x00-\x20\x7f]", url):
        return None
    return parts


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


class DirectSender(Protocol):
    """What can send a message without waiting. A transport may be one."""

    @property
    def has_rest(self) -> bool:
        """Whether a part of the last message is not written yet. It goes out before anything else."""
        ...

    def try_send(self, message: str) -> bool:
        """Write a message, or its beginning, without waiting.

        Returns:
            ``False`` if nothing was written, for example because another message is being written. Then
            ``send`` is called.
        """
        ...

    async def flush(self) -> None:
        """Write the rest. Only the task that sends calls this, while there is a rest.

        If this is cancelled, the connection is broken.

        Raises:
            TransportClosed: The connection is closed.
        """
        ...


class Transport(Protocol):
    """An open connection that carries whole messages, in order, in both directions.

    One task may send while another receives. **Only one task should send, and never inside a
    cancel scope of the user**: a cancelled write may leave a partial frame on the wire, which ends
    the connection.

    A transport may also have the following members, which save steps of the scheduler:

    - ``receive_many()`` returns a list of all messages that have arrived, at least one. Otherwise it is like
      ``receive``.
    - those of :class:`DirectSender`.
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
#: :class:`TransportConnectError`, :class:`TransportConnectTimeout` or :class:`MissingPackage`, never
#: an exception group. Leaving closes the connection.
Connector: TypeAlias = Callable[[ConnectOptions], AbstractAsyncContextManager[Transport]]
