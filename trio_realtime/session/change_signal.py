"""Wake tasks when something changes: the primitive under the two hand-written queues.

Queues between tasks are trio memory channels, with two exceptions. The send queue is bounded in bytes,
and a frame leaves it only after it was written. An event channel loses audio from its middle on an
interruption. Neither fits a memory channel, which is bounded in items and first in, first out. Both keep
their items in a deque and use this class to wait.
"""

from __future__ import annotations

import trio


class ChangeSignal:
    """Tasks wait for a change; a change wakes them. A waiter checks its condition again in a loop.

    For example::

        while not queue:
            await changed.wait()
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self) -> None:
        """Wait for the next change. Cancelling the wait has no effect on other waiters."""
        await self._waiting.park()

    def notify(self) -> None:
        """Wake the task that has waited longest."""
        self._waiting.unpark()

    def notify_all(self) -> None:
        """Wake every task that waits."""
        self._waiting.unpark_all()
