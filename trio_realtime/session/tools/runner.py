"""Runs the calls that the core tells to run: a task and a cancel scope for each.

A call's task answers it exactly once, whatever happens: the tool returns, raises, has no such name,
takes too long, is rejected, or is cancelled by an interrupt; then only after its ``finally`` blocks.
What a call does in between stands in ``calls``.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

import trio

from trio_realtime.agents import FunctionTool
from trio_realtime.core import CANCELLED_OUTPUT, ToolCall
from trio_realtime.errors import UsageError
from trio_realtime.events import Error, SessionEvent
from trio_realtime.session.connection.errors import unheard
from trio_realtime.session.user_code import told_apart, words

from .call import ToolServices, answer_call
from .execution import EarlyAnswer
from .results import ToolResult, cancelled_event, ended_event, raised

if TYPE_CHECKING:
    from trio_realtime.session.runtime import SessionRuntime


current_call: ContextVar[str | None] = ContextVar("current_call", default=None)
"""The call that this task works for: nothing that it does may wait for its own end."""


class ToolRunner:
    """Starts calls in the session's nursery and cancels them by their ids."""

    def __init__(self, nursery: trio.Nursery, desk: ToolServices) -> None:
        self.desk = desk
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}
        self._finishing: dict[str, float] = {}
        self._idle = trio.lowlevel.ParkingLot()
        self._deadline = float("inf")

    @property
    def running(self) -> int:
        """Calls whose tasks have not ended."""
        return len(self._scopes)

    def running_ids(self) -> tuple[str, ...]:
        """The calls whose tasks have not ended."""
        return tuple(self._scopes)

    def start(self, call: ToolCall, shell: SessionRuntime) -> None:
        """Begin a call."""
        self._scopes[call.call_id] = trio.CancelScope(deadline=self._deadline)
        self._foresee_policy(call, shell)
        self._nursery.start_soon(self._run, call, shell, name=f"tool {call.name} {call.call_id}")

    def _foresee_policy(self, call: ToolCall, shell: SessionRuntime) -> None:
        """Follow the tool's policy, if it is clear which one is meant.

        Before anything else can happen: an interrupt may be the next thing that comes.
        """
        if call.server_label is not None:
            return  # the service runs it: here it is only decided
        own = [tool for tool in call.agent.tools if tool.name == call.name and tool.is_enabled]
        if len(own) == 1:
            self.follow_policy(call, own[0], shell)
        elif not own and (other := self.desk.servers.last_offered(call.agent, call.name)):
            self.follow_policy(call, other, shell)

    def follow_policy(self, call: ToolCall, tool: FunctionTool, shell: SessionRuntime) -> None:
        """Let an interrupt, and the end of the session, do to a call what its tool asks for."""
        if tool.on_interrupt != "cancel":
            shell.core.keep_call(call.call_id, insists=tool.on_interrupt == "background")
        if tool.finish_timeout is not None:
            self._finishing[call.call_id] = tool.finish_timeout
            # It may finish whatever ends the session; ``finish`` sees to it that it ends in time.
            self._scopes[call.call_id].shield = True

    def cancel(self, call_ids: tuple[str, ...]) -> None:
        """Cancel calls; each is answered when its task has ended."""
        for call_id in call_ids:
            if call_id in self._scopes:
                self._scopes[call_id].cancel(reason="the call was interrupted")

    def cancel_all(self) -> None:
        """Cancel whatever runs, and whatever is started from now on."""
        self._deadline = float("-inf")
        self.cancel(tuple(self._scopes))

    async def finish(self) -> None:
        """Cancel whatever runs, but for the calls that may finish; those have their time for it.

        What is started from now on is born cancelled.
        """
        self._deadline = float("-inf")
        self.cancel(tuple(self._scopes.keys() - self._finishing.keys()))
        with trio.move_on_after(max(self._finishing.values(), default=0.0)):
            await self.wait_ended(tuple(self._finishing.keys() - {current_call.get()}))
        self.cancel_all()

    async def wait_ended(self, call_ids: tuple[str, ...]) -> None:
        """Wait until the tasks of these calls have ended."""
        while self._scopes.keys() & set(call_ids):
            await self._idle.park()

    async def wait_others_ended(self) -> None:
        """Wait until no call runs but the one that this task works for, if it does."""
        while self._scopes.keys() - {current_call.get()}:
            await self._idle.park()

    async def _run(self, call: ToolCall, shell: SessionRuntime) -> None:
        answer: ToolResult | None = None
        early = EarlyAnswer(call, shell)
        try:
            answer = await self._run_scoped(call, early, shell)
        finally:
            # Synchronous, so that no cancellation can come between the end and its report.
            del self._scopes[call.call_id]
            self._finishing.pop(call.call_id, None)
            early.close()
            _report(call, answer, early, shell)
            self._idle.unpark_all()

    async def _run_scoped(
        self, call: ToolCall, early: EarlyAnswer, shell: SessionRuntime
    ) -> ToolResult | None:
        answer: ToolResult | None = None
        current_call.set(call.call_id)
        unheard.set(True)
        try:
            with self._scopes[call.call_id]:
                # What was cancelled before it began does not begin.
                await trio.lowlevel.checkpoint_if_cancelled()
                answer = await answer_call(call, early, shell, self.desk)
        except trio.Cancelled:
            raise
        except BaseException as exc:  # asyncio's CancelledError is one, and no bug
            failure, end = told_apart(exc)
            if failure is None or end is not None:
                raise
            answer = raised(call, failure)
        return answer


def _report(
    call: ToolCall, answer: ToolResult | None, early: EarlyAnswer, shell: SessionRuntime
) -> None:
    """Tell what came of a call; if it is to end the session, it does so when that is said."""
    end = answer.ends_session if answer is not None else None
    if end is not None:
        shell.tell_waiters(end)  # before they take the end of the turn for an answer
    if call.server_label is not None:
        _report_decision(call, answer, shell)
    elif early.was_given:
        early.follow(answer)
    else:
        _report_answer(call, answer, shell)
    if end is not None:
        shell.fail(end)


def _report_answer(call: ToolCall, answer: ToolResult | None, shell: SessionRuntime) -> None:
    """Answer the call. One that was hit by an interrupt and finished all the same says so."""
    if answer is None:
        text, wants = CANCELLED_OUTPUT, False
        report: SessionEvent = cancelled_event(call)
    else:
        wants = answer.wants_response and not shell.core.was_cancelled(call.call_id)
        text, report = answer.text, ended_event(call, answer)
    shell.apply(shell.core.call_finished(call.call_id, text, wants_response=wants, report=report))


def _report_decision(call: ToolCall, answer: ToolResult | None, shell: SessionRuntime) -> None:
    """Tell the service whether it may make a call. Nobody's consent is no consent."""
    approve = answer is not None and answer.outcome == "approved"
    reason = "interrupted" if answer is None else answer.text or None
    if answer is not None and answer.error is not None:
        failure = UsageError(f"on_approval of {call.server_label} raised {words(answer.error)}")
        failure.__cause__ = answer.error
        shell.hub.emit(Error(error=failure))
        reason = None
    if answer is None:
        shell.hub.emit(cancelled_event(call))
    shell.apply(shell.core.approval_decided(call.call_id, approve=approve, reason=reason))
