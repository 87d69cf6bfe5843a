"""An agent with a hosted MCP server, and the frames of calls that the service makes itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from support.service import accept_create
from support.wire import ITEM, Frame, sent_frames
from trio_realtime import AgentContext, HostedMcpTool, RealtimeAgent, RealtimeSession
from trio_realtime.items import McpApprovalRequestItem
from trio_realtime.testing import ScriptedPeer

OnApproval: TypeAlias = Callable[
    [AgentContext[Any], McpApprovalRequestItem], bool | Awaitable[bool]
]

HOSTED_CALL: Frame = {
    "id": "mcp_1",
    "type": "mcp_call",
    "server_label": "docs",
    "name": "search",
    "arguments": '{"q": "trio"}',
}
APPROVAL_REQUEST: Frame = {**HOSTED_CALL, "id": "ask_1", "type": "mcp_approval_request"}


def make_hosted_tool(
    on_approval: OnApproval | None = None, *, url: str = "https://example.com/mcp"
) -> HostedMcpTool:
    """Make the declaration of a server with secrets."""
    return HostedMcpTool(
        server_label="docs",
        server_url=url,
        authorization="very-secret",
        headers={"X-Key": "more-secret"},
        on_approval=on_approval,
    )


def make_librarian(
    on_approval: OnApproval | None = None,
    *,
    url: str = "https://example.com/mcp",
    name: str = "Librarian",
) -> RealtimeAgent[None]:
    """Make an agent with one hosted server."""
    return RealtimeAgent(name=name, hosted_tools=[make_hosted_tool(on_approval, url=url)])


async def start_turn(peer: ScriptedPeer, session: RealtimeSession[None]) -> None:
    """Send a message, and start its response ``resp_1``."""
    await session.send_message("Look it up")
    await peer.expect(ITEM)
    await accept_create(peer, "resp_1")


def start_hosted_call(
    peer: ScriptedPeer, response_id: str = "resp_1", item: Frame = HOSTED_CALL
) -> None:
    """Send the frames with which a hosted call starts."""
    peer.send(
        {"type": "response.output_item.added", "response_id": response_id, "item": item},
        {"type": "conversation.item.added", "item": item},
        {"type": "response.mcp_call.in_progress", "item_id": item["id"]},
    )


def finish_hosted_call(
    peer: ScriptedPeer,
    response_id: str | None = "resp_1",
    *,
    item: Frame = HOSTED_CALL,
    **result: Any,
) -> None:
    """Send the frames with which a hosted call ends, with this output or error.

    With ``response_id=None``, the response has already ended.
    """
    done = {**item, **(result or {"output": "found"})}
    kind = "failed" if "error" in result else "completed"
    peer.send({"type": f"response.mcp_call.{kind}", "item_id": item["id"]})
    peer.send({"type": "conversation.item.done", "item": done})
    if response_id is not None:
        peer.send({"type": "response.output_item.done", "response_id": response_id, "item": done})


def send_approval_request(peer: ScriptedPeer, response_id: str = "resp_1", number: int = 1) -> None:
    """Send a request for approval that is an output item of a response."""
    item = {**APPROVAL_REQUEST, "id": f"ask_{number}"}
    peer.send(
        {"type": "response.output_item.added", "response_id": response_id, "item": item},
        {"type": "conversation.item.added", "item": item},
        {"type": "conversation.item.done", "item": item},
        {"type": "response.output_item.done", "response_id": response_id, "item": item},
    )


def send_approval_item(peer: ScriptedPeer, item: Frame = APPROVAL_REQUEST) -> None:
    """Send only the conversation item of a request for approval."""
    peer.send(
        {"type": "conversation.item.added", "item": item},
        {"type": "conversation.item.done", "item": item},
    )


async def sent_decisions(peer: ScriptedPeer) -> list[tuple[str, bool, str | None]]:
    """Return the id, decision and reason of each approval response received so far."""
    return [
        (item["approval_request_id"], item["approve"], item.get("reason"))
        for frame in await sent_frames(peer)
        if frame["type"] == ITEM and (item := frame["item"])["type"] == "mcp_approval_response"
    ]
