"""The default transport: trio-websocket, with its sharp edges covered.

What trio-websocket does on its own, and what is done about it here:

- A send cancelled in mid-frame leaves it "open" with half a frame on the wire: :class:`_GuardedStream`, the
  stream that it is given, drops the socket instead.
- A server that hangs up during the handshake leaves it waiting for ever: the tap notices.
- Its reader task raises in the nursery that it is given (a refusal; a ping that meets our close):
  that nursery is private, and what leaves it becomes a plain exception or a closed transport.
- Leaving waits 60 s for a peer that answers no close, and not at all when cancelled: here a
  shielded close handshake of ``close_timeout``, then the socket goes.
- It answers pings only while its queue of messages has room: keep receiving.
- A message over the limit ends the connection with 1009, and takes what was not yet received with
  it. A task that keeps receiving loses nothing.
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
    resource,
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

# Enough that pings are answered while the receiving task is busy with a burst.
_QUEUED_MESSAGES = 64
_MAX_HEAD = 64 * 1024
_MAX_BODY = 4096
_SHORTEST_SECRET = 8
_HEAD_END = b"\r\n\r\n"


@asynccontextmanager
async def connect_trio_websocket(dial: ConnectOptions) -> AsyncGenerator[Transport, None]:
    """Open a WebSocket for the time of the block.

    Leaving the block closes with code 1000 within ``dial.close_timeout`` and drops the socket,
    whatever the peer does and also when cancelled. What the block raised comes out as it was.

    Raises:
        HandshakeRejected: the server answered with an HTTP status; its body says why.
        TransportConnectTimeout: ``dial.connect_timeout`` was over. Trying again may help.
        TransportConnectError: no connection; the message says at which step.
    """
    async with open_bare_nursery(TransportError) as nursery:
        link = await _dial(nursery, dial)
        try:
            yield link
        finally:
            await link.aclose()


async def _dial(nursery: trio.Nursery, dial: ConnectOptions) -> _TrioWebSocketTransport:
    try:
        with trio.fail_after(dial.connect_timeout):
            stream = await open_stream(dial)
            return cast("_TrioWebSocketTransport", await nursery.start(_run_link, dial, stream))
    except trio.TooSlowError:
        raise TransportConnectTimeout(f"no connection within {dial.connect_timeout:g} s") from None


async def _run_link(
    dial: ConnectOptions,
    stream: ByteStream,
    *,
    task_status: trio.TaskStatus[_TrioWebSocketTransport],
) -> None:
    """Hold trio-websocket's reader for the life of one connection."""
    link = _TrioWebSocketTransport(dial, stream)
    refusal: TransportError | None = None
    with link.service:
        try:
            async with trio.open_nursery() as nursery:
                await link.shake_hands(nursery)
                # A cancelled ``started`` would leave the shielded reader to a caller that waits.
                await trio.lowlevel.checkpoint_if_cancelled()
                link.service.shield = True
                task_status.started(link)
        except BaseExceptionGroup as group:
            refusal = link.settle(group)
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
    if refusal is not None:
        # Out here, so that it has no context: the group may quote what the server quoted of us.
        raise refusal


class _HandshakeEnded(Exception):
    """The server went away, or talked on and on, before the upgrade. Carries what it said."""

    def __init__(self, said: bytes) -> None:
        super().__init__("the server ended the handshake")
        self.said = said


@final
@attrs.define(eq=False, repr=False)
class _GuardedStream:
    """The byte stream as trio-websocket sees it: it breaks for good where a frame was cut.

    It has as much of a stream as trio-websocket uses.
    Until the upgrade it keeps what the server said (at most ``_MAX_HEAD`` and one read more).
    """

    _inner: ByteStream
    _said: bytearray | None = attrs.field(init=False, factory=bytearray)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        # Cancelled here, nothing was written and nothing is broken.
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            await self._inner.send_all(data)
        except BaseException as exc:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._inner)
            if isinstance(exc, trio.BrokenResourceError):
                self._note(b"")
            raise

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._inner.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self._note(b"")
            raise
        if self._said is not None:
            self._note(data)
        return data

    async def aclose(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._inner)

    def _note(self, data: bytes | bytearray) -> None:
        if self._said is None:
            return
        self._said += data
        if _is_upgrade(self._said):
            self._said = None
        elif not data or len(self._said) > _MAX_HEAD:
            raise _HandshakeEnded(bytes(self._said))


def _is_upgrade(said: bytearray) -> bool:
    return re.match(rb"HTTP/1\.\d 101\b", said) is not None and _HEAD_END in said


@final
@attrs.define(eq=False, repr=False)
class _TrioWebSocketTransport:
    """One connection: the transport that the block gets, and the scope its reader lives in."""

    _dial: ConnectOptions
    _stream: ByteStream
    service: trio.CancelScope = attrs.field(init=False, factory=trio.CancelScope)
    _ws: WebSocketConnection = attrs.field(init=False)
    _closing: trio.Lock = attrs.field(init=False, factory=trio.Lock)
    _own_end: tuple[int, str] | None = attrs.field(init=False, default=None)
    _crash: BaseException | None = attrs.field(init=False, default=None)

    async def shake_hands(self, nursery: trio.Nursery) -> None:
        self._ws = await wrap_client_stream(
            nursery,
            # The annotation names the two kinds that trio-websocket opens itself.
            cast("trio.SocketStream", _GuardedStream(self._stream)),
            host_header(self._dial),
            resource(self._dial),
            subprotocols=self._dial.subprotocols,
            extra_headers=request_headers(self._dial),
            message_queue_size=_QUEUED_MESSAGES,
            max_message_size=self._dial.max_message_size,
            receive_buffer_size=None,
        )

    def settle(self, group: BaseExceptionGroup[BaseException]) -> TransportError | None:
        """Judge what left the reader's nursery: not ours, a refused connection, or its end."""
        failures, others = group.split(Exception)
        if others is not None:
            raise others
        if not self.service.shield:
            return _explain(next(leaves_of(group)), self._dial)
        self._crash = failures
        return None

    async def send(self, text: str) -> None:
        try:
            await self._ws.send_message(text)
        except ConnectionClosed:
            raise self._closed() from self._crash

    async def receive(self) -> str | bytes:
        try:
            return await self._ws.get_message()
        except ConnectionClosed:
            raise self._closed() from self._crash

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        with trio.move_on_after(self._dial.close_timeout, shield=True):
            # A second caller waits for the handshake of the first.
            async with self._closing:
                if self._ws.closed is None and self._own_end is None:
                    self._own_end = code, reason
                await self._ws.aclose(code, reason or None)
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)
        self.service.cancel(reason="the transport was closed")

    def _closed(self) -> TransportClosed:
        code, reason = self._own_end or self._seen_end()
        return TransportClosed(code, _scrub(reason, self._dial))

    def _seen_end(self) -> tuple[int, str]:
        seen = self._ws.closed
        return (ABNORMAL, "") if seen is None else (int(seen.code), seen.reason or "")


def _explain(exc: BaseException, dial: ConnectOptions) -> TransportError:
    match exc:
        case ConnectionRejected():
            return _rejection(exc.status_code, exc.headers, exc.body or b"", dial)
        case _HandshakeEnded():
            return _explain_end(exc.said, dial)
        case _:
            # No details: they could quote the request, so its key.
            return TransportConnectError(f"no WebSocket at the other end ({type(exc).__name__})")


def _explain_end(said: bytes, dial: ConnectOptions) -> TransportError:
    """An answer without a length, or one too long, still has a status."""
    head, _, body = said.partition(_HEAD_END)
    status = re.match(rb"HTTP/1\.\d ([2-5]\d\d)\b", head)
    if status is None:
        return TransportConnectError("the server closed the connection during the handshake")
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return _rejection(int(status[1]), headers, body, dial)


def _rejection(
    status: int, headers: tuple[tuple[bytes, bytes], ...], body: bytes, dial: ConnectOptions
) -> HandshakeRejected:
    text = _scrub(body.decode("utf-8", "replace"), dial)[:_MAX_BODY]
    plain = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
    return HandshakeRejected(
        status, text, tuple((name, _scrub(value, dial)) for name, value in plain)
    )


def _scrub(text: str, dial: ConnectOptions) -> str:
    """Mask what the peer quotes of our own headers, subprotocols and query: it may be the key."""
    for secret in _secrets(dial):
        text = text.replace(secret, MASK)
    return text


def _secrets(dial: ConnectOptions) -> list[str]:
    """The longest first; what is shorter than a key can be would only garble the text."""
    said = [value for _, value in dial.headers]
    said += dial.subprotocols
    said += secret_values(dial.url)
    # "Bearer <key>" and "protocol.<key>" may be quoted without their first word.
    words = {part for value in said for part in (value, *re.split(r"[ .]", value, maxsplit=1))}
    return sorted((word for word in words if len(word) >= _SHORTEST_SECRET), key=len, reverse=True)
