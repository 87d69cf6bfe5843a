"""MCP servers as tools of agents, on a virtual clock: names, changes, failures, and the way back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.mcp_servers import MemoryServer
from support.service import send_call_and_wait, start_call
from support.sessions import PassivePeer, open_test_session, task_count
from support.wire import sent_outputs
from trio_realtime import (
    FunctionTool,
    McpServer,
    McpServerCustom,
    RealtimeAgent,
    ToolContext,
    errors,
    events,
    function_tool,
)
from trio_realtime.agents import disambiguate_names, tool_name
from trio_realtime.session.mcp.connection import McpConnection, RemoteTool
from trio_realtime.session.mcp.manager import McpServers
from trio_realtime.testing import ScriptedPeer


def having(*servers: McpServer, **settings: Any) -> RealtimeAgent[None]:
    return RealtimeAgent(name="Assistant", mcp_servers=servers, **settings)


def updates(peer: ScriptedPeer) -> list[dict[str, Any]]:
    return [frame["session"] for frame in peer.received if frame["type"] == "session.update"]


def offered(peer: ScriptedPeer) -> list[str]:
    """The names that the service was told of last."""
    return [tool["name"] for tool in updates(peer)[-1]["tools"]]


async def only_answer(peer: ScriptedPeer) -> str:
    await wait_all_tasks_blocked()
    ((_, output),) = sent_outputs(peer)
    return output


# --- tools and calls ---------------------------------------------------------------------------


async def test_the_tools_of_all_pages_are_offered(autojump_clock: MockClock) -> None:
    async def nothing(arguments: dict[str, Any]) -> str:
        return ""

    server = MemoryServer(one=nothing, two=nothing, three=nothing)
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    server.schemas["echo"] = schema
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare())):
        assert offered(peer) == ["echo", "hang", "one", "two", "three"]
        assert updates(peer)[0]["tools"][0] == {
            "type": "function",
            "name": "echo",
            "description": "echo!",
            "parameters": schema,
        }
        assert len(updates(peer)) == 1


async def test_a_call_goes_to_the_server_and_its_text_is_the_answer(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(MemoryServer().declare())) as session:
        await send_call_and_wait(peer, "echo", '{"text": "hello"}')
        assert await only_answer(peer) == "hello"
        (end,) = drain_events(session.events, events.ToolEnd)
        assert (end.outcome, end.tool is not None) == ("completed", True)


async def test_a_server_object_in_the_same_process_is_a_server_too(
    autojump_clock: MockClock,
) -> None:
    server = MCPServer("here", log_level="CRITICAL")

    @server.tool()
    async def add(a: int, b: int) -> dict[str, int]:
        """Add."""
        return {"sum": a + b}

    peer = ScriptedPeer()
    declared = McpServerCustom(name="here", connect=lambda: server)
    async with open_test_session(peer, agent=having(declared)):
        await send_call_and_wait(peer, "add", '{"a": 2, "b": 3}')
        assert '"sum"' in await only_answer(peer)


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ([TextContent(text="one"), TextContent(text="two")], "one\ntwo"),
        ([], ""),
        (CallToolResult(content=[], structured_content={"sum": 5}), '{"sum":5}'),
        (
            CallToolResult(content=[TextContent(text="5")], structured_content={"sum": 5}),
            "5",
        ),
        (
            [TextContent(text="see"), ImageContent(data="AAAA", mime_type="image/png")],
            'see\n{"type":"image","mime_type":"image/png","bytes":3}',
        ),
        (
            [AudioContent(data="AAAAAAAA", mime_type="audio/wav")],
            '{"type":"audio","mime_type":"audio/wav","bytes":6}',
        ),
        (
            [ResourceLink(name="log", uri="file:///log")],
            '{"type":"resource_link","uri":"file:///log","name":"log"}',
        ),
        (
            [
                EmbeddedResource(
                    resource=TextResourceContents(uri="file:///a", mime_type="text/plain", text="A")
                )
            ],
            '{"type":"resource","uri":"file:///a","mime_type":"text/plain","text":"A"}',
        ),
        (
            [EmbeddedResource(resource=BlobResourceContents(uri="file:///b", blob="AAAA"))],
            '{"type":"resource","uri":"file:///b","bytes":3}',
        ),
    ],
)
async def test_what_a_result_says_to_the_model(
    result: Any, answer: str, autojump_clock: MockClock
) -> None:
    async def give(arguments: dict[str, Any]) -> Any:
        return result

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(MemoryServer(give=give).declare())):
        await send_call_and_wait(peer, "give")
        assert await only_answer(peer) == answer


async def test_an_error_of_the_tool_is_the_answer_and_the_call_has_failed(
    autojump_clock: MockClock,
) -> None:
    async def fail(arguments: dict[str, Any]) -> Any:
        return CallToolResult(content=[TextContent(text="no such file")], is_error=True)

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(MemoryServer(fail=fail).declare())) as session:
        await send_call_and_wait(peer, "fail")
        assert await only_answer(peer) == "no such file"
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "failed"
        assert isinstance(end.error, errors.McpCallFailed)
        assert end.error.server == "memory"


async def test_arguments_that_are_no_object_do_not_reach_the_server(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(MemoryServer().declare())):
        await send_call_and_wait(peer, "echo", "[1]")
        assert (await only_answer(peer)).startswith("Invalid arguments for echo")


async def test_the_options_of_a_server_hold_for_its_tools(autojump_clock: MockClock) -> None:
    server = MemoryServer().declare(
        allowed_tools=["hang"], needs_approval=True, call_timeout=3, on_interrupt="finish"
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server)) as session:
        assert offered(peer) == ["hang"]
        await start_call(peer, "hang")
        (ask,) = drain_events(session.events, events.ToolApprovalRequired)
        await session.approve_tool_call(ask.call_id)
        await session.interrupt()
        await trio.sleep(2.9)
        assert sent_outputs(peer) == [], "it goes on"
        await trio.sleep(0.2)
        assert await only_answer(peer) == "Tool hang timed out after 3 seconds."


async def test_an_interrupt_cancels_one_call_in_the_server(autojump_clock: MockClock) -> None:
    async def slow(arguments: dict[str, Any]) -> str:
        await trio.sleep(5)
        return "slow"

    server, other = MemoryServer(), MemoryServer(slow=slow)
    agent = having(
        server.declare("a", allowed_tools=["hang"]),
        other.declare("b", on_interrupt="background", allowed_tools=["slow"]),
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        await start_call(peer, "hang")
        peer.call("resp_1", "item_2", "call_2", "slow")
        await wait_all_tasks_blocked()
        assert server.log == ["hangs"]
        await session.interrupt()
        await wait_all_tasks_blocked()
        assert server.log == ["hangs", "cancelled"]
        ((call_id, _),) = sent_outputs(peer)
        assert call_id == "call_1"
        await trio.sleep(6)
        assert sent_outputs(peer)[1] == ("call_2", "slow")


# --- names -------------------------------------------------------------------------------------


def tools(*names: str) -> dict[str, FunctionTool]:
    async def invoke(context: Any, arguments: str) -> None: ...

    return {name: FunctionTool(name=tool_name(name), invoke=invoke) for name in names}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("a.b/c d", "a_b_c_d"), ("x" * 100, "x" * 64), ("日本", "tool"), ("fine-1", "fine-1")],
)
def test_names_become_what_the_service_allows(name: str, allowed: str) -> None:
    assert tool_name(name) == allowed


def test_what_clashes_gets_the_name_of_its_server_and_stays_unique() -> None:
    a, b = MemoryServer().declare("a"), MemoryServer().declare("b")
    found = disambiguate_names(
        {"own", "a_own", "b_search"},
        {a: tools("own", "search", "read"), b: tools("search", "own")},
    )
    assert [tool.name for tool in found] == [
        *("a_own_5b3975", "a_search", "read"),
        *("b_search_241932", "b_own"),
    ]
    long = disambiguate_names({"x" * 64}, {a: tools("x" * 64), b: tools("x" * 64)})
    assert {len(tool.name) for tool in long} == {64}
    assert len({tool.name for tool in long}) == 2


async def test_clashing_tools_of_two_servers_are_both_renamed_and_each_is_called(
    autojump_clock: MockClock,
) -> None:
    def who(name: str) -> Any:
        async def say(arguments: dict[str, Any]) -> str:
            return name

        return say

    @function_tool
    async def echo() -> str:
        return "own"

    agent = having(
        MemoryServer(who=who("left")).declare("left"),
        MemoryServer(who=who("right")).declare("right", allowed_tools=["who", "echo"]),
        tools=[echo],
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent):
        assert offered(peer) == [
            *("echo", "left_echo", "hang", "left_who", "right_echo", "right_who")
        ]
        peer.begin_response("resp_1")
        for number, name in enumerate(["right_who", "left_who", "echo"]):
            peer.call("resp_1", f"item_{number}", f"call_{number}", name)
            await wait_all_tasks_blocked()
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        assert sorted(sent_outputs(peer)) == [
            *(("call_0", "right"), ("call_1", "left"), ("call_2", "own"))
        ]


# --- changes -----------------------------------------------------------------------------------


async def new_tool(arguments: dict[str, Any]) -> str:
    return "new"


async def test_a_change_of_the_list_is_told_to_the_service_and_nothing_but_it(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    agent = having(server.declare(), instructions="Be brief.")
    async with open_test_session(peer, agent=agent) as session:
        server.handlers["fresh"] = new_tool
        del server.handlers["hang"]
        await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        assert offered(peer) == ["echo", "fresh"]
        assert set(updates(peer)[-1]) == {"type", "tools"}
        assert drain_events(session.events, events.McpToolsChanged) == [
            events.McpToolsChanged(server="memory", tools=("echo", "fresh"))
        ]
        await send_call_and_wait(peer, "hang")
        assert await only_answer(peer) == "Tool hang not found."

        await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        assert len(updates(peer)) == 2, "nothing has changed"
        assert drain_events(session.events, events.McpToolsChanged) == []


async def test_a_server_of_the_newer_protocol_is_asked_to_tell_of_changes(
    autojump_clock: MockClock,
) -> None:
    server = MCPServer("here", log_level="CRITICAL")

    @server.tool()
    async def learn(ctx: Context[Any, Any]) -> str:
        server.add_tool(extra, name="extra")
        await ctx.notify_tools_changed()
        return "learnt"

    async def extra() -> str:
        return "extra"

    peer = ScriptedPeer()
    declared = McpServerCustom(name="here", connect=lambda: server)
    async with open_test_session(peer, agent=having(declared)):
        assert offered(peer) == ["learn"]
        await send_call_and_wait(peer, "learn")
        assert offered(peer) == ["learn", "extra"]


async def test_a_change_while_another_agent_takes_over_is_told_of_that_agent(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    declared = server.declare()
    successor = RealtimeAgent[None](name="Next", mcp_servers=[declared])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(declared)) as session:
        peer.acknowledge = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.update_agent, attrs.evolve(successor, instructions="Next."))
            await wait_all_tasks_blocked()
            server.handlers["fresh"] = new_tool
            await server.notify_tools_changed()
            await wait_all_tasks_blocked()
            assert len(updates(peer)) == 2, "it waits for its turn"
            peer.acknowledge = True
            peer.send({"type": "session.updated", "session": peer.session})
        await wait_all_tasks_blocked()
        assert session.current_agent.name == "Next"
        assert offered(peer) == ["echo", "hang", "fresh"]


async def test_a_change_while_the_next_agent_is_described_is_not_lost(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    declared = server.declare()

    async def slowly(about: Any) -> str:
        await trio.sleep(5)
        return "Next."

    next_one = RealtimeAgent[None](name="Next", instructions=slowly, mcp_servers=[declared])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(declared)) as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.update_agent, next_one)
            await trio.sleep(1)
            server.handlers["fresh"] = new_tool
            await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        assert session.current_agent is next_one
        assert offered(peer) == ["echo", "hang", "fresh"]


async def test_an_agent_that_was_on_its_way_has_its_own_tools_in_the_end(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    next_one = RealtimeAgent[None](name="Next")
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare())) as session:
        peer.acknowledge = False
        with trio.move_on_after(1):
            await session.update_agent(next_one)
        server.handlers["fresh"] = new_tool
        await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        peer.acknowledge = True
        peer.send({"type": "session.updated", "session": peer.session})
        await wait_all_tasks_blocked()
        assert session.current_agent is next_one
        assert offered(peer) == []


async def test_the_service_may_refuse_the_new_tools(autojump_clock: MockClock) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare())) as session:
        peer.acknowledge = False
        server.handlers["fresh"] = new_tool
        await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        frame = [frame for frame in peer.received if frame["type"] == "session.update"][-1]
        peer.reject(frame, "invalid_value", "too many")
        await wait_all_tasks_blocked()
        (error,) = drain_events(session.events, events.Error)
        assert isinstance(error.error, errors.SettingsRejected)


# --- failures ----------------------------------------------------------------------------------


async def test_a_lost_connection_fails_its_calls_and_comes_back_later_each_time(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare())) as session:
        await start_call(peer, "hang")
        server.refusing = True
        lost = trio.current_time()
        server.cut()
        assert "was lost during the call" in await only_answer(peer)
        await trio.sleep(200)
        after = [at - lost for at in server.attempts[1:]]
        assert after == pytest.approx(
            [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5, 121.5, 151.5, 181.5]
        )

        server.refusing = False
        await trio.sleep(30)
        assert [type(event.error) for event in drain_events(session.events, events.Error)] == [
            errors.McpServerFailed
        ], "told once"
        peer.call("resp_1", "item_2", "call_2", "echo", '{"text": "back"}')
        await wait_all_tasks_blocked()
        assert sent_outputs(peer)[-1] == ("call_2", "back")
        assert len(updates(peer)) == 1, "the tools are the same"


async def test_one_that_was_there_for_a_while_is_connected_again_at_once(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    async with open_test_session(ScriptedPeer(), agent=having(server.declare())):
        for _ in range(3):
            await trio.sleep(60)
            server.cut()
            await wait_all_tasks_blocked()
        assert server.attempts == pytest.approx([0, 60, 120, 180])


async def test_a_call_waits_for_a_server_that_is_being_restarted(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare(connect_timeout=8))):
        server.cut()
        await wait_all_tasks_blocked()
        await send_call_and_wait(peer, "echo", '{"text": "patience"}')
        assert sent_outputs(peer) == []
        await trio.sleep(1)
        assert sent_outputs(peer) == [("call_1", "patience")]


async def test_a_call_fails_clearly_when_the_server_does_not_come_back(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare(connect_timeout=8))):
        server.refusing = True
        server.cut()
        await wait_all_tasks_blocked()
        await send_call_and_wait(peer, "echo", '{"text": "patience"}')
        await trio.sleep(7.9)
        assert sent_outputs(peer) == []
        await trio.sleep(0.2)
        text = await only_answer(peer)
        assert text.startswith("MCP server 'memory' is not connected: ")
        assert text.endswith("ConnectionRefusedError: connection refused")


async def test_a_required_server_that_does_not_start_is_the_error_of_opening(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    server.refusing = True
    peer = ScriptedPeer()
    before = task_count()
    with pytest.raises(
        errors.McpServerFailed, match=r"'memory' did not start: .*connection refused"
    ):
        async with open_test_session(peer, agent=having(server.declare())):
            pytest.fail("the session opened")
    assert peer.connections == [], "before the service was called"
    assert task_count() == before


async def test_a_server_that_says_nothing_is_given_up_in_time(autojump_clock: MockClock) -> None:
    server = MemoryServer()
    server.silent = True
    with pytest.raises(errors.McpServerFailed, match="no connection within 4 s"):
        async with open_test_session(
            ScriptedPeer(), agent=having(server.declare(connect_timeout=4))
        ):
            pytest.fail("the session opened")
    assert trio.current_time() == pytest.approx(4, abs=0.5)


async def test_one_that_is_not_required_comes_when_it_comes(autojump_clock: MockClock) -> None:
    server = MemoryServer()
    server.refusing = True
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=having(server.declare(required=False))) as session:
        assert offered(peer) == []
        await trio.sleep(5)
        (error,) = drain_events(session.events, events.Error)
        assert "did not start" in str(error.error)
        server.refusing = False
        await trio.sleep(10)
        assert offered(peer) == ["echo", "hang"]
        await send_call_and_wait(peer, "echo", '{"text": "late"}')
        assert await only_answer(peer) == "late"


async def test_a_handoff_to_an_agent_whose_server_does_not_start_does_not_happen(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    server.refusing = True
    next_one = RealtimeAgent[None](name="Next", mcp_servers=[server.declare()])
    agent = RealtimeAgent[None](name="First", handoffs=[next_one])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        await send_call_and_wait(peer, "transfer_to_next")
        assert "The handoff failed: MCP server 'memory' did not start" in await only_answer(peer)
        assert session.current_agent is agent
        assert len(updates(peer)) == 1
        with pytest.raises(errors.McpServerFailed):
            await session.update_agent(next_one)

        server.refusing = False
        await session.update_agent(next_one)
        assert offered(peer) == ["echo", "hang"]


async def test_a_handoff_that_waits_for_a_server_can_be_interrupted(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    server.silent = True
    next_one = RealtimeAgent[None](name="Next", mcp_servers=[server.declare()])
    agent = RealtimeAgent[None](name="First", handoffs=[next_one])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        await start_call(peer, "transfer_to_next")
        await session.interrupt()
        assert "cancelled" in await only_answer(peer)
        assert session.current_agent is agent


async def test_one_server_of_two_agents_is_connected_once(autojump_clock: MockClock) -> None:
    server = MemoryServer()
    declared = server.declare()
    next_one = RealtimeAgent[None](name="Next", mcp_servers=[declared])
    async with open_test_session(ScriptedPeer(), agent=having(declared)) as session:
        await session.update_agent(next_one)
        assert len(server.attempts) == 1


async def test_leaving_while_a_call_hangs_leaves_nothing(autojump_clock: MockClock) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    before = task_count()
    async with open_test_session(peer, agent=having(server.declare())):
        await start_call(peer, "hang")
        left = trio.current_time()
    assert trio.current_time() - left <= 1
    assert server.log == ["hangs", "cancelled"]
    assert task_count() == before


@pytest.mark.parametrize("refusing", [True, False])
async def test_leaving_while_a_server_is_away_leaves_nothing(
    refusing: bool, autojump_clock: MockClock
) -> None:
    server = MemoryServer()
    before = task_count()
    async with open_test_session(ScriptedPeer(), agent=having(server.declare())):
        server.refusing, server.silent = refusing, not refusing
        server.cut()
        await trio.sleep(5)
        left = trio.current_time()
    assert trio.current_time() - left <= 1
    assert task_count() == before


async def test_servers_end_while_the_connection_to_the_service_is_closed(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()

    @asynccontextmanager
    async def slow_to_end() -> AsyncIterator[Any]:
        async with server.connect() as streams:
            try:
                yield streams
            finally:
                with trio.move_on_after(0.9, shield=True):
                    await trio.sleep_forever()

    declared = McpServerCustom(name="slow", connect=slow_to_end)
    async with open_test_session(PassivePeer(), agent=having(declared)):
        left = trio.current_time()
    assert trio.current_time() - left == pytest.approx(0.9, abs=0.2), "and not one after the other"


async def test_a_call_ends_with_its_connection_whatever_the_sdk_does() -> None:
    link: McpConnection | None = None

    class Deaf(McpConnection):
        async def list_tools(self) -> tuple[RemoteTool, ...]:
            return (RemoteTool(name="wait", description=None, parameters={}),)

        async def call(self, name: str, arguments: Any) -> Any:
            await trio.sleep_forever()

    @asynccontextmanager
    async def connect(server: McpServer, close_timeout: float) -> AsyncIterator[McpConnection]:
        nonlocal link
        link = Deaf(server)
        yield link

    agent = having(MemoryServer().declare())
    async with trio.open_nursery() as nursery:
        servers = McpServers(nursery, 1, connect)
        await servers.start(agent)
        (tool,) = servers.offered(agent)
        context = ToolContext[None](
            context=None, call_id="c", tool_name="wait", arguments="", agent=agent, response_id="r"
        )
        async with trio.open_nursery() as calling:

            @calling.start_soon
            async def call() -> None:
                with pytest.raises(errors.McpCallFailed, match="lost during the call: gone"):
                    await tool.invoke(context, "{}")

            await wait_all_tasks_blocked()
            assert link is not None
            link.lose("gone")
        servers.leave()


async def test_an_exception_of_the_block_comes_out_bare(autojump_clock: MockClock) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_test_session(ScriptedPeer(), agent=having(MemoryServer().declare())):
            raise KeyError("mine")
