"""A nursery that keeps out of the way of exceptions. Imports nothing of ours.

Trio wraps what leaves a nursery in an ExceptionGroup. A caller of :func:`open_bare_nursery` must
not see that there is a nursery at all: its own exception comes out bare, and so does a single
failure that the library meant to raise. Whatever else happens is a bug, and comes out as one, with
the whole group as its cause.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import NoReturn, cast

import trio

__all__ = ["leaves_of", "open_bare_nursery"]


@asynccontextmanager
async def open_bare_nursery(
    bug: Callable[[str], Exception],
) -> AsyncGenerator[trio.Nursery, None]:
    """Open a nursery whose block raises what the block itself raised, ungrouped.

    The nursery is cancelled when the block is left, on every path: its tasks are services of the
    block and end with it.

    Args:
        bug: makes the exception for the case that a task of the nursery crashed.

    Raises:
        BaseException: whatever the block raised, as it was.
        Exception: ``bug(message)`` from the group, when a task crashed.
    """
    own: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except BaseException as exc:
                own = exc
                raise
            finally:
                nursery.cancel_scope.cancel(reason="the block of the nursery was left")
    except BaseExceptionGroup as group:
        _raise_one(group, own, bug)


def _raise_one(
    group: BaseExceptionGroup[BaseException],
    own: BaseException | None,
    bug: Callable[[str], Exception],
) -> NoReturn:
    # By leaves: where there was a Cancelled, trio has split the group, and groups in it, anew.
    ours = {id(leaf) for leaf in leaves_of(own)} if own is not None else set[int]()
    foreign = [
        leaf
        for leaf in leaves_of(group)
        if id(leaf) not in ours and not isinstance(leaf, trio.Cancelled)
    ]
    if not foreign:
        if own is None:
            raise group
        _raise_keeping_context(own)
    stop = _find_exit(group)
    if stop is not None:
        _raise_keeping_context(stop)
    raise bug(f"a background task crashed: {foreign[0]!r}") from group


def leaves_of(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group, however deep, in order; of any other, the exception itself."""
    if isinstance(exc, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", exc).exceptions:
            yield from leaves_of(inner)
    else:
        yield exc


def _find_exit(exc: BaseException) -> BaseException | None:
    """The KeyboardInterrupt or SystemExit in it: nobody's bug, wherever it struck."""
    exits = (leaf for leaf in leaves_of(exc) if isinstance(leaf, KeyboardInterrupt | SystemExit))
    return next(exits, None)


def _raise_keeping_context(exc: BaseException) -> NoReturn:
    # Raising inside ``except`` would overwrite the context with the group: put it back.
    context = exc.__context__
    try:
        raise exc
    finally:
        exc.__context__ = context
        del exc, context
