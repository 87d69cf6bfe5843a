"""MCP servers that the service calls: declarations, sent with the agent's tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from trio_realtime._declarations import check_callable
from trio_realtime.errors import ConfigurationError
from trio_realtime.items import McpApprovalRequestItem
from trio_realtime.wire import McpToolSpec

from ._validation import as_tuple
from .contexts import AgentContext, Condition, check_condition

HostedApproval: TypeAlias = Callable[
    [AgentContext[Any], McpApprovalRequestItem], bool | Awaitable[bool]
]


def _check_location(tool: HostedMcpTool, _attribute: Any, _value: Any) -> None:
    if (tool.server_url is None) == (tool.connector_id is None):
        raise ConfigurationError(
            f"hosted MCP server {tool.server_label!r}: pass either a server_url or a connector_id"
        )


def _check_on_approval(tool: HostedMcpTool, _attribute: Any, on_approval: Any) -> None:
    if on_approval is not None:
        what = f"on_approval of hosted MCP server {tool.server_label!r}"
        check_callable(on_approval, what, "context", "request")


def _check_is_enabled(tool: HostedMcpTool, _attribute: Any, condition: Any) -> None:
    check_condition(condition, f"is_enabled of hosted MCP server {tool.server_label!r}", "context")


@attrs.frozen(kw_only=True, eq=False)
class HostedMcpTool:
    """An MCP server whose tools the service calls, without involving this process.

    Credentials are sent to the service. They never appear in a repr, log, event or exception.

    Args:
        server_label: the server's name for the model and in events; unique in the agent.
        server_url: the server's URL, reachable from the service. Pass either this or
            ``connector_id``.
        connector_id: the id of one of the service's own connectors, such as
            ``"connector_googlecalendar"``.
        authorization: an OAuth access token for the server or connector.
        headers: HTTP headers that the service sends with each request to the server.
        server_description: what the server offers, for the model.
        allowed_tools: the names of the tools that the model may call; ``None`` for all.
        require_approval: which calls need approval: ``"always"``, ``"never"``, or
            ``{"always": {"tool_names": [...]}, "never": {...}}``. ``None`` leaves the choice to the
            service, which then asks always.
        on_approval: a function, sync or async, that decides about calls that need approval. It is
            called with the :class:`AgentContext` and the request, and returns whether to approve the
            call. Without it, such calls wait for ``session.approve_tool_call`` or
            ``session.reject_tool_call``, like those of function tools.
        is_enabled: whether the model may use the server; see :class:`FunctionTool`.

    Raises:
        ConfigurationError: if there is neither a ``server_url`` nor a ``connector_id``, or both.
    """

    server_label: str
    server_url: str | None = attrs.field(default=None, repr=False)
    connector_id: str | None = attrs.field(default=None, validator=_check_location)
    authorization: str | None = attrs.field(default=None, repr=False)
    headers: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    server_description: str | None = attrs.field(default=None, repr=False)
    allowed_tools: Sequence[str] | None = None
    require_approval: Any = None
    on_approval: HostedApproval | None = attrs.field(
        default=None, validator=_check_on_approval, repr=False
    )
    is_enabled: Condition = attrs.field(default=True, validator=_check_is_enabled)

    def spec(self) -> McpToolSpec:
        """Return the server's entry in the ``tools`` of the session's settings."""
        return McpToolSpec(
            server_label=self.server_label,
            server_url=self.server_url,
            connector_id=self.connector_id,
            authorization=self.authorization,
            headers=self.headers,
            server_description=self.server_description,
            allowed_tools=None if self.allowed_tools is None else list(self.allowed_tools),
            require_approval=self.require_approval,
        )


def as_hosted_tools(values: Iterable[Any]) -> tuple[HostedMcpTool, ...]:
    """Return hosted MCP servers as a tuple.

    Raises:
        ConfigurationError: if there is anything else among them, or if two have the same label.
    """
    tools = as_tuple(values, "hosted_tools")
    for tool in tools:
        if not isinstance(tool, HostedMcpTool):
            raise ConfigurationError(f"hosted_tools: expected a HostedMcpTool, got {tool!r}")
    labels = [tool.server_label for tool in tools]
    if len({*labels}) < len(labels):
        raise ConfigurationError(
            f"hosted_tools: two MCP servers have the same label: {', '.join(labels)}"
        )
    return tools
