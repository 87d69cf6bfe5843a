"""The steps of one call, in order: decide, hand off, or get permission and run the tool.

Everything here runs under the call's cancel scope. The runner answers a call that is cancelled.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
import trio

from trio_realtime.agents import (
    AgentContext,
    AgentHandoff,
    FunctionTool,
    ToolContext,
    evaluate,
)
from trio_realtime.core import ToolCall

from .call_services import ToolServices
from .early_answer import EarlyAnswer
from .execution import run_tool
from .handoff import hand_off
from .hosted_approval import decide_hosted_call
from .permission import CallPermission
from .results import ToolResult, error_result, started_event


@attrs.define(eq=False)
class RunningCall:
    """A call that was started and is not answered yet.

    Attributes:
        call: the call.
        scope: cancels it.
        finish_timeout: seconds that it may go on when the session ends; ``None`` for none.
        early: the early answer, once the tool runs.
        began_at: when the tool began to run, in seconds of trio's clock; ``None`` before.
    """

    call: ToolCall
    scope: trio.CancelScope
    finish_timeout: float | None = None
    early: EarlyAnswer | None = None
    began_at: float | None = None

    def duration(self) -> float | None:
        """Return the seconds since the tool began to run; ``None`` if it did not."""
        return None if self.began_at is None else trio.current_time() - self.began_at


async def carry_out(running: RunningCall, services: ToolServices) -> ToolResult:
    """Carry out a call and return its result."""
    call = running.call
    if call.server_label is not None:
        decision = await decide_hosted_call(call, services)
        return ToolResult(
            output=decision.approved,
            text=decision.message or "",
            outcome="approved" if decision.approved else "rejected",
        )
    tool: FunctionTool | AgentHandoff[Any] | None = call.tool
    if tool is None or (
        tool.is_enabled is not True and not await _is_enabled(tool, call, services)
    ):
        return error_result(f"Tool {call.name} not found.", "unknown")
    if isinstance(tool, AgentHandoff):
        return await hand_off(tool, call, services)
    runtime = services.runtime
    early = running.early = EarlyAnswer(call, runtime, services.max_output)
    context = ToolContext(
        context=services.context,
        call_id=call.call_id,
        tool_name=call.name,
        arguments=call.arguments,
        agent=call.agent,
        response_id=call.response_id,
        history=runtime.core.history.snapshot,
        usage=runtime.core.usage,
        early=partial(early.give, tool),
    )
    if tool.needs_approval is not False or tool.input_guardrails:
        rejection = await CallPermission(call, tool, context, services).rejection()
        if rejection is not None:
            return rejection
    # A callback may have shielded itself: a call that was cancelled in the meantime does not run.
    await trio.lowlevel.checkpoint_if_cancelled()
    runtime.emit(started_event(call, tool))
    running.began_at = trio.current_time()
    return await run_tool(tool, context, runtime.emit)


async def _is_enabled(
    tool: FunctionTool | AgentHandoff[Any], call: ToolCall, services: ToolServices
) -> bool:
    return await evaluate(tool.is_enabled, AgentContext(context=services.context, agent=call.agent))
