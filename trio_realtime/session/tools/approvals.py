"""Calls that wait for approval, and decisions that hold for every later call of a tool.

A lasting decision holds for one tool, not for a name: another agent's tool with the same name may do
something else.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import attrs
import trio

from trio_realtime.errors import UsageError

from .slots import CallSlots


def _check_message(_decision: Decision, _: object, message: Any) -> None:
    if message is not None and not isinstance(message, str):
        raise UsageError(f"the message of a rejection must be a str, got {type(message).__name__}")


@attrs.frozen(kw_only=True)
class Decision:
    """The decision about a call. ``message`` is the text that the model is given for a rejection.

    Raises:
        UsageError: the message is not a str.
    """

    approved: bool
    message: str | None = attrs.field(default=None, validator=_check_message)


class _PendingApproval:
    """A call that waits for its decision."""

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.decided = trio.Event()
        self.decision: Decision | None = None

    def decide(self, decision: Decision) -> None:
        """Take a decision, unless there is one."""
        if self.decision is None:
            self.decision = decision
            self.decided.set()


class Approvals:
    """The pending approvals and the lasting decisions of a session.

    Args:
        slots: the slots of calls. A call that waits for its decision has none.
        timeout: seconds after which a call without a decision is rejected; ``None`` for no limit.
    """

    def __init__(self, slots: CallSlots, timeout: float | None = None) -> None:
        self._slots = slots
        self._timeout = math.inf if timeout is None else timeout
        self._pending: dict[str, _PendingApproval] = {}
        self._lasting: dict[Hashable, Decision] = {}

    def lasting_decision(self, key: Hashable) -> Decision | None:
        """Return the decision that holds for every call of a tool, ``None`` if there is none."""
        return self._lasting.get(key)

    @property
    def pending(self) -> tuple[str, ...]:
        """The ids of the calls that wait."""
        return tuple(self._pending)

    async def wait(self, call_id: str, key: Hashable) -> Decision:
        """Wait for the decision about a call, and then for a slot.

        A call without a decision in time is rejected.
        """
        pending = self._pending[call_id] = _PendingApproval(key)
        self._slots.give_back(call_id)
        try:
            with trio.move_on_after(self._timeout):
                await pending.decided.wait()
        finally:
            del self._pending[call_id]
        self._slots.request(call_id)
        await self._slots.wait(call_id)
        return pending.decision or Decision(
            approved=False, message=f"Nobody approved this call within {self._timeout:g} seconds."
        )

    def decide(self, call_id: str, decision: Decision, *, always: bool) -> bool:
        """Decide about a call. Returns whether it was waiting: the first decision counts.

        A lasting decision also decides about all calls of the tool that wait already.
        """
        pending = self._pending.get(call_id)
        if pending is None or pending.decision is not None:
            return False
        decided = [pending]
        if always:
            self._lasting[pending.key] = decision
            decided = [call for call in self._pending.values() if call.key == pending.key]
        for call in decided:
            call.decide(decision)
        return True
