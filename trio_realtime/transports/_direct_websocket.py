"""A trio-websocket connection with fewer steps of the scheduler for each message.

trio-websocket's reader task yields after each message, and its user takes one message at a time. Here the
reader yields only when its queue is full, and :meth:`ClientConnection.get_messages` takes everything that
waits. trio-websocket also needs a task switch for each message that is sent. :meth:`DirectConnection.try_send`
writes to the socket at once, if nothing else is being written.

This is the only module that uses private attributes of trio-websocket. The tests of the transports' contract
cover what it relies on, and ``pyproject.toml`` limits the version to what they have run with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, Protocol, cast, final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, Request, TextMessage

from ._engine import ClientEngine, masked_frame, unmasked_binary_frame, unmasked_frame

__all__ = ["ClientConnection", "ServerConnection"]

#: The number of parts of a message that are joined at once.
_PARTS_TO_JOIN: Final = 1024


class DirectStream(Protocol):
    """A stream that can write without waiting, if it has a socket."""

    @property
    def writes_at_once(self) -> bool:
        """Whether :meth:`write_now` may be called."""
        ...

    @property
    def has_rest(self) -> bool:
        """Whether a part of what was written waits. It goes out before anything else."""
        ...

    def write_now(self, frame: bytes) -> None:
        """Write a frame, or its beginning."""
        ...

    async def write_rest(self) -> None:
        """Write the rest."""
        ...


class DirectConnection(WebSocketConnection):
    """A connection that sends without a task switch."""

    _direct: DirectStream
    _frame: Callable[[bytes], bytes]
    """Makes a frame of a text."""
    _joined_parts: int = 0
    """The number of parts of the current message that :meth:`_join_parts` has made."""

    @property
    def has_rest(self) -> bool:
        """Whether a part of the last frame of :meth:`try_send` is not written yet."""
        return self._direct.has_rest

    def try_send(self, text: str) -> bool:
        """Write a message without waiting. Returns ``False`` if nothing was written.

        The caller must call :meth:`flush` if the connection has a rest then.
        """
        if not self._can_write:
            return False
        self._direct.write_now(self._frame(text.encode()))
        return True

    @property
    def _can_write(self) -> bool:
        return (
            self._direct.writes_at_once
            and self._close_reason is None
            and not self._stream_lock.locked()
            and self._wsproto.state is ConnectionState.OPEN
        )

    def _put(self, event: BytesMessage | TextMessage) -> bool:
        """Put the usual message into the queue: whole, not too long, and there is space for it."""
        if (
            not event.message_finished
            or self._message_parts
            or len(event.data) > self._max_message_size
        ):
            return False
        data = event.data if isinstance(event, TextMessage) else bytes(event.data)
        try:
            self._send_channel.send_nowait(data)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    async def _handle_message_event(  # noqa: ASYNC910 - the reader yields at its next read
        self, event: BytesMessage | TextMessage
    ) -> None:
        if not self._put(event):
            await super()._handle_message_event(event)
            self._join_parts()

    def _join_parts(self) -> None:
        """Join the latest parts of a message, because an object for each takes more space than its bytes."""
        parts = self._message_parts
        if not parts:
            self._joined_parts = 0
        elif len(parts) - self._joined_parts >= _PARTS_TO_JOIN:
            latest = parts[self._joined_parts :]
            empty: Any = "" if isinstance(latest[0], str) else b""
            joined = empty.join(latest)
            parts[self._joined_parts :] = [joined] if joined else []
            self._joined_parts = len(parts)

    async def flush(self) -> None:
        """Write the rest of the last frame.

        If this is cancelled, the connection is broken.

        Raises:
            ConnectionClosed: The connection is closed.
        """
        async with self._stream_lock:
            try:
                await self._direct.write_rest()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                is_lost = True
            else:
                is_lost = False
            if is_lost:
                await self._abort_web_socket()
                raise ConnectionClosed(self._close_reason)


@final
class ClientConnection(DirectConnection):
    """A client's connection, which also receives messages in batches."""

    _waiting: int
    """The number of messages in the queue."""

    @classmethod
    async def open(
        cls,
        nursery: trio.Nursery,
        stream: DirectStream,
        host: str,
        resource: str,
        *,
        subprotocols: Iterable[str],
        extra_headers: list[tuple[bytes, bytes]],
        message_queue_size: int,
        max_message_size: int,
    ) -> ClientConnection:
        """Perform the opening handshake; see :func:`trio_websocket.wrap_client_stream`.

        Args:
            nursery: Where the reader task runs.
            stream: The byte stream.
            host: The value of the header ``Host``.
            resource: The target of the request.
            subprotocols: The subprotocols to offer.
            extra_headers: Further headers of the request.
            message_queue_size: The number of messages that wait before the reader stops reading.
            max_message_size: The size of a message above which the connection ends with code 1009.
        """
        connection = cls(
            # The annotation allows only the two stream types that trio-websocket opens itself.
            cast("trio.SocketStream", stream),
            cast("WSConnection", ClientEngine(max_message_size)),
            host=host,
            path=resource,
            client_subprotocols=subprotocols,
            client_extra_headers=extra_headers,
            message_queue_size=message_queue_size,
            max_message_size=max_message_size,
            receive_buffer_size=None,
        )
        connection._direct, connection._frame = stream, masked_frame
        connection._waiting = 0
        nursery.start_soon(connection._reader_task, name="trio-websocket's reader")
        await connection._open_handshake.wait()
        return connection

    async def _handle_message_event(  # noqa: ASYNC910 - the reader yields at its next read
        self, event: BytesMessage | TextMessage
    ) -> None:
        if not self._put(event):
            await super(DirectConnection, self)._handle_message_event(event)
            self._join_parts()
        if event.message_finished:
            self._waiting += 1

    async def next_message(self) -> str | bytes:
        """Return the next message; see :meth:`get_messages`."""
        message: str | bytes = await self.get_message()
        self._waiting -= 1
        return message

    async def get_messages(self) -> list[str | bytes]:
        """Return all messages that have arrived, at least one.

        Cancellation loses no message.

        Raises:
            ConnectionClosed: The connection is closed and all messages were returned.
        """
        messages = [await self.next_message()]
        # An exception for each message that comes alone would take a while.
        with suppress(trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            while self._waiting > 0:
                messages.append(self._recv_channel.receive_nowait())
                self._waiting -= 1
        return messages


@final
class ServerConnection(DirectConnection):
    """A server's connection."""

    def try_send_binary(self, data: bytes) -> bool:
        """Write a binary message without waiting; see :meth:`try_send`."""
        if not self._can_write:
            return False
        self._direct.write_now(unmasked_binary_frame(data))
        return True

    @classmethod
    async def read_request(
        cls,
        nursery: trio.Nursery,
        stream: object,
        direct: DirectStream,
        *,
        message_queue_size: int,
        max_message_size: int,
    ) -> WebSocketRequest:
        """Read the upgrade request; see :func:`trio_websocket.wrap_server_stream`.

        Args:
            nursery: Where the reader task runs.
            stream: The byte stream, with the methods of a :class:`trio.abc.Stream` that trio-websocket calls.
            direct: What writes to it.
            message_queue_size: The number of messages that wait before the reader stops reading.
            max_message_size: The size of a message above which the connection ends with code 1009.
        """
        connection = cls(
            cast("trio.SocketStream", stream),
            WSConnection(ConnectionType.SERVER),
            message_queue_size=message_queue_size,
            max_message_size=max_message_size,
            receive_buffer_size=None,
        )
        connection._direct, connection._frame = direct, unmasked_frame
        nursery.start_soon(connection._reader_task, name="trio-websocket's reader")
        return await connection._get_request()

    async def _handle_request_event(self, event: Request) -> None:
        await super()._handle_request_event(event)
        # wsproto would store what arrives now without a limit, and return it only with what arrives later.
        await self._open_handshake.wait()

    async def _handle_message_event(self, event: BytesMessage | TextMessage) -> None:
        if self._wsproto.state is ConnectionState.LOCAL_CLOSING:  # nobody receives it
            return  # noqa: ASYNC910 - the reader yields at its next read
        await super()._handle_message_event(event)
        # Also after a message that is too long, read until the client has read why it is closed: closing a socket
        # with unread data resets it.
        self._reader_running = True

    async def wait_closed(self) -> None:
        """Wait until a close handshake that has begun has ended, or the connection was lost."""
        await self._close_handshake.wait()
