"""Wake tasks when something changes: the primitive on which the two custom queues are built.

Queues between tasks are trio memory channels, with two exceptions. The send queue is bounded in bytes,
and a frame leaves it only after it was written. An event channel loses audio from its middle on an
interruption. Neither fits a memory channel, which is bounded in items and first in, first out. Both keep
their items in a deque and use this class to wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


class ChangeSignal:
    """Tasks wait for a change; a change wakes them. A waiter checks its condition again in a loop.

    For example::

        while not queue:
            await changed.wait()

    Attributes:
        wait: waits for the next change. Cancelling the wait has no effect on other waiters.
        notify: wakes the task that has waited longest.
        notify_all: wakes every task that waits.
    """

    __slots__ = ("_waiting", "notify", "notify_all", "wait")

    def __init__(self) -> None:
        self._waiting = trio.lowlevel.ParkingLot()
        # Bound methods, because a signal is on the path of every frame.
        self.wait: Callable[[], Awaitable[None]] = self._waiting.park
        self.notify: Callable[[], object] = self._waiting.unpark
        self.notify_all: Callable[[], object] = self._waiting.unpark_all

    def __len__(self) -> int:
        return len(self._waiting)
