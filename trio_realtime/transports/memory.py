"""A wire without a socket: two ends in one process, for tests and for virtual time.

It keeps the promises of :class:`~trio_realtime.transports.base.Transport` the way a WebSocket does,
the unpleasant ones too: a send that is cancelled while it waits breaks the wire, a peer may die
without a close frame or never answer one. It touches no network and no clock but trio's.
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
    """Make two ends of one wire: what one sends the other receives.

    Args:
        max_messages: how many messages of one direction may be under way; then ``send`` waits.
        max_message_size: characters or bytes of one message; a longer one ends the wire with 1009.
        close_timeout: seconds that an end waits for a peer that does not answer its close.
    """
    there_send, there_receive = trio.open_memory_channel[str | bytes](max_messages)
    back_send, back_receive = trio.open_memory_channel[str | bytes](max_messages)
    near, far = _Side(there_send, back_receive), _Side(back_send, there_receive)
    return (
        MemoryTransport(near, far, max_message_size, close_timeout),
        MemoryTransport(far, near, max_message_size, close_timeout),
    )


def _set_event() -> trio.Event:
    event = trio.Event()
    event.set()
    return event


@attrs.define(eq=False)
class _Side:
    """What one end knows. ``end`` is the code and reason that ended the wire, as it saw them."""

    outgoing: trio.MemorySendChannel[str | bytes]
    incoming: trio.MemoryReceiveChannel[str | bytes]
    end: tuple[int, str] | None = None
    answers: trio.Event = attrs.field(factory=_set_event)


@final
@attrs.frozen(eq=False, repr=False)
class MemoryTransport:
    """One end of an in-memory wire. Made by :func:`memory_transport_pair`."""

    _own: _Side
    _peer: _Side
    _max_message_size: int
    _close_timeout: float

    async def send(self, text: str) -> None:
        """Send one text message; see :meth:`Transport.send`."""
        await self._send(text)

    async def send_bytes(self, data: bytes) -> None:
        """Send one binary message, which this library's own side never does but a peer may."""
        await self._send(data)

    async def receive(self) -> str | bytes:
        """Return the next message; see :meth:`Transport.receive`."""
        try:
            return await self._own.incoming.receive()
        except (trio.ClosedResourceError, trio.EndOfChannel):
            raise self._closed() from None

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close with this code and reason; see :meth:`Transport.aclose`."""
        with trio.move_on_after(self._close_timeout, shield=True):
            first = self._own.end is None
            self._leave(code, reason)
            await trio.lowlevel.checkpoint()
            if first:
                await self._peer.answers.wait()

    def drop(self) -> None:
        """Let the wire die without a close frame, as a killed process or a pulled cable does.

        The peer still receives what was sent before; then both ends raise
        :class:`TransportClosed` with code 1006.
        """
        self._leave(ABNORMAL, "")

    def ignore_close(self) -> None:
        """Never answer a close of the other end, which must then give up after its timeout."""
        self._own.answers = trio.Event()

    async def _send(self, message: str | bytes) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._own.end is not None:
            raise self._closed()
        if len(message) > self._max_message_size:
            self._finish(_TOO_BIG, "message too big")
            raise self._closed()
        await self._put(message)

    async def _put(self, message: str | bytes) -> None:
        try:
            await self._own.outgoing.send(message)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            raise self._closed() from None
        except BaseException:
            # A socket would now hold half a frame.
            self.drop()
            raise

    def _leave(self, code: int, reason: str) -> None:
        self._finish(code, reason)
        self._own.incoming.close()

    def _finish(self, code: int, reason: str) -> None:
        """End both directions; whoever ended first has named the cause. Unread messages stay."""
        for side in (self._own, self._peer):
            side.end = side.end or (code, reason)
            side.outgoing.close()

    def _closed(self) -> TransportClosed:
        return TransportClosed(*(self._own.end or (ABNORMAL, "")))
