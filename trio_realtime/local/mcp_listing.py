"""Listing the tools of a hosted MCP server: the item, and the events around it.

There is no network to wait for, so it is over at once::

    conversation.item.added (no tools yet), mcp_list_tools.in_progress,
    mcp_list_tools.completed or .failed, conversation.item.done (with the tools)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .conversation import Item
from .hosted_mcp import list_tools
from .session_state import State
from .settings import shown_tool
from .types import Json

__all__ = ["import_tools"]


def import_tools(state: State, tools: Iterable[Json], *, known: Sequence[Json]) -> None:
    """List the tools of each hosted server among ``tools`` that is not among the known ones."""
    for tool in map(shown_tool, tools):
        if tool["type"] == "mcp" and tool not in known:
            _import(state, tool)


def _import(state: State, declaration: Json) -> None:
    item = Item({"id": state.stage.ids.new("mcpl"), "type": "mcp_list_tools"})
    item.data |= {"server_label": declaration["server_label"], "tools": []}
    previous = state.conversation.append(item)
    state.emit("conversation.item.added", previous_item_id=previous, item=item.view())
    state.emit("mcp_list_tools.in_progress", item_id=item.id)
    found = list_tools(state.options.hosted_servers, declaration)
    item.data["tools"] = found or []
    state.emit(f"mcp_list_tools.{'failed' if found is None else 'completed'}", item_id=item.id)
    state.emit("conversation.item.done", previous_item_id=previous, item=item.view())
