"""MCP servers that the service calls by itself, without a network: what they have, and who agrees.

A client declares such a server with its tools; whether the service can reach it, and what its tools
answer, is a matter of the options. Which calls somebody must agree to, the declaration says::

    require_approval         a call waits for approval
    always, or not given     always
    never                    never
    {always, never}          unless "never" names its tool, and "always" does not
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
    "Approvals",
    "ApprovedCall",
    "HostedAnswer",
    "HostedServers",
    "HostedTool",
    "Toolbox",
    "declare_servers",
    "list_tools",
    "run_tool",
]

HostedAnswer: TypeAlias = Callable[[Json], str]

#: What JSON-RPC calls invalid parameters; MCP servers say it of tools that they do not have, too.
_INVALID_PARAMS: Final = -32602


def _any_object() -> Json:
    return {"type": "object", "properties": {}}


@attrs.frozen
class HostedTool:
    """A tool of an MCP server that the local service can reach.

    Args:
        answer: what it answers, or a function of its arguments that says so. It must not block;
            what it raises is the call's error.
        description: for the model.
        input_schema: JSON schema of its arguments; by default any.
        seconds: how long a call takes, whatever the pacing.
    """

    answer: str | HostedAnswer
    description: str | None = None
    input_schema: Mapping[str, Any] = attrs.field(factory=_any_object)
    seconds: float = 0.0


HostedServers: TypeAlias = Mapping[str, Mapping[str, HostedTool | HostedAnswer | str]]


def declare_servers(given: HostedServers) -> Mapping[str, Mapping[str, HostedTool]]:
    """All tools in full, by server and name."""
    return {
        label: {name: _declared(tool) for name, tool in tools.items()}
        for label, tools in given.items()
    }


def _declared(tool: HostedTool | HostedAnswer | str) -> HostedTool:
    return tool if isinstance(tool, HostedTool) else HostedTool(tool)


def _listed(name: str, tool: HostedTool) -> Json:
    """The tool as its server lists it."""
    about: Json = {} if tool.description is None else {"description": tool.description}
    return {"name": name, **about, "input_schema": dict(tool.input_schema)}


# -- what a client may use -----------------------------------------------------------------------


def _allowed(
    servers: Mapping[str, Mapping[str, HostedTool]], declaration: Json
) -> dict[str, HostedTool]:
    tools = servers.get(declaration["server_label"], {})
    allowed = declaration.get("allowed_tools")
    if allowed is None:
        return dict(tools)
    named: Json = allowed if is_object(allowed) else {"tool_names": allowed}
    return {name: tool for name, tool in tools.items() if _names(named, name)}


def _names(tool_filter: Json, name: str) -> bool:
    """Whether a filter names a tool. Nothing here is known to be read-only."""
    names = tool_filter.get("tool_names")
    return not tool_filter.get("read_only") and (names is None or name in names)


def list_tools(
    servers: Mapping[str, Mapping[str, HostedTool]], declaration: Json
) -> list[Json] | None:
    """The tools that a declared server offers; None where it cannot be reached."""
    if declaration["server_label"] not in servers:
        return None
    return [_listed(name, tool) for name, tool in _allowed(servers, declaration).items()]


class Toolbox:
    """The hosted tools that are in force for one response.

    Args:
        servers: those that can be reached.
        tools: as the client declared them, functions among them.
    """

    def __init__(
        self, servers: Mapping[str, Mapping[str, HostedTool]], tools: Sequence[Json]
    ) -> None:
        declared = {tool["server_label"]: tool for tool in tools if tool["type"] == "mcp"}
        self._policies = {
            label: tool.get("require_approval") or "always" for label, tool in declared.items()
        }
        self._tools = {label: _allowed(servers, tool) for label, tool in declared.items()}

    @property
    def listed(self) -> tuple[Json, ...]:
        """All of them as their servers list them, each with its ``server_label``."""
        return tuple(
            {"server_label": label, **_listed(name, tool)}
            for label, tools in self._tools.items()
            for name, tool in tools.items()
        )

    def find(self, call: HostedCall) -> HostedTool | None:
        """The tool that is meant; None where it is not in force."""
        return self._tools.get(call.server_label, {}).get(call.name)

    def needs_approval(self, call: HostedCall) -> bool:
        """Whether somebody must agree. A call that cannot be made needs nobody's consent."""
        if self.find(call) is None:
            return False
        policy = self._policies[call.server_label]
        if not is_object(policy):
            return bool(policy == "always")
        always, never = policy.get("always"), policy.get("never")
        insists = always is not None and _names(always, call.name)
        return insists or never is None or not _names(never, call.name)


# -- calls ---------------------------------------------------------------------------------------


def run_tool(tool: HostedTool | None, arguments: str) -> Json:
    """Make a call: what its item says in the end, an ``output`` or an ``error``."""
    if tool is None:
        return _protocol_error("There is no such tool.")
    try:
        given = msgspec.json.decode(arguments, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _protocol_error("The arguments are not a JSON object.")
    try:
        return {"output": _answer(tool, given)}
    except Exception as exc:  # noqa: BLE001 - a tool may fail in any way, and that is an answer
        message = str(exc) or type(exc).__name__
        return {"error": {"type": "tool_execution_error", "message": message}}


def _answer(tool: HostedTool, arguments: Json) -> str:
    answer: object = tool.answer if isinstance(tool.answer, str) else tool.answer(arguments)
    if not isinstance(answer, str):
        raise TypeError(f"the tool answered {type(answer).__name__}, not text")
    return answer


def _protocol_error(message: str) -> Json:
    return {"error": {"type": "protocol_error", "code": _INVALID_PARAMS, "message": message}}


# -- consent -------------------------------------------------------------------------------------


@attrs.frozen
class ApprovedCall:
    """A call that somebody agreed to, and the id of the item that asked."""

    call: HostedCall
    request_id: str


class Approvals:
    """What was asked in the conversation, what was decided, and what is still to be called.

    A request is decided once. An approved call is made once: by the first response that begins it.
    """

    def __init__(self) -> None:
        self._asked: dict[str, HostedCall] = {}
        self._undecided: set[str] = set()
        self._approved: list[ApprovedCall] = []

    def ask(self, request_id: str, call: HostedCall) -> None:
        """An item of this id asks for consent to a call."""
        self._asked[request_id] = call
        self._undecided.add(request_id)

    def withdraw(self, item_id: str) -> None:
        """An item was deleted: if it asked for something, nobody can agree to that any more."""
        self._undecided.discard(item_id)
        self._asked.pop(item_id, None)

    def check(self, request_id: str) -> None:
        """Whether this can be decided.

        Raises:
            Refusal: nothing was asked under this id, or it was decided before.
        """
        if request_id not in self._asked:
            raise errors.no_such_approval_request(request_id)
        if request_id not in self._undecided:
            raise errors.already_decided(request_id)

    def decide(self, request_id: str, *, approve: bool) -> None:
        """Somebody decided."""
        self._undecided.discard(request_id)
        if approve:
            self._approved.append(ApprovedCall(self._asked[request_id], request_id))

    @property
    def due(self) -> Sequence[ApprovedCall]:
        """Approved calls that no response has begun."""
        return tuple(self._approved)

    def begin(self, call: ApprovedCall) -> None:
        """A response begins this one."""
        self._approved.remove(call)
