"""Runs the tool of a call that may run: its time, its failures, and what it answers early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs
import trio

from trio_realtime.agents import BackgroundResult, FunctionTool, InvalidArguments, ToolContext
from trio_realtime.core import ToolCall
from trio_realtime.errors import ToolTimedOut, UsageError
from trio_realtime.session.user_code import told_apart
from trio_realtime.wire import InputText, MessageItem

from .guardrails import check_output
from .results import (
    ToolResult,
    cancelled_event,
    completed,
    early_event,
    ended_event,
    failed,
    refused,
)

if TYPE_CHECKING:
    from trio_realtime.session.runtime import SessionRuntime


async def run_tool(
    tool: FunctionTool, context: ToolContext[Any], shell: SessionRuntime
) -> ToolResult:
    """Run a tool within its time, and make the answer."""
    limit = trio.move_on_after(tool.timeout if tool.timeout is not None else float("inf"))
    output: Any = None
    failure: BaseException | None = None
    try:
        with limit:
            output = await tool.invoke(context, context.arguments)
    except InvalidArguments as exc:
        return refused(str(exc), "failed", tool)
    except trio.Cancelled:
        raise
    except BaseException as exc:  # a tool's failure is the model's to know, and ends nothing
        failure, end = told_apart(exc)
        if failure is None or end is not None:
            raise
    if failure is not None:
        return await failed(tool, context, failure)
    if limit.cancelled_caught:
        return await _timed_out(tool, context)
    return await _checked(tool, context, output, shell)


async def _timed_out(tool: FunctionTool, context: ToolContext[Any]) -> ToolResult:
    late = f"Tool {tool.name} timed out after {tool.timeout:g} seconds."
    if tool.on_timeout == "answer":
        return refused(late, "timed_out", tool)
    return await failed(tool, context, ToolTimedOut(late), text=late, outcome="timed_out")


async def _checked(
    tool: FunctionTool, context: ToolContext[Any], output: Any, shell: SessionRuntime
) -> ToolResult:
    """The answer from what a tool returned, if its guardrails let the model know."""
    answer = completed(tool, output)
    blocked = await check_output(tool, context, answer.output, shell)
    if blocked is None:
        return answer
    return attrs.evolve(blocked, wants_response=answer.wants_response)


# --- early answers -----------------------------------------------------------------------------


_Stage: TypeAlias = Literal["open", "checking", "given", "over"]
_WHY_NOT: Mapping[_Stage, str] = {
    "checking": "is already being answered early",
    "given": "was already answered early",
    "over": "has ended",
}


class EarlyAnswer:
    """The answer that a call may get while its tool goes on; see ``ToolContext.answer_early``.

    One that an interrupt has hit gets it when its tool has ended: until then its ``finally`` blocks
    run, and nothing may go on.

    Attributes:
        was_given: whether the call is answered by it.
    """

    def __init__(self, call: ToolCall, shell: SessionRuntime) -> None:
        self.was_given: bool = False
        self._call = call
        self._shell = shell
        self._stage: _Stage = "open"
        self._held: tuple[FunctionTool, ToolResult] | None = None

    async def give(
        self,
        tool: FunctionTool,
        context: ToolContext[Any],
        value: Any,
        respond: bool,  # noqa: FBT001
    ) -> None:
        """Answer the call.

        Raises:
            UsageError: it was answered before, or has ended.
        """
        self._expect("open")
        self._stage = "checking"
        try:
            answer = await _checked(
                tool, context, value if respond else BackgroundResult(value), self._shell
            )
        except BaseException:
            self._give_way()
            raise
        self._expect("checking")  # it may have ended meanwhile
        self._stage = "given"
        self.was_given = True
        if self._shell.core.was_cancelled(self._call.call_id):
            self._held = (tool, answer)
        else:
            self._send(tool, answer, wants_response=answer.wants_response)

    def _expect(self, stage: _Stage) -> None:
        if self._stage != stage:
            raise UsageError(f"call {self._call.call_id} {_WHY_NOT[self._stage]}")

    def _give_way(self) -> None:
        if self._stage == "checking":
            self._stage = "open"

    def _send(self, tool: FunctionTool, answer: ToolResult, *, wants_response: bool) -> None:
        report = early_event(self._call, tool, answer)
        self._shell.apply(
            self._shell.core.call_finished(
                self._call.call_id, answer.text, wants_response=wants_response, report=report
            )
        )

    def close(self) -> None:
        """The call has ended: what its tool may still do elsewhere answers nothing."""
        self._stage = "over"

    def follow(self, answer: ToolResult | None) -> None:
        """The tool of a call that was answered early has ended: tell the model what came of it."""
        shell, call = self._shell, self._call
        if self._held is not None:
            self._send(*self._held, wants_response=False)
        if answer is None:
            shell.apply([cancelled_event(call, "")])
            return
        if answer.outcome == "completed" and answer.output is None:
            answer = attrs.evolve(answer, text="")
        else:
            told = f"Result of {call.name} ({call.call_id}): {answer.text}"
            item = MessageItem(role="system", content=(InputText(text=told),))
            wants = answer.wants_response and self._held is None
            shell.apply(shell.core.send_item(item, respond=wants))
        shell.apply([ended_event(call, answer)])
