"""Whether a call may run: conditions, approval functions, and pending approval."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events, next_approval_request
from support.payments import PAYMENTS, make_payment_tool, payment_outputs, send_payment_call
from support.service import function_call_item, send_call_and_wait
from support.sessions import open_test_session
from support.tools import make_note_tool
from support.wire import CREATE, ITEM, sent_outputs
from trio_realtime import AgentContext, RealtimeAgent, ToolContext, events, function_tool
from trio_realtime.testing import ScriptedPeer


def fails(*_: Any) -> bool:
    raise LookupError("no list")


async def fails_later(*_: Any) -> bool:
    await trio.sleep(1)
    raise LookupError("no list")


HELLO = '{"text": "hello"}'


async def test_call_waits_for_approval_and_runs_once(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_payment_tool()) as session:
        send_payment_call(peer, 1)
        event = await next_approval_request(session)
        assert (event.call_id, event.arguments) == ("call_1", '{"amount": 5}')
        await trio.sleep(100)
        assert not PAYMENTS
        assert await session.approve_tool_call("call_1")
        await peer.expect("conversation.item.create")
        await peer.expect("response.create")
        assert not await session.approve_tool_call("call_1"), "the call no longer waits"
        assert PAYMENTS == ["paid 5"]
        assert payment_outputs(peer) == ["paid 5"]


async def test_approval_is_requested_and_applied_once(
    autojump_clock: MockClock,
) -> None:
    """The call is delivered and decided twice."""
    note, runs = make_note_tool(needs_approval=True)
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        await send_call_and_wait(peer, "note", HELLO)
        peer.close_item("resp_1", function_call_item("item_1", "call_1", "note", HELLO))
        peer.begin_response("resp_2")
        peer.close_item("resp_2", function_call_item("item_1", "call_1", "note", HELLO))
        peer.end_response("resp_2")
        await peer.expect_nothing()
        (request,) = drain_events(session.events, events.ToolApprovalRequired)
        assert (request.call_id, request.arguments, runs) == ("call_1", HELLO, [])
        assert await session.approve_tool_call("call_1")
        assert not await session.approve_tool_call("call_1")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        await peer.expect_nothing()
    assert (runs, sent_outputs(peer)) == (["hello"], [("call_1", "noted hello")])


async def test_approval_runs_the_original_tool_after_a_switch_of_agents(
    autojump_clock: MockClock,
) -> None:
    """Both agents have a tool of this name."""
    first, runs = make_note_tool(needs_approval=True)
    second, others = make_note_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, first) as session:
        await send_call_and_wait(peer, "note", HELLO)
        await session.update_agent(RealtimeAgent(name="Next", tools=[second]))
        assert await session.approve_tool_call("call_1")
        await peer.expect(ITEM)
        assert (runs, others) == (["hello"], [])
        assert sent_outputs(peer) == [("call_1", "noted hello")]


async def test_function_decides_from_the_arguments_whether_approval_is_needed(
    autojump_clock: MockClock,
) -> None:
    async def dear(_context: ToolContext[None], arguments: dict[str, Any]) -> bool:
        return bool(arguments["amount"] > 10)

    peer = ScriptedPeer()
    async with open_test_session(peer, make_payment_tool(dear)) as session:
        send_payment_call(peer, 1, '{"amount": 5}')
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        assert PAYMENTS == ["paid 5"]
        peer.begin_response("resp_2", create)
        peer.call("resp_2", "item_2", "call_2", "pay", '{"amount": 50}')
        peer.end_response("resp_2")
        assert (await next_approval_request(session)).call_id == "call_2"


@pytest.mark.parametrize(
    "arguments",
    [
        "{",
        '{"amount": ',
        "[]",
        '"12"',
        "NaN",
        "Infinity",
        '{"amount": NaN}',
        '{"amount": Infinity}',
    ],
)
async def test_invalid_arguments_require_approval_and_are_then_reported(
    arguments: str, autojump_clock: MockClock
) -> None:
    """The approval function is not called with them."""
    judged: list[Any] = []
    paid: list[int] = []

    def is_dear(_: ToolContext[None], given: dict[str, Any]) -> bool:
        judged.append(given)
        return False

    @function_tool(needs_approval=is_dear)
    async def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    peer = ScriptedPeer()
    async with open_test_session(peer, pay) as session:
        await send_call_and_wait(peer, "pay", arguments)
        await peer.expect_nothing()
        (request,) = drain_events(session.events, events.ToolApprovalRequired)
        assert request.arguments == arguments
        await session.approve_tool_call("call_1")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
    assert (judged, paid) == ([], [])
    assert sent_outputs(peer)[0][1].startswith("Invalid arguments for pay")


async def test_interrupt_answers_a_call_that_waits_for_approval(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_payment_tool()) as session:
        send_payment_call(peer, 1)
        await next_approval_request(session)
        await session.interrupt()
        await peer.expect("conversation.item.create")
        assert not await session.approve_tool_call("call_1")
        await peer.expect_nothing()
        assert not PAYMENTS


async def test_call_cancelled_during_the_approval_function_does_not_run(
    autojump_clock: MockClock,
) -> None:
    async def stubborn(*_: Any) -> bool:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        return False

    peer = ScriptedPeer()
    async with open_test_session(peer, make_payment_tool(stubborn)) as session:
        send_payment_call(peer, 1)
        await wait_all_tasks_blocked()
        await session.interrupt()
        await wait_all_tasks_blocked()
        (output,) = payment_outputs(peer)
        assert "cancelled" in output
        assert not PAYMENTS
        assert not drain_events(session.events, events.ToolStart)


@pytest.mark.parametrize("needs_approval", [fails, fails_later])
async def test_failing_approval_function_prevents_the_call(
    needs_approval: Any, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    tool = make_payment_tool(needs_approval)
    async with open_test_session(peer, tool) as session:
        send_payment_call(peer, 1)
        await trio.sleep(2)
        assert payment_outputs(peer) == ["Tool pay failed: LookupError: no list"]
        assert not PAYMENTS
        found = drain_events(session.events, events.ToolEnd)
        assert [(end.outcome, end.tool) for end in found] == [("failed", tool)]
        assert isinstance(found[0].error, LookupError)
        await session.send_message("Still here?")


async def test_failing_condition_prevents_the_call(autojump_clock: MockClock) -> None:
    evaluations: list[None] = []

    def condition(_: AgentContext[Any]) -> bool:
        if evaluations:
            raise LookupError("no list")
        evaluations.append(None)  # when the settings are sent
        return True

    peer = ScriptedPeer()
    async with open_test_session(
        peer, make_payment_tool(needs_approval=False, is_enabled=condition)
    ) as session:
        send_payment_call(peer, 1)
        await wait_all_tasks_blocked()
        assert payment_outputs(peer) == ["Tool pay failed: LookupError: no list"]
        assert not PAYMENTS
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "failed"
        assert isinstance(end.error, LookupError)
