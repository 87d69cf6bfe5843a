"""What one call does: find the tool or handoff, have it approved, run it, make the answer.

The steps are in the order in which they happen. Everything here runs under the call's own cancel
scope; whatever is cancelled in it is answered by ``tools``.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import attrs
import msgspec
import trio

from trio_realtime.agents import (
    AgentContext,
    AgentHandoff,
    BackgroundResult,
    FunctionTool,
    InvalidArguments,
    RealtimeAgent,
    ToolContext,
    find_offer,
    result_text,
    settled,
)
from trio_realtime.core import CANCELLED_OUTPUT, Call
from trio_realtime.errors import RealtimeError
from trio_realtime.events import ToolApprovalRequired, ToolCancelled, ToolEnd, ToolStart

from .approvals import Approvals, Decision

if TYPE_CHECKING:
    from .shell import Shell

logger: logging.Logger = logging.getLogger("trio_realtime.tools")
REJECTED = "Tool execution was not approved."


@attrs.frozen(kw_only=True)
class Answer:
    """How a call is answered. ``tool`` is ``None`` for handoffs and names that are unknown."""

    output: Any
    text: str
    outcome: str
    tool: FunctionTool | None = None
    wants_response: bool = True
    error: BaseException | None = None


@attrs.define
class Desk:
    """What calls need of the session.

    Attributes:
        context: the session's ``context``.
        approvals: calls that wait for a decision.
        take_over: makes an agent the current one; returns when the service has accepted it.
    """

    context: Any
    approvals: Approvals
    take_over: Callable[[RealtimeAgent[Any]], Awaitable[None]]


async def answer_call(call: Call, shell: Shell, desk: Desk) -> Answer:
    """Do what a call asks for."""
    offer = await find_offer(call.agent, call.name, desk.context)
    if offer is None:
        return _failure(f"Tool {call.name} not found.", "unknown")
    if isinstance(offer, AgentHandoff):
        return await _hand_over(offer, call, shell, desk)
    context = _context_of(call, shell, desk)
    rejection = await _rejection(offer, context, shell, desk)
    if rejection is not None:
        return _failure(rejection.message or REJECTED, "rejected", offer)
    shell.hub.emit(_started(call, offer))
    return await _run_tool(offer, context)


def _context_of(call: Call, shell: Shell, desk: Desk) -> ToolContext[Any]:
    return ToolContext(
        context=desk.context,
        call_id=call.call_id,
        tool_name=call.name,
        arguments=call.arguments,
        agent=call.agent,
        response_id=call.response_id,
        history=shell.core.history.snapshot(),
        usage=shell.core.usage,
    )


# --- approval ----------------------------------------------------------------------------------


async def _rejection(
    tool: FunctionTool, context: ToolContext[Any], shell: Shell, desk: Desk
) -> Decision | None:
    """The decision against a call; ``None`` if it may run."""
    if not await _needs_approval(tool, context):
        return None
    # Asked for last, because what holds for good may have been decided meanwhile.
    decision = desk.approvals.standing(tool.name)
    if decision is None:
        shell.hub.emit(
            ToolApprovalRequired(
                agent=context.agent,
                tool=tool,
                call_id=context.call_id,
                arguments=context.arguments,
            )
        )
        decision = await desk.approvals.wait(context.call_id, tool.name)
    return None if decision.approved else decision


async def _needs_approval(tool: FunctionTool, context: ToolContext[Any]) -> bool:
    if not callable(tool.needs_approval):
        return tool.needs_approval
    arguments = _json_object(context.arguments)
    # Arguments that nobody can judge are not waved through.
    return arguments is None or bool(await settled(tool.needs_approval(context, arguments)))


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


# --- tools -------------------------------------------------------------------------------------


async def _run_tool(tool: FunctionTool, context: ToolContext[Any]) -> Answer:
    limit = trio.move_on_after(tool.timeout if tool.timeout is not None else float("inf"))
    output: Any = None
    try:
        with limit:
            output = await tool.invoke(context, context.arguments)
    except InvalidArguments as exc:
        return _failure(str(exc), "failed", tool)
    except Exception as exc:  # noqa: BLE001 - a tool's failure is the model's to know, and ends nothing
        return await _failed(tool, context, exc)
    if limit.cancelled_caught:
        late = f"Tool {tool.name} timed out after {tool.timeout:g} seconds."
        return _failure(late, "timed_out", tool)
    return _completed(tool, output)


def _completed(tool: FunctionTool, output: Any) -> Answer:
    quiet = isinstance(output, BackgroundResult)
    value = output.value if isinstance(output, BackgroundResult) else output
    return Answer(
        output=value,
        text=result_text(value),
        outcome="completed",
        tool=tool,
        wants_response=not quiet,
    )


async def _failed(tool: FunctionTool, context: ToolContext[Any], exc: Exception) -> Answer:
    text = f"Tool {tool.name} failed: {_words(exc)}"
    if tool.format_error is not None:
        text = await settled(tool.format_error(context, exc))
    logger.warning("tool %s failed in call %s", tool.name, context.call_id, exc_info=exc)
    return _failure(text, "failed", tool, exc)


def raised(call: Call, exc: BaseException) -> Answer:
    """The answer of a call that failed outside of its tool's own exceptions."""
    logger.warning("tool %s failed in call %s", call.name, call.call_id, exc_info=exc)
    return _failure(f"Tool {call.name} failed: {_words(exc)}", "failed", error=exc)


def _words(exc: BaseException) -> str:
    try:
        return f"{type(exc).__name__}: {exc}"
    except Exception:  # noqa: BLE001 - an exception that cannot say what it is
        return type(exc).__name__


def _failure(
    text: str,
    outcome: str,
    tool: FunctionTool | None = None,
    error: BaseException | None = None,
) -> Answer:
    return Answer(output=text, text=text, outcome=outcome, tool=tool, error=error)


# --- handoffs ----------------------------------------------------------------------------------


async def _hand_over(offer: AgentHandoff[Any], call: Call, shell: Shell, desk: Desk) -> Answer:
    """Let the other agent take over, and only then answer: what the model says next is its own."""
    try:
        await offer.begin(AgentContext(context=desk.context, agent=call.agent), call.arguments)
        # Settings that are on their way cannot be called back: from here on it is one thing.
        shell.core.keep_call(call.call_id)
        await desk.take_over(offer.agent)
    except (InvalidArguments, RealtimeError) as exc:
        return _failure(f"The handoff failed: {exc}", "failed")
    except Exception as exc:  # noqa: BLE001 - what on_handoff raises means that there is no handoff
        return _failure(f"The handoff failed: {_words(exc)}", "failed")
    text = result_text({"assistant": offer.agent.name})
    return Answer(output=offer.agent, text=text, outcome="completed")


# --- events ------------------------------------------------------------------------------------


def _started(call: Call, tool: FunctionTool) -> ToolStart:
    return ToolStart(
        agent=call.agent,
        tool=tool,
        call_id=call.call_id,
        arguments=call.arguments,
        response_id=call.response_id,
    )


def ended_event(call: Call, answer: Answer) -> ToolEnd:
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


def cancelled_event(call: Call) -> ToolCancelled:
    """The event of a call that an interrupt ended."""
    return ToolCancelled(
        agent=call.agent,
        tool_name=call.name,
        call_id=call.call_id,
        arguments=call.arguments,
        output_text=CANCELLED_OUTPUT,
        response_id=call.response_id,
    )
