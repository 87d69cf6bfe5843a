"""Calls that wait for somebody to approve or reject them, and decisions that hold for good."""

from __future__ import annotations

import attrs
import trio


@attrs.frozen(kw_only=True)
class Decision:
    """What was decided about a call. ``message`` is what the model is told of a rejection."""

    approved: bool
    message: str | None = None


class _Parked:
    def __init__(self, tool_name: str) -> None:
        self.tool_name = tool_name
        self.decided = trio.Event()
        self.decision: Decision | None = None


class Approvals:
    """See the module."""

    def __init__(self) -> None:
        self._parked: dict[str, _Parked] = {}
        self._always: dict[str, Decision] = {}

    def standing(self, tool_name: str) -> Decision | None:
        """What was decided about a tool for good."""
        return self._always.get(tool_name)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Ids of the calls that wait."""
        return tuple(self._parked)

    async def wait(self, call_id: str, tool_name: str) -> Decision:
        """Wait for the decision about a call."""
        parked = self._parked[call_id] = _Parked(tool_name)
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
            self._always[parked.tool_name] = decision
        parked.decision = decision
        parked.decided.set()
        return True
