"""Run the tool of a call that may run: its time limit, its failures, and its output guardrails."""

from __future__ import annotations

import math
from typing import Any

import attrs
import trio

from trio_realtime.agents import FunctionTool, InvalidArguments, ToolContext, maybe_await
from trio_realtime.errors import ToolFailed, ToolTimedOut
from trio_realtime.events import ToolOutcome
from trio_realtime.session.guardrails import Emit
from trio_realtime.session.user_code import (
    Raised,
    Returned,
    as_text,
    call_user_code,
    describe_exception,
)

from .guardrails import check_output
from .results import ToolResult, completed_result, error_result, logger


async def run_tool(tool: FunctionTool, context: ToolContext[Any], emit: Emit) -> ToolResult:
    """Run a tool within its timeout and return the result of the call."""
    outcome: Returned[Any] | Raised | None = None
    failures: list[BaseException] = []
    try:
        with trio.move_on_after(math.inf if tool.timeout is None else tool.timeout):
            outcome = await call_user_code(
                tool.invoke, context, context.arguments, report=failures.append
            )
    except BaseException:
        if failures:  # a nursery of the tool was cancelled, and one of its tasks failed
            logger.warning(
                "tool %s failed while call %s was cancelled",
                tool.name,
                context.call_id,
                exc_info=failures[0],
            )
        raise
    if outcome is None:
        if failures:
            return await _failed(tool, context, failures[0])
        return await _timed_out(tool, context)
    if not isinstance(outcome, Raised):
        return await checked_result(tool, context, outcome.value, emit)
    if isinstance(outcome.failure, InvalidArguments):
        return error_result(str(outcome.failure), "failed", tool)
    return await _failed(tool, context, outcome.failure)


async def checked_result(
    tool: FunctionTool, context: ToolContext[Any], output: Any, emit: Emit
) -> ToolResult:
    """Return the result for what a tool returned, unless its output guardrails block it."""
    result = completed_result(tool, output)
    if not tool.output_guardrails:
        return result
    blocked = await check_output(tool, context, result.output, emit)
    if blocked is None:
        return result
    return attrs.evolve(blocked, wants_response=result.wants_response)


async def _timed_out(tool: FunctionTool, context: ToolContext[Any]) -> ToolResult:
    text = f"Tool {tool.name} timed out after {tool.timeout:g} seconds."
    if tool.on_timeout == "answer":
        return error_result(text, "timed_out", tool)
    return await _failed(tool, context, ToolTimedOut(text), text=text, outcome="timed_out")


async def _failed(
    tool: FunctionTool,
    context: ToolContext[Any],
    failure: BaseException,
    *,
    text: str | None = None,
    outcome: ToolOutcome = "failed",
) -> ToolResult:
    """Return the result of a tool that failed; ``text`` replaces the exception's own text."""
    logger.warning("tool %s failed in call %s", tool.name, context.call_id, exc_info=failure)
    described = describe_exception(failure)
    default = f"Tool {tool.name} failed: {described}" if text is None else text
    result = error_result(
        await _format_error(tool, context, failure, default), outcome, tool, failure
    )
    if tool.on_failure == "answer":
        return result
    end = ToolFailed(f"tool {tool.name} failed in call {context.call_id}: {described}")
    end.__cause__ = failure
    return attrs.evolve(result, ends_session=end, wants_response=False)


async def _format_error(
    tool: FunctionTool, context: ToolContext[Any], failure: BaseException, default: str
) -> str:
    formatter = tool.format_error
    if formatter is None:
        return default

    async def format_error() -> str:
        return as_text(await maybe_await(formatter(context, failure)))

    def report(exc: BaseException) -> None:
        logger.error("format_error of tool %s failed", tool.name, exc_info=exc)

    outcome = await call_user_code(format_error, report=report)
    return default if isinstance(outcome, Raised) else outcome.value
