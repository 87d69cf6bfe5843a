"""A nursery that does not wrap exceptions in groups, and tasks that start on demand.

This module imports nothing from the package.

Trio wraps exceptions that leave a nursery in an ExceptionGroup. :func:`open_bare_nursery` hides the
nursery from its caller: an exception of the block is raised unwrapped. A crash of a background task
is a bug in the library, so it is reported as one, with the whole group as its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Any, NoReturn, TypeAlias, cast, final

import trio

__all__ = [
    "OnDemandTask",
    "StartSoon",
    "leaves_of",
    "open_bare_nursery",
    "start_soon_in_this_context",
]

StartSoon: TypeAlias = Callable[..., None]
"""A function like :meth:`trio.Nursery.start_soon`."""


def open_bare_nursery(
    bug: Callable[[str], Exception],
) -> AbstractAsyncContextManager[trio.Nursery]:
    """Open a nursery that raises the block's own exception without wrapping it in a group.

    The nursery is cancelled whenever the block exits, so its tasks never outlive the block.

    Args:
        bug: Creates the exception to raise if a task of the nursery crashes.

    Raises:
        BaseException: The exception that the block raised, unchanged. A KeyboardInterrupt or
            SystemExit from a task is also raised unchanged.
        Exception: ``bug(message)`` if a task crashed, with the exception group as its cause.
    """
    return _BareNursery(bug)


@final
class _BareNursery(AbstractAsyncContextManager[trio.Nursery]):
    """The context manager of :func:`open_bare_nursery`. A generator would take more time and memory."""

    __slots__ = ("_bug", "_manager", "_nursery")

    def __init__(self, bug: Callable[[str], Exception]) -> None:
        self._bug = bug
        self._manager = trio.open_nursery()

    async def __aenter__(self) -> trio.Nursery:
        self._nursery = await self._manager.__aenter__()
        return self._nursery

    async def __aexit__(  # noqa: ASYNC910 - trio decides whether this is a checkpoint
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._nursery.cancel_scope.cancel(reason="the block of the nursery was left")
        try:
            return await self._manager.__aexit__(exc_type, exc, traceback)  # noqa: ASYNC102
        except BaseExceptionGroup as group:
            failure = _unwrapped(group, exc, self._bug)
            try:
                if failure is exc:
                    # Raises it as it is, with its traceback and its context.
                    return False  # noqa: ASYNC910 - trio decides whether this is a checkpoint
                if failure is group:
                    raise
                _raise_keeping_context(failure)
            finally:
                # An exception that its own traceback refers to is a cycle.
                del exc, failure, traceback


def start_soon_in_this_context(nursery: trio.Nursery) -> StartSoon:
    """Return a ``start_soon`` whose tasks inherit the context variables of this moment.

    A task inherits those of the task that starts it. That may be a tool of the user, for a task that
    starts only when it is needed.
    """
    context = copy_context()

    def start_soon(async_fn: Callable[..., Any], *args: Any, name: object = None) -> None:
        start: Callable[[], None] = partial(nursery.start_soon, async_fn, *args, name=name)
        context.run(start)

    return start_soon


@final
class OnDemandTask:
    """A task that starts when there is something for it to do. Many sessions never need it."""

    def __init__(self) -> None:
        self._start: Callable[[], None] | None = None
        self._is_started = False
        self._is_stopped = False

    def attach(self, start: Callable[[], None], *, is_needed: bool) -> None:
        """Start the task with this function: now if it is needed already, or at the next :meth:`start`."""
        self._start = start
        if is_needed:
            self.start()

    def start(self) -> bool:
        """Start the task once it can run.

        Returns:
            Whether it runs, or can still be attached; ``False`` after :meth:`stop`.
        """
        if not self._is_started and not self._is_stopped and self._start is not None:
            self._is_started = True
            self._start()
        return self._is_started or not self._is_stopped

    def stop(self) -> None:
        """Do not start the task any more. One that was started goes on."""
        self._is_stopped = True


def _unwrapped(
    group: BaseExceptionGroup[BaseException],
    block_exc: BaseException | None,
    bug: Callable[[str], Exception],
) -> BaseException:
    """Return what to raise instead of a group; the group itself if it has nothing but cancellations."""
    # Compare leaves, not groups: trio rebuilds groups when it removes a Cancelled from them.
    block_leaves = (
        {id(leaf) for leaf in leaves_of(block_exc)} if block_exc is not None else set[int]()
    )
    task_failures = [
        leaf
        for leaf in leaves_of(group)
        if id(leaf) not in block_leaves and not isinstance(leaf, trio.Cancelled)
    ]
    if not task_failures:
        return group if block_exc is None else block_exc
    exit_exc = _find_exit(group)
    if exit_exc is not None:
        return exit_exc
    crash = bug(f"a background task crashed: {task_failures[0]!r}")
    crash.__cause__ = group
    return crash


def leaves_of(exc: BaseException) -> Iterator[BaseException]:
    """Yield the leaves of an exception group in order, or the exception if it is not a group."""
    if isinstance(exc, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", exc).exceptions:
            yield from leaves_of(inner)
    else:
        yield exc


def _find_exit(exc: BaseException) -> BaseException | None:
    """Return the first KeyboardInterrupt or SystemExit, which is not a bug in any task."""
    exits = (leaf for leaf in leaves_of(exc) if isinstance(leaf, KeyboardInterrupt | SystemExit))
    return next(exits, None)


def _raise_keeping_context(exc: BaseException) -> NoReturn:
    # Raising inside ``except`` sets the context to the group, so restore the original context.
    context = exc.__context__
    try:
        raise exc
    finally:
        exc.__context__ = context
        del exc, context
