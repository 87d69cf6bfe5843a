"""Function calls: each runs at most once, in its response's time, and is followed by one create."""

from __future__ import annotations

import json
import threading

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.service import function_call_item, send_call_and_wait
from support.sessions import open_test_session
from support.tools import wait
from support.wire import CREATE, ITEM, Frame, sent_outputs, sent_types
from trio_realtime import RealtimeAgent, ToolContext, events, function_tool, open_realtime_session
from trio_realtime.errors import ProtocolViolation
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer

# --- the plain round ---------------------------------------------------------------------------


async def test_a_call_is_run_answered_and_followed_by_one_create(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def get_weather(city: str) -> dict[str, str]:
        """Weather."""
        return {"city": city, "sky": "clear"}

    peer = ScriptedPeer()
    async with open_test_session(peer, get_weather) as session:
        await send_call_and_wait(peer, "get_weather", '{"city": "Malmö"}')
        assert await sent_types(peer) == [ITEM, CREATE]
        ((call_id, output),) = sent_outputs(peer)
        assert call_id == "call_1"
        assert json.loads(output) == {"city": "Malmö", "sky": "clear"}
        found = drain_channel(session.events)
        (start,) = [event for event in found if isinstance(event, events.ToolStart)]
        (end,) = [event for event in found if isinstance(event, events.ToolEnd)]
        assert found.index(start) < found.index(end)
        assert (start.tool, start.call_id, start.response_id) == (get_weather, "call_1", "resp_1")
        assert start.arguments == '{"city": "Malmö"}'
        assert (end.tool, end.outcome, end.output_text) == (get_weather, "completed", output)
        assert end.output == {"city": "Malmö", "sky": "clear"}  # the object, not its text


async def test_the_call_runs_while_its_response_still_goes_on(autojump_clock: MockClock) -> None:
    """Its output leaves at once, the create when the response is done."""

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


async def test_a_tool_does_not_keep_the_reader_from_reading(autojump_clock: MockClock) -> None:
    @function_tool
    async def slow() -> str:
        """Takes its time."""
        await trio.sleep(100)
        return "done"

    peer = ScriptedPeer()
    async with open_test_session(peer, slow) as session:
        await send_call_and_wait(peer, "slow")
        peer.begin_response("resp_2")
        peer.text("resp_2", "item_2", "Meanwhile")
        await wait_all_tasks_blocked()
        assert any(isinstance(event, events.TextDelta) for event in drain_channel(session.events))


async def test_a_tool_is_told_of_its_call(autojump_clock: MockClock) -> None:
    contexts: list[ToolContext[str]] = []

    @function_tool
    async def note(what: str, context: ToolContext[str]) -> None:
        """Take a note."""
        contexts.append(context)

    agent: RealtimeAgent[str] = RealtimeAgent(name="Assistant", tools=[note])
    peer = ScriptedPeer()
    async with open_realtime_session(
        agent, endpoint=TEST_ENDPOINT, transport=peer.connect, context="the user's own"
    ):
        await send_call_and_wait(peer, "note", '{"what": "milk"}')
    (context,) = contexts
    assert context.context == "the user's own"
    assert (context.call_id, context.tool_name) == ("call_1", "note")
    assert (context.agent, context.response_id) == (agent, "resp_1")
    assert context.arguments == '{"what": "milk"}'
    assert sent_outputs(peer) == [("call_1", "null")]


async def test_a_plain_function_runs_in_a_thread() -> None:
    """On the real clock: a thread cannot wait for a virtual one."""
    threads: list[threading.Thread] = []

    @function_tool
    def compute(a: int, b: int) -> int:
        """Add."""
        threads.append(threading.current_thread())
        return a + b

    peer = ScriptedPeer()
    async with open_test_session(peer, compute):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "compute", '{"a": 2, "b": 3}')
        answer = await peer.expect(ITEM)
    assert answer["item"]["output"] == "5"
    assert threads != [threading.current_thread()]


async def test_an_interrupt_abandons_the_thread_of_a_plain_function() -> None:
    release = threading.Event()
    started = threading.Event()

    @function_tool
    def stuck() -> str:
        """Waits for what the test decides."""
        started.set()
        release.wait(30)
        return "too late"

    peer = ScriptedPeer()
    try:
        async with open_test_session(peer, stuck) as session:
            await send_call_and_wait(peer, "stuck")
            await trio.to_thread.run_sync(started.wait)
            await session.interrupt()
            await wait_all_tasks_blocked()
            ((call_id, output),) = sent_outputs(peer)
            assert call_id == "call_1"
            assert output != "too late"
    finally:
        release.set()


# --- at most once ------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["while it runs", "after its answer", "after a newer response"])
async def test_a_call_that_is_delivered_twice_runs_once(
    when: str, autojump_clock: MockClock
) -> None:
    runs: list[str] = []

    @function_tool
    async def pay(amount: int) -> str:
        """Pay."""
        runs.append("run")
        await trio.sleep(1)
        return "paid"

    peer = ScriptedPeer()
    async with open_test_session(peer, pay):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "pay", '{"amount": 5}')
        if when != "while it runs":
            await trio.sleep(2)
        if when == "after a newer response":
            peer.end_response("resp_1")
            peer.begin_response("resp_2")
            peer.call("resp_2", "item_9", "call_1", "pay", '{"amount": 500}')
        else:
            peer.call("resp_1", "item_1", "call_1", "pay", '{"amount": 5}')
        await trio.sleep(5)
        assert runs == ["run"]
        assert sent_outputs(peer) == [("call_1", "paid")]


async def test_a_call_that_only_the_end_of_its_response_names_is_run(
    autojump_clock: MockClock,
) -> None:
    """And one that was named before is not run again."""
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


async def test_a_call_that_was_cut_off_is_not_run(autojump_clock: MockClock) -> None:
    """Its arguments are a fragment, and the service does not wait for its output."""
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


async def test_a_call_without_an_id_is_reported_and_harms_nothing(
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


# --- several calls of one response -------------------------------------------------------------


@pytest.mark.parametrize("done_after", [0, 1.5, 5])
async def test_parallel_calls_run_at_once_and_are_all_answered_before_the_one_create(
    done_after: float, autojump_clock: MockClock
) -> None:
    """D5, invariant 4: whenever the response itself is done."""
    peer = ScriptedPeer()
    async with open_test_session(peer, wait):
        peer.begin_response("resp_1")
        for number, seconds in enumerate((3, 1, 2)):
            arguments = json.dumps({"seconds": seconds})
            peer.call("resp_1", f"item_{number}", f"call_{number}", "wait", arguments)
        await trio.sleep(done_after)
        peer.end_response("resp_1")
        await trio.sleep(10)
        assert await sent_types(peer) == [ITEM, ITEM, ITEM, CREATE]
        assert sent_outputs(peer) == [
            ("call_1", "waited 1"),
            ("call_2", "waited 2"),
            ("call_0", "waited 3"),
        ]


async def test_the_create_comes_when_the_last_call_is_answered(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, wait):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "wait", '{"seconds": 1}')
        peer.call("resp_1", "item_2", "call_2", "wait", '{"seconds": 3}')
        peer.end_response("resp_1")
        await trio.sleep(2)
        assert await sent_types(peer) == [ITEM]
        await trio.sleep(1.5)
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


async def test_an_answer_during_a_newer_response_waits_with_its_create(
    autojump_clock: MockClock,
) -> None:
    """The output leaves at once; the model is asked when the newer response is done."""
    peer = ScriptedPeer()
    async with open_test_session(peer, wait):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "wait", '{"seconds": 2}')
        peer.end_response("resp_1")
        await trio.sleep(1)
        peer.begin_response("resp_2")
        await trio.sleep(2)
        assert await sent_types(peer) == [ITEM]
        peer.end_response("resp_2")
        assert await sent_types(peer) == [ITEM, CREATE]
