"""Hosted MCP servers: their tools, calls of these tools, and approval.

A client declares such a server as a tool. The configuration of the local server says whether the
server is reachable and what its tools return. The declaration says which calls need approval::

    require_approval         calls that need approval
    "always", or not given   all
    "never"                  none
    {always, never}          those whose tool "always" matches, or "never" does not match
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs
import msgspec

from . import errors
from .responders import HostedCall
from .types import Json, is_object

__all__ = [
    "McpApprovals",
    "ApprovedCall",
    "HostedToolFunction",
    "HostedServers",
    "HostedTool",
    "HostedToolset",
    "normalize_servers",
    "list_tools",
    "run_tool",
]

HostedToolFunction: TypeAlias = Callable[[Json], str]

#: JSON-RPC's error code for invalid parameters. MCP servers use it for unknown tools too.
_INVALID_PARAMS: Final = -32602


def _any_arguments() -> Json:
    return {"type": "object", "properties": {}}


@attrs.frozen
class HostedTool:
    """A tool of a hosted MCP server.

    Args:
        output: output of a call, or a function that returns it for the call's arguments. The
            function must not block. An exception that it raises fails the call.
        description: description for the model.
        input_schema: JSON schema of the arguments; by default any object.
        seconds: duration of a call in seconds, regardless of the pacing.
    """

    output: str | HostedToolFunction
    description: str | None = None
    input_schema: Mapping[str, Any] = attrs.field(factory=_any_arguments)
    seconds: float = 0.0


HostedServers: TypeAlias = Mapping[str, Mapping[str, HostedTool | HostedToolFunction | str]]


def normalize_servers(given: HostedServers) -> Mapping[str, Mapping[str, HostedTool]]:
    """Convert each tool to a :class:`HostedTool`, by server and name."""
    return {
        label: {name: _normalize_tool(tool) for name, tool in tools.items()}
        for label, tools in given.items()
    }


def _normalize_tool(tool: HostedTool | HostedToolFunction | str) -> HostedTool:
    return tool if isinstance(tool, HostedTool) else HostedTool(tool)


def _listing(name: str, tool: HostedTool) -> Json:
    """Return the tool as its server lists it."""
    about: Json = {} if tool.description is None else {"description": tool.description}
    return {"name": name, **about, "input_schema": dict(tool.input_schema)}


# -- declared tools ------------------------------------------------------------------------------


def _allowed_tools(
    servers: Mapping[str, Mapping[str, HostedTool]], declaration: Json
) -> dict[str, HostedTool]:
    tools = servers.get(declaration["server_label"], {})
    allowed = declaration.get("allowed_tools")
    if allowed is None:
        return dict(tools)
    named: Json = allowed if is_object(allowed) else {"tool_names": allowed}
    return {name: tool for name, tool in tools.items() if _matches_filter(named, name)}


def _matches_filter(tool_filter: Json, name: str) -> bool:
    """Return whether a filter matches a tool. No tool is annotated as read-only."""
    names = tool_filter.get("tool_names")
    return not tool_filter.get("read_only") and (names is None or name in names)


def list_tools(
    servers: Mapping[str, Mapping[str, HostedTool]], declaration: Json
) -> list[Json] | None:
    """Return the allowed tools of a declared server; None if it is not reachable."""
    if declaration["server_label"] not in servers:
        return None
    return [_listing(name, tool) for name, tool in _allowed_tools(servers, declaration).items()]


class HostedToolset:
    """The hosted tools that one response may call.

    Args:
        servers: the reachable servers.
        tools: all tools that the client declared, functions included.
    """

    def __init__(
        self, servers: Mapping[str, Mapping[str, HostedTool]], tools: Sequence[Json]
    ) -> None:
        declared = {tool["server_label"]: tool for tool in tools if tool["type"] == "mcp"}
        self._policies = {
            label: tool.get("require_approval") or "always" for label, tool in declared.items()
        }
        self._tools = {label: _allowed_tools(servers, tool) for label, tool in declared.items()}

    @property
    def listing(self) -> tuple[Json, ...]:
        """The tools as their servers list them, each with its ``server_label``."""
        return tuple(
            {"server_label": label, **_listing(name, tool)}
            for label, tools in self._tools.items()
            for name, tool in tools.items()
        )

    def find(self, call: HostedCall) -> HostedTool | None:
        """Return the tool to call; None if the response may not call it."""
        return self._tools.get(call.server_label, {}).get(call.name)

    def needs_approval(self, call: HostedCall) -> bool:
        """Return whether a call needs approval. A call of an unknown tool does not."""
        if self.find(call) is None:
            return False
        policy = self._policies[call.server_label]
        if not is_object(policy):
            return bool(policy == "always")
        always, never = policy.get("always"), policy.get("never")
        is_always = always is not None and _matches_filter(always, call.name)
        return is_always or never is None or not _matches_filter(never, call.name)


# -- calls ---------------------------------------------------------------------------------------


def run_tool(tool: HostedTool | None, arguments: str) -> Json:
    """Call a tool. Return the ``output`` or the ``error`` of the call's item."""
    if tool is None:
        return _protocol_error("There is no such tool.")
    try:
        given = msgspec.json.decode(arguments, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _protocol_error("The arguments are not a JSON object.")
    try:
        return {"output": _tool_output(tool, given)}
    except Exception as exc:  # noqa: BLE001 - any exception fails the call
        message = str(exc) or type(exc).__name__
        return {"error": {"type": "tool_execution_error", "message": message}}


def _tool_output(tool: HostedTool, arguments: Json) -> str:
    output: object = tool.output if isinstance(tool.output, str) else tool.output(arguments)
    if not isinstance(output, str):
        raise TypeError(f"expected the tool to return a str, got {type(output).__name__}")
    return output


def _protocol_error(message: str) -> Json:
    return {"error": {"type": "protocol_error", "code": _INVALID_PARAMS, "message": message}}


# -- approval ------------------------------------------------------------------------------------


@attrs.frozen
class ApprovedCall:
    """An approved call, and the id of the item that requested approval."""

    call: HostedCall
    request_id: str


class McpApprovals:
    """Approval requests of the conversation, and approved calls that no response has made yet.

    A request can be decided once. The first response that starts an approved call makes it.
    """

    def __init__(self) -> None:
        self._requests: dict[str, HostedCall] = {}
        self._pending: set[str] = set()
        self._approved: list[ApprovedCall] = []

    def request(self, request_id: str, call: HostedCall) -> None:
        """Add a request: the item with this id requests approval of a call."""
        self._requests[request_id] = call
        self._pending.add(request_id)

    def discard(self, item_id: str) -> None:
        """Discard the request of a deleted item, if it is one."""
        self._pending.discard(item_id)
        self._requests.pop(item_id, None)

    def raise_if_not_pending(self, request_id: str) -> None:
        """Check that a request can be decided.

        Raises:
            ProtocolError: there is no such request, or it was decided before.
        """
        if request_id not in self._requests:
            raise errors.no_such_approval_request(request_id)
        if request_id not in self._pending:
            raise errors.already_decided(request_id)

    def decide(self, request_id: str, *, approve: bool) -> None:
        """Record the decision on a request."""
        self._pending.discard(request_id)
        if approve:
            self._approved.append(ApprovedCall(self._requests[request_id], request_id))

    @property
    def approved(self) -> Sequence[ApprovedCall]:
        """Approved calls that no response has started."""
        return tuple(self._approved)

    def mark_started(self, call: ApprovedCall) -> None:
        """Remove an approved call, because a response starts it."""
        self._approved.remove(call)
