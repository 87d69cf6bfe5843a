"""MCP servers that the service calls itself: their declaration, and what follows their calls."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.hosted_mcp import (
    HOSTED_CALL,
    finish_hosted_call,
    make_librarian,
    start_hosted_call,
    start_turn,
)
from support.service import accept_create
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, sent_creates, sent_types
from trio_realtime import events
from trio_realtime.testing import ScriptedPeer

# --- tools -------------------------------------------------------------------------------------


async def test_service_gets_the_server_with_its_secrets_and_repr_hides_them(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    librarian = make_librarian()
    async with open_test_session(peer, agent=librarian):
        (tool,) = peer.received[0]["session"]["tools"]
        assert tool == {
            "type": "mcp",
            "server_label": "docs",
            "server_url": "https://example.com/mcp",
            "authorization": "very-secret",
            "headers": {"X-Key": "more-secret"},
        }
    assert "secret" not in repr(librarian) + repr(librarian.hosted_tools)


async def test_listed_tools_are_reported(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        item = {"id": "list_1", "type": "mcp_list_tools", "server_label": "docs", "tools": []}
        peer.send(
            {"type": "conversation.item.added", "item": item},
            {"type": "mcp_list_tools.in_progress", "item_id": "list_1"},
            {"type": "mcp_list_tools.completed", "item_id": "list_1"},
            {
                "type": "conversation.item.done",
                "item": {**item, "tools": [{"name": "search"}, {"name": "fetch"}]},
            },
        )
        await wait_all_tasks_blocked()
        (listed,) = drain_events(session.events, events.McpToolsChanged)
        assert (listed.server, listed.tools) == ("docs", ("search", "fetch"))


async def test_failed_listing_is_an_error_and_the_session_continues(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        item = {"id": "list_1", "type": "mcp_list_tools", "server_label": "docs", "tools": []}
        peer.send(
            {"type": "conversation.item.added", "item": item},
            {"type": "mcp_list_tools.failed", "item_id": "list_1"},
        )
        await wait_all_tasks_blocked()
        (failure,) = drain_events(session.events, events.Error)
        assert "'docs'" in str(failure.error)
        await session.send_message("Hello?")


# --- calls -------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [{"output": "found"}, {"error": {"message": "down"}}])
async def test_completed_call_is_followed_by_one_create(
    result: dict[str, Any], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        await start_turn(peer, session)
        start_hosted_call(peer)
        finish_hosted_call(peer, **result)
        assert await sent_types(peer) == [ITEM, CREATE]
        peer.end_response("resp_1", output=[{**HOSTED_CALL, **result}])

        assert await sent_types(peer) == [ITEM, CREATE, CREATE]
        found = drain_channel(session.events)
        (done,) = [event for event in found if isinstance(event, events.McpToolCallCompleted)]
        assert (done.item.id, done.item.output) == ("mcp_1", result.get("output"))
        assert not [event for event in found if isinstance(event, events.AgentEnd)]
        await accept_create(peer, "resp_2")
        peer.end_response("resp_2")
        await wait_all_tasks_blocked()
        (end,) = drain_events(session.events, events.AgentEnd)
        assert end.tool_calls == 1


async def test_create_waits_for_functions_and_hosted_calls(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        await start_turn(peer, session)
        start_hosted_call(peer)
        peer.call("resp_1", "fc_1", "call_1", "nothing_like_it")
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
        finish_hosted_call(peer, None)
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, CREATE]


async def test_unfinished_call_ends_with_its_response(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        await start_turn(peer, session)
        start_hosted_call(peer)
        peer.end_response("resp_1", "failed")
        await session.drain()
        assert len(sent_creates(peer)) == 1


async def test_call_without_a_response_starts_a_turn(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        finish_hosted_call(peer, None)
        assert await sent_types(peer) == [CREATE]
        await accept_create(peer, "resp_1")
        peer.end_response("resp_1")
        await session.drain()


async def test_ended_calls_are_forgotten(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        for number in range(600):
            item = {**HOSTED_CALL, "id": f"mcp_{number}"}
            peer.begin_response(f"resp_{number}")
            start_hosted_call(peer, f"resp_{number}", item)
            if number % 2:
                finish_hosted_call(peer, None, item=item)
            peer.end_response(f"resp_{number}", "cancelled")
        await wait_all_tasks_blocked()
        hosted: Any = session._runtime.core._components.hosted
        assert max(len(hosted._owners), len(hosted._reported)) <= 256


# --- interruptions and out-of-band responses ---------------------------------------------------


async def test_call_that_continues_after_an_interrupt_requests_no_response(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        await start_turn(peer, session)
        start_hosted_call(peer)
        await session.interrupt()
        finish_hosted_call(peer)
        peer.end_response("resp_1", "cancelled")
        assert await sent_types(peer) == [ITEM, CREATE, "response.cancel"]
        await session.drain()


async def test_call_that_starts_after_an_interrupt_requests_no_response(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        await session.interrupt()
        start_hosted_call(peer)
        finish_hosted_call(peer, None)
        peer.end_response("resp_1")
        assert CREATE not in await sent_types(peer)


async def test_calls_of_an_out_of_band_response_request_no_response(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        handle = await session.create_response(conversation="none")
        peer.begin_response("resp_1", await peer.expect(CREATE), conversation_id=None)
        start_hosted_call(peer)
        finish_hosted_call(peer)
        peer.end_response("resp_1", conversation_id=None)
        await handle
        assert await sent_types(peer) == [CREATE]
        await session.drain()


async def test_late_end_of_an_out_of_band_call_requests_no_response(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        await session.create_response(conversation="none")
        peer.begin_response("resp_1", await peer.expect(CREATE), conversation_id=None)
        start_hosted_call(peer)
        peer.end_response("resp_1", conversation_id=None)
        finish_hosted_call(peer, None)
        await wait_all_tasks_blocked()
        assert len(sent_creates(peer)) == 1
