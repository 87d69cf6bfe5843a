"""Hosted MCP tools end to end: a real session, and the local server that calls the tools."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events, next_approval_request
from support.sessions import TEST_TIMEOUT
from trio_realtime import (
    AgentContext,
    HostedMcpTool,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.items import McpApprovalRequestItem, McpApprovalResponseItem, McpCallItem
from trio_realtime.local import (
    Call,
    HostedCall,
    HostedTool,
    LocalConnector,
    Pause,
    Say,
    local_connector,
)
from trio_realtime.local.responders import ScriptedResponder

SEARCH = HostedCall("docs", "search", {"q": "trio"})


class Library:
    """A server with one tool that records its arguments."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def search(self, given: dict[str, Any]) -> str:
        self.calls.append(given)
        return f"Found {given['q']}."


@function_tool
async def shout() -> str:
    """Shout."""
    return "HEY"


@asynccontextmanager
async def open_librarian(
    wire: LocalConnector, *, label: str = "docs", **declared: Any
) -> AsyncGenerator[RealtimeSession[None]]:
    """Open a session with the library, with :data:`TEST_TIMEOUT` for the block."""
    hosted = HostedMcpTool(server_label=label, server_url="https://example.com/mcp", **declared)
    agent = RealtimeAgent[None](name="Librarian", tools=[shout], hosted_tools=[hosted])
    config = SessionConfig(output_modalities=["text"])
    with trio.fail_after(TEST_TIMEOUT):
        async with open_realtime_session(
            agent, endpoint=wire.endpoint, transport=wire, config=config
        ) as session:
            yield session


def make_library(*answers: Any, **settings: Any) -> tuple[Library, LocalConnector]:
    found = Library()
    settings = {"hosted_servers": {"docs": {"search": found.search}}, **settings}
    wire = local_connector(responder=ScriptedResponder(answers), pacing=math.inf, **settings)
    return found, wire


def received_frames(wire: LocalConnector, kind: str) -> list[dict[str, Any]]:
    (connection,) = wire.connections
    return [frame for frame in connection.received if frame["type"] == kind]


def sent_errors(wire: LocalConnector) -> list[dict[str, Any]]:
    (connection,) = wire.connections
    return [frame for frame in connection.sent if frame["type"] == "error"]


async def collect_turn(session: RealtimeSession[None]) -> list[events.SessionEvent]:
    """Return the events of the turn, and those of the 60 seconds after it."""
    found: list[events.SessionEvent] = []
    async for event in session:
        found.append(event)
        if isinstance(event, events.AgentEnd):
            break
    await trio.sleep(60)
    return found + drain_channel(session.events)


def only(found: list[events.SessionEvent], kind: type[Any]) -> Any:
    (event,) = [event for event in found if isinstance(event, kind)]
    return event


# --- calls -------------------------------------------------------------------------------------


async def test_call_without_approval_is_answered_in_the_same_turn(
    autojump_clock: MockClock,
) -> None:
    books, wire = make_library([Say("I look it up."), SEARCH], Say("There is trio."))
    async with open_librarian(wire, require_approval="never") as session:
        await session.send_message("What is there?")
        found = await collect_turn(session)

        listed = only(found, events.McpToolsChanged)
        assert (listed.server, listed.tools) == ("docs", ("search",))
        done = only(found, events.McpToolCallCompleted)
        assert (done.item.name, done.item.output) == ("search", "Found trio.")
        end = only(found, events.AgentEnd)
        assert (end.output, end.status, end.tool_calls) == ("There is trio.", "completed", 1)
        assert books.calls == [{"q": "trio"}]
        assert len(received_frames(wire, "response.create")) == 2
        assert sent_errors(wire) == []
        (call,) = [item for item in session.history if isinstance(item, McpCallItem)]
        assert call.output == "Found trio."


async def test_unreachable_server_is_an_error_and_the_session_continues(
    autojump_clock: MockClock,
) -> None:
    _, wire = make_library(Say("Hello."))
    async with open_librarian(wire, label="elsewhere") as session:
        assert (await session.ask("Hello?")).text == "Hello."
        (failure,) = drain_events(session.events, events.Error)
        assert "'elsewhere'" in str(failure.error)


async def test_failing_tool_is_reported_and_the_model_continues(autojump_clock: MockClock) -> None:
    def search(_given: dict[str, Any]) -> str:
        raise LookupError("the library is closed")

    servers = {"docs": {"search": search}}
    _, wire = make_library(SEARCH, Say("It is closed."), hosted_servers=servers)
    async with open_librarian(wire, require_approval="never") as session:
        await session.send_message("What is there?")
        found = await collect_turn(session)
        done = only(found, events.McpToolCallCompleted)
        assert done.item.error.message == "the library is closed"
        assert only(found, events.AgentEnd).output == "It is closed."


async def test_ask_returns_the_reply_that_follows_hosted_calls(autojump_clock: MockClock) -> None:
    books, wire = make_library([Say("One moment."), SEARCH], SEARCH, Say("There is trio."))
    async with open_librarian(wire, require_approval="never") as session:
        outcome = await session.ask("What is there?")
        assert (outcome.text, outcome.status) == ("There is trio.", "completed")
        assert len(books.calls) == 2


async def test_ask_waits_for_a_function_call_and_a_hosted_call_of_one_response(
    autojump_clock: MockClock,
) -> None:
    _, wire = make_library([SEARCH, Call("shout")], Say("Both done."))
    async with open_librarian(wire, require_approval="never") as session:
        assert (await session.ask("Do both")).text == "Both done."
        assert len(received_frames(wire, "response.create")) == 2


async def test_rule_responder_calls_a_hosted_tool_by_its_name(autojump_clock: MockClock) -> None:
    wire = local_connector(hosted_servers={"docs": {"find_opening_hours": "Nine to five."}})
    async with open_librarian(wire, require_approval="never") as session:
        assert (await session.ask("What are the opening hours?")).text == "Nine to five."


# --- approvals ---------------------------------------------------------------------------------


async def test_approved_call_runs_once_and_is_answered_in_the_same_turn(
    autojump_clock: MockClock,
) -> None:
    books, wire = make_library(SEARCH, Say("There is trio."))
    async with open_librarian(wire) as session:
        await session.send_message("What is there?")
        request = await next_approval_request(session)
        assert (request.tool_name, request.server_label) == ("search", "docs")
        await trio.sleep(30)
        assert books.calls == []
        assert await session.approve_tool_call(request.call_id)
        found = await collect_turn(session)

        assert only(found, events.McpToolCallCompleted).item.approval_request_id == request.call_id
        end = only(found, events.AgentEnd)
        assert (end.output, end.status) == ("There is trio.", "completed")
        assert books.calls == [{"q": "trio"}]
        assert sent_errors(wire) == []


async def test_ask_continues_after_an_approval(autojump_clock: MockClock) -> None:
    books, wire = make_library(SEARCH, Say("There is trio."))

    async def agree() -> None:
        await session.approve_tool_call((await next_approval_request(session)).call_id)

    async with open_librarian(wire) as session, trio.open_nursery() as nursery:
        nursery.start_soon(agree)
        assert (await session.ask("What is there?")).text == "There is trio."
        assert len(books.calls) == 1


async def test_rejected_call_does_not_run_and_the_model_gets_the_reason(
    autojump_clock: MockClock,
) -> None:
    books, wire = make_library(SEARCH, Say("As you like."))
    async with open_librarian(wire) as session:
        await session.send_message("What is there?")
        request = await next_approval_request(session)
        await session.reject_tool_call(request.call_id, message="Not today.")
        found = await collect_turn(session)

        assert only(found, events.AgentEnd).output == "As you like."
        assert books.calls == []
        (answer,) = [item for item in session.history if isinstance(item, McpApprovalResponseItem)]
        assert (answer.approve, answer.reason) == (False, "Not today.")
        assert sent_errors(wire) == []


@pytest.mark.parametrize("decision", [True, False])
async def test_on_approval_decides_without_a_request_event(
    decision: bool, autojump_clock: MockClock
) -> None:
    def decide(_about: AgentContext[Any], request: McpApprovalRequestItem) -> bool:
        return decision and request.arguments == '{"q":"trio"}'

    books, wire = make_library(SEARCH, Say("Well."))
    async with open_librarian(wire, on_approval=decide) as session:
        assert (await session.ask("What is there?")).text == "Well."
        assert drain_events(session.events, events.ToolApprovalRequired) == []
        assert len(books.calls) == decision


async def test_require_approval_may_name_tools(autojump_clock: MockClock) -> None:
    books, wire = make_library(SEARCH, Say("There is trio."))
    policy = {"never": {"tool_names": ["search"]}}
    async with open_librarian(wire, require_approval=policy) as session:
        assert (await session.ask("What is there?")).text == "There is trio."
        assert len(books.calls) == 1


# --- interruptions -----------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 5.0])
async def test_interrupt_rejects_a_call_that_waits_for_approval(
    seconds: float, autojump_clock: MockClock
) -> None:
    books, wire = make_library([SEARCH, Pause(1.0)], Say("Next."))
    async with open_librarian(wire) as session:
        await session.send_message("What is there?")
        request = await next_approval_request(session)
        await trio.sleep(seconds)
        await session.interrupt()
        assert not await session.approve_tool_call(request.call_id)
        await session.drain()
        await trio.sleep(30)
        assert len(received_frames(wire, "response.create")) == 1

        assert (await session.ask("And now?")).text == "Next."
        assert books.calls == []
        (answer,) = [item for item in session.history if isinstance(item, McpApprovalResponseItem)]
        assert (answer.approve, answer.reason) == (False, "interrupted")
        assert sent_errors(wire) == []


async def test_interrupt_during_a_call_requests_no_response(
    autojump_clock: MockClock,
) -> None:
    servers = {"docs": {"search": HostedTool("found", seconds=20.0)}}
    _, wire = make_library(SEARCH, Say("Next."), hosted_servers=servers)
    async with open_librarian(wire, require_approval="never") as session:
        await session.send_message("What is there?")
        await trio.sleep(5)
        await session.interrupt()
        await session.drain()
        await trio.sleep(60)
        assert len(received_frames(wire, "response.create")) == 1
        end = only(drain_channel(session.events), events.AgentEnd)
        assert end.status == "cancelled"
        assert (await session.ask("And now?")).text == "Next."
        await wait_all_tasks_blocked()
        assert sent_errors(wire) == []
