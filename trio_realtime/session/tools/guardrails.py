"""Run the guardrails of a tool, and make the result of a call that they block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trio_realtime.agents import FunctionTool, GuardrailResult, ToolContext
from trio_realtime.events import GuardrailTrip, GuardrailTripped
from trio_realtime.session.guardrails import AnyGuardrail, Emit, report_failure, run_guardrails

from .results import ToolResult, error_result


async def check_input(
    tool: FunctionTool, context: ToolContext[Any], arguments: dict[str, Any], emit: Emit
) -> ToolResult | None:
    """Check the arguments of a call. Returns the result if a guardrail trips, ``None`` otherwise."""
    found = await run_guardrails(
        tool.input_guardrails, lambda guardrail: guardrail.check(context, arguments), emit
    )
    default = f"Tool {tool.name} was not run: a guardrail blocked the call."
    return _blocked(tool, context, found, default, emit) if found else None


async def check_output(
    tool: FunctionTool, context: ToolContext[Any], output: Any, emit: Emit
) -> ToolResult | None:
    """Check what a tool returned. Returns another result if a guardrail trips, ``None`` otherwise."""
    found = await run_guardrails(
        tool.output_guardrails, lambda guardrail: guardrail.check(context, output), emit
    )
    default = f"The result of {tool.name} was withheld by a guardrail."
    return _blocked(tool, context, found, default, emit) if found else None


def _blocked(
    tool: FunctionTool,
    context: ToolContext[Any],
    found: Sequence[tuple[AnyGuardrail, GuardrailResult]],
    default: str,
    emit: Emit,
) -> ToolResult:
    message = _message(*found[0], emit)
    text = default if message is None else message
    trips = tuple(GuardrailTrip(name=one.name, info=result.info) for one, result in found)
    emit(
        GuardrailTripped(
            guardrail_results=trips,
            message=text,
            response_id=context.response_id,
            call_id=context.call_id,
        )
    )
    return error_result(text, "blocked", tool)


def _message(guardrail: AnyGuardrail, result: GuardrailResult, emit: Emit) -> str | None:
    """Return a guardrail's message to the model. A message that is not a str is reported."""
    message: Any = result.message
    if message is None or isinstance(message, str):
        return message
    kind = type(message).__name__
    problem = f"the message of guardrail {guardrail.name} must be a str, got {kind}"
    report_failure(problem, None, emit)
    return None
