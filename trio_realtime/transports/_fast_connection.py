"""A WebSocket on the bare socket, without a task that reads it.

The task that receives reads the socket itself, so a message reaches it without a task switch. While no task
receives, :meth:`FastConnection.run` does, so pings are answered and a close is noticed. There is one
reader at a time: a task that receives while another one reads waits for what that one has read.

Everything that is sent goes through one buffer, which is empty nearly always. A task waits for it when the
operating system takes no more.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Final, final

import attrs
import trio
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from ._buffered_stream import BufferedStream
from ._connect import host_header, request_headers, request_target
from ._credentials import mask_secrets
from ._engine import ClientEngine, masked_frame
from ._ping_timer import PingTimer
from ._upgrade import handshake_error, receive_upgrade
from .base import ABNORMAL, ConnectOptions, TransportClosed

__all__ = ["FastConnection"]

_QUEUED_MESSAGES: Final = 64
"""The number of messages above which the connection is not read unless a task receives."""
_ABSENCE: Final = 1.0
"""Seconds without a task that receives after which the connection is read nevertheless."""
_MESSAGE_TOO_BIG: Final = 1009
_PROTOCOL_ERROR: Final = 1002
_LOST: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


@final
@attrs.define(eq=False, repr=False)
class FastConnection:
    """An open WebSocket: a :class:`.Transport` and a :class:`.DirectSender`.

    Args:
        options: The options of the connection.
        stream: Its stream, after the handshake of TLS.
        nursery: Where the tasks of the connection run.
    """

    _options: ConnectOptions
    _stream: BufferedStream
    _nursery: trio.Nursery
    _engine: ClientEngine = attrs.field(init=False)
    _messages: deque[str | bytes] = attrs.field(init=False, factory=deque[str | bytes])
    _parts: list[str | bytes | bytearray] = attrs.field(
        init=False, factory=list[str | bytes | bytearray]
    )
    _size_of_parts: int = attrs.field(init=False, default=0)
    _reads: int = attrs.field(init=False, default=0)
    _is_reading: bool = attrs.field(init=False, default=False)
    _has_receiver: bool = attrs.field(init=False, default=False)
    _read: trio.lowlevel.ParkingLot = attrs.field(init=False, factory=trio.lowlevel.ParkingLot)
    _timer: PingTimer = attrs.field(init=False, factory=PingTimer)
    _ping_ends_at: int | None = attrs.field(init=False, default=None)
    _due_pong: bytes | None = attrs.field(init=False, default=None)
    _is_sending: bool = attrs.field(init=False, default=False)
    _close_lock: trio.Lock = attrs.field(init=False, factory=trio.Lock)
    _sent_close: tuple[int, str] | None = attrs.field(init=False, default=None)
    _end: tuple[int, str] | None = attrs.field(init=False, default=None)
    _ended: trio.Event = attrs.field(init=False, factory=trio.Event)
    _awaits_answer: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._engine = ClientEngine(self._options.max_message_size)
        self._stream.on_write = self._note_write

    # --- the life of the connection

    async def perform_handshake(self) -> None:
        """Send the upgrade request, and check the response.

        Raises:
            HandshakeRejected: The server answered with an HTTP status.
            TransportConnectError: The server does not speak WebSocket.
        """
        try:
            await self._upgrade()
        except Exception as exc:  # noqa: BLE001 - it becomes an error of the transport
            error = handshake_error(exc)
        else:
            return
        # Raised outside ``except`` to have no context: the exception may quote our credentials.
        raise error

    async def _upgrade(self) -> None:
        request = self._engine.send(
            Request(
                host=host_header(self._options),
                target=request_target(self._options),
                subprotocols=list(self._options.subprotocols),
                extra_headers=request_headers(self._options),
            )
        )
        self._stream.push(request)
        await self._stream.flush()
        head, frames = await receive_upgrade(self._stream, request, self._options)
        self._engine.feed(head)
        self._handle_data(frames)

    async def run(self) -> None:
        """Run until the connection has ended, and close the stream then."""
        pinging = trio.CancelScope()
        interval, timeout = self._options.ping_interval, self._options.ping_timeout
        if interval is not None and timeout is not None:
            self._nursery.start_soon(self._end_if_lost, pinging, interval, timeout)
        while self._end is None:
            await self._read_ahead()
        pinging.cancel(reason="the connection ended")
        with trio.move_on_after(self._options.close_timeout):
            with suppress(*_LOST):
                await self._stream.flush()
            await self._wait_answer()
        await self._stream.aclose()

    async def _wait_answer(self) -> None:  # noqa: ASYNC910 - the callers have flushed
        """Wait until the peer has read why this end closes: closing at once may discard that."""
        if self._awaits_answer:
            self._stream.send_eof()
        while self._awaits_answer:
            await self._read_once()

    async def _read_ahead(self) -> None:
        """Wait until no task has received for a while, and read until one does."""
        reads = self._reads
        with trio.move_on_after(_ABSENCE):
            await self._ended.wait()
        if self._is_reading or reads != self._reads:
            return
        self._has_receiver = False
        while (
            not self._has_receiver
            and len(self._messages) < _QUEUED_MESSAGES
            and not self._ended.is_set()
        ):
            await self._read_once()

    async def _end_if_lost(
        self, pinging: trio.CancelScope, interval: float, timeout: float
    ) -> None:
        with pinging:
            await self._timer.wait_lost(
                self._send_ping,
                lambda: self._end is not None,
                self._nursery,
                interval=interval,
                timeout=timeout,
            )
        if self._is_closing:
            return  # close_timeout limits the close
        self._finish(ABNORMAL, f"the peer did not answer a ping within {timeout:g} s")
        await self._stream.aclose()

    def _finish(self, code: int, reason: str = "") -> None:
        if self._end is None:
            self._end = code, reason
            self._ended.set()
            self._read.unpark_all()

    # --- receiving

    async def receive(self) -> str | bytes:
        """Return the next message; see :class:`.Transport`."""
        if self._messages:
            await trio.lowlevel.checkpoint()
        if not self._messages:
            self._messages.extend(await self.receive_many())
        return self._messages.popleft()  # noqa: ASYNC910 - receive_many waits for a message

    async def receive_many(self) -> list[str | bytes]:
        """Return all messages that have arrived, at least one; see :class:`.Transport`."""
        if self._messages:
            await trio.lowlevel.checkpoint()
        while not self._messages:
            if self._end is not None:
                await trio.lowlevel.checkpoint()
                raise self._closed_error()
            self._has_receiver = True
            await self._read_once()
        messages = list(self._messages)
        self._messages.clear()
        return messages  # noqa: ASYNC910 - the loop waits for a message

    async def _read_once(self) -> None:  # noqa: ASYNC910 - reading is a checkpoint
        """Handle what arrives next, or wait until another task has done so."""
        if self._is_reading:
            await self._read.park()
            return
        self._is_reading = True
        self._reads += 1
        self._timer.begin_reading()
        try:
            data = await self._stream.receive_some()
            if data:
                self._handle_data(data)
            else:
                self._lose()
        except _LOST:
            self._lose()
        finally:
            self._is_reading = False
            self._timer.end_reading()
            if self._read:
                self._read.unpark_all()

    def _lose(self) -> None:
        self._awaits_answer = False
        self._finish(ABNORMAL)

    def _handle_data(self, data: bytes) -> None:
        if self._end is not None:
            return
        try:
            received = self._engine.feed(data)
        except (RemoteProtocolError, LocalProtocolError) as exc:
            self._fail(_PROTOCOL_ERROR, str(exc))
            return
        if self._timer.is_waiting and self._engine.take_has_message():
            self._timer.received_message()
        for one in received:
            if self._end is not None:
                break
            if isinstance(one, str):
                self._messages.append(one)
            else:
                self._handle(one)
        if self._sent_close is not None:
            self._messages.clear()  # nobody is there to receive them
        if self._stream.has_rest and not self._is_sending:
            self._flush_soon()

    def _handle(self, event: Event) -> None:
        match event:
            case TextMessage() | BytesMessage():
                self._collect(event)
            case Ping():
                self._due_pong = bytes(event.payload)
                if not self._stream.has_rest:
                    self._send_due_pong()
            case Pong():
                self._timer.received_pong(bytes(event.payload))
            case CloseConnection():
                self._handle_close(event)
            case _:
                pass

    def _collect(self, event: TextMessage | BytesMessage) -> None:
        """Join the fragments of a message."""
        self._size_of_parts += len(event.data)
        limit = self._options.max_message_size
        if self._size_of_parts > limit:
            self._fail(
                _MESSAGE_TOO_BIG, f"a received message is longer than max_message_size ({limit})"
            )
            return
        self._parts.append(event.data)
        if event.message_finished:
            is_text = isinstance(event, TextMessage)
            self._messages.append(
                "".join(self._parts) if is_text else b"".join(self._parts)  # type: ignore[arg-type]
            )
            self._parts, self._size_of_parts = [], 0

    def _handle_close(self, event: CloseConnection) -> None:
        reason = event.reason or ""
        if self._sent_close is not None:  # the answer to ours
            self._finish(int(event.code), reason)
        elif self._engine.is_open:
            self._fail(int(event.code), reason)  # the peer has broken the protocol
        else:
            self._stream.push(self._engine.send(event.response()))
            self._finish(int(event.code), reason)

    def _fail(self, code: int, reason: str) -> None:
        """End the connection because of what the peer has sent."""
        if self._engine.is_open:
            # The text of a reason is limited to 123 bytes.
            self._stream.push(self._engine.send(CloseConnection(code, reason[:100])))
            self._awaits_answer = True
        self._finish(code, reason)

    # --- sending

    @property
    def _is_closing(self) -> bool:
        """Whether no further message may be sent."""
        return self._end is not None or self._sent_close is not None

    @property
    def has_rest(self) -> bool:
        """Whether a part of the last message is not written yet."""
        return self._stream.has_rest

    def try_send(self, text: str) -> bool:
        """Write a message without waiting; see :class:`.DirectSender`."""
        stream = self._stream
        if self._is_closing or not stream.writes_at_once:
            return False
        self._timer.begin_message()
        stream.push(masked_frame(text.encode()))
        return True

    async def flush(self) -> None:
        """Write the rest; see :class:`.DirectSender`."""
        self._is_sending = True
        try:
            await self._stream.flush()
        except _LOST:
            # What has arrived before is still to be received, so only a reader ends the connection.
            raise self._closed_error() from None
        except trio.Cancelled:
            # What is in the buffer could still be sent, but the caller does not know how much of its message
            # was. So it is an error to go on.
            if self._stream.has_rest:
                self._finish(ABNORMAL)
                await self._stream.aclose()
            raise
        finally:
            self._is_sending = False

    async def send(self, text: str) -> None:
        """Send a message; see :class:`.Transport`."""
        await trio.lowlevel.checkpoint()
        if self._stream.has_rest and not self._is_closing:
            # Control frames, or a message of another task.
            with suppress(*_LOST):
                await self._stream.flush()
        if self._is_closing:
            raise self._closed_error()
        self._timer.begin_message()
        self._stream.push(masked_frame(text.encode()))
        if self._stream.has_rest:
            await self.flush()

    # --- control frames

    async def _send_ping(self, payload: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self._engine.is_open:
            self._engine.take_has_message()  # of the time before the ping
            self._stream.push(self._engine.send(Ping(payload)))
            self._ping_ends_at = self._stream.pushed
            self._note_write()
            if self._stream.has_rest:
                self._flush_soon()

    def _note_write(self) -> None:
        """Report a write, and answer the last ping once nothing waits before the answer."""
        if self._timer.is_waiting:
            ends_at = self._ping_ends_at
            is_written = ends_at is not None and self._stream.written >= ends_at
            self._timer.wrote(is_ping=is_written)
            if is_written:
                self._ping_ends_at = None
        if self._due_pong is not None and not self._stream.has_rest:
            self._send_due_pong()

    def _send_due_pong(self) -> None:
        payload, self._due_pong = self._due_pong, None
        if payload is not None and self._engine.is_open:
            self._stream.push(self._engine.send(Pong(payload)))

    def _flush_soon(self) -> None:
        if not self._stream.is_flushing:
            self._nursery.start_soon(self._flush_control_frames)

    async def _flush_control_frames(self) -> None:  # noqa: ASYNC910 - flushing is a checkpoint
        """Write the buffer; the peer or the end of the connection limits how long that takes."""
        with suppress(*_LOST), trio.CancelScope(shield=True):
            await self._stream.flush()

    # --- closing

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Perform the close handshake, and close the socket; see :class:`.Transport`."""
        try:
            with trio.move_on_after(self._options.close_timeout, shield=True):
                # A concurrent second call waits for the close handshake of the first.
                async with self._close_lock:
                    await self._close(code, reason)
        finally:
            await self._stream.aclose()
            self._finish(ABNORMAL)

    async def _close(self, code: int, reason: str) -> None:
        if not self._is_closing:
            self._sent_close = code, reason
            self._messages.clear()
            self._stream.push(self._engine.send(CloseConnection(code, reason or None)))
        try:
            await self._stream.flush()
        except _LOST:
            self._lose()
        while self._end is None:
            await self._read_once()
        await self._wait_answer()

    def _closed_error(self) -> TransportClosed:
        code, reason = self._sent_close or self._end or (ABNORMAL, "")
        return TransportClosed(code, mask_secrets(reason, self._options))
