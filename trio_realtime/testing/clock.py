"""Virtual time: minutes of a conversation in milliseconds, and the same each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from trio.testing import MockClock

T = TypeVar("T")


def run_virtual(async_fn: Callable[..., Awaitable[T]], *args: object) -> T:
    """``trio.run`` on a clock that jumps to the next deadline whenever all tasks wait.

    Use it with in-memory transports only: waiting for a socket or a thread looks like waiting for
    nothing, and the clock would run away meanwhile.
    """
    return trio.run(async_fn, *args, clock=MockClock(autojump_threshold=0))
