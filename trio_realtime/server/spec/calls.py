"""Calling the functions of an application: sync ones in a thread, async ones directly."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

import trio

from trio_realtime.agents.contexts import maybe_await

__all__ = ["call_function", "spec_threads"]

_MAX_THREADS: Final = 40

_threads: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("spec threads")


def spec_threads() -> trio.CapacityLimiter:
    """Return the limiter for the threads that build agents.

    It is not trio's default one, so that slow builders cannot use up the threads of the application.
    """
    try:
        return _threads.get()
    except LookupError:
        limiter = trio.CapacityLimiter(_MAX_THREADS)
        _threads.set(limiter)
        return limiter


async def call_function(function: Callable[..., Any], *args: Any) -> Any:
    """Return what a function, sync or async, returns.

    A sync function runs in a thread, because it may block. If the call is cancelled, the thread is
    abandoned: it cannot be stopped.

    Raises:
        Exception: anything that the function raises.
    """
    if inspect.iscoroutinefunction(function):
        result = await function(*args)
        await trio.lowlevel.checkpoint()
        return result
    (result,) = await trio.to_thread.run_sync(
        _call_in_tuple, function, args, abandon_on_cancel=True, limiter=spec_threads()
    )
    # A plain function may return an awaitable: a partial, or an object with ``__call__``.
    return await maybe_await(result)


def _call_in_tuple(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any]:
    """Return the result in a tuple, because ``trio.to_thread.run_sync`` rejects coroutines."""
    return (function(*args),)
