"""Asks the guardrails of a tool about a call, and makes the answer of what they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trio_realtime.agents import FunctionTool, GuardrailResult, ToolContext
from trio_realtime.events import GuardrailTrip, GuardrailTripped
from trio_realtime.session.guardrails import Asked, ask_all, tell_failure

from .results import ToolResult, refused

if TYPE_CHECKING:
    from trio_realtime.session.runtime import SessionRuntime


async def check_input(
    tool: FunctionTool, context: ToolContext[Any], arguments: dict[str, Any], shell: SessionRuntime
) -> ToolResult | None:
    """The answer of a call with arguments that a guardrail refuses; ``None`` if all let it pass."""
    found = await ask_all(
        tool.input_guardrails, lambda one: one.check(context, arguments), shell.hub
    )
    default = f"Tool {tool.name} was not run: a guardrail refused it."
    return _blocked(tool, context, found, default, shell) if found else None


async def check_output(
    tool: FunctionTool, context: ToolContext[Any], output: Any, shell: SessionRuntime
) -> ToolResult | None:
    """The answer in place of a result that a guardrail refuses; ``None`` if all let it pass."""
    found = await ask_all(tool.output_guardrails, lambda one: one.check(context, output), shell.hub)
    default = f"The result of {tool.name} was withheld by a guardrail."
    return _blocked(tool, context, found, default, shell) if found else None


def _blocked(
    tool: FunctionTool,
    context: ToolContext[Any],
    found: Sequence[tuple[Asked, GuardrailResult]],
    default: str,
    shell: SessionRuntime,
) -> ToolResult:
    message = _message(*found[0], shell)
    text = default if message is None else message
    trips = tuple(GuardrailTrip(name=one.name, info=result.info) for one, result in found)
    shell.hub.emit(
        GuardrailTripped(
            guardrail_results=trips,
            message=text,
            response_id=context.response_id,
            call_id=context.call_id,
        )
    )
    return refused(text, "blocked", tool)


def _message(guardrail: Asked, result: GuardrailResult, shell: SessionRuntime) -> str | None:
    """What a guardrail has the model told. Something else than text does not undo its verdict."""
    message: Any = result.message
    if message is None or isinstance(message, str):
        return message
    kind = type(message).__name__
    tell_failure(f"the message of guardrail {guardrail.name} is a {kind}, no text", None, shell.hub)
    return None
