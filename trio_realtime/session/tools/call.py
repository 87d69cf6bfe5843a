"""What one call does: find the tool or handoff, have it approved, run it, make the answer.

The steps are in the order in which they happen. Everything here runs under the call's own cancel
scope; whatever is cancelled in it is answered by ``tools``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trio_realtime.agents import (
    AgentContext,
    AgentHandoff,
    EarlyAnswerCallback,
    InvalidArguments,
    RealtimeAgent,
    RejectionFormatter,
    ToolContext,
    find_offer,
    result_text,
)
from trio_realtime.core import ToolCall
from trio_realtime.errors import RealtimeError
from trio_realtime.session.mcp.manager import McpServers
from trio_realtime.session.user_code import told_apart, words

from .approvals import Approvals, Decision
from .execution import EarlyAnswer, run_tool
from .hosted_approval import decide_hosted
from .permission import CallPermission
from .results import ToolResult, logger, refused, started_event

if TYPE_CHECKING:
    from trio_realtime.session.runtime import SessionRuntime


@attrs.define
class ToolServices:
    """What calls need of the session.

    Attributes:
        context: the session's ``context``.
        approvals: calls that wait for a decision.
        take_over: makes an agent the current one, for a call or for none; returns when the service
            has accepted it. Once it is asked, an interrupt leaves the call alone.
        servers: the MCP servers of the agents.
        format_rejection: what the model is told of a rejection without words of its own.
    """

    context: Any
    approvals: Approvals
    take_over: Callable[[RealtimeAgent[Any], str | None], Awaitable[None]]
    servers: McpServers
    format_rejection: RejectionFormatter | None = None


async def answer_call(
    call: ToolCall, early: EarlyAnswer, shell: SessionRuntime, desk: ToolServices
) -> ToolResult:
    """Do what a call asks for."""
    if call.server_label is not None:
        return _decided(await decide_hosted(call, shell, desk))
    offer = await find_offer(call.agent, call.name, desk.context, desk.servers.offered(call.agent))
    if offer is None:
        return refused(f"Tool {call.name} not found.", "unknown")
    if isinstance(offer, AgentHandoff):
        return await _hand_over(offer, call, desk)
    shell.tools.follow_policy(call, offer, shell)
    context = _context_of(call, shell, desk, partial(early.give, offer))
    refusal = await CallPermission(call, offer, context, shell, desk).refusal()
    if refusal is not None:
        return refusal
    # Whatever was asked may have shielded itself: a call that was cancelled meanwhile does not run.
    await trio.lowlevel.checkpoint_if_cancelled()
    shell.hub.emit(started_event(call, offer))
    return await run_tool(offer, context, shell)


def _decided(decision: Decision) -> ToolResult:
    """The answer to a call that the service wants to make: what was decided, and why."""
    outcome = "approved" if decision.approved else "rejected"
    return ToolResult(output=decision.approved, text=decision.message or "", outcome=outcome)


def _context_of(
    call: ToolCall, shell: SessionRuntime, desk: ToolServices, early: EarlyAnswerCallback
) -> ToolContext[Any]:
    return ToolContext(
        context=desk.context,
        call_id=call.call_id,
        tool_name=call.name,
        arguments=call.arguments,
        agent=call.agent,
        response_id=call.response_id,
        history=shell.core.history.snapshot(),
        usage=shell.core.usage,
        early=early,
    )


# --- handoffs ----------------------------------------------------------------------------------


async def _hand_over(offer: AgentHandoff[Any], call: ToolCall, desk: ToolServices) -> ToolResult:
    """Let the other agent take over, and only then answer: what the model says next is its own."""
    try:
        await offer.begin(AgentContext(context=desk.context, agent=call.agent), call.arguments)
        await desk.take_over(offer.agent, call.call_id)
    except (InvalidArguments, RealtimeError) as exc:
        return refused(f"The handoff failed: {exc}", "failed", error=exc)
    except trio.Cancelled:
        raise
    except BaseException as exc:  # what on_handoff raises means that there is no handoff
        failure, end = told_apart(exc)
        if failure is None or end is not None:
            raise
        logger.warning("handoff %s failed in call %s", call.name, call.call_id, exc_info=failure)
        return refused(f"The handoff failed: {words(failure)}", "failed", error=failure)
    text = result_text({"assistant": offer.agent.name})
    return ToolResult(output=offer.agent, text=text, outcome="completed")
