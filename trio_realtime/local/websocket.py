"""The server's side of a WebSocket: a :class:`Transport`, and pings in both directions."""

from __future__ import annotations

from typing import Final, final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from trio_realtime.transports import TransportClosed
from trio_realtime.transports.keepalive import Keepalive

from .connection import Connection, Limits
from .types import Close

__all__ = ["KeepaliveStream", "ServerTransport", "close_if_lost"]

_MAX_REASON: Final = 123
_LOST: Final = Close(1011, "the client does not answer pings")


@final
class ServerTransport:
    """The server's side of a WebSocket as a :class:`Transport`.

    Args:
        websocket: the connection.
        close_timeout: seconds for the close handshake.
    """

    def __init__(self, websocket: WebSocketConnection, close_timeout: float) -> None:
        self._websocket = websocket
        self._close_timeout = close_timeout

    async def send(self, text: str) -> None:
        """Send one text message; see :meth:`Transport.send`."""
        try:
            await self._websocket.send_message(text)
        except ConnectionClosed:
            raise self._closed() from None

    async def receive(self) -> str | bytes:
        """Return the next message; see :meth:`Transport.receive`."""
        try:
            return await self._websocket.get_message()
        except ConnectionClosed:
            raise self._closed() from None

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection; see :meth:`Transport.aclose`."""
        with trio.move_on_after(self._close_timeout, shield=True):
            await self._websocket.aclose(code, _truncated(reason) or None)

    def _closed(self) -> TransportClosed:
        closed = self._websocket.closed
        if closed is None:
            return TransportClosed()
        return TransportClosed(closed.code, closed.reason or "")


def _truncated(reason: str) -> str:
    """Cut the reason to the 123 bytes that fit in a close frame."""
    return reason.encode()[:_MAX_REASON].decode(errors="ignore")


class KeepaliveStream(trio.abc.Stream):
    """A stream of frames that a :class:`Keepalive` watches.

    Args:
        stream: the stream.
        keepalive: the pings of the connection.
    """

    def __init__(self, stream: trio.abc.Stream, keepalive: Keepalive) -> None:
        self._stream = stream
        self._keepalive = keepalive

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive data; see :meth:`trio.abc.ReceiveStream.receive_some`."""
        return await self._keepalive.receive_some(self._stream, max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send data; see :meth:`trio.abc.SendStream.send_all`."""
        await self._keepalive.send_all(self._stream, data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait; see :meth:`trio.abc.SendStream.wait_send_all_might_not_block`."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


async def close_if_lost(
    websocket: WebSocketConnection, keepalive: Keepalive, connection: Connection, limits: Limits
) -> None:
    """Send pings until the connection is closed; close it if the client does not answer in time."""
    async with trio.open_nursery() as nursery:
        await keepalive.wait_lost(
            websocket, nursery, interval=limits.ping_interval, timeout=limits.ping_timeout
        )
        connection.request_close(_LOST)
