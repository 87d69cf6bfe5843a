"""What the user's own code raises: tools, guardrails, hooks, and whatever else is asked for a word.

Any of it may be an exception that is no ``Exception`` (asyncio's ``CancelledError``, a panic of
another language), or one that cannot even say what it is. It is a failure all the same, to be told
and not to end anything; only cancellations and the end of the program go on their way.
"""

from __future__ import annotations

from typing import cast

import trio

_NO_FAILURES = (trio.Cancelled, KeyboardInterrupt, SystemExit, GeneratorExit)


def told_apart(exc: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """What of an exception is a failure, and what has to be raised again.

    Both, where a nursery of the user's had one of each.
    """
    if isinstance(exc, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", exc)
        ends, failures = group.split(_NO_FAILURES)
        return failures, ends
    return (None, exc) if isinstance(exc, _NO_FAILURES) else (exc, None)


def words(exc: BaseException) -> str:
    """An exception in a line."""
    try:
        return f"{type(exc).__name__}: {exc}"
    except trio.Cancelled:
        raise
    except BaseException as failure:
        _, end = told_apart(failure)
        if end is not None:
            raise
        return type(exc).__name__
