"""The WebSocket of a client, whichever server accepted it."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, final

import trio
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from trio_websocket import ConnectionClosed

if TYPE_CHECKING:
    from trio_websocket import WebSocketConnection

__all__ = [
    "ClientGone",
    "ClientSocket",
    "ClientTooSlow",
    "ReadAhead",
    "Sender",
    "StarletteSocket",
    "TrioSocket",
    "close_in_time",
]

#: Seconds that a client has to read why it is closed, and to answer the close.
_CLOSE_TIMEOUT: Final = 5.0

#: Bytes of messages that wait to be handled, and what each message counts besides its length.
_MAX_AHEAD: Final = 1024 * 1024
_MESSAGE_SIZE: Final = 100

#: A close reason has at most 123 bytes (RFC 6455, 5.5).
_MAX_REASON: Final = 123


class ClientGone(Exception):
    """The client has closed its WebSocket, or the network has."""


class ClientTooSlow(ClientGone):
    """The client has not read a message in time, so its connection is of no use any more."""


class ClientSocket(Protocol):
    """An accepted WebSocket. One task may receive while another one sends."""

    async def receive(self) -> str | bytes:
        """Return the next message. Cancelling the wait loses no message.

        Raises:
            ClientGone: there is none.
        """
        ...

    async def send(self, message: str | bytes) -> None:
        """Send a message: text as a text frame, bytes as a binary frame.

        Raises:
            ClientGone: the WebSocket is closed.
        """
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close the WebSocket, unless it is closed."""
        ...


@final
class StarletteSocket:
    """A WebSocket of an ASGI server, with the methods of :class:`ClientSocket`."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes:
        """Return the next message."""
        try:
            message = await self._socket.receive()
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: after a disconnect
            raise ClientGone from None
        if message["type"] != "websocket.receive":
            raise ClientGone
        text: str | None = message.get("text")
        data: bytes | None = message.get("bytes")
        return text if text is not None else data or b""

    async def send(self, message: str | bytes) -> None:
        """Send a message."""
        self._check()
        try:
            if isinstance(message, str):
                await self._socket.send_text(message)
            else:
                await self._socket.send_bytes(message)
        except (WebSocketDisconnect, RuntimeError, OSError, trio.BrokenResourceError):
            raise ClientGone from None

    async def close(self, code: int, reason: str) -> None:
        """Close the WebSocket, unless it is closed."""
        with suppress(
            ClientGone, WebSocketDisconnect, RuntimeError, OSError, trio.BrokenResourceError
        ):
            self._check()
            await self._socket.close(code, _short(reason))

    def _check(self) -> None:
        states = (self._socket.application_state, self._socket.client_state)
        if states != (WebSocketState.CONNECTED, WebSocketState.CONNECTED):
            raise ClientGone


@final
class TrioSocket:
    """A WebSocket of trio-websocket, with the methods of :class:`ClientSocket`."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes:
        """Return the next message."""
        try:
            message: str | bytes = await self._socket.get_message()
        except ConnectionClosed:
            raise ClientGone from None
        return message

    async def send(self, message: str | bytes) -> None:
        """Send a message."""
        try:
            await self._socket.send_message(message)
        except ConnectionClosed:
            raise ClientGone from None

    async def close(self, code: int, reason: str) -> None:
        """Close the WebSocket, unless it is closed."""
        await self._socket.aclose(code, _short(reason))


@final
class ReadAhead:
    """Reads a WebSocket ahead of the task that handles its messages.

    So the end of the connection is noticed at once, also while a message is handled or cannot be handled yet.
    Up to 1 MiB of messages wait. The WebSocket is not read while there are more.
    """

    def __init__(self, socket: ClientSocket) -> None:
        self._socket = socket
        self._messages: deque[str | bytes] = deque()
        self._size = 0
        self._is_complete = False
        self._changed = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        """Read until the client has gone, or until cancelled."""
        with suppress(ClientGone):
            while True:
                while self._size >= _MAX_AHEAD:
                    await self._changed.park()
                message = await self._socket.receive()
                self._messages.append(message)
                self._size += len(message) + _MESSAGE_SIZE
                self._changed.unpark_all()
        self._is_complete = True
        self._changed.unpark_all()

    async def receive(self) -> str | bytes:
        """Return the next message. Cancelling the wait loses no message.

        Raises:
            ClientGone: the client has gone, and all its messages were returned.
        """
        if self._messages or self._is_complete:
            await trio.lowlevel.checkpoint()
        while not self._messages:
            if self._is_complete:
                raise ClientGone
            await self._changed.park()
        message = self._messages.popleft()
        self._size -= len(message) + _MESSAGE_SIZE
        self._changed.unpark_all()
        return message


@final
class Sender:
    """Sends the messages of several tasks to a client, one after the other.

    Args:
        socket: the WebSocket of the client.
        timeout: seconds that one message may take, without the wait for those before it.
    """

    def __init__(self, socket: ClientSocket, timeout: float) -> None:
        self._socket = socket
        self._timeout = timeout
        self._lock = trio.Lock()

    async def send(self, message: str | bytes) -> None:
        """Send a message. If this is cancelled, a part of it may have been sent.

        Raises:
            ClientTooSlow: the client has not read it in time.
            ClientGone: the client has gone.
        """
        try:
            self._lock.acquire_nowait()  # without a step of the scheduler
        except trio.WouldBlock:
            await self._lock.acquire()
        try:
            with trio.move_on_after(self._timeout) as scope:
                await self._socket.send(message)
        finally:
            self._lock.release()
        if scope.cancelled_caught:
            raise ClientTooSlow


async def close_in_time(socket: ClientSocket, code: int, reason: str) -> None:
    """Close a WebSocket, whose client may neither read nor answer the close."""
    with trio.move_on_after(_CLOSE_TIMEOUT):
        await socket.close(code, reason)


def _short(reason: str) -> str:
    return reason.encode()[:_MAX_REASON].decode(errors="ignore")
