"""Wake tasks when something changes: the primitive on which the two custom queues are built.

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

    A signal is on the path of every frame, and :class:`trio.lowlevel.ParkingLot` does more than this.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: dict[trio.lowlevel.Task, None] = {}  # in the order in which they began to wait

    def __len__(self) -> int:
        return len(self._tasks)

    async def wait(self) -> None:
        """Wait for the next change. Cancelling the wait has no effect on other waiters."""
        task = trio.lowlevel.current_task()
        self._tasks[task] = None

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            del self._tasks[task]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def notify(self) -> None:
        """Wake the task that has waited longest."""
        if self._tasks:
            task = next(iter(self._tasks))
            del self._tasks[task]
            trio.lowlevel.reschedule(task)

    def notify_all(self) -> None:
        """Wake every task that waits."""
        if self._tasks:
            tasks, self._tasks = self._tasks, {}
            for task in tasks:
                trio.lowlevel.reschedule(task)
