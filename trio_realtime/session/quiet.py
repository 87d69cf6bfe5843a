"""Wait until the agent has nothing more to say."""

from __future__ import annotations

import math
from collections.abc import Set as AbstractSet

import trio

from .runtime import SessionRuntime


async def wait_quiet(
    runtime: SessionRuntime,
    *,
    heard: bool = True,
    ignored_calls: AbstractSet[str] = frozenset(),
    interruptions: int | None = None,
) -> bool:
    """Wait until no response runs or is requested, and no tool runs.

    Args:
        runtime: the session's runtime.
        heard: wait until all audio has been heard, too.
        ignored_calls: the ids of calls whose tools may run. The set may change meanwhile.
        interruptions: ``core.interruptions`` of a moment before; ``None`` to wait also if the agent is
            interrupted.

    Returns:
        bool: ``False`` as soon as the agent was interrupted after that moment.

    Raises:
        RealtimeError: the session ended first.
    """
    while True:
        runtime.end.raise_if_set()
        if interruptions is not None and runtime.core.interruptions != interruptions:
            return False
        quiet_at = _quiet_at(runtime, ignored_calls, heard=heard)
        if quiet_at <= trio.current_time():
            return True
        with trio.move_on_at(quiet_at):
            await runtime.wait_change()


async def finishes_in_time(runtime: SessionRuntime, timeout: float) -> bool:
    """Wait until the agent has nothing more to say and all of it was heard, or the session ends.

    Returns:
        bool: ``False`` if ``timeout`` seconds have passed or the session has ended before.
    """
    with trio.move_on_after(timeout):
        while not runtime.end.is_set:
            quiet_at = _quiet_at(runtime)
            if quiet_at <= trio.current_time():
                return True
            with trio.move_on_at(quiet_at):
                await runtime.wait_change()
    return False


def _quiet_at(
    runtime: SessionRuntime, ignored_calls: AbstractSet[str] = frozenset(), *, heard: bool = True
) -> float:
    """Return when it will be quiet, in seconds; ``math.inf`` if that is not known yet."""
    if not runtime.core.is_quiet or not runtime.tools.running_ids() <= ignored_calls:
        return math.inf
    now = trio.current_time()
    return runtime.core.playback.finishes_at(now) if heard else now
