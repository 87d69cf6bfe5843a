"""Virtual time for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from trio.testing import MockClock

T = TypeVar("T")


def run_virtual(async_fn: Callable[..., Awaitable[T]], *args: object) -> T:
    """Call ``trio.run`` with a clock that jumps to the next deadline when all tasks are blocked.

    Use it only with in-memory transports. A task that waits for a socket or a thread counts as
    blocked, so the clock would advance while the task waits.

    Args:
        async_fn: The async function to run.
        *args: Its positional arguments.

    Returns:
        The return value of ``async_fn``. Its exceptions are propagated.
    """
    return trio.run(async_fn, *args, clock=MockClock(autojump_threshold=0))
