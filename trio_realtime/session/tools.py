"""Runs the calls that the core tells to run: a task and a cancel scope for each.

A call's task answers it exactly once, whatever happens: the tool returns, raises, has no such name,
takes too long, is rejected, or is cancelled by an interrupt; then only after its ``finally`` blocks.
What a call does in between stands in ``calls``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_realtime.agents import FunctionTool
from trio_realtime.core import CANCELLED_OUTPUT, Call
from trio_realtime.events import SessionEvent

from .calls import Answer, Desk, answer_call, cancelled_event, ended_event, raised

if TYPE_CHECKING:
    from .shell import Shell


class ToolRunner:
    """Starts calls in the session's nursery and cancels them by their ids."""

    def __init__(self, nursery: trio.Nursery, desk: Desk) -> None:
        self.desk = desk
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}
        self._finishing: dict[str, float] = {}
        self._idle = trio.lowlevel.ParkingLot()

    @property
    def running(self) -> int:
        """Calls whose tasks have not ended."""
        return len(self._scopes)

    def running_ids(self) -> tuple[str, ...]:
        """The calls whose tasks have not ended."""
        return tuple(self._scopes)

    def start(self, call: Call, shell: Shell) -> None:
        """Begin a call."""
        self._scopes[call.call_id] = trio.CancelScope()
        self._apply_policy(call, shell)
        self._nursery.start_soon(self._run, call, shell, name=f"tool {call.name} {call.call_id}")

    def _apply_policy(self, call: Call, shell: Shell) -> None:
        # Before anything else can happen: an interrupt may be the next thing that comes.
        tool: FunctionTool | None = call.agent.find_tool(call.name)
        if tool is None:
            return
        if tool.on_interrupt != "cancel":
            shell.core.keep_call(call.call_id, insists=tool.on_interrupt == "background")
        if tool.finish_timeout is not None:
            self._finishing[call.call_id] = tool.finish_timeout

    def cancel(self, call_ids: tuple[str, ...]) -> None:
        """Cancel calls; each is answered when its task has ended."""
        for call_id in call_ids:
            if call_id in self._scopes:
                self._scopes[call_id].cancel(reason="the call was interrupted")

    def cancel_all(self) -> None:
        """Cancel whatever runs."""
        self.cancel(tuple(self._scopes))

    async def finish(self) -> None:
        """Cancel whatever runs, but for the calls that may finish; those have their time for it."""
        self.cancel(tuple(self._scopes.keys() - self._finishing.keys()))
        with trio.move_on_after(max(self._finishing.values(), default=0.0)):
            await self.wait_ended(tuple(self._finishing))
        self.cancel_all()

    async def wait_ended(self, call_ids: tuple[str, ...] | None = None) -> None:
        """Wait until the tasks of these calls (of all of them) have ended."""
        while self._scopes if call_ids is None else self._scopes.keys() & set(call_ids):
            await self._idle.park()

    async def _run(self, call: Call, shell: Shell) -> None:
        answer: Answer | None = None
        try:
            answer = await self._run_scoped(call, shell)
        finally:
            # Synchronous, so that no cancellation can come between the end and its report.
            del self._scopes[call.call_id]
            self._finishing.pop(call.call_id, None)
            _report(call, answer, shell)
            self._idle.unpark_all()

    async def _run_scoped(self, call: Call, shell: Shell) -> Answer | None:
        answer: Answer | None = None
        try:
            with self._scopes[call.call_id]:
                answer = await answer_call(call, shell, self.desk)
        except Exception as exc:  # noqa: BLE001 - what a nursery of the tool leaves over from its cancellation
            answer = raised(call, exc)
        return answer


def _report(call: Call, answer: Answer | None, shell: Shell) -> None:
    """Answer the call. One that was hit by an interrupt and finished all the same says so."""
    if answer is None:
        text, wants = CANCELLED_OUTPUT, False
        report: SessionEvent = cancelled_event(call)
    else:
        wants = answer.wants_response and not shell.core.was_cancelled(call.call_id)
        text, report = answer.text, ended_event(call, answer)
    shell.apply(shell.core.call_finished(call.call_id, text, wants_response=wants, report=report))
