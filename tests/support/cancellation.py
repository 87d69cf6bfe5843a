"""Something happens at the n-th step of a task, for every n."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import trio

MOST_STEPS = 200


class Steps(trio.abc.Instrument):
    """Does something once: when a task has done so many steps and waits in the last of them.

    With no steps, just before the task goes on.

    Attributes:
        was_reached: whether it has.
    """

    def __init__(
        self,
        steps: int,
        is_it: Callable[[trio.lowlevel.Task], bool],
        then: Callable[[], object],
    ) -> None:
        self.was_reached: bool = False
        self._left = steps
        self._is_it = is_it
        self._then = then

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._left == 0 and self._is_it(task):
            self._reach()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._left > 0 and self._is_it(task):
            self._left -= 1
            if self._left == 0:
                self._reach()

    def _reach(self) -> None:
        self._left = -1
        self.was_reached = True
        self._then()


@contextmanager
def watching(steps: Steps) -> Generator[Steps]:
    """Count for the time of a block."""
    trio.lowlevel.add_instrument(steps)
    try:
        yield steps
    finally:
        trio.lowlevel.remove_instrument(steps)


def of_this_task() -> Callable[[trio.lowlevel.Task], bool]:
    """Steps of the task that asks."""
    this = trio.lowlevel.current_task()
    return lambda task: task is this


def of_tool(name: str) -> Callable[[trio.lowlevel.Task], bool]:
    """Steps of the tasks of calls of this tool."""
    return lambda task: task.name.startswith(f"tool {name} ")


async def cancelled_after(steps: int, action: Callable[[], Awaitable[object]]) -> bool:
    """Do this until so many steps of it are done; 0 to cancel it before it begins.

    It has five seconds in all. Returns whether it came so far that it was cancelled.
    """
    scope = trio.move_on_after(5)
    counted = Steps(steps, of_this_task(), scope.cancel)
    with scope, watching(counted):
        if not steps:
            scope.cancel()
        await action()
    return not steps or counted.was_reached


async def for_every_step(attempt: Callable[[int], Awaitable[bool]], *, at_least: int) -> None:
    """Attempt with 0, 1, 2, ... until an attempt says that there are not so many steps."""
    for steps in range(MOST_STEPS):
        if not await attempt(steps):
            assert steps >= at_least, f"only {steps} steps were seen"
            return
    raise AssertionError("there is always one more step")
