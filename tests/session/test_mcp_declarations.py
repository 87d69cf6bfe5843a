"""MCP servers as they are declared: what cannot work is refused there, and nothing secret prints."""

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


def having(*servers: McpServer, **settings: Any) -> RealtimeAgent[None]:
    return RealtimeAgent(name="Assistant", mcp_servers=servers, **settings)


async def test_without_the_sdk_there_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.delitem(sys.modules, "trio_realtime.session.mcp.sdk", raising=False)
    monkeypatch.delitem(sys.modules, "trio_realtime.session.mcp.stdio", raising=False)
    monkeypatch.setitem(sys.modules, "mcp", None)
    peer = ScriptedPeer()
    with pytest.raises(errors.ConfigurationError, match=r"pip install 'trio-realtime\[mcp\]'"):
        async with open_test_session(peer, agent=having(MemoryServer().declare())):
            pytest.fail("the session opened")
    assert peer.connections == []


def test_secrets_are_not_shown() -> None:
    stdio = McpServerStdio(
        name="files", command="files", args=["--token", "hush-1"], env={"TOKEN": "hush-2"}
    )
    http = McpServerHttp(
        name="net", url="https://me:hush-3@host/mcp?key=hush-4", headers={"X": "hush-5"}
    )
    agent = having(stdio, http)
    for shown in (repr(stdio), repr(http), repr(agent)):
        assert "hush" not in shown
    assert "TOKEN" in repr(stdio)
    assert "https://***@host/mcp" in repr(http)


async def test_what_others_say_of_a_server_is_told_without_its_secrets(
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
        async with open_test_session(ScriptedPeer(), agent=having(server)) as session:
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
def test_a_declaration_that_cannot_work_is_refused(
    kind: type[McpServer], settings: dict[str, Any]
) -> None:
    with pytest.raises(errors.ConfigurationError):
        kind(**settings)


def test_an_agent_takes_servers_only_and_tells_them_apart_by_name() -> None:
    one, other = MemoryServer().declare(), MemoryServer().declare()
    assert having(one, one).mcp_servers == (one,)
    with pytest.raises(errors.ConfigurationError, match="more than one MCP server named memory"):
        having(one, other)
    with pytest.raises(errors.ConfigurationError, match="no MCP server"):
        having("npx files")  # type: ignore[arg-type]
