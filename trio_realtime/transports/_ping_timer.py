"""Decide when pings are sent, and notice a peer that does not answer one.

Every WebSocket of this package has a :class:`PingTimer`, on both ends. Its owner reports what it reads and
writes, and sends the pings.

A ping is sent at each interval, also while messages arrive: proxies may measure the silence of each
direction, and only an answer shows that the peer receives something. After a message was sent, the next
ping follows within a quarter of the interval: messages of the peer that were on their way do not show
that it has received ours. It follows sooner on some connections than on others, so that many of them which begin
to send at the same time do not ping at the same time.

The peer is lost once it has been silent for the timeout after a ping. What ends the silence is
decided in :class:`UnansweredPing`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final, final

import attrs
import trio

__all__ = ["AFTER_MESSAGE", "PingTimer", "UnansweredPing"]

AFTER_MESSAGE: Final = 0.25
"""The part of the interval after which a ping follows a message that was sent."""


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


@final
class PingTimer:
    """The pings that one end of a connection sends."""

    def __init__(self) -> None:
        self._payloads = count()
        self._is_reading = False
        self._unanswered: UnansweredPing | None = None
        self._answered = trio.Event()
        # None once a message was sent, because this is on the path of every message.
        self._sent_since_ping: trio.Event | None = trio.Event()

    @property
    def is_waiting(self) -> bool:
        """Whether a ping has no answer yet. Only then, reports of messages and pongs matter."""
        return self._unanswered is not None

    def begin_reading(self) -> None:
        """Note that this end reads."""
        self._is_reading = True
        if self._unanswered is not None:
            self._unanswered.resume(trio.current_time())

    def end_reading(self) -> None:
        """Note that this end does not read any more."""
        self._is_reading = False
        if self._unanswered is not None:
            self._unanswered.pause(trio.current_time())

    def received_message(self) -> None:
        """Note that a part of a message has arrived."""
        if self._unanswered is not None:
            self._unanswered.received_message(trio.current_time())

    def received_pong(self, payload: bytes) -> None:
        """Note that a pong has arrived."""
        if self._unanswered is not None and self._unanswered.payload == payload:
            self._answered.set()

    def begin_message(self) -> None:
        """Note that this end sends a message."""
        if self._sent_since_ping is not None:
            self._sent_since_ping.set()
            self._sent_since_ping = None

    def wrote(self, *, is_ping: bool = False) -> None:
        """Note that the stream has accepted a piece of a frame."""
        if self._unanswered is not None:
            self._unanswered.wrote(trio.current_time(), is_ping=is_ping)

    async def wait_lost(
        self,
        send_ping: Callable[[bytes], Awaitable[None]],
        is_closed: Callable[[], bool],
        nursery: trio.Nursery,
        *,
        interval: float,
        timeout: float,
    ) -> None:
        """Send pings until the peer does not answer one.

        Also returns if the connection was closed in order, but its reader has not ended in time.

        Args:
            send_ping: Sends a ping with this payload. It runs in a task of its own.
            is_closed: Returns whether the connection is closed.
            nursery: Where pings are sent.
            interval: Seconds between pings; fewer if messages are sent.
            timeout: Seconds in which the peer has to answer.
        """
        # By the time of opening, not at random: simulations on a virtual clock repeat exactly.
        after_message = interval * AFTER_MESSAGE * (1 - trio.current_time() * 1000 % 1 / 2)
        while True:
            with trio.move_on_after(interval):
                if self._sent_since_ping is not None:
                    await self._sent_since_ping.wait()
                await trio.sleep(after_message)
            now = trio.current_time()
            payload = next(self._payloads).to_bytes(4)
            ping = UnansweredPing(payload, timeout, now, None if self._is_reading else now)
            self._unanswered, self._answered = ping, trio.Event()
            self._sent_since_ping = trio.Event()
            nursery.start_soon(send_ping, payload)
            if not await self._wait_answer(ping, is_closed):
                return
            self._unanswered = None

    async def _wait_answer(self, ping: UnansweredPing, is_closed: Callable[[], bool]) -> bool:
        """Wait for the answer to a ping. Return False if it is overdue."""
        while True:
            with trio.move_on_at(ping.next_check(trio.current_time())):
                await self._answered.wait()
            # If the program was blocked until now, the answer waits in the socket. The reader can run
            # before this task goes on.
            await trio.lowlevel.checkpoint()
            if self._answered.is_set():
                return True
            if is_closed() or ping.is_overdue(trio.current_time()):
                return False
