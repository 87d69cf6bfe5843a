"""MCP servers that the service itself connects to: a declaration, sent with the agent's tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from trio_realtime.errors import ConfigurationError
from trio_realtime.items import McpApprovalRequestItem
from trio_realtime.wire import McpToolSpec

from ._validation import as_tuple
from .contexts import AgentContext, Condition

HostedApproval: TypeAlias = Callable[
    [AgentContext[Any], McpApprovalRequestItem], bool | Awaitable[bool]
]


def _check_place(tool: HostedMcpTool, _attribute: Any, _value: Any) -> None:
    if (tool.server_url is None) == (tool.connector_id is None):
        raise ConfigurationError(
            f"hosted MCP server {tool.server_label!r}: give a server_url or a connector_id"
        )


@attrs.frozen(kw_only=True, eq=False)
class HostedMcpTool:
    """An MCP server whose tools the service calls itself, and never this process.

    Credentials go to the service, and never print.

    Args:
        server_label: how the model and the events call it.
        server_url: where it is, for the service; or
        connector_id: one of the service's own connectors, such as ``"connector_googlecalendar"``.
        authorization: a token for it.
        headers: sent with each of the service's requests to it.
        server_description: for the model.
        allowed_tools: names of the tools that the model may call; all by default.
        require_approval: ``"always"`` (the service's default), ``"never"``, or
            ``{"always": {"tool_names": [...]}, "never": {...}}``.
        on_approval: decides about calls that need approval, sync or async. Without it they wait for
            ``session.approve_tool_call``, like those of functions.
        is_enabled: whether the model is told of it; see :class:`FunctionTool`.

    Raises:
        ConfigurationError: it has no place, or two.
    """

    server_label: str
    server_url: str | None = attrs.field(default=None, repr=False)
    connector_id: str | None = attrs.field(default=None, validator=_check_place)
    authorization: str | None = attrs.field(default=None, repr=False)
    headers: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    server_description: str | None = attrs.field(default=None, repr=False)
    allowed_tools: Sequence[str] | None = None
    require_approval: Any = None
    on_approval: HostedApproval | None = attrs.field(default=None, repr=False)
    is_enabled: Condition = True

    def spec(self) -> McpToolSpec:
        """The server as it stands in the session's settings."""
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


def hosted_tools_of(given: Iterable[Any]) -> tuple[HostedMcpTool, ...]:
    """Hosted servers, each label once.

    Raises:
        ConfigurationError: something else is among them, or a label stands twice.
    """
    tools = as_tuple(given, "hosted_tools")
    for tool in tools:
        if not isinstance(tool, HostedMcpTool):
            raise ConfigurationError(f"{tool!r} is no HostedMcpTool")
    labels = [tool.server_label for tool in tools]
    if len({*labels}) < len(labels):
        raise ConfigurationError(f"two hosted MCP servers have the same label: {labels}")
    return tools
