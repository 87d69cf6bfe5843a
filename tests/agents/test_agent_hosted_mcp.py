"""Declarations of hosted MCP servers."""

from __future__ import annotations

import pytest

from support.hosted_mcp import make_hosted_tool
from trio_realtime import HostedMcpTool, RealtimeAgent
from trio_realtime.errors import ConfigurationError


def test_hosted_server_requires_one_address_and_a_unique_label() -> None:
    with pytest.raises(ConfigurationError, match="a server_url or a connector_id"):
        HostedMcpTool(server_label="docs")
    with pytest.raises(ConfigurationError, match="the same label"):
        RealtimeAgent(name="Twice", hosted_tools=[make_hosted_tool(), make_hosted_tool()])
