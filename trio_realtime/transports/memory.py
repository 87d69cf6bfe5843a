"""An in-memory connection with two ends in one process, for tests and virtual time.

It implements :class:`~trio_realtime.transports.base.Transport` with the failure modes of a
WebSocket: a cancelled send breaks the connection, and a peer may disappear without a close frame or
never answer one. It uses no network and no clock other than trio's. It has no pings: a lost end is an
end that called ``drop``.
"""

from __future__ import annotations

from typing import final

import attrs
import trio

from .base import ABNORMAL, TransportClosed

__all__ = ["MemoryTransport", "memory_transport_pair"]

_TOO_BIG = 1009


def memory_transport_pair(
    *,
    max_messages: int = 1000,
    max_message_size: int = 32 * 1024 * 1024,
    close_timeout: float = 1.0,
) -> tuple[MemoryTransport, MemoryTransport]:
    """Create a connection and return its two ends.

    Args:
        max_messages: The number of messages to buffer per direction. ``send`` waits while the
            buffer is full.
        max_message_size: The maximum length of a message, in characters or bytes. A longer message
            ends the connection with code 1009.
        close_timeout: Seconds to wait for a peer that does not answer a close.
    """
    left_send, right_receive = trio.open_memory_channel[str | bytes](max_messages)
    right_send, left_receive = trio.open_memory_channel[str | bytes](max_messages)
    left, right = _Side(left_send, left_receive), _Side(right_send, right_receive)
    return (
        MemoryTransport(left, right, max_message_size, close_timeout),
        MemoryTransport(right, left, max_message_size, close_timeout),
    )


def _set_event() -> trio.Event:
    event = trio.Event()
    event.set()
    return event


@attrs.define(eq=False)
class _Side:
    """The state of one end.

    Attributes:
        close_status: The close code and reason that this end observed; ``None`` while open.
        answers_close: Set unless this end ignores the close of its peer.
    """

    outgoing: trio.MemorySendChannel[str | bytes]
    incoming: trio.MemoryReceiveChannel[str | bytes]
    close_status: tuple[int, str] | None = None
    answers_close: trio.Event = attrs.field(factory=_set_event)


@final
@attrs.frozen(eq=False, repr=False)
class MemoryTransport:
    """One end of an in-memory connection. Create a pair with :func:`memory_transport_pair`."""

    _local: _Side
    _peer: _Side
    _max_message_size: int
    _close_timeout: float

    async def send(self, text: str) -> None:
        """Send one text message; see :meth:`Transport.send`."""
        await self._send(text)

    async def send_bytes(self, data: bytes) -> None:
        """Send one binary message. The library never does so, but a peer may."""
        await self._send(data)

    async def receive(self) -> str | bytes:
        """Return the next message; see :meth:`Transport.receive`."""
        try:
            return await self._local.incoming.receive()
        except (trio.ClosedResourceError, trio.EndOfChannel):
            raise self._closed_error() from None

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close with this code and reason; see :meth:`Transport.aclose`."""
        with trio.move_on_after(self._close_timeout, shield=True):
            was_open = self._local.close_status is None
            self._close_side(code, reason)
            await trio.lowlevel.checkpoint()
            if was_open:
                await self._peer.answers_close.wait()

    def drop(self) -> None:
        """End the connection without a close frame, like a killed process or an unplugged cable.

        The peer still receives the messages sent before. Then both ends raise
        :class:`TransportClosed` with code 1006.
        """
        self._close_side(ABNORMAL, "")

    def ignore_close(self) -> None:
        """Never answer a close of the other end, so that its close takes ``close_timeout``."""
        self._local.answers_close = trio.Event()

    async def _send(self, message: str | bytes) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._local.close_status is not None:
            raise self._closed_error()
        if len(message) > self._max_message_size:
            reason = f"a message is longer than max_message_size ({self._max_message_size})"
            self._end_both_directions(_TOO_BIG, reason)
            raise self._closed_error()
        await self._put(message)

    async def _put(self, message: str | bytes) -> None:
        try:
            await self._local.outgoing.send(message)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            raise self._closed_error() from None
        except BaseException:
            # On a socket, a partial frame would have been written.
            self.drop()
            raise

    def _close_side(self, code: int, reason: str) -> None:
        self._end_both_directions(code, reason)
        self._local.incoming.close()

    def _end_both_directions(self, code: int, reason: str) -> None:
        """Stop sending in both directions. The first status wins; unread messages remain."""
        for side in (self._local, self._peer):
            side.close_status = side.close_status or (code, reason)
            side.outgoing.close()

    def _closed_error(self) -> TransportClosed:
        return TransportClosed(*(self._local.close_status or (ABNORMAL, "")))
