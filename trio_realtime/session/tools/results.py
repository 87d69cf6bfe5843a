"""How a call is answered: what the model is told, and what the events say of it."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import trio

from trio_realtime.agents import (
    BackgroundResult,
    FunctionTool,
    ToolContext,
    maybe_await,
    result_text,
)
from trio_realtime.core import CANCELLED_OUTPUT, ToolCall
from trio_realtime.errors import ToolFailed
from trio_realtime.events import ToolAnsweredEarly, ToolCancelled, ToolEnd, ToolStart
from trio_realtime.session.user_code import told_apart, words

logger: logging.Logger = logging.getLogger("trio_realtime.tools")


@attrs.frozen(kw_only=True)
class ToolResult:
    """How a call is answered.

    Attributes:
        tool: ``None`` for handoffs and names that are unknown.
        ends_session: what the session ends with once the answer is on its way.
    """

    output: Any
    text: str
    outcome: str
    tool: FunctionTool | None = None
    wants_response: bool = True
    error: BaseException | None = None
    ends_session: ToolFailed | None = None


def completed(tool: FunctionTool, output: Any) -> ToolResult:
    """The answer from what a tool returned."""
    quiet = isinstance(output, BackgroundResult)
    value = output.value if isinstance(output, BackgroundResult) else output
    return ToolResult(
        output=value,
        text=result_text(value),
        outcome="completed",
        tool=tool,
        wants_response=not quiet,
    )


def refused(
    text: str,
    outcome: str,
    tool: FunctionTool | None = None,
    error: BaseException | None = None,
) -> ToolResult:
    """The answer of a call that comes to nothing, and why."""
    return ToolResult(output=text, text=text, outcome=outcome, tool=tool, error=error)


def raised(call: ToolCall, exc: BaseException, tool: FunctionTool | None = None) -> ToolResult:
    """The answer of a call that failed outside of its tool's own exceptions."""
    logger.warning("tool %s failed in call %s", call.name, call.call_id, exc_info=exc)
    return refused(f"Tool {call.name} failed: {words(exc)}", "failed", tool, exc)


async def failed(
    tool: FunctionTool,
    context: ToolContext[Any],
    exc: BaseException,
    *,
    text: str | None = None,
    outcome: str = "failed",
) -> ToolResult:
    """The answer of a tool that raised; ``text`` where it is not to name the exception."""
    logger.warning("tool %s failed in call %s", tool.name, context.call_id, exc_info=exc)
    default = f"Tool {tool.name} failed: {words(exc)}" if text is None else text
    told = await _formatted(tool, context, exc, default)
    answer = refused(told, outcome, tool, exc)
    if tool.on_failure == "answer":
        return answer
    end = ToolFailed(f"tool {tool.name} failed in call {context.call_id}: {words(exc)}")
    end.__cause__ = exc
    return attrs.evolve(answer, ends_session=end, wants_response=False)


async def _formatted(
    tool: FunctionTool, context: ToolContext[Any], exc: BaseException, default: str
) -> str:
    if tool.format_error is None:
        return default
    try:
        return as_text(await maybe_await(tool.format_error(context, exc)))
    except trio.Cancelled:
        raise
    except BaseException as failure:  # the call is to be answered all the same
        _, end = told_apart(failure)
        if end is not None:
            raise
        logger.exception("format_error of tool %s failed", tool.name)
        return default


def as_text(told: Any) -> str:
    """What a function of the user's has made for the model.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(told, str):
        raise TypeError(f"it returned {told!r}, which is no str")
    return told


# --- events ------------------------------------------------------------------------------------


def started_event(call: ToolCall, tool: FunctionTool) -> ToolStart:
    """The event of a tool that begins."""
    return ToolStart(
        agent=call.agent,
        tool=tool,
        call_id=call.call_id,
        arguments=call.arguments,
        response_id=call.response_id,
    )


def early_event(call: ToolCall, tool: FunctionTool, answer: ToolResult) -> ToolAnsweredEarly:
    """The event of a call that is answered while its tool goes on."""
    return ToolAnsweredEarly(
        agent=call.agent,
        tool=tool,
        call_id=call.call_id,
        output=answer.output,
        output_text=answer.text,
        response_id=call.response_id,
    )


def ended_event(call: ToolCall, answer: ToolResult) -> ToolEnd:
    """The event of a call that was answered."""
    return ToolEnd(
        agent=call.agent,
        tool=answer.tool,
        tool_name=call.name,
        call_id=call.call_id,
        arguments=call.arguments,
        output=answer.output,
        output_text=answer.text,
        outcome=answer.outcome,
        response_id=call.response_id,
        error=answer.error,
    )


def cancelled_event(call: ToolCall, text: str = CANCELLED_OUTPUT) -> ToolCancelled:
    """The event of a call that was cancelled."""
    return ToolCancelled(
        agent=call.agent,
        tool_name=call.name,
        call_id=call.call_id,
        arguments=call.arguments,
        output_text=text,
        response_id=call.response_id,
    )
