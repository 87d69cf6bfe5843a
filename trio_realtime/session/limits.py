"""The one task that ends a session when it has reached a limit."""

from __future__ import annotations

from .end_call import ShutDown
from .quiet import finishes_in_time
from .runtime import SessionRuntime


async def end_at_limit(runtime: SessionRuntime, shut_down: ShutDown, grace: float) -> None:
    """Wait until a limit is reached, let the agent finish, and end the session.

    Args:
        runtime: the session's runtime.
        shut_down: closes the session.
        grace: seconds that the agent has to finish.
    """
    cause = await runtime.end.wait_requested()
    await finishes_in_time(runtime, grace)
    await shut_down(cause)
