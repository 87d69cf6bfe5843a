"""Runs the tool of a call that may run: its time, its failures, and what it answers early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import trio

from trio_realtime.agents import BackgroundResult, FunctionTool, InvalidArguments, ToolContext
from trio_realtime.core import Call
from trio_realtime.errors import ToolTimedOut, UsageError
from trio_realtime.wire import InputText, MessageItem

from .answers import (
    Answer,
    cancelled_event,
    completed,
    early_event,
    ended_event,
    failed,
    refused,
)
from .tool_guardrails import check_output

if TYPE_CHECKING:
    from .shell import Shell


async def run_tool(tool: FunctionTool, context: ToolContext[Any], shell: Shell) -> Answer:
    """Run a tool within its time, and make the answer."""
    limit = trio.move_on_after(tool.timeout if tool.timeout is not None else float("inf"))
    output: Any = None
    try:
        with limit:
            output = await tool.invoke(context, context.arguments)
    except InvalidArguments as exc:
        return refused(str(exc), "failed", tool)
    except Exception as exc:  # noqa: BLE001 - a tool's failure is the model's to know, and ends nothing
        return await failed(tool, context, exc)
    if limit.cancelled_caught:
        return await _timed_out(tool, context)
    return await _checked(tool, context, output, shell)


async def _timed_out(tool: FunctionTool, context: ToolContext[Any]) -> Answer:
    late = f"Tool {tool.name} timed out after {tool.timeout:g} seconds."
    if tool.on_timeout == "answer":
        return refused(late, "timed_out", tool)
    return await failed(tool, context, ToolTimedOut(late), text=late, outcome="timed_out")


async def _checked(
    tool: FunctionTool, context: ToolContext[Any], output: Any, shell: Shell
) -> Answer:
    """The answer from what a tool returned, if its guardrails let the model know."""
    answer = completed(tool, output)
    blocked = await check_output(tool, context, answer.output, shell)
    if blocked is None:
        return answer
    return attrs.evolve(blocked, wants_response=answer.wants_response)


# --- early answers -----------------------------------------------------------------------------


class EarlyAnswer:
    """The answer that a call may get while its tool goes on; see ``ToolContext.answer_early``.

    Attributes:
        was_given: whether the call was answered by it.
    """

    def __init__(self, call: Call, shell: Shell) -> None:
        self.was_given: bool = False
        self._call = call
        self._shell = shell
        self._too_late: str | None = None

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
        if self._too_late is not None:
            raise UsageError(f"call {self._call.call_id} {self._too_late}")
        self._too_late = "is already being answered early"
        try:
            answer = await _checked(
                tool, context, value if respond else BackgroundResult(value), self._shell
            )
        except BaseException:
            self._too_late = None
            raise
        self._too_late = "was already answered early"
        self._send(tool, answer)

    def _send(self, tool: FunctionTool, answer: Answer) -> None:
        self.was_given = True
        call, core = self._call, self._shell.core
        wants = answer.wants_response and not core.was_cancelled(call.call_id)
        report = early_event(call, tool, answer)
        self._shell.apply(
            core.call_finished(call.call_id, answer.text, wants_response=wants, report=report)
        )

    def close(self) -> None:
        """The call has ended: what its tool may still do elsewhere answers nothing."""
        self._too_late = "has ended"

    def follow(self, answer: Answer | None) -> None:
        """The tool of a call that was answered early has ended: tell the model what came of it."""
        shell, call = self._shell, self._call
        if answer is None:
            shell.apply([cancelled_event(call, "")])
            return
        if answer.outcome == "completed" and answer.output is None:
            answer = attrs.evolve(answer, text="")
        else:
            told = f"Result of {call.name} ({call.call_id}): {answer.text}"
            item = MessageItem(role="system", content=(InputText(text=told),))
            shell.apply(shell.core.send_item(item, respond=answer.wants_response))
        shell.apply([ended_event(call, answer)])
