"""A session belongs to one trio run, in one thread."""

from __future__ import annotations

from collections.abc import Callable

import trio

from trio_realtime.errors import UsageError


class RunGuard:
    """Refuses the use of a session from another thread or another trio run.

    Trio's objects are not thread-safe: a foreign task that waits in one of them breaks both runs.

    Args:
        token: the token of the session's run; by default, of the current one.
    """

    def __init__(self, token: trio.lowlevel.TrioToken | None = None) -> None:
        self._token = trio.lowlevel.current_trio_token() if token is None else token
        # The last task that was checked: a task belongs to one run, and asking for it is quicker.
        self._task: trio.lowlevel.Task | None = None

    def new_check(self) -> Callable[[], None]:
        """Return a :meth:`check` for callers that are usually one task, which it remembers."""
        return RunGuard(self._token).check

    def check(self) -> None:
        """Check that the caller runs in the session's trio run.

        Raises:
            UsageError: it does not. Nothing has changed.
        """
        try:
            task = trio.lowlevel.current_task()
        except RuntimeError:
            task = None  # this thread runs no trio, or the caller is not in a task
        if task is None or task is not self._task:
            self._check_run()
            self._task = task

    def _check_run(self) -> None:
        try:
            token = trio.lowlevel.current_trio_token()
        except RuntimeError:
            token = None
        if token is not self._token:
            raise UsageError(
                "the session belongs to another trio run: call its methods from the thread that opened "
                "it, for example with trio.from_thread.run or trio.from_thread.run_sync"
            )
