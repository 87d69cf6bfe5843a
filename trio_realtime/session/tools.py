"""Runs the calls that the core tells to run: a task and a cancel scope for each.

A call's task answers it exactly once, whatever happens: the tool returns, raises, has no such name,
takes too long, or is cancelled by an interrupt; then only after its ``finally`` blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import trio

from trio_realtime.agents import (
    FunctionTool,
    InvalidArguments,
    RealtimeAgent,
    ToolContext,
    result_text,
)
from trio_realtime.core import CANCELLED_OUTPUT, Call
from trio_realtime.events import SessionEvent, ToolCancelled, ToolEnd, ToolStart

if TYPE_CHECKING:
    from .shell import Shell


@attrs.frozen(kw_only=True)
class _Answer:
    output: Any
    text: str
    outcome: str
    wants_response: bool = True


class ToolRunner:
    """Starts calls in the session's nursery and cancels them by their ids."""

    def __init__(self, nursery: trio.Nursery, context: Any) -> None:
        self._nursery = nursery
        self._context = context
        self._scopes: dict[str, trio.CancelScope] = {}
        self._idle = trio.lowlevel.ParkingLot()

    @property
    def running(self) -> int:
        """Calls whose tasks have not ended."""
        return len(self._scopes)

    def start(self, call: Call, shell: Shell) -> None:
        """Begin a call."""
        self._scopes[call.call_id] = trio.CancelScope()
        self._nursery.start_soon(self._run, call, shell, name=f"tool {call.name} {call.call_id}")

    def cancel(self, call_ids: tuple[str, ...]) -> None:
        """Cancel calls; each is answered when its task has ended."""
        for call_id in call_ids:
            if call_id in self._scopes:
                self._scopes[call_id].cancel(reason="the call was interrupted")

    def cancel_all(self) -> None:
        """Cancel whatever runs."""
        self.cancel(tuple(self._scopes))

    async def wait_ended(self, call_ids: tuple[str, ...] | None = None) -> None:
        """Wait until the tasks of these calls (of all of them) have ended."""
        while self._scopes if call_ids is None else self._scopes.keys() & set(call_ids):
            await self._idle.park()

    def running_ids(self) -> tuple[str, ...]:
        """The calls whose tasks have not ended."""
        return tuple(self._scopes)

    async def _run(self, call: Call, shell: Shell) -> None:
        agent: RealtimeAgent[Any] = call.agent
        tool = agent.find_tool(call.name)
        answer = _unknown(call) if tool is None else None
        try:
            if tool is not None:
                shell.hub.emit(_started(call, tool))
                answer = await self._run_scoped(tool, call)
        finally:
            # Synchronous, so that no cancellation can come between the end and its report.
            del self._scopes[call.call_id]
            _report(call, tool, answer, shell)
            self._idle.unpark_all()

    async def _run_scoped(self, tool: FunctionTool, call: Call) -> _Answer | None:
        answer: _Answer | None = None
        try:
            with self._scopes[call.call_id]:
                answer = await _answer(tool, call, self._context)
        except Exception as exc:  # noqa: BLE001 - what a nursery of the tool leaves over from its cancellation
            answer = _raised(tool, exc)
        return answer


def _report(call: Call, tool: FunctionTool | None, answer: _Answer | None, shell: Shell) -> None:
    """Answer the call. One that was hit by an interrupt and finished all the same says so."""
    if answer is None:
        text, wants = CANCELLED_OUTPUT, False
        report: SessionEvent = _cancelled(call)
    else:
        wants = answer.wants_response and not shell.core.was_cancelled(call.call_id)
        text, report = answer.text, _ended(call, tool, answer)
    shell.apply(shell.core.call_finished(call.call_id, text, wants_response=wants, report=report))


async def _answer(tool: FunctionTool, call: Call, context: Any) -> _Answer:
    tool_context = ToolContext(
        context=context,
        call_id=call.call_id,
        tool_name=call.name,
        arguments=call.arguments,
        agent=call.agent,
        response_id=call.response_id,
    )
    limit = trio.move_on_after(tool.timeout if tool.timeout is not None else float("inf"))
    output: Any = None
    try:
        with limit:
            output = await tool.invoke(tool_context, call.arguments)
    except InvalidArguments as exc:
        return _failure(str(exc), "failed")
    except Exception as exc:  # noqa: BLE001 - a tool's failure is the model's to know, and ends nothing
        return _raised(tool, exc)
    if limit.cancelled_caught:
        return _failure(f"Tool {tool.name} timed out after {tool.timeout:g} seconds.", "timed_out")
    return _Answer(output=output, text=result_text(output), outcome="completed")


def _raised(tool: FunctionTool, exc: Exception) -> _Answer:
    return _failure(f"Tool {tool.name} failed: {type(exc).__name__}: {exc}", "failed")


def _failure(text: str, outcome: str) -> _Answer:
    return _Answer(output=text, text=text, outcome=outcome)


def _unknown(call: Call) -> _Answer:
    return _failure(f"Tool {call.name} not found.", "unknown")


def _started(call: Call, tool: FunctionTool) -> ToolStart:
    return ToolStart(
        agent=call.agent,
        tool=tool,
        call_id=call.call_id,
        arguments=call.arguments,
        response_id=call.response_id,
    )


def _ended(call: Call, tool: FunctionTool | None, answer: _Answer) -> ToolEnd:
    return ToolEnd(
        agent=call.agent,
        tool=tool,
        tool_name=call.name,
        call_id=call.call_id,
        arguments=call.arguments,
        output=answer.output,
        output_text=answer.text,
        outcome=answer.outcome,
        response_id=call.response_id,
    )


def _cancelled(call: Call) -> ToolCancelled:
    return ToolCancelled(
        agent=call.agent,
        tool_name=call.name,
        call_id=call.call_id,
        arguments=call.arguments,
        output_text=CANCELLED_OUTPUT,
        response_id=call.response_id,
    )
