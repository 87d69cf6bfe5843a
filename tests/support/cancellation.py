"""Run an action at the n-th step of a task, for every n."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import trio

MAX_STEPS = 200


class StepTrigger(trio.abc.Instrument):
    """A trio instrument that runs an action once, after the n-th step of a task.

    Args:
        steps: The number of steps. With 0, the action runs before the next step.
        matches: Whether to count the steps of this task.
        action: The action to run.

    Attributes:
        was_reached: Whether the action has run.
    """

    def __init__(
        self,
        steps: int,
        matches: Callable[[trio.lowlevel.Task], bool],
        action: Callable[[], object],
    ) -> None:
        self.was_reached: bool = False
        self._remaining = steps
        self._matches = matches
        self._action = action

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._remaining == 0 and self._matches(task):
            self._run_action()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._remaining > 0 and self._matches(task):
            self._remaining -= 1
            if self._remaining == 0:
                self._run_action()

    def _run_action(self) -> None:
        self._remaining = -1
        self.was_reached = True
        self._action()


@contextmanager
def installed(steps: StepTrigger) -> Generator[StepTrigger]:
    """Install the instrument for the duration of a block."""
    trio.lowlevel.add_instrument(steps)
    try:
        yield steps
    finally:
        trio.lowlevel.remove_instrument(steps)


def matches_current_task() -> Callable[[trio.lowlevel.Task], bool]:
    """Match the current task."""
    current = trio.lowlevel.current_task()
    return lambda task: task is current


def matches_tool(name: str) -> Callable[[trio.lowlevel.Task], bool]:
    """Match the tasks that run calls of this tool."""
    return lambda task: task.name.startswith(f"tool {name} ")


async def cancel_after_steps(steps: int, action: Callable[[], Awaitable[object]]) -> bool:
    """Run an action and cancel it after some steps; 0 cancels it before it starts.

    The action also has a timeout of 5 seconds. Returns whether it took that many steps.
    """
    scope = trio.move_on_after(5)
    counted = StepTrigger(steps, matches_current_task(), scope.cancel)
    with scope, installed(counted):
        if not steps:
            scope.cancel()
        await action()
    return not steps or counted.was_reached


async def for_every_step(attempt: Callable[[int], Awaitable[bool]], *, at_least: int) -> None:
    """Call ``attempt`` with 0, 1, 2, ... until it returns False: there were fewer steps."""
    for steps in range(MAX_STEPS):
        if not await attempt(steps):
            assert steps >= at_least, f"there were only {steps} steps"
            return
    raise AssertionError(f"there were more than {MAX_STEPS} steps")
