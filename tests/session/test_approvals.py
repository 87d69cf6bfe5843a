"""Calls that wait for a decision: who is asked, what is answered, what holds for good."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from support.sessions import talk
from trio_realtime import RealtimeSession, ToolContext, events, function_tool
from trio_realtime.agents import FunctionTool
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
    async with talk(peer, guarded()) as session:
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
    async with talk(peer, guarded()) as session:
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
    async with talk(peer, guarded()) as session:
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
    async with talk(peer, guarded(dear)) as session:
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
    async with talk(peer, guarded(judge)) as session:
        call(peer, 1, arguments)
        await asked(session)
        assert not judged
        await session.approve_tool_call("call_1")
        await peer.expect("conversation.item.create")
        assert outputs(peer)[0].startswith("Invalid arguments for pay")
        assert not RAN


async def test_an_interrupt_takes_a_waiting_call_along(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer, guarded()) as session:
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
    async with talk(peer, guarded()) as session:
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
