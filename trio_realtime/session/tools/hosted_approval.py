"""Calls that the service wants to make itself: here they are only approved or rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_realtime.agents import AgentContext, HostedMcpTool, maybe_await
from trio_realtime.core import ToolCall
from trio_realtime.events import ToolApprovalRequired
from trio_realtime.items import McpApprovalRequestItem

from .approvals import Decision

if TYPE_CHECKING:
    from trio_realtime.session.runtime import SessionRuntime

    from .call import ToolServices


async def decide_hosted(call: ToolCall, shell: SessionRuntime, desk: ToolServices) -> Decision:
    """Ask the agent's declaration, or whoever listens, whether the service may make this call."""
    tool = _declaration(call)
    if tool is not None and tool.on_approval is not None:
        about = AgentContext(context=desk.context, agent=call.agent)
        return Decision(approved=bool(await maybe_await(tool.on_approval(about, _request(call)))))
    # The server that was declared, not its label: another agent may use that for another one.
    key = (tool or call.server_label, call.name)
    decision = desk.approvals.standing(key)
    if decision is not None:
        return decision
    shell.hub.emit(
        ToolApprovalRequired(
            agent=call.agent,
            tool=None,
            tool_name=call.name,
            call_id=call.call_id,
            arguments=call.arguments,
            server_label=call.server_label,
        )
    )
    return await desk.approvals.wait(call.call_id, key)


def _declaration(call: ToolCall) -> HostedMcpTool | None:
    declared: tuple[HostedMcpTool, ...] = call.agent.hosted_tools
    return next((tool for tool in declared if tool.server_label == call.server_label), None)


def _request(call: ToolCall) -> McpApprovalRequestItem:
    return McpApprovalRequestItem(
        id=call.call_id,
        server_label=call.server_label or "",
        name=call.name,
        arguments=call.arguments,
    )
