"""What every transport promises, whatever carries it: one dial, one wire, five failures.

A transport moves whole text messages and knows nothing of what they mean. This module says what a
connector is given (:class:`ConnectOptions`), what it must hand out (:class:`Transport`) and which exceptions
may come out of either. It touches no socket.
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

#: The close code that stands for "there was no close frame: the connection just ended".
ABNORMAL = 1006

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_SUBPROTOCOL = _HEADER_NAME


class TransportError(Exception):
    """Base of what a transport raises on purpose."""


class TransportClosed(TransportError):
    """The connection is over. Nothing can be sent; what had arrived was delivered.

    ``code`` and ``reason`` are those of the close frame that ended it, whichever side sent it;
    ``code`` is 1006 when there was none. Open a new connection.
    """

    def __init__(self, code: int = ABNORMAL, reason: str = "") -> None:
        super().__init__(f"the connection is closed ({code}{': ' if reason else ''}{reason})")
        self.code = code
        self.reason = reason


class HandshakeRejected(TransportError):
    """The server answered the upgrade with an HTTP status of its own.

    ``body`` holds at most 4096 characters of what it said; ``headers`` those of its answer.
    """

    def __init__(
        self, status: int, body: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(f"the server refused the connection with HTTP status {status}")
        self.status = status
        self.body = body
        self.headers = headers


class TransportConnectError(TransportError):
    """No connection came about: name not found, refused, TLS, or no WebSocket at the other end."""


class TransportConnectTimeout(TransportConnectError):
    """No connection came about within ``connect_timeout``."""


@final
@attrs.frozen(repr=False)
class ConnectOptions:
    """Everything a connector needs for one connection. Its repr shows no secret.

    Args:
        url: ``ws://`` or ``wss://``. A user part is sent as Basic credentials.
        headers: sent with the upgrade, in this order, after the WebSocket's own.
        subprotocols: offered to the server, the most wanted first.
        ssl_context: for ``wss``; by default the system's trust store decides.
        connect_timeout: seconds for TCP, TLS and upgrade together.
        close_timeout: seconds that the close handshake may take.
        max_message_size: the longest incoming message, in characters (text) or bytes (binary).

    Raises:
        ValueError: for a URL, header, subprotocol or limit that no connector could use.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    ssl_context: ssl.SSLContext | None = None
    connect_timeout: float = 10.0
    close_timeout: float = 1.0
    max_message_size: int = 32 * 1024 * 1024

    def __attrs_post_init__(self) -> None:
        _check_url(self.url)
        for name, value in self.headers:
            _check_header(name, value)
        if not all(_SUBPROTOCOL.fullmatch(name) for name in self.subprotocols):
            raise ValueError("a subprotocol is a non-empty token without spaces or commas")
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
        usable = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError(f"not a ws:// or wss:// URL that can be dialled: {redact_url(url)}")


def _check_header(name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("a header name has characters that HTTP does not allow")
    if not _HEADER_VALUE.fullmatch(value) or value != value.strip():
        # The value may be a key, so it is not shown.
        raise ValueError(f"the value of header {name!r} has characters that HTTP does not allow")


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} must be greater than 0, not {value!r}")


class Transport(Protocol):
    """One open connection that carries whole messages, in order, both ways.

    One task may send and another receive. **Only one task should ever send, and never under a
    cancel scope of the user**: a write that is cut off has left half a frame on the wire, so it ends
    the connection.
    """

    async def send(self, text: str) -> None:
        """Send one text message. Returns when the system has taken it, not when it has arrived.

        Cancelled before the first byte, nothing was sent. Cancelled later, the connection is broken:
        the socket is dropped and everything after raises :class:`TransportClosed` with code 1006.

        Raises:
            TransportClosed: the connection is over, from either side.
        """
        ...

    async def receive(self) -> str | bytes:
        """Return the next message: ``str`` for a text one, ``bytes`` for a binary one.

        Messages that arrived before the peer closed come first. A cancellation loses nothing.

        Raises:
            TransportClosed: nothing more will come.
        """
        ...

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close with a handshake that takes ``close_timeout`` at most, then drop the socket.

        Runs to its end also when cancelled, may be called again, and raises nothing for a peer that
        is dead, deaf or gone. What was not yet received may be discarded.
        """
        ...


#: Opens one connection for a :class:`ConnectOptions`. Connecting raises :class:`HandshakeRejected`,
#: :class:`TransportConnectError` or :class:`TransportConnectTimeout`, never a group; leaving closes and drops the socket.
Connector: TypeAlias = Callable[[ConnectOptions], AbstractAsyncContextManager[Transport]]
