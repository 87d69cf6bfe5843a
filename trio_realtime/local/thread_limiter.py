"""Limit work in threads to one thread at a time."""

from __future__ import annotations

import trio

__all__ = ["ThreadLimiter"]


class ThreadLimiter:
    """Limits one kind of work to one thread at a time, separately in each trio run.

    Args:
        name: the name of the work, for debugging.
    """

    def __init__(self, name: str) -> None:
        self._limiter: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar(name)

    def get(self) -> trio.CapacityLimiter:
        """Return the limiter of this trio run."""
        try:
            return self._limiter.get()
        except LookupError:
            limiter = trio.CapacityLimiter(1)
            self._limiter.set(limiter)
            return limiter
