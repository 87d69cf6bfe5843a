"""Runs blocking work in threads."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, TypeVar

import trio

T = TypeVar("T")

MAX_THREADS: Final = 8
"""Threads that recordings use at the same time. A disk does not get faster with more of them."""

_limiters: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("recording_limiter")


def default_limiter() -> trio.CapacityLimiter:
    """Return the limiter that all recordings of this run of trio share."""
    try:
        return _limiters.get()
    except LookupError:
        limiter = trio.CapacityLimiter(MAX_THREADS)
        _limiters.set(limiter)
        return limiter


async def run_steps(steps: Generator[Any, None, T], limiter: trio.CapacityLimiter) -> T:
    """Run a generator in threads, step by step, and return its result.

    Cancellation takes effect between two steps. The generator is closed in any case, so it can remove
    what it has written.
    """

    def step() -> tuple[T] | None:
        try:
            next(steps)
        except StopIteration as stop:
            return (stop.value,)
        return None

    try:
        while True:
            result = await trio.to_thread.run_sync(step, limiter=limiter)
            if result is not None:
                return result[0]
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(steps.close, limiter=limiter)
