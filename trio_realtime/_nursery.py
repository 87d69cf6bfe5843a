"""A nursery that does not wrap exceptions in groups, and tasks that start on demand.

This module imports nothing from the package.

Trio wraps exceptions that leave a nursery in an ExceptionGroup. :func:`open_bare_nursery` hides the
nursery from its caller: an exception of the block is raised unwrapped. A crash of a background task
is a bug in the library, so it is reported as one, with the whole group as its cause.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from typing import Any, NoReturn, TypeAlias, cast

import trio

__all__ = ["StartSoon", "leaves_of", "open_bare_nursery", "start_soon_in_this_context"]

StartSoon: TypeAlias = Callable[..., None]
"""A function like :meth:`trio.Nursery.start_soon`."""


@asynccontextmanager
async def open_bare_nursery(
    bug: Callable[[str], Exception],
) -> AsyncGenerator[trio.Nursery, None]:
    """Open a nursery that raises the block's own exception without wrapping it in a group.

    The nursery is cancelled whenever the block exits, so its tasks never outlive the block.

    Args:
        bug: Creates the exception to raise if a task of the nursery crashes.

    Raises:
        BaseException: The exception that the block raised, unchanged. A KeyboardInterrupt or
            SystemExit from a task is also raised unchanged.
        Exception: ``bug(message)`` if a task crashed, with the exception group as its cause.
    """
    block_exc: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except BaseException as exc:
                block_exc = exc
                raise
            finally:
                nursery.cancel_scope.cancel(reason="the block of the nursery was left")
    except BaseExceptionGroup as group:
        _raise_unwrapped(group, block_exc, bug)


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


def _raise_unwrapped(
    group: BaseExceptionGroup[BaseException],
    block_exc: BaseException | None,
    bug: Callable[[str], Exception],
) -> NoReturn:
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
        if block_exc is None:
            raise group
        _raise_keeping_context(block_exc)
    exit_exc = _find_exit(group)
    if exit_exc is not None:
        _raise_keeping_context(exit_exc)
    raise bug(f"a background task crashed: {task_failures[0]!r}") from group


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
