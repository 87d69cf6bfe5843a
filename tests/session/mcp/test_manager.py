"""The MCP servers of a session: starting, naming of tools, changes of the tools, and the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.mcp_servers import (
    MemoryServer,
    agent_with,
    all_offered_names,
    offered_names,
    only_output,
    return_text,
)
from support.service import send_call_and_wait, start_call
from support.sessions import PassivePeer, open_test_session, task_count
from support.wire import sent_outputs, sent_settings
from trio_realtime import (
    McpServerCustom,
    RealtimeAgent,
    errors,
    events,
    function_tool,
)
from trio_realtime.testing import ScriptedPeer

# --- starting servers --------------------------------------------------------------------------


async def test_agents_that_share_a_server_share_one_connection(autojump_clock: MockClock) -> None:
    server = MemoryServer()
    declaration = server.declare()
    next_agent = RealtimeAgent[None](name="Next", mcp_servers=[declaration])
    async with open_test_session(ScriptedPeer(), agent=agent_with(declaration)) as session:
        await session.update_agent(next_agent)
        assert len(server.attempts) == 1


async def test_opening_fails_if_a_required_server_does_not_start(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    server.refuse_connections = True
    peer = ScriptedPeer()
    before = task_count()
    with pytest.raises(
        errors.McpServerFailed, match=r"'memory' did not start: .*connection refused"
    ):
        async with open_test_session(peer, agent=agent_with(server.declare())):
            pytest.fail("the session opened")
    assert peer.connections == [], "before the service was called"
    assert task_count() == before


async def test_a_handoff_fails_if_a_required_server_does_not_start(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    server.refuse_connections = True
    next_agent = RealtimeAgent[None](name="Next", mcp_servers=[server.declare()])
    agent = RealtimeAgent[None](name="First", handoffs=[next_agent])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        await send_call_and_wait(peer, "transfer_to_next")
        assert "The handoff failed: MCP server 'memory' did not start" in await only_output(peer)
        assert session.current_agent is agent
        assert len(sent_settings(peer)) == 1
        with pytest.raises(errors.McpServerFailed):
            await session.update_agent(next_agent)

        server.refuse_connections = False
        await session.update_agent(next_agent)
        assert offered_names(peer) == ["echo", "hang"]


async def test_a_handoff_that_waits_for_a_server_can_be_interrupted(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    server.unresponsive = True
    next_agent = RealtimeAgent[None](name="Next", mcp_servers=[server.declare()])
    agent = RealtimeAgent[None](name="First", handoffs=[next_agent])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        await start_call(peer, "transfer_to_next")
        await session.interrupt()
        assert "cancelled" in await only_output(peer)
        assert session.current_agent is agent


# --- names -------------------------------------------------------------------------------------


async def test_tools_with_the_same_name_are_renamed_and_each_can_be_called(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def echo() -> str:
        return "own"

    agent = agent_with(
        MemoryServer(who=return_text("left")).declare("left"),
        MemoryServer(who=return_text("right")).declare("right", allowed_tools=["who", "echo"]),
        tools=[echo],
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent):
        assert offered_names(peer) == [
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


async def test_a_name_means_the_same_tool_when_the_order_of_the_list_changes(
    autojump_clock: MockClock,
) -> None:
    """The service may still use the names of the previous list."""
    server = MemoryServer()
    server.handlers = {"a.b": return_text("dot"), "a/b": return_text("slash")}
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare())):
        first, _ = all_offered_names(peer)[0]
        peer.acknowledge = False
        server.handlers = dict(reversed(server.handlers.items()))
        await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        await send_call_and_wait(peer, first)
        assert sent_outputs(peer) == [("call_1", "dot")]


# --- changes -----------------------------------------------------------------------------------


async def new_tool(arguments: dict[str, Any]) -> str:
    return "new"


async def test_changed_tools_are_sent_to_the_service_without_other_settings(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    agent = agent_with(server.declare(), instructions="Be brief.")
    async with open_test_session(peer, agent=agent) as session:
        server.handlers["fresh"] = new_tool
        del server.handlers["hang"]
        await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        assert offered_names(peer) == ["echo", "fresh"]
        assert set(sent_settings(peer)[-1]) == {"type", "tools"}
        assert drain_events(session.events, events.McpToolsChanged) == [
            events.McpToolsChanged(server="memory", tools=("echo", "fresh"))
        ]
        await send_call_and_wait(peer, "hang")
        assert await only_output(peer) == "Tool hang not found."

        await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        assert len(sent_settings(peer)) == 2, "nothing changed"
        assert drain_events(session.events, events.McpToolsChanged) == []


async def test_tools_that_change_during_a_change_of_agent_are_sent_for_the_new_agent(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    declaration = server.declare()
    successor = RealtimeAgent[None](name="Next", mcp_servers=[declaration])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(declaration)) as session:
        peer.acknowledge = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.update_agent, attrs.evolve(successor, instructions="Next."))
            await wait_all_tasks_blocked()
            server.handlers["fresh"] = new_tool
            await server.notify_tools_changed()
            await wait_all_tasks_blocked()
            assert len(sent_settings(peer)) == 2, "the refresh waits for the change of the agent"
            peer.acknowledge = True
            peer.send({"type": "session.updated", "session": peer.session})
        await wait_all_tasks_blocked()
        assert session.current_agent.name == "Next"
        assert offered_names(peer) == ["echo", "hang", "fresh"]


async def test_tools_that_change_while_instructions_are_computed_are_sent(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    declaration = server.declare()

    async def slow_instructions(about: Any) -> str:
        await trio.sleep(5)
        return "Next."

    next_agent = RealtimeAgent[None](
        name="Next", instructions=slow_instructions, mcp_servers=[declaration]
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(declaration)) as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.update_agent, next_agent)
            await trio.sleep(1)
            server.handlers["fresh"] = new_tool
            await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        assert session.current_agent is next_agent
        assert offered_names(peer) == ["echo", "hang", "fresh"]


async def test_a_cancelled_change_of_agent_that_is_accepted_keeps_the_new_agents_tools(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    next_agent = RealtimeAgent[None](name="Next")
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare())) as session:
        peer.acknowledge = False
        with trio.move_on_after(1):
            await session.update_agent(next_agent)
        server.handlers["fresh"] = new_tool
        await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        peer.acknowledge = True
        peer.send({"type": "session.updated", "session": peer.session})
        await wait_all_tasks_blocked()
        assert session.current_agent is next_agent
        assert offered_names(peer) == []


async def test_an_error_event_reports_that_the_service_rejected_changed_tools(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with(server.declare())) as session:
        peer.acknowledge = False
        server.handlers["fresh"] = new_tool
        await server.notify_tools_changed()
        await wait_all_tasks_blocked()
        frame = [frame for frame in peer.received if frame["type"] == "session.update"][-1]
        peer.reject(frame, "invalid_value", "too many")
        await wait_all_tasks_blocked()
        (error,) = drain_events(session.events, events.Error)
        assert isinstance(error.error, errors.SettingsRejected)


# --- the end -----------------------------------------------------------------------------------


async def test_leaving_during_a_call_leaves_no_task_behind(autojump_clock: MockClock) -> None:
    server = MemoryServer()
    peer = ScriptedPeer()
    before = task_count()
    async with open_test_session(peer, agent=agent_with(server.declare())):
        await start_call(peer, "hang")
        left = trio.current_time()
    assert trio.current_time() - left <= 1
    assert server.log == ["called", "cancelled"]
    assert task_count() == before


@pytest.mark.parametrize("refuse_connections", [True, False])
async def test_leaving_while_a_server_is_disconnected_leaves_no_task_behind(
    refuse_connections: bool, autojump_clock: MockClock
) -> None:
    server = MemoryServer()
    before = task_count()
    async with open_test_session(ScriptedPeer(), agent=agent_with(server.declare())):
        server.refuse_connections = refuse_connections
        server.unresponsive = not refuse_connections
        server.disconnect()
        await trio.sleep(5)
        left = trio.current_time()
    assert trio.current_time() - left <= 1
    assert task_count() == before


async def test_servers_stop_while_the_connection_to_the_service_is_closed(
    autojump_clock: MockClock,
) -> None:
    server = MemoryServer()

    @asynccontextmanager
    async def slow_to_close() -> AsyncIterator[Any]:
        async with server.connect() as streams:
            try:
                yield streams
            finally:
                with trio.move_on_after(0.9, shield=True):
                    await trio.sleep_forever()

    declaration = McpServerCustom(name="slow", connect=slow_to_close)
    async with open_test_session(PassivePeer(), agent=agent_with(declaration)):
        left = trio.current_time()
    assert trio.current_time() - left == pytest.approx(0.9, abs=0.2), "both close at the same time"


async def test_an_exception_of_the_block_is_raised_unchanged(autojump_clock: MockClock) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_test_session(ScriptedPeer(), agent=agent_with(MemoryServer().declare())):
            raise KeyError("mine")
