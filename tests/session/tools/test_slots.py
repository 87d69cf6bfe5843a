"""At most ``max_concurrent_calls`` calls are carried out at once, and the others wait in order."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.sessions import open_test_session
from support.wire import sent_outputs
from trio_realtime import FunctionTool, RealtimeSession, ToolContext, events, function_tool
from trio_realtime.testing import ScriptedPeer


@attrs.define
class Work:
    """A tool named ``work`` that takes a second, and what its calls have done."""

    began: list[int] = attrs.field(factory=list)
    ended: list[int] = attrs.field(factory=list)
    running: int = 0
    most: int = 0

    def tool(self) -> FunctionTool:
        @function_tool
        async def work(number: int) -> str:
            self.began.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await trio.sleep(1)
            finally:
                self.running -= 1
            self.ended.append(number)
            return f"did {number}"

        return work


def send_calls(peer: ScriptedPeer, count: int, name: str = "work", *, first: int = 0) -> None:
    """Send calls of one response, which does not end."""
    for number in range(first, first + count):
        arguments = f'{{"number": {number}}}'
        peer.call("resp_1", f"item_{number}", f"call_{number}", name, arguments)


def counts(session: RealtimeSession[None]) -> tuple[int, int]:
    statistics = session.statistics()
    return statistics.running_tools, statistics.waiting_tools


@pytest.mark.parametrize("calls", [4, 40], ids=["at the limit", "ten times the limit"])
async def test_calls_above_the_limit_wait_in_order(calls: int, autojump_clock: MockClock) -> None:
    work = Work()
    peer = ScriptedPeer()
    async with open_test_session(peer, work.tool(), max_concurrent_calls=4) as session:
        peer.begin_response("resp_1")
        send_calls(peer, calls)
        await wait_all_tasks_blocked()
        assert counts(session) == (calls, calls - 4)
        peer.end_response("resp_1")
        await trio.sleep(calls / 4 - 0.5)
        assert counts(session) == (4, 0)
        await trio.sleep(1)
        assert counts(session) == (0, 0)
        assert work.most == 4
        for number in range(0, calls, 4):  # trio runs the tasks of one instant in any order
            assert sorted(work.began[number : number + 4]) == [*range(number, number + 4)]
        assert sorted(sent_outputs(peer)) == sorted(
            (f"call_{number}", f"did {number}") for number in range(calls)
        )


async def test_calls_wait_in_the_order_in_which_they_were_made(autojump_clock: MockClock) -> None:
    work = Work()
    peer = ScriptedPeer()
    async with open_test_session(peer, work.tool(), max_concurrent_calls=1):
        peer.begin_response("resp_1")
        send_calls(peer, 10)
        await trio.sleep(20)
    assert work.began == work.ended == [*range(10)]


async def test_an_interruption_cancels_calls_that_wait(autojump_clock: MockClock) -> None:
    work = Work()
    peer = ScriptedPeer()
    async with open_test_session(peer, work.tool(), max_concurrent_calls=2) as session:
        peer.begin_response("resp_1")
        send_calls(peer, 5)
        await wait_all_tasks_blocked()
        await session.interrupt()
        assert counts(session) == (0, 0)
        assert len(work.began) == 2
        assert work.ended == []
        await wait_all_tasks_blocked()
        outputs = sent_outputs(peer)
        assert {call_id for call_id, _ in outputs} == {f"call_{number}" for number in range(5)}
        assert all("cancelled" in output for _, output in outputs)
        cancelled = drain_events(session.events, events.ToolCancelled)
        assert len(cancelled) == 5
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        peer.begin_response("resp_2")
        peer.call("resp_2", "item_9", "call_9", "work", '{"number": 9}')
        await trio.sleep(2)
        assert work.ended == [9]


async def test_the_end_of_the_session_cancels_calls_that_wait(autojump_clock: MockClock) -> None:
    work = Work()
    peer = ScriptedPeer()
    async with open_test_session(peer, work.tool(), max_concurrent_calls=2):
        peer.begin_response("resp_1")
        send_calls(peer, 5)
        await wait_all_tasks_blocked()
    assert (len(work.began), work.running) == (2, 0)


async def test_calls_that_wait_for_approval_leave_their_slots_to_others(
    autojump_clock: MockClock,
) -> None:
    paid: list[int] = []

    @function_tool(needs_approval=True)
    async def pay(number: int) -> str:
        paid.append(number)
        return "paid"

    work = Work()
    peer = ScriptedPeer()
    async with open_test_session(peer, work.tool(), pay, max_concurrent_calls=1) as session:
        peer.begin_response("resp_1")
        send_calls(peer, 3, "pay", first=10)
        send_calls(peer, 2)
        await wait_all_tasks_blocked()
        assert len(drain_events(session.events, events.ToolApprovalRequired)) == 3
        assert work.began == [0]
        assert await session.approve_tool_call("call_11")
        await wait_all_tasks_blocked()
        assert paid == []  # an approved call waits in order again
        await trio.sleep(3)
        assert (work.ended, paid) == ([0, 1], [11])
        await session.interrupt()  # the calls that wait for a decision have no slot to give back
        assert counts(session) == (0, 0)


async def test_a_call_that_was_answered_early_has_its_slot_until_its_tool_ends(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def search(context: ToolContext[None], number: int) -> str:
        await context.answer_early(f"searching {number}")
        await trio.sleep(5)
        return "found"

    work = Work()
    peer = ScriptedPeer()
    async with open_test_session(peer, work.tool(), search, max_concurrent_calls=1):
        peer.begin_response("resp_1")
        send_calls(peer, 1, "search", first=10)
        await wait_all_tasks_blocked()
        send_calls(peer, 1)
        await trio.sleep(4)
        assert work.began == []
        await trio.sleep(2)
        assert work.began == [0]


async def test_a_tool_that_ends_the_call_lets_waiting_calls_run_first(
    autojump_clock: MockClock,
) -> None:
    ended: list[bool] = []

    @function_tool
    async def goodbye(number: int) -> None:
        ended.append(await session.end_call(instructions=None))

    work = Work()
    peer = ScriptedPeer()
    async with open_test_session(peer, work.tool(), goodbye, max_concurrent_calls=1) as session:
        peer.begin_response("resp_1")
        send_calls(peer, 1, "goodbye", first=10)
        send_calls(peer, 1)
        peer.end_response("resp_1")
        await trio.sleep(2)
        assert work.ended == [0]
        peer.begin_response("resp_2", await next_create(peer))
        peer.end_response("resp_2")
        async for _ in session:
            pass
    assert ended == [True]


async def next_create(peer: ScriptedPeer) -> dict[str, object]:
    while True:
        frame = await peer.next()
        if frame["type"] == "response.create":
            return frame


async def test_without_a_limit_all_calls_run(autojump_clock: MockClock) -> None:
    work = Work()
    peer = ScriptedPeer()
    async with open_test_session(peer, work.tool(), max_concurrent_calls=None) as session:
        peer.begin_response("resp_1")
        send_calls(peer, 100)
        await wait_all_tasks_blocked()
        assert counts(session) == (100, 0)
        assert work.running == 100


async def test_the_history_of_a_context_is_read_when_the_tool_uses_it(
    autojump_clock: MockClock,
) -> None:
    lengths: list[int] = []

    @function_tool
    async def look(context: ToolContext[None]) -> None:
        await trio.sleep(1)
        first = context.history
        await trio.sleep(1)
        assert context.history is first
        lengths.append(len(first))

    peer = ScriptedPeer()
    async with open_test_session(peer, look) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "look")
        await wait_all_tasks_blocked()
        before = len(session.history)
        for wait, name in ((0.5, "item_2"), (1.0, "item_3")):
            await trio.sleep(wait)
            peer.add_item({"id": name, "type": "message", "role": "user", "content": []})
        await trio.sleep(1)
    assert lengths == [before + 1]
