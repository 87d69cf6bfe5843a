"""Function calls: each runs at most once and is answered exactly once."""

from __future__ import annotations

import json

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.service import function_call_item
from support.sessions import open_test_session
from support.tools import make_cleanup_tool, make_note_tool, make_pay_tool, wait
from support.wire import CREATE, ITEM, Frame, sent_frames, sent_outputs, sent_settings, sent_types
from trio_realtime import RealtimeAgent, events, function_tool
from trio_realtime.core.calls.function_calls import REPEATED_OUTPUT
from trio_realtime.errors import ProtocolViolation
from trio_realtime.testing import ScriptedPeer

# --- at most once ------------------------------------------------------------------------------


HELLO = '{"text": "hello"}'


@pytest.mark.parametrize("again", ["while it runs", "once it is answered", "in a later response"])
async def test_repeated_call_runs_once_and_is_answered_once(
    again: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    repeat = function_call_item("item_1", "call_1", "wait", '{"seconds": 2}')
    async with open_test_session(peer, wait) as session:
        peer.begin_response("resp_1")
        peer.close_item("resp_1", repeat)
        await trio.sleep(1)
        if again == "while it runs":
            peer.close_item("resp_1", repeat)
        await trio.sleep(2)
        if again == "once it is answered":
            peer.close_item("resp_1", repeat)
        peer.end_response("resp_1", output=[repeat])
        await wait_all_tasks_blocked()
        if again == "in a later response":
            peer.begin_response("resp_2", (await sent_frames(peer))[-1])
            peer.close_item("resp_2", repeat)
            peer.end_response("resp_2", output=[repeat])
        await trio.sleep(3)
        assert (await sent_types(peer))[:2] == [ITEM, CREATE]
        answers = [("call_1", "waited 2")]
        if again == "in a later response":
            answers += [("call_1", REPEATED_OUTPUT)]
        assert sent_outputs(peer) == answers
        found = drain_channel(session.events)
        assert len([event for event in found if isinstance(event, events.ToolStart)]) == 1
        errors = [event for event in found if isinstance(event, events.Error)]
        assert len(errors) == len(answers) - 1


@pytest.mark.parametrize("when", ["while it runs", "once it is answered"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("wait", '{"seconds": 7}'), ("note", HELLO), ("transfer_to_billing", "{}")],
)
async def test_reused_call_id_runs_nothing_and_is_reported(
    name: str, arguments: str, when: str, autojump_clock: MockClock
) -> None:
    """With other arguments, another tool, or a handoff: the service violates the protocol."""
    note, runs = make_note_tool()
    billing = RealtimeAgent[None](name="Billing")
    agent = RealtimeAgent[None](name="Triage", tools=[wait, note], handoffs=[billing])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "wait", '{"seconds": 2}')
        await trio.sleep(1 if when == "while it runs" else 3)
        peer.call("resp_1", "item_2", "call_1", name, arguments)
        peer.end_response("resp_1")
        await trio.sleep(10)
        seen = drain_channel(session.events)
        (error,) = [event.error for event in seen if isinstance(event, events.Error)]
        assert isinstance(error, ProtocolViolation)
        assert "call_1" in str(error)
        assert sent_outputs(peer) == [("call_1", "waited 2")]
        assert [event.tool.name for event in seen if isinstance(event, events.ToolStart)] == [
            "wait"
        ]
        assert (runs, session.current_agent, len(sent_settings(peer))) == ([], agent, 1)
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        await peer.expect_nothing()


# --- which calls run ---------------------------------------------------------------------------


async def test_call_runs_while_its_response_continues(autojump_clock: MockClock) -> None:
    """Its output is sent at once, the ``response.create`` when the response is done."""

    @function_tool
    async def ping() -> str:
        """Answer."""
        return "pong"

    peer = ScriptedPeer()
    async with open_test_session(peer, ping):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "ping")
        assert await sent_types(peer) == [ITEM]
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, CREATE]


async def test_call_listed_only_in_response_done_is_run(
    autojump_clock: MockClock,
) -> None:
    """A call that was already delivered is not run again."""
    runs: list[int] = []

    @function_tool
    async def count(n: int) -> str:
        """Count."""
        runs.append(n)
        return "ok"

    def call(n: int) -> Frame:
        return function_call_item(f"item_{n}", f"call_{n}", "count", json.dumps({"n": n}))

    peer = ScriptedPeer()
    async with open_test_session(peer, count):
        peer.begin_response("resp_1")
        peer.close_item("resp_1", call(1))
        peer.end_response("resp_1", output=[call(1), call(2)])
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]
        assert sorted(runs) == [1, 2]


async def test_incomplete_call_is_not_run(autojump_clock: MockClock) -> None:
    """Its arguments are incomplete, and the service does not wait for its output."""
    runs: list[str] = []

    @function_tool
    async def pay() -> None:
        """Pay."""
        runs.append("run")

    peer = ScriptedPeer()
    async with open_test_session(peer, pay):
        item = function_call_item("item_1", "call_1", "pay", "{", status="incomplete")
        peer.begin_response("resp_1")
        peer.close_item("resp_1", item)
        peer.end_response("resp_1", "cancelled", reason="turn_detected", output=[item])
        assert await sent_types(peer) == []
        assert runs == []


async def test_call_of_a_cancelled_response_is_not_run(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(peer, make_pay_tool(log)):
        peer.begin_response("resp_1")
        listed = [function_call_item("item_1", "call_1", "pay")]
        peer.end_response("resp_1", "cancelled", reason="turn_detected", output=listed)
        await peer.expect(ITEM)
    assert log == []


async def test_call_completed_after_an_interrupt_is_answered_and_not_run(
    autojump_clock: MockClock,
) -> None:
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        await session.interrupt()
        peer.call("resp_1", "item_1", "call_1", "careful")
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        await wait_all_tasks_blocked()
        assert careful.log == []
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1"]
        assert CREATE not in await sent_types(peer)


async def test_call_without_an_id_is_reported(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        item = {"id": "item_1", "type": "function_call", "status": "completed", "name": "pay"}
        peer.begin_response("resp_1")
        peer.close_item("resp_1", item)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        (error,) = [
            event.error
            for event in drain_channel(session.events)
            if isinstance(event, events.Error)
        ]
        assert isinstance(error, ProtocolViolation)
        await session.send_message("Go on.")
        assert await sent_types(peer) == [ITEM, CREATE]
