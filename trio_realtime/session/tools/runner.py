"""Run the calls that the core starts: a task and a cancel scope for each.

A call's task answers the call exactly once, whatever happens: the tool returns, raises, is unknown,
takes too long, is rejected, or is cancelled by an interruption. A cancelled call is answered when the
``finally`` blocks of its tool have run. The steps of a call are in :mod:`.call`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from trio_realtime._nursery import OnDemandTask, leaves_of
from trio_realtime.agents import FunctionTool
from trio_realtime.core import CANCELLED_OUTPUT, ApprovalDecided, CallFinished, ToolCall
from trio_realtime.errors import UsageError, UserCodeError
from trio_realtime.events import Error
from trio_realtime.session.change_signal import ChangeSignal
from trio_realtime.session.ending import EndState
from trio_realtime.session.runtime_interface import Runtime
from trio_realtime.session.user_code import (
    Raised,
    call_user_code,
    current_calls,
    describe_exception,
    supervise_task,
)

from .call import RunningCall, carry_out
from .call_services import ToolServices
from .early_answer import EarlyAnswer
from .results import ToolResult, cancelled_event, ended_event, limited_result, raised_result
from .slots import CallSlots


class ToolRunner:
    """The calls of a session. They arrive through a memory channel and run in a nursery of their own.

    Args:
        end: the end of the session.
        slots: limits how many calls are carried out at once.

    Attributes:
        slots: the argument.
    """

    def __init__(self, end: EndState, slots: CallSlots) -> None:
        self.slots: CallSlots = slots
        self._end = end
        self._running: dict[str, RunningCall] = {}
        self._send, self._receive = trio.open_memory_channel[RunningCall](math.inf)
        # Calls that arrive after a cancellation of the user's block are still answered.
        self._receiving = trio.CancelScope(shield=True)
        self._task = OnDemandTask()
        self._call_ended = ChangeSignal()
        self._deadline = math.inf

    @property
    def running(self) -> int:
        """The number of calls that have not ended."""
        return len(self._running)

    def running_ids(self) -> set[str]:
        """Return the ids of the calls that have not ended."""
        return set(self._running)

    def current_ids(self) -> set[str]:
        """Return the ids of the running calls that this task works for."""
        return current_calls(self._end) & self._running.keys()

    def answer_current(self, text: str) -> None:
        """Answer the calls that this task works for, whose tools go on and wait for other calls.

        Raises:
            UsageError: a call has no tool that could go on: the caller is the callback of a handoff, or
                decides about a hosted call. Nothing was answered.
        """
        for early, tool in [self._early_answer(call_id) for call_id in self.current_ids()]:
            early.give_text(tool, text)
        for call_id in self.current_ids():
            self.slots.give_back(call_id)

    def _early_answer(self, call_id: str) -> tuple[EarlyAnswer, FunctionTool]:
        running = self._running[call_id]
        if running.early is None or not isinstance(running.call.tool, FunctionTool):
            raise UsageError(
                f"a callback of call {call_id} ({running.call.name}) would wait for the call itself: "
                "do this in a tool or in another task"
            )
        return running.early, running.call.tool

    # --- starting and cancelling

    def start(self, call: ToolCall) -> None:
        """Start a call. From now on, its id can be cancelled."""
        scope = trio.CancelScope(deadline=self._deadline)
        running = self._running[call.call_id] = RunningCall(call, scope)
        if isinstance(call.tool, FunctionTool) and call.tool.finish_timeout is not None:
            running.finish_timeout = call.tool.finish_timeout
            # The call may finish whatever ends the session; ``finish`` ends it in time.
            scope.shield = True
        self.slots.request(call.call_id)
        self._send.send_nowait(running)
        if not self._task.start():
            self._running.clear()  # the session is over, so it does not begin

    def cancel(self, call_ids: tuple[str, ...]) -> None:
        """Cancel calls. Each is answered when its task has ended."""
        for call_id in call_ids:
            if call_id in self._running:
                self._running[call_id].scope.cancel(reason="the call was interrupted")

    def cancel_all(self) -> None:
        """Cancel every call, also those that are started later."""
        self._deadline = -math.inf
        self.cancel(tuple(self._running))

    async def finish(self) -> None:
        """Cancel every call, except that calls with a ``finish_timeout`` have that time to finish.

        Calls that are started later are cancelled before they begin.
        """
        self._deadline = -math.inf
        finishing = {
            call_id: running.finish_timeout
            for call_id, running in self._running.items()
            if running.finish_timeout is not None
        }
        self.cancel(tuple(self._running.keys() - finishing.keys()))
        with trio.move_on_after(max(finishing.values(), default=0.0)):
            await self.wait_ended(finishing.keys() - self.current_ids())
        self.cancel_all()

    # --- waiting

    async def wait_ended(self, call_ids: set[str]) -> None:
        """Wait until the tasks of these calls have ended."""
        while self._running.keys() & call_ids:
            await self._call_ended.wait()

    async def wait_all_but_current(self) -> None:
        """Wait until no call runs except those that this task works for."""
        while self._running.keys() - self.current_ids():
            await self._call_ended.wait()

    # --- running

    def attach(self, start: Callable[[], None]) -> None:
        """Start the task that runs the calls with this function, now or with the first call."""
        self._task.attach(start, is_needed=bool(self._running))

    async def run(self, services: ToolServices) -> None:
        """Run calls until :meth:`stop_receiving`. A cancellation from outside cancels the calls."""
        try:
            async with trio.open_nursery() as nursery:
                with self._receiving:
                    async for running in self._receive:
                        call = running.call
                        name = f"tool {call.name} {call.call_id} of {call.response_id}"
                        nursery.start_soon(self._run, running, services, name=name)
        finally:
            self._running.clear()  # calls that never began
            self._call_ended.notify_all()

    def stop_receiving(self) -> None:
        """Start no more calls: the session is over."""
        self._task.stop()
        self._receiving.cancel(reason="the session is over")

    async def _run(self, running: RunningCall, services: ToolServices) -> None:
        call = running.call
        result: ToolResult | None = None
        try:
            supervise_task(self._end, call.call_id)
            with running.scope:
                # A call that was cancelled before it began does not begin.
                await self.slots.wait(call.call_id)
                outcome = await call_user_code(carry_out, running, services)
                result = (
                    raised_result(call, outcome.failure)
                    if isinstance(outcome, Raised)
                    else outcome.value
                )
                result = limited_result(call, result, services.max_output)
        except BaseException as exc:
            if not all(isinstance(leaf, trio.Cancelled) for leaf in leaves_of(exc)):
                self.stop_receiving()  # the loop is shielded from the end of its own nursery
            raise
        finally:
            # Synchronous, so that no cancellation can come between the end and its report.
            self.slots.give_back(call.call_id)
            self._running.pop(call.call_id, None)
            if running.early is not None:
                running.early.close()
            _report(running, result, services.runtime)
            self._call_ended.notify_all()
            services.runtime.notify()


def _report(running: RunningCall, result: ToolResult | None, runtime: Runtime) -> None:
    """Answer a call. A failure that ends the session does so once the call is answered."""
    call = running.call
    end = result.ends_session if result is not None else None
    if end is not None:
        runtime.fail_pending(end)  # before the end of the turn resolves the requests
    if call.server_label is not None:
        _report_decision(call, result, runtime)
    elif running.early is not None and running.early.was_given:
        running.early.report_end(result, running.duration())
    elif result is None:
        cancelled = cancelled_event(call)
        runtime.feed(
            CallFinished(
                call_id=call.call_id,
                output=CANCELLED_OUTPUT,
                wants_response=False,
                report=cancelled,
                cancelled=True,
            )
        )
    else:
        runtime.feed(
            CallFinished(
                call_id=call.call_id,
                output=result.text,
                wants_response=result.wants_response,
                report=ended_event(call, result, running.duration()),
            )
        )
    if end is not None:
        runtime.fail(end)


def _report_decision(call: ToolCall, result: ToolResult | None, runtime: Runtime) -> None:
    """Send the decision about a hosted call. Without a decision the call is rejected."""
    approve = result is not None and result.outcome == "approved"
    reason = "interrupted" if result is None else result.text or None
    if result is not None and result.error is not None:
        described = describe_exception(result.error)
        failure = UserCodeError(f"on_approval of {call.server_label} raised {described}")
        failure.__cause__ = result.error
        runtime.emit(Error(error=failure))
        reason = None
    if result is None:
        runtime.emit(cancelled_event(call))
    runtime.feed(ApprovalDecided(item_id=call.call_id, approve=approve, reason=reason))
