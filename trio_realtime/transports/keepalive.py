"""Answer the pings of a peer, and notice a peer that does not answer pings.

Both ends of a WebSocket of trio-websocket use this. A :class:`Keepalive` sits between trio-websocket and
its stream. A :class:`.PingTimer` decides about our own pings.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final, Protocol, Self, final

import attrs
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from ._buffered_stream import BufferedStream
from ._byte_streams import WRITE_SIZE, byte_stream_of
from ._http import ReceivesSome
from ._ping_filter import PING, PingFilter
from ._ping_timer import PingTimer
from ._streams import closed_on_error

__all__ = ["Keepalive", "KeepaliveStream"]

NO_MESSAGE: Final = 0x78
"""Bits that the first byte of a part of a message has not (RFC 6455, section 5.2).

Control frames have 0x08, and the upgrade begins with a letter, which has 0x40.
"""


class SendsAll(Protocol):
    """What frames are written to."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of the data."""
        ...


@final
class Keepalive:
    """The pings of one connection, in both directions.

    Args:
        masked: Whether the peer masks its frames, as a client does.
    """

    def __init__(self, *, masked: bool) -> None:
        self._filter = PingFilter(masked)
        # Only the last ping needs an answer (RFC 6455, section 5.5.3).
        self._put_ping, self._pings = trio.open_memory_channel[bytes](1)
        self._timer = PingTimer()

    # -- the stream ------------------------------------------------------------------------------

    async def receive_some(self, stream: ReceivesSome, max_bytes: int | None = None) -> bytes:
        """Receive bytes without pings. ``b""`` is the end of the stream."""
        self._timer.begin_reading()
        try:
            while data := bytes(await stream.receive_some(max_bytes)):
                if rest := self.take(data):
                    return rest
            return b""
        finally:
            self._timer.end_reading()

    def take(self, data: bytes) -> bytes:
        """Return bytes that were received without their pings."""
        received = self._filter.feed(data)
        if received.ping is not None:
            with suppress(trio.WouldBlock):
                self._pings.receive_nowait()
            self._put_ping.send_nowait(received.ping)
        if self._timer.is_waiting:
            if received.has_message:
                self._timer.received_message()
            for payload in received.pongs:
                self._timer.received_pong(payload)
        return received.rest

    async def send_all(self, stream: SendsAll, data: bytes | bytearray | memoryview) -> None:
        """Send one frame. If this is cancelled, a part of it may have been sent."""
        is_ping = bytes(data[:1]) == PING
        if data and not data[0] & NO_MESSAGE:
            self.begin_message()
        left = memoryview(data)
        while True:
            await stream.send_all(left[:WRITE_SIZE])
            self._timer.wrote(is_ping=is_ping)
            left = left[WRITE_SIZE:]
            if not left:
                return

    def begin_message(self) -> None:
        """Note that a message is written to the stream."""
        self._timer.begin_message()

    def wrote(self) -> None:
        """Note that the stream has accepted a piece of a frame."""
        self._timer.wrote()

    # -- the tasks -------------------------------------------------------------------------------

    async def send_pongs(self, websocket: WebSocketConnection) -> None:
        """Answer pings until the connection is closed."""
        while True:
            payload = await self._pings.receive()
            try:
                await websocket.pong(payload)
            except ConnectionClosed:
                return

    async def wait_lost(
        self,
        websocket: WebSocketConnection,
        nursery: trio.Nursery,
        *,
        interval: float,
        timeout: float,
    ) -> None:
        """Send pings until the peer does not answer one; see :meth:`.PingTimer.wait_lost`.

        Args:
            websocket: The connection.
            nursery: Where pings are sent. Cancelling it breaks the connection, because a frame may
                be sent in part.
            interval: Seconds between pings; fewer if messages are sent.
            timeout: Seconds in which the peer has to answer.
        """
        await self._timer.wait_lost(
            partial(_ping, websocket),
            lambda: websocket.closed is not None,
            nursery,
            interval=interval,
            timeout=timeout,
        )


async def _ping(websocket: WebSocketConnection, payload: bytes) -> None:
    await trio.lowlevel.checkpoint_if_cancelled()
    with suppress(ConnectionClosed):
        await websocket.ping(payload)


@attrs.define(eq=False, repr=False)
class KeepaliveStream:
    """A byte stream whose pings a :class:`Keepalive` takes out, and which can write without waiting.

    It implements the stream methods that trio-websocket calls.
    """

    _inner: BufferedStream
    _keepalive: Keepalive

    def __attrs_post_init__(self) -> None:
        self._inner.on_write = self._keepalive.wrote

    @classmethod
    def of(cls, stream: trio.abc.Stream, keepalive: Keepalive) -> Self:
        """Return the stream of an accepted connection."""
        return cls(BufferedStream(byte_stream_of(stream)), keepalive)

    @property
    def writes_at_once(self) -> bool:
        """Whether :meth:`write_now` may be called: it is a socket, and nothing else waits."""
        return self._inner.writes_at_once

    @property
    def has_rest(self) -> bool:
        """Whether a part of what was written is still in the buffer."""
        return self._inner.has_rest

    def write_now(self, frame: bytes) -> None:
        """Write a message without waiting, as far as the operating system takes it."""
        self._keepalive.begin_message()
        self._inner.push(frame)

    async def write_rest(self) -> None:
        """Write what :meth:`write_now` has left. If this is cancelled, the stream is closed."""
        async with closed_on_error(self._inner):
            await self._inner.flush()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send one frame. If this is cancelled after its first byte, the stream is closed."""
        # Cancellation at this point has written nothing, so the stream stays intact.
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.has_rest:
            await self.write_rest()
        async with closed_on_error(self._inner):
            await self._keepalive.send_all(self._inner, data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive data without pings; see :meth:`trio.abc.ReceiveStream.receive_some`."""
        return await self._keepalive.receive_some(self._inner, max_bytes)

    async def aclose(self) -> None:
        """Close the stream at once."""
        await self._inner.aclose()
