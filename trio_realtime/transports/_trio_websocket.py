"""The default transport, based on trio-websocket.

This module works around the following behaviour of trio-websocket:

- If a send is cancelled in the middle of a frame, the connection stays open with a partial frame on
  the wire. :class:`.KeepaliveStream`, which wraps the byte stream, closes the socket instead.
- If the server closes the connection during the handshake or never completes its response,
  trio-websocket waits forever, and it does not say what is wrong with a response.
  :class:`_GuardedStream` checks the response first.
- The reader task raises in the nursery it is given, for example after a rejected upgrade. That
  nursery is private here, and its exceptions become a :class:`TransportError` or a closed transport.
- Closing waits 60 s for a peer that does not answer, and does not wait at all when cancelled. Here
  the close handshake is shielded and limited to ``close_timeout``.
- The reader task writes the answer to each ping, so a peer that sends pings and does not read stops
  it. :class:`Keepalive` takes the pings out of the stream, and another task answers the last one.
- It sends no pings on its own. :class:`Keepalive` does, and a peer that does not answer is dropped.

Two limitations remain. Pings are answered only while the queue of incoming messages has space, and
a message over the size limit ends the connection with 1009 and discards messages that were not yet
received. A task that receives continuously avoids both.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import cast, final

import attrs
import trio
from trio_websocket import ConnectionClosed

from trio_realtime._nursery import leaves_of

from ._buffered_stream import BufferedStream
from ._connect import (
    OpenStream,
    connect_deadline,
    host_header,
    open_stream,
    open_transport,
    request_headers,
    request_target,
)
from ._credentials import mask_secrets
from ._direct_websocket import ClientConnection
from ._upgrade import handshake_error, receive_upgrade
from .base import (
    ABNORMAL,
    ConnectOptions,
    Transport,
    TransportClosed,
    TransportError,
)
from .keepalive import Keepalive, KeepaliveStream

__all__ = ["open_connection"]

# Large enough to keep answering pings while the receiving task is busy with a burst.
_QUEUED_MESSAGES = 64
_MESSAGE_TOO_BIG = 1009


def open_connection(
    options: ConnectOptions, open_stream: OpenStream = open_stream
) -> AbstractAsyncContextManager[Transport]:
    """Open a connection; see :func:`.connect_trio_websocket`.

    Args:
        options: What to connect to.
        open_stream: Connects.
    """
    return open_transport(_connect, options, open_stream)


async def _connect(
    nursery: trio.Nursery, options: ConnectOptions, open_stream: OpenStream
) -> _TrioWebSocketTransport:
    with connect_deadline(options):
        stream = await open_stream(options)
        transport = await nursery.start(_run_connection, options, stream)
        return cast("_TrioWebSocketTransport", transport)


async def _run_connection(
    options: ConnectOptions,
    stream: BufferedStream,
    *,
    task_status: trio.TaskStatus[_TrioWebSocketTransport],
) -> None:
    """Run trio-websocket's reader task until the connection ends."""
    transport = _TrioWebSocketTransport(options, stream)
    handshake_error: TransportError | None = None
    with transport.reader_scope:
        try:
            async with trio.open_nursery() as pings:
                # It ends when the reader has ended.
                async with trio.open_nursery() as nursery:
                    await transport.perform_handshake(nursery)
                    # If ``started`` raised Cancelled, the caller would wait for a shielded reader.
                    await trio.lowlevel.checkpoint_if_cancelled()
                    transport.reader_scope.shield = True
                    transport.start_pings(pings)
                    task_status.started(transport)
                pings.cancel_scope.cancel(reason="the connection ended")
        except BaseExceptionGroup as group:
            handshake_error = transport.handle_reader_failure(group)
        finally:
            await stream.aclose()
    if handshake_error is not None:
        # Raised outside ``except`` to have no context: the group may quote our credentials.
        raise handshake_error


@final
@attrs.define(eq=False, repr=False)
class _GuardedStream(KeepaliveStream):
    """A byte stream that also checks the upgrade.

    Attributes:
        _request: The bytes of the upgrade request; ``None`` once its response was received.
        _early: Frames that came with the response.
    """

    _options: ConnectOptions
    _request: bytes | None = attrs.field(init=False, default=b"")
    _early: bytes = attrs.field(init=False, default=b"")

    @property
    def writes_at_once(self) -> bool:
        """Whether :meth:`write_now` may be called: the upgrade is complete, and nothing else waits."""
        return self._request is None and self._inner.writes_at_once

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._request is not None:
            self._request += bytes(data)
        try:
            await KeepaliveStream.send_all(self, data)
        except trio.BrokenResourceError as exc:
            if self._request is None:
                raise
            raise handshake_error(exc) from None

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self._request is not None:
            head, self._early = await receive_upgrade(self._inner, self._request, self._options)
            self._request = None
            return head
        if self._early:
            early, self._early = self._keepalive.take(self._early), b""
            if early:
                await trio.lowlevel.checkpoint()
                return early
        return await self._keepalive.receive_some(self._inner, max_bytes)


@final
@attrs.define(eq=False, repr=False)
class _TrioWebSocketTransport:
    """A transport over one trio-websocket connection.

    Attributes:
        reader_scope: The cancel scope of the reader task. It is shielded once the handshake is
            complete.
    """

    _options: ConnectOptions
    _stream: BufferedStream
    reader_scope: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)
    _keepalive: Keepalive = attrs.field(init=False, factory=lambda: Keepalive(masked=False))
    _ws: ClientConnection = attrs.field(init=False)
    _close_lock: trio.Lock = attrs.field(init=False, factory=trio.Lock)
    _sent_close: tuple[int, str] | None = attrs.field(init=False, default=None)
    _reader_failure: BaseException | None = attrs.field(init=False, default=None)
    _lost_reason: str | None = attrs.field(init=False, default=None)

    async def perform_handshake(self, nursery: trio.Nursery) -> None:
        self._ws = await ClientConnection.open(
            nursery,
            _GuardedStream(self._stream, self._keepalive, self._options),
            host_header(self._options),
            request_target(self._options),
            subprotocols=self._options.subprotocols,
            extra_headers=request_headers(self._options),
            message_queue_size=_QUEUED_MESSAGES,
            max_message_size=self._options.max_message_size,
        )

    def start_pings(self, nursery: trio.Nursery) -> None:
        """Start the tasks that answer pings and send them."""
        nursery.start_soon(self._keepalive.send_pongs, self._ws)
        interval, timeout = self._options.ping_interval, self._options.ping_timeout
        if interval is not None and timeout is not None:
            nursery.start_soon(self._drop_if_lost, nursery, interval, timeout)

    async def _drop_if_lost(self, nursery: trio.Nursery, interval: float, timeout: float) -> None:
        await self._keepalive.wait_lost(self._ws, nursery, interval=interval, timeout=timeout)
        if self._sent_close is not None:
            return  # close_timeout limits the close
        if self._ws.closed is None:
            self._lost_reason = f"the peer did not answer a ping within {timeout:g} s"
        # Ends the reader, and a send that is blocked.
        await self._stream.aclose()

    def handle_reader_failure(
        self, group: BaseExceptionGroup[BaseException]
    ) -> TransportError | None:
        """Handle the exceptions of the reader's nursery.

        Re-raises exceptions such as Cancelled. Returns the error to raise if the handshake failed,
        and ``None`` if the reader of an open connection failed.
        """
        failures, others = group.split(Exception)
        if others is not None:
            raise others
        if not self.reader_scope.shield:
            return handshake_error(next(leaves_of(group)))
        self._reader_failure = failures
        return None

    async def send(self, text: str) -> None:
        try:
            await self._ws.send_message(text)
        except ConnectionClosed:
            raise self._closed_error() from self._reader_failure

    @property
    def has_rest(self) -> bool:
        return self._ws.has_rest

    def try_send(self, text: str) -> bool:
        return self._ws.try_send(text)

    async def flush(self) -> None:
        try:
            await self._ws.flush()
        except ConnectionClosed:
            raise self._closed_error() from self._reader_failure
        except trio.Cancelled:
            # The caller does not know how much of its message was sent.
            if self._ws.has_rest:
                await self._stream.aclose()
            raise

    async def receive(self) -> str | bytes:
        try:
            return await self._ws.next_message()
        except ConnectionClosed:
            raise self._closed_error() from self._reader_failure

    async def receive_many(self) -> list[str | bytes]:
        try:
            return await self._ws.get_messages()
        except ConnectionClosed:
            raise self._closed_error() from self._reader_failure

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        with trio.move_on_after(self._options.close_timeout, shield=True):
            # A concurrent second call waits for the close handshake of the first.
            async with self._close_lock:
                if self._ws.closed is None and self._sent_close is None:
                    self._sent_close = code, reason
                await self._ws.aclose(code, reason or None)
        await self._stream.aclose()
        self.reader_scope.cancel(reason="the transport was closed")

    def _closed_error(self) -> TransportClosed:
        if self._lost_reason is not None:
            return TransportClosed(ABNORMAL, self._lost_reason)
        code, reason = self._sent_close or self._received_close()
        return TransportClosed(code, mask_secrets(reason, self._options))

    def _received_close(self) -> tuple[int, str]:
        received = self._ws.closed
        if received is None:
            return ABNORMAL, ""
        limit = self._options.max_message_size
        # trio-websocket gives this reason when it ends the connection itself.
        if received.reason == f"Exceeded maximum message size: {limit} bytes":
            return _MESSAGE_TOO_BIG, f"a received message is longer than max_message_size ({limit})"
        return int(received.code), received.reason or ""
