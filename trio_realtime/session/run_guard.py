"""A session belongs to one trio run, in one thread."""

from __future__ import annotations

import trio

from trio_realtime.errors import UsageError


class RunGuard:
    """Refuses the use of a session from another thread or another trio run.

    Trio's objects are not thread-safe: a foreign task that waits in one of them breaks both runs.
    """

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()

    def check(self) -> None:
        """Check that the caller runs in the session's trio run.

        Raises:
            UsageError: it does not. Nothing has changed.
        """
        try:
            token = trio.lowlevel.current_trio_token()
        except RuntimeError:
            token = None  # this thread runs no trio
        if token is not self._token:
            raise UsageError(
                "the session belongs to another trio run: call its methods from the thread that opened "
                "it, for example with trio.from_thread.run or trio.from_thread.run_sync"
            )
