"""Approval of calls that the service makes itself."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.failures import UNUSUAL_EXCEPTIONS
from support.hosted_mcp import (
    APPROVAL_REQUEST,
    finish_hosted_call,
    make_librarian,
    send_approval_item,
    send_approval_request,
    sent_decisions,
    start_turn,
)
from support.service import accept_create
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, sent_creates, sent_frames, sent_types
from trio_realtime import AgentContext, events
from trio_realtime.errors import UserCodeError
from trio_realtime.items import McpApprovalRequestItem
from trio_realtime.testing import ScriptedPeer


async def wait_settled(peer: ScriptedPeer) -> ScriptedPeer:
    await wait_all_tasks_blocked()
    return peer


async def end_response_with_pending_approval(peer: ScriptedPeer, status: str) -> None:
    """Send an approval request, and end its response with this status."""
    peer.begin_response("resp_1")
    send_approval_item(peer)
    await wait_all_tasks_blocked()
    peer.end_response("resp_1", status)
    await wait_all_tasks_blocked()


async def test_approval_is_requested_once_and_followed_by_a_create(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        await start_turn(peer, session)
        send_approval_request(peer)
        peer.end_response("resp_1", output=[APPROVAL_REQUEST])
        await wait_all_tasks_blocked()
        (request,) = drain_events(session.events, events.ToolApprovalRequired)
        assert (request.tool, request.tool_name, request.server_label) == (None, "search", "docs")
        assert (request.call_id, request.arguments) == ("ask_1", '{"q": "trio"}')
        assert await sent_decisions(peer) == []

        assert await session.approve_tool_call("ask_1")
        assert await sent_decisions(peer) == [("ask_1", True, None)]
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, CREATE]
        assert not await session.approve_tool_call("ask_1")

        await peer.expect(ITEM)
        # The call is made in the next response, even if its item was added in the earlier one.
        await accept_create(peer, "resp_2")
        peer.send({"type": "response.mcp_call.in_progress", "item_id": "mcp_1"})
        finish_hosted_call(peer, "resp_2")
        peer.end_response("resp_2")
        assert len(sent_creates(await wait_settled(peer))) == 3


async def test_rejection_carries_its_reason_and_may_be_lasting(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        await start_turn(peer, session)
        send_approval_request(peer)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        await session.reject_tool_call("ask_1", always=True, message="Not today.")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        send_approval_request(peer, "resp_2", number=2)
        peer.end_response("resp_2")

        assert await sent_decisions(peer) == [
            ("ask_1", False, "Not today."),
            ("ask_2", False, "Not today."),
        ]
        assert len(drain_events(session.events, events.ToolApprovalRequired)) == 1


async def test_on_approval_decides_without_a_request(autojump_clock: MockClock) -> None:
    seen: list[tuple[str, str]] = []

    async def decide(about: AgentContext[Any], request: McpApprovalRequestItem) -> bool:
        seen.append((about.agent.name, request.name))
        return True

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian(decide)) as session:
        await start_turn(peer, session)
        send_approval_request(peer)
        peer.end_response("resp_1")
        assert await sent_decisions(peer) == [("ask_1", True, None)]
        assert seen == [("Librarian", "search")]
        assert drain_events(session.events, events.ToolApprovalRequired) == []


async def test_failing_on_approval_rejects_the_call(autojump_clock: MockClock) -> None:
    def decide(_about: AgentContext[Any], _request: McpApprovalRequestItem) -> bool:
        raise LookupError("key=hush")

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian(decide)) as session:
        await start_turn(peer, session)
        send_approval_request(peer)
        peer.end_response("resp_1")
        assert await sent_decisions(peer) == [("ask_1", False, None)]
        (failure,) = drain_events(session.events, events.Error)
        assert isinstance(failure.error.__cause__, LookupError)


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_every_kind_of_exception_of_on_approval_rejects_the_call(
    autojump_clock: MockClock, failure: BaseException
) -> None:
    def decide(_about: AgentContext[None], _request: McpApprovalRequestItem) -> bool:
        raise failure

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian(decide)) as session:
        await start_turn(peer, session)
        send_approval_request(peer)
        assert await sent_decisions(peer) == [("ask_1", False, None)]
        (error,) = drain_events(session.events, events.Error)
        assert isinstance(error.error, UserCodeError)
        assert error.error.__cause__ is not None


async def test_interrupt_rejects_undecided_calls(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        await start_turn(peer, session)
        send_approval_request(peer)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        await session.interrupt()

        assert await sent_decisions(peer) == [("ask_1", False, "interrupted")]
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
        await session.drain()
        assert not await session.approve_tool_call("ask_1")


async def test_undecided_call_rejected_by_an_interrupt_is_reported(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        send_approval_item(peer)
        await wait_all_tasks_blocked()
        await session.interrupt()
        (withdrawn,) = drain_events(session.events, events.ToolCancelled)
        assert withdrawn.call_id == "ask_1"


@pytest.mark.parametrize("status", ["incomplete", "failed", "cancelled"])
async def test_approval_is_possible_unless_the_response_was_cancelled(
    autojump_clock: MockClock, status: str
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        await end_response_with_pending_approval(peer, status)
        cancelled = status == "cancelled"
        assert await session.approve_tool_call("ask_1") == (not cancelled)
        (sent,) = [frame["item"] for frame in await sent_frames(peer) if frame["type"] == ITEM]
        assert (sent["approval_request_id"], sent["approve"]) == ("ask_1", not cancelled)


async def test_interrupt_ends_the_wait_for_an_approval_of_an_incomplete_response(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        await end_response_with_pending_approval(peer, "incomplete")
        await session.interrupt()
        with trio.fail_after(30):
            await session.drain()


async def test_lasting_approval_applies_only_to_its_server(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        send_approval_item(peer)
        await wait_all_tasks_blocked()
        assert await session.approve_tool_call("ask_1", always=True)
        await session.update_agent(
            make_librarian(url="https://elsewhere.example/mcp", name="Stranger")
        )
        assert len(drain_events(session.events, events.ToolApprovalRequired)) == 1
        send_approval_item(peer, {**APPROVAL_REQUEST, "id": "ask_2"})
        await wait_all_tasks_blocked()
        assert len(drain_events(session.events, events.ToolApprovalRequired)) == 1
