"""The WebSocket of a media stream, whatever the server is.

:func:`adapt_websocket` takes the connections of trio-websocket and Starlette as they are. Other servers
need an object with the three methods of :class:`MediaWebSocket`.
"""

from __future__ import annotations

from typing import Any, Protocol, cast, runtime_checkable

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from trio_realtime.errors import UsageError

__all__ = [
    "MediaWebSocket",
    "StarletteWebSocket",
    "TrioWebSocket",
    "adapt_websocket",
]


@runtime_checkable
class MediaWebSocket(Protocol):
    """An accepted WebSocket. The exceptions are those of trio's channels."""

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            trio.EndOfChannel: the other end has closed the WebSocket, or the connection broke.
        """
        ...

    async def send(self, text: str) -> None:
        """Send a text message. Two tasks may send at the same time.

        Raises:
            trio.BrokenResourceError: the WebSocket is closed, or the connection broke.
        """
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket. It has no effect on one that is closed."""
        ...


class TrioWebSocket:
    """A connection of trio-websocket.

    Args:
        connection: the connection, for example ``await request.accept()``.
    """

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        """Return the next message; see :class:`MediaWebSocket`."""
        try:
            return await self._connection.get_message()
        except ConnectionClosed:
            raise trio.EndOfChannel from None

    async def send(self, text: str) -> None:
        """Send a text message; see :class:`MediaWebSocket`."""
        try:
            await self._connection.send_message(text)
        except ConnectionClosed as exc:
            raise trio.BrokenResourceError(str(exc)) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket; see :class:`MediaWebSocket`."""
        await self._connection.aclose(code, reason)


class _Starlette(Protocol):
    """What is needed of ``starlette.websockets.WebSocket``."""

    async def receive(self) -> Any: ...
    async def send_text(self, data: str) -> None: ...
    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...


class StarletteWebSocket:
    """A WebSocket of Starlette or FastAPI, on a server that runs on trio.

    Args:
        websocket: the WebSocket, after ``await websocket.accept()``.
    """

    def __init__(self, websocket: _Starlette) -> None:
        self._websocket = websocket
        self._is_closed = False

    async def receive(self) -> str | bytes:
        """Return the next message; see :class:`MediaWebSocket`."""
        if self._is_closed:
            await trio.lowlevel.checkpoint()
            raise trio.EndOfChannel
        message: dict[str, Any] = await self._websocket.receive()
        if message["type"] != "websocket.receive":
            self._is_closed = True
            raise trio.EndOfChannel
        text = message.get("text")
        return text if text is not None else cast("bytes", message.get("bytes") or b"")

    async def send(self, text: str) -> None:
        """Send a text message; see :class:`MediaWebSocket`."""
        if self._is_closed:
            await trio.lowlevel.checkpoint()
            raise trio.BrokenResourceError("the WebSocket is closed")
        try:
            await self._websocket.send_text(text)
        except Exception as exc:
            if not _means_closed(exc):
                raise
            raise trio.BrokenResourceError("the WebSocket is closed") from exc

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket; see :class:`MediaWebSocket`."""
        if self._is_closed:
            await trio.lowlevel.checkpoint()
            return
        self._is_closed = True
        try:
            await self._websocket.close(code, reason)
        except Exception as exc:
            if not _means_closed(exc):
                raise


def _means_closed(exc: Exception) -> bool:
    """Whether an exception of Starlette means that the WebSocket is closed.

    That is ``WebSocketDisconnect``, or a RuntimeError for a message after the close.
    """
    return isinstance(exc, OSError | RuntimeError) or type(exc).__name__ == "WebSocketDisconnect"


def adapt_websocket(websocket: Any) -> MediaWebSocket:
    """Return the WebSocket of any supported server.

    Args:
        websocket: a connection of trio-websocket, a WebSocket of Starlette, or a :class:`MediaWebSocket`.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(websocket, WebSocketConnection):
        return TrioWebSocket(websocket)
    if hasattr(websocket, "send_text") and hasattr(websocket, "receive"):
        return StarletteWebSocket(websocket)
    if isinstance(websocket, MediaWebSocket):
        return websocket
    raise UsageError(
        "expected a connection of trio-websocket, a WebSocket of Starlette, or an object with the async "
        f"methods receive, send and close, got {websocket!r:.80}"
    )
