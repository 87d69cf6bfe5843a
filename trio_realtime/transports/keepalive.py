"""Answer the pings of a peer, and notice a peer that does not answer pings.

Both ends of a WebSocket use this. A :class:`Keepalive` sits between trio-websocket and its stream.

A ping is sent at each interval, also while messages arrive: proxies may measure the silence of each
direction, and only an answer shows that the peer receives something. After a message was sent, the next
ping follows within a quarter of the interval: messages of the peer that were on their way do not show
that it has received ours.

The peer is lost once it has been silent for the timeout after a ping. What ends the silence is
decided in :class:`UnansweredPing`.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import Final, Protocol, final

import attrs
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from ._ping_filter import PING, PingFilter

__all__ = ["Keepalive", "UnansweredPing"]

# Bytes written at once, so that progress on a slow link shows. TLS splits writes at this size too.
_WRITE_SIZE: Final = 16 * 1024

AFTER_MESSAGE: Final = 0.25
"""The part of the interval after which a ping follows a message that was sent."""

NO_MESSAGE: Final = 0x78
"""Bits that the first byte of a part of a message has not (RFC 6455, section 5.2).

Control frames have 0x08, and the upgrade begins with a letter, which has 0x40.
"""


@final
@attrs.define(eq=False)
class UnansweredPing:
    """A ping without an answer, and since when the peer has been silent. Performs no I/O.

    - A part of a message ends the silence: the answer may have to wait behind a large message. Pings
      and other pongs of the peer do not: they do not show that the peer receives anything.
    - Until the ping is written, a piece of the frames before it ends the silence too: the ping may
      have to wait behind a large message of ours. Later writes do not: buffers may take them.
    - Time in which this end does not read does not count: the answer may have arrived.

    Args:
        payload: The payload of the ping.
        timeout: Seconds of silence after which the peer is lost.
        silent_since: When the ping was due.
        paused_at: Since when this end does not read; ``None`` if it reads.
    """

    payload: bytes
    _timeout: float
    _silent_since: float
    _paused_at: float | None
    _is_written: bool = attrs.field(init=False, default=False)

    def received_message(self, now: float) -> None:
        """Note that a part of a message has arrived."""
        self._silent_since = now

    def wrote(self, now: float, *, is_ping: bool) -> None:
        """Note that the stream has accepted a piece of a frame."""
        if not self._is_written:
            self._silent_since = now
            self._is_written = is_ping

    def pause(self, now: float) -> None:
        """Note that this end stops reading."""
        self._paused_at = now

    def resume(self, now: float) -> None:
        """Note that this end reads again."""
        if self._paused_at is not None:
            self._silent_since += now - max(self._paused_at, self._silent_since)
            self._paused_at = None

    def next_check(self, now: float) -> float:
        """Return when :meth:`is_overdue` may become true."""
        return (now if self._paused_at is not None else self._silent_since) + self._timeout

    def is_overdue(self, now: float) -> bool:
        """Return whether the peer is lost."""
        return self._paused_at is None and now >= self._silent_since + self._timeout


class ReceivesSome(Protocol):
    """What is read from a stream."""

    async def receive_some(self, max_bytes: int | None = None, /) -> bytes | bytearray:
        """Receive data; see :meth:`trio.abc.ReceiveStream.receive_some`."""
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
        self._payloads = count()
        self._is_reading = False
        self._unanswered: UnansweredPing | None = None
        self._answered = trio.Event()
        self._sent_since_ping = trio.Event()

    # -- the stream ------------------------------------------------------------------------------

    async def receive_some(self, stream: ReceivesSome, max_bytes: int | None = None) -> bytes:
        """Receive bytes without pings. ``b""`` is the end of the stream."""
        self._is_reading = True
        if self._unanswered is not None:
            self._unanswered.resume(trio.current_time())
        try:
            while data := bytes(await stream.receive_some(max_bytes)):
                if rest := self.take(data):
                    return rest
            return b""
        finally:
            self._is_reading = False
            if self._unanswered is not None:
                self._unanswered.pause(trio.current_time())

    def take(self, data: bytes) -> bytes:
        """Return bytes that were received without their pings."""
        received = self._filter.feed(data)
        if received.ping is not None:
            with suppress(trio.WouldBlock):
                self._pings.receive_nowait()
            self._put_ping.send_nowait(received.ping)
        if self._unanswered is not None:
            if received.has_message:
                self._unanswered.received_message(trio.current_time())
            if self._unanswered.payload in received.pongs:
                self._answered.set()
        return received.rest

    async def send_all(
        self, stream: trio.abc.SendStream, data: bytes | bytearray | memoryview
    ) -> None:
        """Send one frame. If this is cancelled, a part of it may have been sent."""
        is_ping = bytes(data[:1]) == PING
        if data and not data[0] & NO_MESSAGE:
            self._sent_since_ping.set()
        await self.send_rest(stream, data, is_ping=is_ping)

    async def send_rest(
        self,
        stream: trio.abc.SendStream,
        data: bytes | bytearray | memoryview,
        *,
        is_ping: bool = False,
    ) -> None:
        """Send the rest of a frame whose beginning :meth:`wrote_message` has noted."""
        left = memoryview(data)
        while True:
            await stream.send_all(left[:_WRITE_SIZE])
            if self._unanswered is not None:
                self._unanswered.wrote(trio.current_time(), is_ping=is_ping)
            left = left[_WRITE_SIZE:]
            if not left:
                return

    def wrote_message(self) -> None:
        """Note that a message, or its beginning, was written to the stream."""
        self._sent_since_ping.set()
        if self._unanswered is not None:
            self._unanswered.wrote(trio.current_time(), is_ping=False)

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
        """Send pings until the peer does not answer one.

        Also returns if the connection was closed in order, but its reader has not ended in time.

        Args:
            websocket: The connection.
            nursery: Where pings are sent. Cancelling it breaks the connection, because a frame may
                be sent in part.
            interval: Seconds between pings; fewer if messages are sent.
            timeout: Seconds in which the peer has to answer.
        """
        while True:
            with trio.move_on_after(interval):
                await self._sent_since_ping.wait()
                await trio.sleep(interval * AFTER_MESSAGE)
            now = trio.current_time()
            payload = next(self._payloads).to_bytes(4)
            ping = UnansweredPing(payload, timeout, now, None if self._is_reading else now)
            self._unanswered, self._answered = ping, trio.Event()
            self._sent_since_ping = trio.Event()
            nursery.start_soon(_ping, websocket, payload)
            if not await self._wait_answer(websocket, ping):
                return
            self._unanswered = None

    async def _wait_answer(self, websocket: WebSocketConnection, ping: UnansweredPing) -> bool:
        """Wait for the answer to a ping. Return False if it is overdue."""
        while True:
            with trio.move_on_at(ping.next_check(trio.current_time())):
                await self._answered.wait()
            # If the program was blocked until now, the answer waits in the socket. The reader can run
            # before this task goes on.
            await trio.lowlevel.checkpoint()
            if self._answered.is_set():
                return True
            if websocket.closed is not None or ping.is_overdue(trio.current_time()):
                return False


async def _ping(websocket: WebSocketConnection, payload: bytes) -> None:
    await trio.lowlevel.checkpoint_if_cancelled()
    with suppress(ConnectionClosed):
        await websocket.ping(payload)
