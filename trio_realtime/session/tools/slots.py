"""Limit how many calls are carried out at once; the others wait in order.

A call has a slot while it is carried out: while its conditions, guardrails and tool run, also after an
early answer. While a call waits for a decision about it, another call may use its slot.
"""

from __future__ import annotations

import math

import trio


class CallSlots:
    """The slots of a session. Not a limiter of trio: calls wait in the order in which they were made.

    Args:
        limit: the number of calls that may be carried out at once; ``None`` for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = math.inf if limit is None else limit
        self._taken: set[str] = set()
        self._waiting: dict[str, trio.Event] = {}

    @property
    def waiting(self) -> int:
        """The number of calls that wait for a slot."""
        return len(self._waiting)

    def request(self, call_id: str) -> None:
        """Give a call a slot, or let it wait behind the calls that wait already."""
        self._waiting[call_id] = trio.Event()
        self._grant()

    async def wait(self, call_id: str) -> None:
        """Wait until a call that has requested a slot has it. A cancelled call gets none."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if call_id in self._waiting:
            await self._waiting[call_id].wait()

    def give_back(self, call_id: str) -> None:
        """Give the slot of a call to the one that has waited longest. The call may have none."""
        self._taken.discard(call_id)
        self._waiting.pop(call_id, None)
        self._grant()

    def _grant(self) -> None:
        while self._waiting and len(self._taken) < self._limit:
            call_id = next(iter(self._waiting))
            self._waiting.pop(call_id).set()
            self._taken.add(call_id)
