"""The server's side of a WebSocket: a :class:`Transport`, and pings in both directions."""

from __future__ import annotations

from typing import Final, final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from trio_realtime.transports import TransportClosed
from trio_realtime.transports.keepalive import Keepalive
from trio_realtime.transports.server import ServerConnection

from .connection import Connection, Limits
from .types import Close

__all__ = ["ServerTransport", "close_if_lost"]

_MAX_REASON: Final = 123
_LOST: Final = Close(1011, "the client does not answer pings")


@final
class ServerTransport:
    """The server's side of a WebSocket: a :class:`Transport` and a :class:`DirectSender`.

    Args:
        websocket: the connection.
        close_timeout: seconds for the close handshake.
    """

    def __init__(self, websocket: ServerConnection, close_timeout: float) -> None:
        self._websocket = websocket
        self._close_timeout = close_timeout

    async def send(self, text: str) -> None:
        """Send one text message; see :meth:`Transport.send`."""
        try:
            await self._websocket.send_message(text)
        except ConnectionClosed:
            raise self._closed() from None

    @property
    def has_rest(self) -> bool:
        """Whether a part of the last message is not written yet; see :class:`DirectSender`."""
        return self._websocket.has_rest

    def try_send(self, text: str) -> bool:
        """Write a message without waiting; see :class:`DirectSender`."""
        return self._websocket.try_send(text)

    async def flush(self) -> None:
        """Write the rest; see :class:`DirectSender`."""
        try:
            await self._websocket.flush()
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


async def close_if_lost(
    websocket: WebSocketConnection, keepalive: Keepalive, connection: Connection, limits: Limits
) -> None:
    """Send pings until the connection is closed; close it if the client does not answer in time."""
    async with trio.open_nursery() as nursery:
        await keepalive.wait_lost(
            websocket, nursery, interval=limits.ping_interval, timeout=limits.ping_timeout
        )
        connection.request_close(_LOST)
