"""Calls that wait for somebody to approve or reject them, and decisions that hold for good.

What holds for good holds for one tool, not for a name: another agent's tool of the same name may do
something else.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import attrs
import trio

from trio_realtime.errors import UsageError


def _check_message(_decision: Decision, _: object, message: Any) -> None:
    if message is not None and not isinstance(message, str):
        raise UsageError(f"what the model is told of a rejection is text, not {type(message)}")


@attrs.frozen(kw_only=True)
class Decision:
    """What was decided about a call. ``message`` is what the model is told of a rejection.

    Raises:
        UsageError: the message is no text.
    """

    approved: bool
    message: str | None = attrs.field(default=None, validator=_check_message)


class _PendingApproval:
    def __init__(self, tool: Hashable) -> None:
        self.tool = tool
        self.decided = trio.Event()
        self.decision: Decision | None = None


class Approvals:
    """See the module."""

    def __init__(self) -> None:
        self._parked: dict[str, _PendingApproval] = {}
        self._always: dict[Hashable, Decision] = {}

    def standing(self, tool: Hashable) -> Decision | None:
        """What was decided about a tool for good."""
        return self._always.get(tool)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Ids of the calls that wait."""
        return tuple(self._parked)

    async def wait(self, call_id: str, tool: Hashable) -> Decision:
        """Wait for the decision about a call."""
        parked = self._parked[call_id] = _PendingApproval(tool)
        try:
            await parked.decided.wait()
        finally:
            del self._parked[call_id]
        assert parked.decision is not None
        return parked.decision

    def decide(self, call_id: str, decision: Decision, *, always: bool) -> bool:
        """Decide about a call that waits. Returns whether it does: the first decision counts."""
        parked = self._parked.get(call_id)
        if parked is None or parked.decision is not None:
            return False
        if always:
            self._always[parked.tool] = decision
        parked.decision = decision
        parked.decided.set()
        return True
