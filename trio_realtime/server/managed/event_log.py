"""The latest events of a session, for clients that read at their own pace.

The session appends, and never waits. Each client has a cursor: a client that reads slowly delays nobody,
and one that was away goes on where it stopped. What a client has not read when the log drops it is
reported to that client as :class:`EventsMissed`.
"""

from __future__ import annotations

from collections import deque
from typing import Final, final

import attrs
import trio

from trio_realtime.errors import UsageError
from trio_realtime.server.rpc import RpcEvent
from trio_realtime.server.rpc.json_size import json_size

__all__ = ["EventLog", "EventReader", "EventsMissed"]

#: What an event costs apart from its audio and what is in its data.
_EVENT_SIZE: Final = 500


@attrs.frozen
class EventsMissed:
    """Events that a client did not read before the log dropped them.

    Attributes:
        first, last: the ``seq`` of the first and of the last of them.
    """

    first: int
    last: int


@final
class EventLog:
    """The latest events of a session.

    Args:
        max_events: events that are available to clients; older ones are dropped.
        max_bytes: their size, audio included.
        last_seq: the ``seq`` of the last event of an earlier run of the same session.
    """

    def __init__(
        self,
        *,
        max_events: int = 16_384,
        max_bytes: int = 16 * 1024 * 1024,
        last_seq: int = 0,
    ) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: deque[tuple[RpcEvent, int]] = deque()
        self._bytes = 0
        self._last_seq = last_seq
        self._is_complete = False
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def first_seq(self) -> int:
        """The ``seq`` of the oldest event that is available, or of the next event if there is none."""
        return self._events[0][0].seq if self._events else self._last_seq + 1

    @property
    def last_seq(self) -> int:
        """The ``seq`` of the latest event; 0 if there was none."""
        return self._last_seq

    def append(self, event: RpcEvent) -> None:
        """Add the next event, and wake the readers that wait for it."""
        size = _size_of(event)
        self._events.append((event, size))
        self._bytes += size
        self._last_seq = event.seq
        while len(self._events) > self._max_events or self._bytes > self._max_bytes:
            self._bytes -= self._events.popleft()[1]
        self._changed.unpark_all()

    def finish(self) -> None:
        """Let the readers end after the last event."""
        self._is_complete = True
        self._changed.unpark_all()

    def read(self, after: int | None = None) -> EventReader:
        """Return a reader.

        Args:
            after: the ``seq`` of the last event that the client has; 0 for all that are available, and
                ``None`` for later events only.

        Raises:
            UsageError: the number is negative, or larger than that of the latest event.
        """
        if after is None:
            after = self._last_seq
        if not 0 <= after <= self._last_seq:
            raise UsageError(
                f"events after {after} were requested, and the latest one is {self._last_seq}"
            )
        return EventReader(self, after)

    def item_after(self, seq: int) -> RpcEvent | EventsMissed | None:
        """Return what a reader gets after this event; ``None`` if there is nothing yet."""
        if seq >= self._last_seq:
            return None
        first = self.first_seq
        if seq + 1 < first:
            return EventsMissed(seq + 1, first - 1)
        return self._events[seq + 1 - first][0]

    async def wait(self) -> None:
        """Wait for the next event, or for the end."""
        await self._changed.park()

    @property
    def is_complete(self) -> bool:
        """Whether no event will follow."""
        return self._is_complete


@final
class EventReader:
    """Reads the events of a log in order. Only one task may read at a time.

    Attributes:
        position: the ``seq`` of the last event that was read.
    """

    def __init__(self, log: EventLog, after: int) -> None:
        self._log = log
        self.position: int = after

    @property
    def waiting(self) -> int:
        """How many events were not read yet, dropped ones included."""
        return self._log.last_seq - self.position

    def __aiter__(self) -> EventReader:
        return self

    async def __anext__(self) -> RpcEvent | EventsMissed:
        """Return the next event, or how many were missed. Ends after the last event of the session.

        Cancelling the wait loses no event.
        """
        has_waited = False
        while (found := self._log.item_after(self.position)) is None and not self._log.is_complete:
            await self._log.wait()
            has_waited = True
        if not has_waited:
            await trio.lowlevel.checkpoint()
        if found is None:
            raise StopAsyncIteration
        self.position = found.last if isinstance(found, EventsMissed) else found.seq
        return found


def _size_of(event: RpcEvent) -> int:
    size = _EVENT_SIZE + len(event.audio or b"")
    return size + sum(
        json_size(value)
        for value in event.data.values()
        if isinstance(value, str | dict | list | tuple)
    )
