"""Connections to MCP servers: their state, and real ones that are lost, restored or interrupted."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from mcp import Client
from trio.testing import MockClock

from support.events import drain_events
from support.mcp_servers import (
    HttpProgram,
    ServerLifetime,
    ServerObserver,
    agent_with,
    observe_programs,
    program_server,
)
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, Frame
from trio_realtime import McpServer, McpServerStdio, errors, events, function_tool
from trio_realtime.session.mcp.connection import McpConnection, RemoteTool
from trio_realtime.testing import ScriptedPeer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the program uses POSIX signals"),
    # The SDK stops reading a response after its one event, and leaves the generator unclosed.
    pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning"),
]

TIMEOUT = 60
"""Real seconds."""


# --- state -------------------------------------------------------------------------------------


class StubConnection(McpConnection):
    async def list_tools(self) -> tuple[RemoteTool, ...]:
        return ()

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Any: ...


def make_connection() -> StubConnection:
    return StubConnection(McpServerStdio(name="local", command="x"))


async def test_the_first_reason_of_a_loss_is_recorded() -> None:
    connection = make_connection()
    connection.mark_lost("first")
    connection.mark_lost("second")
    await connection.wait_lost()
    assert connection.lost_reason == "first"
    assert str(connection.call_lost_error()).endswith("was lost during the call: first")
    assert await connection.wait_refresh_or_lost() is False


def test_errors_while_closing_are_ignored() -> None:
    connection = make_connection()
    connection.mark_closing()
    connection.mark_lost("closed")
    assert connection.lost_reason is None


async def test_a_refresh_request_is_reported_once(autojump_clock: MockClock) -> None:
    connection = make_connection()
    connection.request_refresh()
    connection.request_refresh()
    assert await connection.wait_refresh_or_lost() is True
    with trio.move_on_after(1) as scope:
        await connection.wait_refresh_or_lost()
    assert scope.cancelled_caught


# --- real servers ------------------------------------------------------------------------------


@function_tool
async def own() -> str:
    return "mine"


class ToolCaller:
    """Acts as the model: calls one tool after another, each in its own response."""

    def __init__(self, peer: ScriptedPeer) -> None:
        self._peer = peer
        self._create: Frame | None = None
        self._count = 0

    def start(self, name: str, arguments: str = "{}") -> None:
        self._count += 1
        response = f"resp_{self._count}"
        self._peer.begin_response(response, self._create)
        self._peer.call(response, f"item_{self._count}", f"call_{self._count}", name, arguments)
        self._peer.end_response(response)

    async def wait_output(self) -> str:
        frame = await self._peer.expect(ITEM)
        self._create = await self._peer.expect(CREATE)
        output: str = frame["item"]["output"]
        return output

    async def call(self, name: str, arguments: str = "{}") -> str:
        self.start(name, arguments)
        return await self.wait_output()


@attrs.frozen
class RunningServer:
    """A server: its declaration, and functions that wait for its first run and for the next."""

    declaration: McpServer
    first_run: Callable[[], Awaitable[ServerLifetime]]
    next_run: Callable[[], Awaitable[ServerLifetime]]


@asynccontextmanager
async def run_server(kind: str, observer: ServerObserver) -> AsyncIterator[RunningServer]:
    if kind == "stdio":
        yield RunningServer(program_server(observer), observer.wait_started, observer.wait_started)
        return
    program = HttpProgram(observer)
    lifetime = await program.start()

    async def first_run() -> ServerLifetime:
        return lifetime

    try:
        yield RunningServer(program.declare(), first_run, program.start)
    finally:
        with trio.move_on_after(5, shield=True):
            await program.kill()


@pytest.mark.parametrize("kind", ["stdio", "http", "legacy http"])
async def test_a_server_killed_during_a_call_is_reconnected(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "legacy http":
        legacy_client = functools.partial(Client, mode="legacy")
        monkeypatch.setattr("trio_realtime.session.mcp.sdk.Client", legacy_client)
    peer = ScriptedPeer()
    model = ToolCaller(peer)
    with trio.fail_after(TIMEOUT):
        async with observe_programs() as observer, run_server(kind, observer) as server:
            agent = agent_with(server.declaration, tools=[own])
            async with open_test_session(peer, agent=agent) as session:
                lifetime = await server.first_run()
                offered = peer.received[0]["session"]["tools"]
                assert [tool["name"] for tool in offered] == ["own", "echo", "hang"]
                assert offered[1]["description"] == "Return the text."
                assert offered[1]["parameters"]["required"] == ["text"]
                assert await model.call("echo", '{"text": "one"}') == "one"

                model.start("hang")
                assert await lifetime.next_report() == "hang called"
                lifetime.kill()
                assert "was lost during the call" in await model.wait_output()
                assert await model.call("own") == "mine"  # while the server is down

                await server.next_run()
                assert await model.call("echo", '{"text": "two"}') == "two"

                reported = drain_events(session.events, events.Error)
                assert [type(event.error) for event in reported] == [errors.McpServerFailed]


async def test_a_call_to_a_restarted_http_server_is_repeated_over_a_new_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client speaks an older protocol version, whose sessions do not survive a restart."""
    legacy_client = functools.partial(Client, mode="legacy")
    monkeypatch.setattr("trio_realtime.session.mcp.sdk.Client", legacy_client)
    peer = ScriptedPeer()
    model = ToolCaller(peer)
    with trio.fail_after(TIMEOUT):
        async with observe_programs() as observer:
            program = HttpProgram(observer)
            lifetime = await program.start()
            agent = agent_with(program.declare())
            async with open_test_session(peer, agent=agent):
                assert await model.call("echo", '{"text": "one"}') == "one"
                lifetime.kill()
                await lifetime.wait_exited()
                await program.start()
                assert await model.call("echo", '{"text": "two"}') == "two"
            await program.kill()


@pytest.mark.parametrize("kind", ["stdio", "http"])
async def test_an_interrupt_cancels_the_call_in_the_server(kind: str) -> None:
    peer = ScriptedPeer()
    model = ToolCaller(peer)
    with trio.fail_after(TIMEOUT):
        async with observe_programs() as observer, run_server(kind, observer) as server:
            agent = agent_with(server.declaration)
            async with open_test_session(peer, agent=agent) as session:
                lifetime = await server.first_run()
                peer.begin_response("resp_x")
                peer.call("resp_x", "item_x", "call_x", "hang")
                assert await lifetime.next_report() == "hang called"
                await session.interrupt()
                assert await lifetime.next_report() == "hang cancelled"
                await peer.expect("response.cancel")
                frame = await peer.expect(ITEM)
                assert "cancelled" in frame["item"]["output"]
                peer.end_response("resp_x", "cancelled")
                assert await model.call("echo", '{"text": "on"}') == "on"
                assert drain_events(session.events, events.Error) == []
