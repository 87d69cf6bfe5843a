"""MCP servers that the service calls itself: what is asked, what follows, and what an interrupt does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.failures import UNUSUAL_EXCEPTIONS
from support.service import accept_create
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, sent_creates, sent_frames, sent_types
from trio_realtime import AgentContext, HostedMcpTool, RealtimeAgent, RealtimeSession, events
from trio_realtime.errors import ConfigurationError, UsageError
from trio_realtime.items import McpApprovalRequestItem
from trio_realtime.testing import ScriptedPeer

Approval = Callable[[AgentContext[Any], McpApprovalRequestItem], bool | Awaitable[bool]]
CALL: dict[str, Any] = {
    "id": "mcp_1",
    "type": "mcp_call",
    "server_label": "docs",
    "name": "search",
    "arguments": '{"q": "trio"}',
}
REQUEST: dict[str, Any] = {**CALL, "id": "ask_1", "type": "mcp_approval_request"}


def hosted(on_approval: Approval | None = None) -> HostedMcpTool:
    return HostedMcpTool(
        server_label="docs",
        server_url="https://example.com/mcp",
        authorization="very-secret",
        headers={"X-Key": "more-secret"},
        on_approval=on_approval,
    )


def agent(on_approval: Approval | None = None) -> RealtimeAgent[None]:
    return RealtimeAgent(name="Librarian", hosted_tools=[hosted(on_approval)])


def begin_call(peer: ScriptedPeer, response_id: str = "resp_1") -> None:
    peer.send(
        {"type": "response.output_item.added", "response_id": response_id, "item": CALL},
        {"type": "conversation.item.added", "item": CALL},
        {"type": "response.mcp_call.in_progress", "item_id": "mcp_1"},
    )


def finish_call(peer: ScriptedPeer, response_id: str | None = "resp_1", **result: Any) -> None:
    item = {**CALL, **(result or {"output": "found"})}
    kind = "failed" if "error" in result else "completed"
    peer.send({"type": f"response.mcp_call.{kind}", "item_id": "mcp_1"})
    peer.send({"type": "conversation.item.done", "item": item})
    if response_id is not None:
        peer.send({"type": "response.output_item.done", "response_id": response_id, "item": item})


def request_approval(peer: ScriptedPeer, response_id: str = "resp_1", number: int = 1) -> None:
    item = {**REQUEST, "id": f"ask_{number}"}
    peer.send(
        {"type": "response.output_item.added", "response_id": response_id, "item": item},
        {"type": "conversation.item.added", "item": item},
        {"type": "conversation.item.done", "item": item},
        {"type": "response.output_item.done", "response_id": response_id, "item": item},
    )


async def begin(peer: ScriptedPeer, session: RealtimeSession[None]) -> None:
    await session.send_message("Look it up")
    await peer.expect(ITEM)
    await accept_create(peer, "resp_1")


async def decisions(peer: ScriptedPeer) -> list[tuple[str, bool, str | None]]:
    return [
        (item["approval_request_id"], item["approve"], item.get("reason"))
        for frame in await sent_frames(peer)
        if frame["type"] == ITEM and (item := frame["item"])["type"] == "mcp_approval_response"
    ]


async def test_the_service_is_told_of_the_server_and_nobody_else_of_its_secrets(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    librarian = agent()
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


async def test_the_tools_that_the_service_found_are_an_event(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent()) as session:
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


async def test_tools_that_could_not_be_listed_are_an_error_and_the_session_goes_on(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent()) as session:
        item = {"id": "list_1", "type": "mcp_list_tools", "server_label": "docs", "tools": []}
        peer.send(
            {"type": "conversation.item.added", "item": item},
            {"type": "mcp_list_tools.failed", "item_id": "list_1"},
        )
        await wait_all_tasks_blocked()
        (failure,) = drain_events(session.events, events.Error)
        assert "'docs'" in str(failure.error)
        await session.send_message("Hello?")


@pytest.mark.parametrize("result", [{"output": "found"}, {"error": {"message": "down"}}])
async def test_when_a_call_is_over_the_model_is_asked_once_to_go_on(
    result: dict[str, Any], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent()) as session:
        await begin(peer, session)
        begin_call(peer)
        finish_call(peer, **result)
        assert await sent_types(peer) == [ITEM, CREATE]
        peer.end_response("resp_1", output=[{**CALL, **result}])

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


async def test_the_model_goes_on_only_when_functions_and_hosted_calls_are_all_done(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent()) as session:
        await begin(peer, session)
        begin_call(peer)
        peer.call("resp_1", "fc_1", "call_1", "nothing_like_it")
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
        finish_call(peer, None)
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, CREATE]


async def test_after_an_interrupt_nobody_speaks_of_a_call_that_went_on(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent()) as session:
        await begin(peer, session)
        begin_call(peer)
        await session.interrupt()
        finish_call(peer)
        peer.end_response("resp_1", "cancelled")
        assert await sent_types(peer) == [ITEM, CREATE, "response.cancel"]
        await session.drain()


async def test_a_call_that_its_response_did_not_complete_is_over_with_it(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent()) as session:
        await begin(peer, session)
        begin_call(peer)
        peer.end_response("resp_1", "failed")
        await session.drain()
        assert len(sent_creates(peer)) == 1


async def test_a_call_is_asked_about_once_and_approving_it_lets_the_model_go_on(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent()) as session:
        await begin(peer, session)
        request_approval(peer)
        peer.end_response("resp_1", output=[REQUEST])
        await wait_all_tasks_blocked()
        (asked,) = drain_events(session.events, events.ToolApprovalRequired)
        assert (asked.tool, asked.tool_name, asked.server_label) == (None, "search", "docs")
        assert (asked.call_id, asked.arguments) == ("ask_1", '{"q": "trio"}')
        assert await decisions(peer) == []

        assert await session.approve_tool_call("ask_1")
        assert await decisions(peer) == [("ask_1", True, None)]
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, CREATE]
        assert not await session.approve_tool_call("ask_1")

        await peer.expect(ITEM)
        # The call itself is made in the next response, where its item may be an earlier one's.
        await accept_create(peer, "resp_2")
        peer.send({"type": "response.mcp_call.in_progress", "item_id": "mcp_1"})
        finish_call(peer, "resp_2")
        peer.end_response("resp_2")
        assert len(sent_creates(await settled(peer))) == 3


async def settled(peer: ScriptedPeer) -> ScriptedPeer:
    await wait_all_tasks_blocked()
    return peer


async def test_a_rejection_tells_the_service_why_and_may_hold_for_good(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent()) as session:
        await begin(peer, session)
        request_approval(peer)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        await session.reject_tool_call("ask_1", always=True, message="Not today.")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        request_approval(peer, "resp_2", number=2)
        peer.end_response("resp_2")

        assert await decisions(peer) == [
            ("ask_1", False, "Not today."),
            ("ask_2", False, "Not today."),
        ]
        assert len(drain_events(session.events, events.ToolApprovalRequired)) == 1


async def test_the_declaration_may_decide(autojump_clock: MockClock) -> None:
    seen: list[tuple[str, str]] = []

    async def decide(about: AgentContext[Any], request: McpApprovalRequestItem) -> bool:
        seen.append((about.agent.name, request.name))
        return True

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent(decide)) as session:
        await begin(peer, session)
        request_approval(peer)
        peer.end_response("resp_1")
        assert await decisions(peer) == [("ask_1", True, None)]
        assert seen == [("Librarian", "search")]
        assert drain_events(session.events, events.ToolApprovalRequired) == []


async def test_a_decision_that_raises_is_no_consent(autojump_clock: MockClock) -> None:
    def decide(_about: AgentContext[Any], _request: McpApprovalRequestItem) -> bool:
        raise LookupError("key=hush")

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent(decide)) as session:
        await begin(peer, session)
        request_approval(peer)
        peer.end_response("resp_1")
        assert await decisions(peer) == [("ask_1", False, None)]
        (failure,) = drain_events(session.events, events.Error)
        assert isinstance(failure.error.__cause__, LookupError)


async def test_an_interrupt_rejects_what_nobody_has_decided(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent()) as session:
        await begin(peer, session)
        request_approval(peer)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        await session.interrupt()

        assert await decisions(peer) == [("ask_1", False, "interrupted")]
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
        await session.drain()
        assert not await session.approve_tool_call("ask_1")


async def test_a_call_of_no_response_is_answered_in_a_turn_of_its_own(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent()) as session:
        finish_call(peer, None)
        assert await sent_types(peer) == [CREATE]
        await accept_create(peer, "resp_1")
        peer.end_response("resp_1")
        await session.drain()


async def test_calls_of_a_response_beside_the_conversation_are_left_to_who_asked(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent()) as session:
        handle = await session.create_response(conversation="none")
        peer.begin_response("resp_1", await peer.expect(CREATE), conversation_id=None)
        begin_call(peer)
        finish_call(peer)
        peer.end_response("resp_1", conversation_id=None)
        await handle
        assert await sent_types(peer) == [CREATE]
        await session.drain()


def test_a_server_has_one_place_and_a_label_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match="a server_url or a connector_id"):
        HostedMcpTool(server_label="docs")
    with pytest.raises(ConfigurationError, match="the same label"):
        RealtimeAgent(name="Twice", hosted_tools=[hosted(), hosted()])


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_whatever_a_decision_raises_is_an_event_and_no_consent(
    autojump_clock: MockClock, failure: BaseException
) -> None:
    def decide(_about: AgentContext[None], _request: McpApprovalRequestItem) -> bool:
        raise failure

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent(decide)) as session:
        await begin(peer, session)
        request_approval(peer)
        assert await decisions(peer) == [("ask_1", False, None)]
        (error,) = drain_events(session.events, events.Error)
        assert isinstance(error.error, UsageError)
        assert error.error.__cause__ is not None
