"""Decide about calls that the service wants to make itself."""

from __future__ import annotations

from trio_realtime.agents import AgentContext, HostedMcpTool, maybe_await
from trio_realtime.core import ToolCall
from trio_realtime.events import ToolApprovalRequired
from trio_realtime.items import McpApprovalRequestItem

from .approvals import Decision
from .call_services import ToolServices


async def decide_hosted_call(call: ToolCall, services: ToolServices) -> Decision:
    """Ask the server's ``on_approval``, or wait for a decision of the application."""
    server = call.tool if isinstance(call.tool, HostedMcpTool) else None
    if server is not None and server.on_approval is not None:
        about = AgentContext(context=services.context, agent=call.agent)
        approved = await maybe_await(server.on_approval(about, _request(call)))
        return Decision(approved=bool(approved))
    # The declared server, not its label: another agent may use the label for another server.
    key = (server or call.server_label, call.name)
    decision = services.approvals.lasting_decision(key)
    if decision is not None:
        return decision
    services.runtime.emit(
        ToolApprovalRequired(
            agent=call.agent,
            tool=None,
            tool_name=call.name,
            call_id=call.call_id,
            arguments=call.arguments,
            server_label=call.server_label,
        )
    )
    return await services.approvals.wait(call.call_id, key)


def _request(call: ToolCall) -> McpApprovalRequestItem:
    return McpApprovalRequestItem(
        id=call.call_id,
        server_label=call.server_label or "",
        name=call.name,
        arguments=call.arguments,
    )
