"""The default transport, based on trio-websocket.

This module works around the following behaviour of trio-websocket:

- If a send is cancelled in the middle of a frame, the connection stays open with a partial frame on
  the wire. :class:`_GuardedStream`, which wraps the byte stream, closes the socket instead.
- If the server closes the connection during the handshake, trio-websocket waits forever.
  :class:`_GuardedStream` detects this and raises.
- The reader task raises in the nursery it is given, for example after a rejected upgrade or when a
  ping arrives during a close. That nursery is private here, and its exceptions become a
  :class:`TransportError` or a closed transport.
- Closing waits 60 s for a peer that does not answer, and does not wait at all when cancelled. Here
  the close handshake is shielded and limited to ``close_timeout``.

Two limitations remain. Pings are answered only while the queue of incoming messages has space, and
a message over the size limit ends the connection with 1009 and discards messages that were not yet
received. A task that receives continuously avoids both.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast, final

import attrs
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)

from trio_realtime._nursery import leaves_of, open_bare_nursery
from trio_realtime._redaction import MASK, secret_values

from ._connect import (
    ByteStream,
    host_header,
    open_stream,
    request_headers,
    request_target,
)
from .base import (
    ABNORMAL,
    ConnectOptions,
    HandshakeRejected,
    Transport,
    TransportClosed,
    TransportConnectError,
    TransportConnectTimeout,
    TransportError,
)

__all__ = ["connect_trio_websocket"]

# Large enough to keep answering pings while the receiving task is busy with a burst.
_QUEUED_MESSAGES = 64
_MAX_HANDSHAKE_BYTES = 64 * 1024
_MAX_BODY_CHARS = 4096
_MIN_SECRET_LENGTH = 8
_END_OF_HEADERS = b"\r\n\r\n"


@asynccontextmanager
async def connect_trio_websocket(options: ConnectOptions) -> AsyncGenerator[Transport, None]:
    """Open a WebSocket connection for the duration of an ``async with`` block.

    Leaving the block closes the connection with code 1000, within ``options.close_timeout``
    seconds, and then closes the socket. Neither an unresponsive peer nor cancellation prevents this. An
    exception of the block is raised unchanged.

    Raises:
        HandshakeRejected: The server answered with an HTTP status; its body may give the reason.
        TransportConnectTimeout: Connecting took longer than ``options.connect_timeout`` seconds.
            Retrying may help.
        TransportConnectError: The connection failed; the message names the failed step.
    """
    async with open_bare_nursery(TransportError) as nursery:
        transport = await _connect(nursery, options)
        try:
            yield transport
        finally:
            await transport.aclose()


async def _connect(nursery: trio.Nursery, options: ConnectOptions) -> _TrioWebSocketTransport:
    try:
        with trio.fail_after(options.connect_timeout):
            stream = await open_stream(options)
            transport = await nursery.start(_run_connection, options, stream)
            return cast("_TrioWebSocketTransport", transport)
    except trio.TooSlowError:
        message = f"no connection within {options.connect_timeout:g} s"
        raise TransportConnectTimeout(message) from None


async def _run_connection(
    options: ConnectOptions,
    stream: ByteStream,
    *,
    task_status: trio.TaskStatus[_TrioWebSocketTransport],
) -> None:
    """Run trio-websocket's reader task until the connection ends."""
    transport = _TrioWebSocketTransport(options, stream)
    handshake_error: TransportError | None = None
    with transport.reader_scope:
        try:
            async with trio.open_nursery() as nursery:
                await transport.perform_handshake(nursery)
                # If ``started`` raised Cancelled, the caller would wait for a shielded reader.
                await trio.lowlevel.checkpoint_if_cancelled()
                transport.reader_scope.shield = True
                task_status.started(transport)
        except BaseExceptionGroup as group:
            handshake_error = transport.handle_reader_failure(group)
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
    if handshake_error is not None:
        # Raised outside ``except`` to have no context: the group may quote our credentials.
        raise handshake_error


class _HandshakeAborted(Exception):
    """The server closed the connection, or sent too much data, before completing the upgrade.

    Attributes:
        received: The bytes that the server sent.
    """

    def __init__(self, received: bytes) -> None:
        super().__init__("the server ended the handshake")
        self.received = received


@final
@attrs.define(eq=False, repr=False)
class _GuardedStream:
    """A byte stream that closes itself when a write is cut off or the handshake is aborted.

    It implements only the stream methods that trio-websocket calls. Until the upgrade is complete,
    it buffers the server's response (at most ``_MAX_HANDSHAKE_BYTES`` plus one read).
    """

    _inner: ByteStream
    _response: bytearray | None = attrs.field(init=False, factory=bytearray)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        # Cancellation at this point has written nothing, so the stream stays intact.
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            await self._inner.send_all(data)
        except BaseException as exc:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._inner)
            if isinstance(exc, trio.BrokenResourceError):
                self._add_to_response(b"")
            raise

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._inner.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self._add_to_response(b"")
            raise
        if self._response is not None:
            self._add_to_response(data)
        return data

    async def aclose(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._inner)

    def _add_to_response(self, data: bytes | bytearray) -> None:
        """Buffer data of the handshake. Empty data means that the stream has ended."""
        if self._response is None:
            return
        self._response += data
        if _is_complete_upgrade(self._response):
            self._response = None
        elif not data or len(self._response) > _MAX_HANDSHAKE_BYTES:
            raise _HandshakeAborted(bytes(self._response))


def _is_complete_upgrade(response: bytearray) -> bool:
    is_status_101 = re.match(rb"HTTP/1\.\d 101\b", response) is not None
    return is_status_101 and _END_OF_HEADERS in response


@final
@attrs.define(eq=False, repr=False)
class _TrioWebSocketTransport:
    """A transport over one trio-websocket connection.

    Attributes:
        reader_scope: The cancel scope of the reader task. It is shielded once the handshake is
            complete.
    """

    _options: ConnectOptions
    _stream: ByteStream
    reader_scope: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)
    _ws: WebSocketConnection = attrs.field(init=False)
    _close_lock: trio.Lock = attrs.field(init=False, factory=trio.Lock)
    _sent_close: tuple[int, str] | None = attrs.field(init=False, default=None)
    _reader_failure: BaseException | None = attrs.field(init=False, default=None)

    async def perform_handshake(self, nursery: trio.Nursery) -> None:
        self._ws = await wrap_client_stream(
            nursery,
            # trio-websocket's annotation allows only the two stream types that it opens itself.
            cast("trio.SocketStream", _GuardedStream(self._stream)),
            host_header(self._options),
            request_target(self._options),
            subprotocols=self._options.subprotocols,
            extra_headers=request_headers(self._options),
            message_queue_size=_QUEUED_MESSAGES,
            max_message_size=self._options.max_message_size,
            receive_buffer_size=None,
        )

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
            return _handshake_error(next(leaves_of(group)), self._options)
        self._reader_failure = failures
        return None

    async def send(self, text: str) -> None:
        try:
            await self._ws.send_message(text)
        except ConnectionClosed:
            raise self._closed_error() from self._reader_failure

    async def receive(self) -> str | bytes:
        try:
            return await self._ws.get_message()
        except ConnectionClosed:
            raise self._closed_error() from self._reader_failure

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        with trio.move_on_after(self._options.close_timeout, shield=True):
            # A concurrent second call waits for the close handshake of the first.
            async with self._close_lock:
                if self._ws.closed is None and self._sent_close is None:
                    self._sent_close = code, reason
                await self._ws.aclose(code, reason or None)
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)
        self.reader_scope.cancel(reason="the transport was closed")

    def _closed_error(self) -> TransportClosed:
        code, reason = self._sent_close or self._received_close()
        return TransportClosed(code, _mask_secrets(reason, self._options))

    def _received_close(self) -> tuple[int, str]:
        received = self._ws.closed
        return (ABNORMAL, "") if received is None else (int(received.code), received.reason or "")


def _handshake_error(exc: BaseException, options: ConnectOptions) -> TransportError:
    match exc:
        case ConnectionRejected():
            return _rejection(exc.status_code, exc.headers, exc.body or b"", options)
        case _HandshakeAborted():
            return _aborted_handshake_error(exc.received, options)
        case _:
            # The message omits the details, because they may quote the request and its key.
            message = f"the server does not speak WebSocket ({type(exc).__name__})"
            return TransportConnectError(message)


def _aborted_handshake_error(response: bytes, options: ConnectOptions) -> TransportError:
    """Create the error from the HTTP status, if the incomplete response contains one."""
    head, _, body = response.partition(_END_OF_HEADERS)
    status = re.match(rb"HTTP/1\.\d ([2-5]\d\d)\b", head)
    if status is None:
        return TransportConnectError("the server closed the connection during the handshake")
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return _rejection(int(status[1]), headers, body, options)


def _rejection(
    status: int, headers: tuple[tuple[bytes, bytes], ...], body: bytes, options: ConnectOptions
) -> HandshakeRejected:
    text = _mask_secrets(body.decode("utf-8", "replace"), options)[:_MAX_BODY_CHARS]
    decoded = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
    return HandshakeRejected(
        status, text, tuple((name, _mask_secrets(value, options)) for name, value in decoded)
    )


def _mask_secrets(text: str, options: ConnectOptions) -> str:
    """Mask values of the request that the peer quotes, because they may be the key."""
    for secret in _secrets(options):
        text = text.replace(secret, MASK)
    return text


def _secrets(options: ConnectOptions) -> list[str]:
    """Return the values that may be secret, longest first.

    Short values are skipped: they are no keys, and masking them would only garble the text.
    """
    values = [value for _, value in options.headers]
    values += options.subprotocols
    values += secret_values(options.url)
    # "Bearer <key>" and "protocol.<key>" may be quoted without their first word.
    words = {part for value in values for part in (value, *re.split(r"[ .]", value, maxsplit=1))}
    return sorted(
        (word for word in words if len(word) >= _MIN_SECRET_LENGTH), key=len, reverse=True
    )
