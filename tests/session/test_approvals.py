"""Calls that wait for a decision: who is asked, what is answered, what holds for good."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.sessions import open_test_session
from trio_realtime import (
    AgentContext,
    RealtimeAgent,
    RealtimeSession,
    ToolContext,
    events,
    function_tool,
)
from trio_realtime.agents import FunctionTool
from trio_realtime.errors import UsageError
from trio_realtime.testing import ScriptedPeer

RAN: list[str] = []


def guarded(needs_approval: Any = True, **options: Any) -> FunctionTool:
    RAN.clear()

    @function_tool(needs_approval=needs_approval, **options)
    async def pay(amount: int) -> str:
        RAN.append(f"paid {amount}")
        return f"paid {amount}"

    return pay


def outputs(peer: ScriptedPeer) -> list[str]:
    items = [f["item"] for f in peer.received if f["type"] == "conversation.item.create"]
    return [item["output"] for item in items if item["type"] == "function_call_output"]


def call(peer: ScriptedPeer, number: int, arguments: str = '{"amount": 5}') -> None:
    peer.begin_response(f"resp_{number}")
    peer.call(f"resp_{number}", f"item_{number}", f"call_{number}", "pay", arguments)
    peer.end_response(f"resp_{number}")


async def asked(session: RealtimeSession[None]) -> events.ToolApprovalRequired:
    async for event in session:
        if isinstance(event, events.ToolApprovalRequired):
            return event
    raise AssertionError("nobody was asked")


async def test_a_call_waits_until_it_is_approved_and_then_runs_once(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, guarded()) as session:
        call(peer, 1)
        event = await asked(session)
        assert (event.call_id, event.arguments) == ("call_1", '{"amount": 5}')
        await trio.sleep(100)
        assert not RAN
        assert await session.approve_tool_call("call_1")
        await peer.expect("conversation.item.create")
        await peer.expect("response.create")
        assert not await session.approve_tool_call("call_1"), "it waits no more"
        assert RAN == ["paid 5"]
        assert outputs(peer) == ["paid 5"]


@pytest.mark.parametrize(
    ("message", "told"), [(None, "Tool execution was not approved."), ("Too dear.", "Too dear.")]
)
async def test_a_rejected_call_does_not_run_and_the_model_is_told(
    message: str | None, told: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, guarded()) as session:
        call(peer, 1)
        await asked(session)
        assert await session.reject_tool_call("call_1", message=message)
        await peer.expect("conversation.item.create")
        await peer.expect("response.create")
        async for event in session:
            if isinstance(event, events.ToolEnd):
                assert event.outcome == "rejected"
                break
        assert outputs(peer) == [told]
        assert not RAN


@pytest.mark.parametrize("approved", [True, False])
async def test_a_decision_for_good_holds_for_later_calls(
    approved: bool, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, guarded()) as session:
        call(peer, 1)
        await asked(session)
        if approved:
            await session.approve_tool_call("call_1", always=True)
        else:
            await session.reject_tool_call("call_1", always=True, message="Never.")
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        peer.begin_response("resp_2", create)
        peer.call("resp_2", "item_2", "call_2", "pay", '{"amount": 6}')
        peer.end_response("resp_2")
        await peer.expect("conversation.item.create")
        assert outputs(peer) == (["paid 5", "paid 6"] if approved else ["Never.", "Never."])


async def test_a_function_decides_who_is_asked_with_the_arguments(
    autojump_clock: MockClock,
) -> None:
    async def dear(_context: ToolContext[None], arguments: dict[str, Any]) -> bool:
        return bool(arguments["amount"] > 10)

    peer = ScriptedPeer()
    async with open_test_session(peer, guarded(dear)) as session:
        call(peer, 1, '{"amount": 5}')
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        assert RAN == ["paid 5"]
        peer.begin_response("resp_2", create)
        peer.call("resp_2", "item_2", "call_2", "pay", '{"amount": 50}')
        peer.end_response("resp_2")
        assert (await asked(session)).call_id == "call_2"


@pytest.mark.parametrize("arguments", ["", "{", "null", "[]", "NaN", "Infinity"])
async def test_arguments_that_nobody_can_judge_need_approval_and_are_then_answered_as_wrong(
    arguments: str, autojump_clock: MockClock
) -> None:
    judged: list[Any] = []

    def judge(_context: ToolContext[None], given: dict[str, Any]) -> bool:
        judged.append(given)
        return False

    peer = ScriptedPeer()
    async with open_test_session(peer, guarded(judge)) as session:
        call(peer, 1, arguments)
        await asked(session)
        assert not judged
        await session.approve_tool_call("call_1")
        await peer.expect("conversation.item.create")
        assert outputs(peer)[0].startswith("Invalid arguments for pay")
        assert not RAN


async def test_an_interrupt_takes_a_waiting_call_along(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, guarded()) as session:
        call(peer, 1)
        await asked(session)
        await session.interrupt()
        await peer.expect("conversation.item.create")
        assert not await session.approve_tool_call("call_1")
        await peer.expect_nothing()
        assert not RAN


async def test_a_call_that_is_delivered_twice_is_asked_about_once(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, guarded()) as session:
        with session.subscribe(events.ToolApprovalRequired) as channel:
            call(peer, 1)
            peer.begin_response("resp_9")
            peer.call("resp_9", "item_9", "call_1", "pay", '{"amount": 5}')
            peer.end_response("resp_9")
            await trio.sleep(1)
            await channel.receive()
            with pytest.raises(trio.WouldBlock):
                channel.receive_nowait()
            await session.approve_tool_call("call_1")
            await peer.expect("conversation.item.create")
        assert RAN == ["paid 5"]


# --- what the model is told of a rejection -----------------------------------------------------


def in_words(context: ToolContext[None]) -> str:
    return f"{context.tool_name} is not for {context.agent.name}."


async def later(context: ToolContext[None]) -> str:
    await trio.sleep(1)
    return in_words(context)


async def told(message: str | None, format_rejection: Any) -> str:
    peer = ScriptedPeer()
    async with open_test_session(peer, guarded(), format_rejection=format_rejection) as session:
        call(peer, 1)
        await asked(session)
        await session.reject_tool_call("call_1", message=message)
        await trio.sleep(2)
        (output,) = outputs(peer)
        (end,) = drain_events(session.events, events.ToolEnd)
        assert (end.outcome, end.output_text) == ("rejected", output)
        return output


@pytest.mark.parametrize("format_rejection", [in_words, later])
async def test_a_rejection_is_told_in_the_sessions_words(
    format_rejection: Any, autojump_clock: MockClock
) -> None:
    assert await told(None, format_rejection) == "pay is not for Assistant."


@pytest.mark.parametrize("message", ["Not today.", ""])
@pytest.mark.parametrize("format_rejection", [in_words, None])
async def test_words_of_the_rejection_itself_come_first_also_if_they_are_none(
    message: str, format_rejection: Any, autojump_clock: MockClock
) -> None:
    assert await told(message, format_rejection) == message


def raises(_: ToolContext[None]) -> str:
    raise LookupError("no words")


@pytest.mark.parametrize("format_rejection", [raises, lambda _: None, lambda _: 3])
async def test_words_that_cannot_be_had_leave_the_usual_ones(
    format_rejection: Any, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    assert await told(None, format_rejection) == "Tool execution was not approved."
    (record,) = [one for one in caplog.records if one.name == "trio_realtime.tools"]
    assert record.levelname == "ERROR"
    assert record.exc_info is not None


# --- decisions for good, and functions that take their time ------------------------------------


@pytest.mark.parametrize("verdict", [True, False])
async def test_a_rejection_for_good_that_comes_while_a_function_decides_wins(
    verdict: bool, autojump_clock: MockClock
) -> None:
    async def dear(context: ToolContext[None], _: dict[str, Any]) -> bool:
        await trio.sleep(5 if context.call_id == "call_2" else 0)
        return verdict or context.call_id == "call_1"

    peer = ScriptedPeer()
    async with open_test_session(peer, guarded(dear)) as session:
        call(peer, 1)
        await asked(session)
        call(peer, 2)
        await wait_all_tasks_blocked()
        await session.reject_tool_call("call_1", always=True, message="Never.")
        await trio.sleep(10)
        assert outputs(peer) == ["Never.", "Never."]
        assert not RAN
        assert not drain_events(session.events, events.ToolApprovalRequired)


@pytest.mark.parametrize("approved", [True, False])
async def test_after_a_decision_for_good_the_function_is_not_asked(
    approved: bool, autojump_clock: MockClock
) -> None:
    judged: list[str] = []

    def dear(context: ToolContext[None], _: dict[str, Any]) -> bool:
        judged.append(context.call_id)
        return True

    peer = ScriptedPeer()
    async with open_test_session(peer, guarded(dear)) as session:
        call(peer, 1)
        await asked(session)
        if approved:
            await session.approve_tool_call("call_1", always=True)
        else:
            await session.reject_tool_call("call_1", always=True)
        call(peer, 2)
        await wait_all_tasks_blocked()
        assert judged == ["call_1"]
        assert len(outputs(peer)) == 2


# --- functions that fail -----------------------------------------------------------------------


def fails(*_: Any) -> bool:
    raise LookupError("no list")


async def fails_later(*_: Any) -> bool:
    await trio.sleep(1)
    raise LookupError("no list")


@pytest.mark.parametrize("needs_approval", [fails, fails_later])
async def test_a_function_that_fails_to_decide_lets_nothing_run(
    needs_approval: Any, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    tool = guarded(needs_approval)
    async with open_test_session(peer, tool) as session:
        call(peer, 1)
        await trio.sleep(2)
        assert outputs(peer) == ["Tool pay failed: LookupError: no list"]
        assert not RAN
        found = drain_events(session.events, events.ToolEnd)
        assert [(end.outcome, end.tool) for end in found] == [("failed", tool)]
        assert isinstance(found[0].error, LookupError)
        await session.send_message("Still here?")


async def test_a_condition_that_fails_lets_nothing_run(autojump_clock: MockClock) -> None:
    asked_before: list[None] = []

    def condition(_: AgentContext[Any]) -> bool:
        if asked_before:
            raise LookupError("no list")
        asked_before.append(None)  # the service is told of it
        return True

    peer = ScriptedPeer()
    async with open_test_session(
        peer, guarded(needs_approval=False, is_enabled=condition)
    ) as session:
        call(peer, 1)
        await wait_all_tasks_blocked()
        assert outputs(peer) == ["Tool pay failed: LookupError: no list"]
        assert not RAN
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "failed"
        assert isinstance(end.error, LookupError)


async def test_a_call_that_is_cancelled_while_it_is_looked_at_does_not_run(
    autojump_clock: MockClock,
) -> None:
    async def stubborn(*_: Any) -> bool:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        return False

    peer = ScriptedPeer()
    async with open_test_session(peer, guarded(stubborn)) as session:
        call(peer, 1)
        await wait_all_tasks_blocked()
        await session.interrupt()
        await wait_all_tasks_blocked()
        (output,) = outputs(peer)
        assert "cancelled" in output
        assert not RAN
        assert not drain_events(session.events, events.ToolStart)


async def test_an_approval_for_good_is_not_another_agents_tool_of_the_same_name(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    first = RealtimeAgent[None](name="First", tools=[guarded()])
    second = RealtimeAgent[None](name="Second", tools=[guarded()])
    async with open_test_session(peer, agent=first) as session:
        call(peer, 1)
        await asked(session)
        await session.approve_tool_call("call_1", always=True)
        await session.update_agent(second)
        call(peer, 2)
        assert (await asked(session)).call_id == "call_2"
        assert RAN == ["paid 5"]


async def test_an_approval_for_good_may_hold_for_a_tool_that_is_made_anew(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    first = RealtimeAgent[None](name="First", tools=[attrs.evolve(guarded(), approval_key="pay")])
    second = RealtimeAgent[None](name="Second", tools=[attrs.evolve(guarded(), approval_key="pay")])
    async with open_test_session(peer, agent=first) as session:
        call(peer, 1)
        await asked(session)
        await session.approve_tool_call("call_1", always=True)
        await session.update_agent(second)
        call(peer, 2)
        await wait_all_tasks_blocked()
        assert RAN == ["paid 5", "paid 5"]


async def test_a_rejection_is_told_in_text_or_not_at_all(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, guarded()) as session:
        call(peer, 1)
        await asked(session)
        message: Any = ValueError("no")
        with pytest.raises(UsageError, match="text"):
            await session.reject_tool_call("call_1", message=message)
        assert await session.reject_tool_call("call_1", message="No.")
        await wait_all_tasks_blocked()
        assert outputs(peer) == ["No."]
