"""The server's side of a WebSocket: a :class:`Transport`, and pings that detect a lost client."""

from __future__ import annotations

import math
from typing import Final, final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from trio_realtime.transports import TransportClosed

from .connection import Connection, Limits
from .types import Close

__all__ = ["ServerTransport", "close_if_lost"]

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
        self._is_receiving = False
        self._received_at = -math.inf

    async def send(self, text: str) -> None:
        """Send one text message; see :meth:`Transport.send`."""
        try:
            await self._websocket.send_message(text)
        except ConnectionClosed:
            raise self._closed() from None

    async def receive(self) -> str | bytes:
        """Return the next message; see :meth:`Transport.receive`."""
        self._is_receiving = True
        try:
            return await self._websocket.get_message()
        except ConnectionClosed:
            raise self._closed() from None
        finally:
            self._is_receiving = False
            self._received_at = trio.current_time()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection; see :meth:`Transport.aclose`."""
        with trio.move_on_after(self._close_timeout, shield=True):
            await self._websocket.aclose(code, _truncated(reason) or None)

    async def ping(self) -> None:
        """Send a ping, and wait for the answer. Cancel this only to end the connection.

        Raises:
            TransportClosed: the connection is closed.
        """
        try:
            await self._websocket.ping()
        except ConnectionClosed:
            raise self._closed() from None

    def was_silent_since(self, time: float) -> bool:
        """Return whether the client has sent nothing since this time, although the server reads.

        While the server is busy with a message, the answer to a ping may be waiting behind it.
        """
        return self._is_receiving and self._received_at <= time

    def _closed(self) -> TransportClosed:
        closed = self._websocket.closed
        if closed is None:
            return TransportClosed()
        return TransportClosed(closed.code, closed.reason or "")


def _truncated(reason: str) -> str:
    """Cut the reason to the 123 bytes that fit in a close frame."""
    return reason.encode()[:_MAX_REASON].decode(errors="ignore")


async def close_if_lost(transport: ServerTransport, connection: Connection, limits: Limits) -> None:
    """Send pings until the connection is closed; close it if the client does not answer in time."""
    async with trio.open_nursery() as nursery:
        is_answered = True
        while is_answered:
            await trio.sleep(limits.ping_interval)
            answered = trio.Event()
            # In a task that is not cancelled: a frame that is sent in part breaks the stream.
            nursery.start_soon(_ping, transport, answered)
            is_answered = await _wait_answer(transport, answered, limits.ping_timeout)
        connection.request_close(_LOST)


async def _wait_answer(transport: ServerTransport, answered: trio.Event, timeout: float) -> bool:
    """Wait for the answer to a ping. Return False if the client is silent for too long."""
    sent_at = trio.current_time()
    while not answered.is_set():
        with trio.move_on_after(timeout):
            await answered.wait()
        if not answered.is_set() and transport.was_silent_since(sent_at):
            return False
    return True


async def _ping(transport: ServerTransport, answered: trio.Event) -> None:
    try:
        await transport.ping()
    except TransportClosed:
        return  # the reader ends the connection, which ends the task that waits
    answered.set()
