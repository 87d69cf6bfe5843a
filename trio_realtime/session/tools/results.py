"""The result of a call: what the model is given, and the events that report it."""

from __future__ import annotations

import logging
from typing import Any

import attrs

from trio_realtime.agents import BackgroundResult, FunctionTool, result_text
from trio_realtime.core import CANCELLED_OUTPUT, ToolCall
from trio_realtime.errors import ToolFailed
from trio_realtime.events import (
    ToolAnsweredEarly,
    ToolCancelled,
    ToolEnd,
    ToolOutcome,
    ToolStart,
)
from trio_realtime.session.user_code import describe_exception

logger: logging.Logger = logging.getLogger("trio_realtime.tools")


@attrs.frozen(kw_only=True)
class ToolResult:
    """The result of one call.

    Attributes:
        output: what the tool returned, or the text that the model is given.
        text: what the model is given.
        outcome: how the call ended.
        tool: the tool; ``None`` for handoffs and unknown names.
        wants_response: ask the model to speak about the result.
        error: what the tool raised.
        ends_session: the error that ends the session once the call is answered.
    """

    output: Any
    text: str
    outcome: ToolOutcome
    tool: FunctionTool | None = None
    wants_response: bool = True
    error: BaseException | None = None
    ends_session: ToolFailed | None = None


def completed_result(tool: FunctionTool, output: Any) -> ToolResult:
    """Return the result for what a tool returned."""
    in_background = isinstance(output, BackgroundResult)
    value = output.value if isinstance(output, BackgroundResult) else output
    return ToolResult(
        output=value,
        text=result_text(value),
        outcome="completed",
        tool=tool,
        wants_response=not in_background,
    )


def error_result(
    text: str,
    outcome: ToolOutcome,
    tool: FunctionTool | None = None,
    error: BaseException | None = None,
) -> ToolResult:
    """Return the result of a call that did not complete."""
    return ToolResult(output=text, text=text, outcome=outcome, tool=tool, error=error)


def raised_result(
    call: ToolCall, failure: BaseException, tool: FunctionTool | None = None
) -> ToolResult:
    """Return the result of a call in which a callback of the user raised."""
    logger.warning("tool %s failed in call %s", call.name, call.call_id, exc_info=failure)
    text = f"Tool {call.name} failed: {describe_exception(failure)}"
    return error_result(text, "failed", tool, failure)


def limited_result(call: ToolCall, result: ToolResult, max_output: int | None) -> ToolResult:
    """Return the result, or a failed one if its text has more than ``max_output`` characters.

    A part of a result could be invalid JSON, or mislead the model, so nothing of it is sent.
    """
    size = len(result.text)
    if max_output is None or size <= max_output:
        return result
    logger.warning(
        "the result of tool %s in call %s has %d characters, and max_tool_output is %d",
        call.name,
        call.call_id,
        size,
        max_output,
    )
    text = (
        f"The result of {call.name} is too long: it has {size} characters, and at most {max_output} "
        "are allowed. Ask for less."
    )
    return attrs.evolve(result, text=text, outcome="failed")


# --- events --------------------------------------------------------------------------------------


def started_event(call: ToolCall, tool: FunctionTool) -> ToolStart:
    """Return the event for a tool that begins."""
    return ToolStart(
        agent=call.agent,
        tool=tool,
        call_id=call.call_id,
        arguments=call.arguments,
        response_id=call.response_id,
    )


def early_event(call: ToolCall, tool: FunctionTool, result: ToolResult) -> ToolAnsweredEarly:
    """Return the event for a call that is answered while its tool goes on."""
    return ToolAnsweredEarly(
        agent=call.agent,
        tool=tool,
        call_id=call.call_id,
        output=result.output,
        output_text=result.text,
        response_id=call.response_id,
    )


def ended_event(call: ToolCall, result: ToolResult, duration: float | None = None) -> ToolEnd:
    """Return the event for a call that was answered."""
    return ToolEnd(
        agent=call.agent,
        tool=result.tool,
        tool_name=call.name,
        call_id=call.call_id,
        arguments=call.arguments,
        output=result.output,
        output_text=result.text,
        outcome=result.outcome,
        response_id=call.response_id,
        error=result.error,
        duration=duration,
    )


def cancelled_event(call: ToolCall, text: str = CANCELLED_OUTPUT) -> ToolCancelled:
    """Return the event for a call that was cancelled."""
    return ToolCancelled(
        agent=call.agent,
        tool_name=call.name,
        call_id=call.call_id,
        arguments=call.arguments,
        output_text=text,
        response_id=call.response_id,
    )
