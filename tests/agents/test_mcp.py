"""Declarations of MCP servers: validation, and masking of secrets."""

from __future__ import annotations

import logging
import sys
from typing import Any

import attrs
import pytest
from trio.testing import MockClock

from support.events import drain_events
from support.mcp_servers import MemoryServer
from support.sessions import open_test_session
from trio_realtime import (
    McpServer,
    McpServerCustom,
    McpServerHttp,
    McpServerStdio,
    RealtimeAgent,
    errors,
    events,
)
from trio_realtime.testing import ScriptedPeer


def agent_with(*servers: McpServer, **settings: Any) -> RealtimeAgent[None]:
    return RealtimeAgent(name="Assistant", mcp_servers=servers, **settings)


async def test_a_missing_sdk_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.delitem(sys.modules, "trio_realtime.session.mcp.sdk", raising=False)
    monkeypatch.delitem(sys.modules, "trio_realtime.session.mcp.stdio", raising=False)
    monkeypatch.setitem(sys.modules, "mcp", None)
    peer = ScriptedPeer()
    with pytest.raises(errors.ConfigurationError, match=r"pip install 'trio-realtime\[mcp\]'"):
        async with open_test_session(peer, agent=agent_with(MemoryServer().declare())):
            pytest.fail("the session opened")
    assert peer.connections == []


def test_secrets_are_not_in_the_repr() -> None:
    stdio = McpServerStdio(
        name="files", command="files", args=["--token", "hush-1"], env={"TOKEN": "hush-2"}
    )
    http = McpServerHttp(
        name="net", url="https://me:hush-3@host/mcp?key=hush-4", headers={"X": "hush-5"}
    )
    agent = agent_with(stdio, http)
    for shown in (repr(stdio), repr(http), repr(agent)):
        assert "hush" not in shown
    assert "TOKEN" in repr(stdio)
    assert "https://***@host/mcp" in repr(http)


async def test_secrets_are_masked_in_errors_from_a_server(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    @attrs.frozen(kw_only=True, eq=False)
    class Talkative(McpServerCustom):
        def secrets(self) -> tuple[str, ...]:
            return ("hush", "hush-hush")

    async def leak() -> Any:
        raise OSError("the token hush-hush is wrong")

    class Leaking:
        async def __aenter__(self) -> Any:
            await leak()

        async def __aexit__(self, *exc_info: object) -> None: ...

    server = Talkative(name="net", connect=Leaking, required=False)
    with caplog.at_level(logging.DEBUG):
        async with open_test_session(ScriptedPeer(), agent=agent_with(server)) as session:
            (error,) = drain_events(session.events, events.Error)
    assert "the token *** is wrong" in str(error.error)
    assert "hush" not in caplog.text


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (McpServerStdio, {"name": "", "command": "x"}),
        (McpServerStdio, {"name": "a b", "command": "x"}),
        (McpServerStdio, {"name": "a", "command": "x", "connect_timeout": 0}),
        (McpServerStdio, {"name": "a", "command": "x", "call_timeout": -1}),
        (McpServerHttp, {"name": "a", "url": "ftp://host"}),
        (McpServerHttp, {"name": "a", "url": "host"}),
    ],
)
def test_an_invalid_declaration_is_rejected(
    kind: type[McpServer], settings: dict[str, Any]
) -> None:
    with pytest.raises(errors.ConfigurationError):
        kind(**settings)


def test_an_agent_accepts_only_servers_with_distinct_names() -> None:
    one, other = MemoryServer().declare(), MemoryServer().declare()
    assert agent_with(one, one).mcp_servers == (one,)
    with pytest.raises(errors.ConfigurationError, match="more than one MCP server named memory"):
        agent_with(one, other)
    with pytest.raises(errors.ConfigurationError, match="expected an MCP server"):
        agent_with("npx files")  # type: ignore[arg-type]
