"""Events that list the tools of hosted MCP servers.

Nothing has to be fetched over a network, so a listing completes at once::

    conversation.item.added (without tools), mcp_list_tools.in_progress,
    mcp_list_tools.completed or .failed, conversation.item.done (with the tools)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .conversation import Item
from .hosted_mcp import list_tools
from .session_state import SessionState
from .settings import without_credentials
from .types import Json

__all__ = ["list_new_servers"]


def list_new_servers(state: SessionState, tools: Iterable[Json], *, known: Sequence[Json]) -> None:
    """List the tools of each hosted server in ``tools`` that is not in ``known``."""
    for tool in map(without_credentials, tools):
        if tool["type"] == "mcp" and tool not in known:
            _list_server(state, tool)


def _list_server(state: SessionState, declaration: Json) -> None:
    item = Item({"id": state.environment.ids.new("mcpl"), "type": "mcp_list_tools"})
    item.data |= {"server_label": declaration["server_label"], "tools": []}
    previous = state.conversation.append(item)
    state.emit("conversation.item.added", previous_item_id=previous, item=item.view())
    state.emit("mcp_list_tools.in_progress", item_id=item.id)
    listed = list_tools(state.config.hosted_servers, declaration)
    item.data["tools"] = listed or []
    state.emit(f"mcp_list_tools.{'failed' if listed is None else 'completed'}", item_id=item.id)
    state.emit("conversation.item.done", previous_item_id=previous, item=item.view())
