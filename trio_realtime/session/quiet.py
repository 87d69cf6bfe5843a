"""Wait until the agent has nothing more to say."""

from __future__ import annotations

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
    core, tools = runtime.core, runtime.tools
    while True:
        runtime.end.raise_if_set()
        if interruptions is not None and core.interruptions != interruptions:
            return False
        now = trio.current_time()
        quiet_at = core.playback.finishes_at(now) if heard else now
        is_quiet = core.is_quiet and tools.running_ids() <= ignored_calls
        if is_quiet and quiet_at <= now:
            return True
        with trio.move_on_at(quiet_at if is_quiet else float("inf")):
            await runtime.wait_change()
