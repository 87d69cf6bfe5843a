"""The task of one MCP server: its calls, reconnecting, and refreshing the list of tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from mcp import MCPError
from mcp.types import ListToolsResult
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.mcp_servers import (
    MemoryServer,
    agent_with,
    all_offered_names,
    call_two_tools,
    offered_names,
    only_output,
    raise_mcp_error,
    return_text,
)
from support.service import send_call, send_call_and_wait, start_call
from support.sessions import open_test_session
from support.wire import sent_outputs, sent_settings
from trio_realtime import McpServer, ToolContext, errors, events
from trio_realtime.session.mcp.connection import McpConnection, RemoteTool
from trio_realtime.session.mcp.manager import McpServers
from trio_realtime.testing import ScriptedPeer

# --- calls -------------------------------------------------------------------------------------


async def test_a_call_is_answered_with_the_text_of_the_server(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(MemoryServer().declare())) as session:
        await send_call_and_wait(peer, "echo", '{"text": "hello"}')
        assert await only_output(peer) == "hello"
        (end,) = drain_events(session.events, events.ToolEnd)
        assert (end.outcome, end.tool is not None) == ("completed", True)


async def test_arguments_that_are_not_an_object_are_not_sent_to_the_server(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(MemoryServer().declare())):
        await send_call_and_wait(peer, "echo", "[1]")
        assert (await only_output(peer)).startswith("Invalid arguments for echo")


async def test_the_options_of_a_server_apply_to_its_tools(autojump_clock: MockClock) -> None:
    server = MemoryServer().declare(
        allowed_tools=["hang"], needs_approval=True, call_timeout=3, on_interrupt="finish"
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server)) as session:
        assert offered_names(peer) == ["hang"]
        await start_call(peer, "hang")
        (ask,) = drain_events(session.events, events.ToolApprovalRequired)
        await session.approve_tool_call(ask.call_id)
        await session.interrupt()
        await trio.sleep(2.9)
        assert sent_outputs(peer) == [], "the call continues"
        await trio.sleep(0.2)
        assert await only_output(peer) == "Tool hang timed out after 3 seconds."


async def test_an_interrupt_cancels_only_calls_that_allow_it(autojump_clock: MockClock) -> None:
    async def slow(arguments: dict[str, Any]) -> str:
        await trio.sleep(5)
        return "slow"

    server, other = MemoryServer(), MemoryServer(slow=slow)
    agent = agent_with(
        server.declare("a", allowed_tools=["hang"]),
        other.declare("b", on_interrupt="background", allowed_tools=["slow"]),
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        await start_call(peer, "hang")
        peer.call("resp_1", "item_2", "call_2", "slow")
        await wait_all_tasks_blocked()
        assert server.log == ["called"]
        await session.interrupt()
        await wait_all_tasks_blocked()
        assert server.log == ["called", "cancelled"]
        ((call_id, _),) = sent_outputs(peer)
        assert call_id == "call_1"
        await trio.sleep(6)
        assert sent_outputs(peer)[1] == ("call_2", "slow")


async def test_a_call_fails_when_its_connection_is_lost_even_if_the_client_hangs() -> None:
    connection: McpConnection | None = None

    class HangingConnection(McpConnection):
        async def list_tools(self) -> tuple[RemoteTool, ...]:
            return (RemoteTool(name="wait", description=None, parameters={}),)

        async def call_tool(self, name: str, arguments: Any) -> Any:
            await trio.sleep_forever()

    @asynccontextmanager
    async def connect(server: McpServer, close_timeout: float) -> AsyncIterator[McpConnection]:
        nonlocal connection
        connection = HangingConnection(server)
        yield connection

    agent = agent_with(MemoryServer().declare())
    async with trio.open_nursery() as nursery:
        servers = McpServers(nursery, 1, connect)
        await servers.start(agent)
        (tool,) = servers.offered(agent)
        context = ToolContext[None](
            context=None, call_id="c", tool_name="wait", arguments="", agent=agent, response_id="r"
        )
        async with trio.open_nursery() as call_nursery:

            @call_nursery.start_soon
            async def call() -> None:
                with pytest.raises(errors.McpCallFailed, match="lost during the call: test"):
                    await tool.invoke(context, "{}")

            await wait_all_tasks_blocked()
            assert connection is not None
            connection.mark_lost("test")
        servers.stop()


# --- reconnecting ------------------------------------------------------------------------------


async def test_a_lost_connection_fails_its_calls_and_is_retried_with_growing_delays(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare())) as session:
        await start_call(peer, "hang")
        server.refuse_connections = True
        lost = trio.current_time()
        server.disconnect()
        assert "was lost during the call" in await only_output(peer)
        await trio.sleep(200)
        after = [at - lost for at in server.attempts[1:]]
        assert after == pytest.approx(
            [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5, 121.5, 151.5, 181.5]
        )

        server.refuse_connections = False
        await trio.sleep(30)
        assert [type(event.error) for event in drain_events(session.events, events.Error)] == [
            errors.McpServerFailed
        ], "reported once"
        peer.call("resp_1", "item_2", "call_2", "echo", '{"text": "back"}')
        await wait_all_tasks_blocked()
        assert sent_outputs(peer)[-1] == ("call_2", "back")
        assert len(sent_settings(peer)) == 1, "the tools are the same"


async def test_a_stable_connection_is_reconnected_immediately(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    async with open_test_session(ScriptedPeer(), agent=agent_with(server.declare())):
        for _ in range(3):
            await trio.sleep(60)
            server.disconnect()
            await wait_all_tasks_blocked()
        assert server.attempts == pytest.approx([0, 60, 120, 180])


async def test_a_call_waits_while_the_server_is_reconnected(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare(connect_timeout=8))):
        server.disconnect()
        await wait_all_tasks_blocked()
        await send_call_and_wait(peer, "echo", '{"text": "delayed"}')
        assert sent_outputs(peer) == []
        await trio.sleep(1)
        assert sent_outputs(peer) == [("call_1", "delayed")]


async def test_a_call_fails_if_the_server_is_not_reconnected_in_time(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare(connect_timeout=8))):
        server.refuse_connections = True
        server.disconnect()
        await wait_all_tasks_blocked()
        await send_call_and_wait(peer, "echo", '{"text": "delayed"}')
        await trio.sleep(7.9)
        assert sent_outputs(peer) == []
        await trio.sleep(0.2)
        text = await only_output(peer)
        assert text.startswith("MCP server 'memory' is not connected: ")
        assert text.endswith("ConnectionRefusedError: connection refused")


async def test_connecting_to_an_unresponsive_server_times_out(autojump_clock: MockClock) -> None:
    server = MemoryServer()
    server.unresponsive = True
    with pytest.raises(errors.McpServerFailed, match="no connection within 4 s"):
        async with open_test_session(
            ScriptedPeer(), agent=agent_with(server.declare(connect_timeout=4))
        ):
            pytest.fail("the session opened")
    assert trio.current_time() == pytest.approx(4, abs=0.5)


async def test_an_optional_server_may_start_later(autojump_clock: MockClock) -> None:
    server = MemoryServer()
    server.refuse_connections = True
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare(required=False))) as session:
        assert offered_names(peer) == []
        await trio.sleep(5)
        (error,) = drain_events(session.events, events.Error)
        assert "did not start" in str(error.error)
        server.refuse_connections = False
        await trio.sleep(10)
        assert offered_names(peer) == ["echo", "hang"]
        await send_call_and_wait(peer, "echo", '{"text": "late"}')
        assert await only_output(peer) == "late"


# --- the list of tools -------------------------------------------------------------------------


class DuplicateTools(MemoryServer):
    async def _list(self, _context: Any, params: Any) -> ListToolsResult:
        result = await super()._list(_context, params)
        return ListToolsResult(tools=result.tools * 2)


async def test_a_tool_that_is_listed_twice_is_offered_once(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(DuplicateTools().declare())):
        assert all_offered_names(peer) == [["echo", "hang"]]


class ConstantlyChanging(MemoryServer):
    """Offers a different tool in each list, and announces changes after the first lists."""

    def __init__(self, changes: int) -> None:
        super().__init__()
        self.changes = changes
        self.list_count = 0

    async def _list(self, _context: Any, params: Any) -> ListToolsResult:
        self.list_count += 1
        self.handlers = {f"tool_{self.list_count}": self.handlers.popitem()[1]}
        result = await super()._list(_context, None)
        if self.list_count < self.changes:
            await self.notify_tools_changed()
        return result


async def test_changes_are_sent_at_most_once_a_second(autojump_clock: MockClock) -> None:
    server = ConstantlyChanging(300)
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare())) as session:
        await trio.sleep(9.5)
        assert len(all_offered_names(peer)) <= 11
        assert len(drain_events(session.events, events.McpToolsChanged)) <= 10


async def test_the_first_of_many_changes_is_sent_immediately_and_the_last_after_a_second(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare())):
        for number in range(50):
            server.handlers = {f"tool_{number}": return_text("")}
            await server.notify_tools_changed()
            await wait_all_tasks_blocked()
        assert all_offered_names(peer)[1:] == [["tool_0"]]
        await trio.sleep(1.1)
        assert all_offered_names(peer)[1:] == [["tool_0"], ["tool_49"]]


async def test_a_connection_lost_between_two_refreshes_is_noticed_immediately(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    async with open_test_session(ScriptedPeer(), agent=agent_with(server.declare())) as session:
        await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        server.disconnect()
        await wait_all_tasks_blocked()
        assert len(drain_events(session.events, events.Error)) == 1


class OneRequestAtATime(MemoryServer):
    """Handles one request at a time, as simple programs do."""

    def __init__(self, **handlers: Any) -> None:
        super().__init__(**handlers)
        self.lock = trio.Lock()

    async def _list(self, _context: Any, params: Any) -> ListToolsResult:
        async with self.lock:
            return await super()._list(_context, params)

    async def _call(self, _context: Any, params: Any) -> Any:
        async with self.lock:
            return await super()._call(_context, params)


async def test_a_refresh_waits_for_calls_if_the_server_handles_one_request_at_a_time(
    autojump_clock: MockClock,
) -> None:
    """After a failed call the tools are listed again; this server does that after its other calls."""
    server = OneRequestAtATime(
        fail=raise_mcp_error(-32602, "no such file"), slow=return_text("done", after=30)
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare())):
        call_two_tools(peer, "fail", "slow")
        await trio.sleep(15)
        await server.notify_tools_changed()
        await trio.sleep(25)
        assert sent_outputs(peer) == [("call_1", "no such file"), ("call_2", "done")]
        assert len(server.attempts) == 1


class FailingSecondList(MemoryServer):
    """Fails to list its tools the second time: it returns an error, or does not respond."""

    def __init__(self, *, responds: bool, **handlers: Any) -> None:
        super().__init__(**handlers)
        self.page_size = 10
        self.responds = responds
        self.list_count = 0

    async def _list(self, _context: Any, params: Any) -> ListToolsResult:
        self.list_count += 1
        if self.list_count == 2 and not self.responds:
            await trio.sleep_forever()
        if self.list_count == 2:
            raise MCPError(-32603, "the list is gone")
        return await super()._list(_context, params)


async def test_a_failed_refresh_does_not_abort_calls(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    server = FailingSecondList(responds=True, slow=return_text("done", after=30))
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare())):
        send_call(peer, "slow")
        await trio.sleep(1)
        await server.notify_tools_changed()
        await trio.sleep(35)
        assert sent_outputs(peer) == [("call_1", "done")]
        assert len(server.attempts) == 1
    assert "failed to list its tools: the list is gone" in caplog.text


@pytest.mark.parametrize(
    ("responds", "reason"), [(True, "the list is gone"), (False, "listing its tools timed out")]
)
async def test_a_server_without_calls_that_fails_to_list_its_tools_is_reconnected(
    responds: bool, reason: str, autojump_clock: MockClock
) -> None:
    server = FailingSecondList(responds=responds)
    async with open_test_session(
        ScriptedPeer(), agent=agent_with(server.declare(connect_timeout=4))
    ) as session:
        await server.notify_tools_changed()
        await trio.sleep(6)
        (error,) = drain_events(session.events, events.Error)
        assert reason in str(error.error)
        assert len(server.attempts) == 2
