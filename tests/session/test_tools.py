"""Function calls: each runs at most once and is answered exactly once, whatever happens to it."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    ToolContext,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.errors import ProtocolViolation
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer

Frame: TypeAlias = dict[str, Any]

OUTPUT = "conversation.item.create"
CREATE = "response.create"
PATIENCE = 600
"""Virtual seconds after which a test that hangs fails."""


@asynccontextmanager
async def talk(
    peer: ScriptedPeer, *tools: FunctionTool, **settings: Any
) -> AsyncIterator[RealtimeSession[None]]:
    agent: RealtimeAgent[None] = RealtimeAgent(name="Assistant", tools=tools)
    with trio.fail_after(PATIENCE):
        async with open_realtime_session(
            agent,
            endpoint=TEST_ENDPOINT,
            transport=peer.connect,
            config=SessionConfig(**settings),
        ) as session:
            yield session


async def kinds(peer: ScriptedPeer) -> list[str]:
    """Types of all frames of the client but settings, once everybody has done what they can."""
    await wait_all_tasks_blocked()
    return [kind for kind in peer.sent_types() if kind != "session.update"]


def answers(peer: ScriptedPeer) -> list[tuple[str, str]]:
    """Call id and output of each answer, in order."""
    return [
        (frame["item"]["call_id"], frame["item"]["output"])
        for frame in peer.received
        if frame["type"] == OUTPUT and frame["item"]["type"] == "function_call_output"
    ]


def taken(session: RealtimeSession[None]) -> list[events.SessionEvent]:
    found: list[events.SessionEvent] = []
    while True:
        try:
            found.append(session.events.receive_nowait())
        except trio.WouldBlock:
            return found


def ends(session: RealtimeSession[None]) -> list[events.ToolEnd]:
    return [event for event in taken(session) if isinstance(event, events.ToolEnd)]


async def one_call(
    peer: ScriptedPeer, name: str, arguments: str = "{}", *, call_id: str = "call_1"
) -> None:
    """A response that makes one call and is done."""
    peer.begin_response("resp_1")
    peer.call("resp_1", "item_1", call_id, name, arguments)
    peer.end_response("resp_1")
    await wait_all_tasks_blocked()


# --- the plain round ---------------------------------------------------------------------------


async def test_a_call_is_run_answered_and_followed_by_one_create(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def get_weather(city: str) -> dict[str, str]:
        """Weather."""
        return {"city": city, "sky": "clear"}

    peer = ScriptedPeer()
    async with talk(peer, get_weather) as session:
        await one_call(peer, "get_weather", '{"city": "Malmö"}')
        assert await kinds(peer) == [OUTPUT, CREATE]
        ((call_id, output),) = answers(peer)
        assert call_id == "call_1"
        assert json.loads(output) == {"city": "Malmö", "sky": "clear"}
        found = taken(session)
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
    async with talk(peer, ping):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "ping")
        assert await kinds(peer) == [OUTPUT]
        peer.end_response("resp_1")
        assert await kinds(peer) == [OUTPUT, CREATE]


async def test_a_tool_does_not_keep_the_reader_from_reading(autojump_clock: MockClock) -> None:
    @function_tool
    async def slow() -> str:
        """Takes its time."""
        await trio.sleep(100)
        return "done"

    peer = ScriptedPeer()
    async with talk(peer, slow) as session:
        await one_call(peer, "slow")
        peer.begin_response("resp_2")
        peer.text("resp_2", "item_2", "Meanwhile")
        await wait_all_tasks_blocked()
        assert any(isinstance(event, events.TextDelta) for event in taken(session))


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
        await one_call(peer, "note", '{"what": "milk"}')
    (context,) = contexts
    assert context.context == "the user's own"
    assert (context.call_id, context.tool_name) == ("call_1", "note")
    assert (context.agent, context.response_id) == (agent, "resp_1")
    assert context.arguments == '{"what": "milk"}'
    assert answers(peer) == [("call_1", "null")]


async def test_a_plain_function_runs_in_a_thread() -> None:
    """On the real clock: a thread cannot wait for a virtual one."""
    threads: list[threading.Thread] = []

    @function_tool
    def compute(a: int, b: int) -> int:
        """Add."""
        threads.append(threading.current_thread())
        return a + b

    peer = ScriptedPeer()
    async with talk(peer, compute):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "compute", '{"a": 2, "b": 3}')
        answer = await peer.expect(OUTPUT)
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
        async with talk(peer, stuck) as session:
            await one_call(peer, "stuck")
            await trio.to_thread.run_sync(started.wait)
            await session.interrupt()
            await wait_all_tasks_blocked()
            ((call_id, output),) = answers(peer)
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
    async with talk(peer, pay):
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
        assert answers(peer) == [("call_1", "paid")]


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
        return {
            "id": f"item_{n}",
            "type": "function_call",
            "status": "completed",
            "name": "count",
            "call_id": f"call_{n}",
            "arguments": json.dumps({"n": n}),
        }

    peer = ScriptedPeer()
    async with talk(peer, count):
        peer.begin_response("resp_1")
        peer.close_item("resp_1", call(1))
        peer.end_response("resp_1", output=[call(1), call(2)])
        assert await kinds(peer) == [OUTPUT, OUTPUT, CREATE]
        assert sorted(runs) == [1, 2]


async def test_a_call_that_was_cut_off_is_not_run(autojump_clock: MockClock) -> None:
    """Its arguments are a fragment, and the service does not wait for its output."""
    runs: list[str] = []

    @function_tool
    async def pay() -> None:
        """Pay."""
        runs.append("run")

    peer = ScriptedPeer()
    async with talk(peer, pay):
        item = {
            "id": "item_1",
            "type": "function_call",
            "status": "incomplete",
            "name": "pay",
            "call_id": "call_1",
            "arguments": "{",
        }
        peer.begin_response("resp_1")
        peer.close_item("resp_1", item)
        peer.end_response("resp_1", "cancelled", reason="turn_detected", output=[item])
        assert await kinds(peer) == []
        assert runs == []


async def test_a_call_without_an_id_is_reported_and_harms_nothing(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        item = {"id": "item_1", "type": "function_call", "status": "completed", "name": "pay"}
        peer.begin_response("resp_1")
        peer.close_item("resp_1", item)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        (error,) = [event.error for event in taken(session) if isinstance(event, events.Error)]
        assert isinstance(error, ProtocolViolation)
        await session.send_message("Go on.")
        assert await kinds(peer) == [OUTPUT, CREATE]


# --- always answered ---------------------------------------------------------------------------


async def test_an_unknown_tool_is_answered_and_the_model_may_try_again(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        await one_call(peer, "no_such_tool")
        assert answers(peer) == [("call_1", "Tool no_such_tool not found.")]
        assert await kinds(peer) == [OUTPUT, CREATE]
        (end,) = ends(session)
        assert (end.tool, end.outcome) == (None, "unknown")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('{"amount": ', "truncated"),
        ("not json", "malformed"),
        ("[]", "object"),
        ("null", "object"),
        ('{"amount": "five"}', "amount"),
        ('{"amount": 1.5}', "int"),
        ("{}", "amount"),
        ('{"amount": 5, "surprise": 1}', "surprise"),
        ('{"amount": NaN}', "malformed"),
    ],
)
async def test_wrong_arguments_are_answered_with_what_is_wrong(
    arguments: str, says: str, autojump_clock: MockClock
) -> None:
    runs: list[int] = []

    @function_tool
    async def pay(amount: int) -> None:
        """Pay."""
        runs.append(amount)

    peer = ScriptedPeer()
    async with talk(peer, pay) as session:
        await one_call(peer, "pay", arguments)
        ((_call_id, output),) = answers(peer)
        assert "pay" in output
        assert says in output
        assert runs == []
        assert await kinds(peer) == [OUTPUT, CREATE]
        (end,) = ends(session)
        assert end.outcome == "failed"


async def test_a_tool_that_raises_is_answered_and_the_session_goes_on(
    autojump_clock: MockClock,
) -> None:
    """D9."""

    @function_tool
    async def divide(by: int) -> float:
        """Divide one."""
        return 1 / by

    peer = ScriptedPeer()
    async with talk(peer, divide) as session:
        await one_call(peer, "divide", '{"by": 0}')
        ((_call_id, output),) = answers(peer)
        assert "ZeroDivisionError: division by zero" in output
        (end,) = ends(session)
        assert end.outcome == "failed"
        assert await kinds(peer) == [OUTPUT, CREATE]
        await session.send_message("Try two.")
        assert await kinds(peer) == [OUTPUT, CREATE, OUTPUT]


async def test_what_a_nursery_of_a_tool_raises_is_answered_too(autojump_clock: MockClock) -> None:
    @function_tool
    async def both() -> None:
        """Two things at once, one of which breaks."""

        async def breaks() -> None:
            raise LookupError("nothing there")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(breaks)

    peer = ScriptedPeer()
    async with talk(peer, both):
        await one_call(peer, "both")
        ((_call_id, output),) = answers(peer)
        assert output.startswith("Tool both failed")
        assert await kinds(peer) == [OUTPUT, CREATE]


async def test_a_result_that_is_no_json_is_told_in_words(autojump_clock: MockClock) -> None:
    class Thing:
        def __str__(self) -> str:
            return "a thing"

    @function_tool
    async def get() -> Any:
        """Get it."""
        return {"it": Thing()}

    peer = ScriptedPeer()
    async with talk(peer, get):
        await one_call(peer, "get")
        assert answers(peer) == [("call_1", '{"it":"a thing"}')]


async def test_a_result_that_breaks_when_it_is_told_is_still_answered(
    autojump_clock: MockClock,
) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("cannot be told")

        __repr__ = __str__

    @function_tool
    async def get() -> Any:
        """Get it."""
        return Broken()

    peer = ScriptedPeer()
    async with talk(peer, get) as session:
        await one_call(peer, "get")
        ((call_id, _output),) = answers(peer)
        assert call_id == "call_1"
        await session.send_message("Still here?")
        assert (await kinds(peer))[0] == OUTPUT


async def test_a_tool_that_takes_too_long_is_stopped_and_answered_so(
    autojump_clock: MockClock,
) -> None:
    stopped: list[float] = []

    @function_tool(timeout=2)
    async def slow() -> None:
        """Too slow."""
        try:
            await trio.sleep_forever()
        finally:
            stopped.append(trio.current_time())

    peer = ScriptedPeer()
    async with talk(peer, slow) as session:
        began = trio.current_time()
        await one_call(peer, "slow")
        await trio.sleep(1.9)
        assert answers(peer) == []
        await trio.sleep(0.2)
        assert stopped == [pytest.approx(began + 2)]
        assert answers(peer) == [("call_1", "Tool slow timed out after 2 seconds.")]
        assert await kinds(peer) == [OUTPUT, CREATE]
        (end,) = ends(session)
        assert end.outcome == "timed_out"


async def test_a_timeout_inside_a_tool_is_the_tools_own_failure(
    autojump_clock: MockClock,
) -> None:
    @function_tool(timeout=10)
    async def impatient() -> None:
        """Gives up by itself."""
        with trio.fail_after(1):
            await trio.sleep_forever()

    peer = ScriptedPeer()
    async with talk(peer, impatient) as session:
        await one_call(peer, "impatient")
        await trio.sleep(2)
        (end,) = ends(session)
        assert end.outcome == "failed"
        assert "TooSlowError" in end.output_text


# --- several calls of one response -------------------------------------------------------------


@function_tool
async def wait(seconds: float) -> str:
    """Wait for some time."""
    await trio.sleep(seconds)
    return f"waited {seconds:g}"


@pytest.mark.parametrize("done_after", [0, 1.5, 5])
async def test_parallel_calls_run_at_once_and_are_all_answered_before_the_one_create(
    done_after: float, autojump_clock: MockClock
) -> None:
    """D5, invariant 4: whenever the response itself is done."""
    peer = ScriptedPeer()
    async with talk(peer, wait):
        peer.begin_response("resp_1")
        for number, seconds in enumerate((3, 1, 2)):
            arguments = json.dumps({"seconds": seconds})
            peer.call("resp_1", f"item_{number}", f"call_{number}", "wait", arguments)
        await trio.sleep(done_after)
        peer.end_response("resp_1")
        await trio.sleep(10)
        assert await kinds(peer) == [OUTPUT, OUTPUT, OUTPUT, CREATE]
        assert answers(peer) == [
            ("call_1", "waited 1"),
            ("call_2", "waited 2"),
            ("call_0", "waited 3"),
        ]


async def test_the_create_comes_when_the_last_call_is_answered(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer, wait):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "wait", '{"seconds": 1}')
        peer.call("resp_1", "item_2", "call_2", "wait", '{"seconds": 3}')
        peer.end_response("resp_1")
        await trio.sleep(2)
        assert await kinds(peer) == [OUTPUT]
        await trio.sleep(1.5)
        assert await kinds(peer) == [OUTPUT, OUTPUT, CREATE]


async def test_an_answer_during_a_newer_response_waits_with_its_create(
    autojump_clock: MockClock,
) -> None:
    """The output leaves at once; the model is asked when the newer response is done."""
    peer = ScriptedPeer()
    async with talk(peer, wait):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "wait", '{"seconds": 2}')
        peer.end_response("resp_1")
        await trio.sleep(1)
        peer.begin_response("resp_2")
        await trio.sleep(2)
        assert await kinds(peer) == [OUTPUT]
        peer.end_response("resp_2")
        assert await kinds(peer) == [OUTPUT, CREATE]


# --- interrupts --------------------------------------------------------------------------------


@attrs.frozen
class Careful:
    """A tool that cleans up for half a second, and what became of it."""

    tool: FunctionTool
    log: list[str]


def make_careful() -> Careful:
    log: list[str] = []

    @function_tool
    async def careful() -> None:
        """Runs until it is stopped."""
        log.append("started")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)
            log.append("cleaned up")

    return Careful(careful, log)


async def test_an_interrupt_stops_the_tools_waits_for_their_clean_up_and_answers(
    autojump_clock: MockClock,
) -> None:
    """Invariant 6. No create follows: nobody asked for one."""
    careful = make_careful()
    peer = ScriptedPeer()
    async with talk(peer, careful.tool) as session:
        await one_call(peer, "careful")
        began = trio.current_time()
        await session.interrupt()
        assert trio.current_time() - began == pytest.approx(0.5)
        assert careful.log == ["started", "cleaned up"]
        assert await kinds(peer) == [OUTPUT]
        ((call_id, output),) = answers(peer)
        assert call_id == "call_1"
        assert "cancelled" in output
        found = taken(session)
        (cancelled,) = [event for event in found if isinstance(event, events.ToolCancelled)]
        assert (cancelled.call_id, cancelled.output_text) == ("call_1", output)
        assert not any(isinstance(event, events.ToolEnd) for event in found)


async def test_speech_stops_the_tools_of_the_response_before_the_next_create(
    autojump_clock: MockClock,
) -> None:
    """D6: what the user says next is answered after the calls are."""
    careful = make_careful()
    peer = ScriptedPeer()
    async with talk(peer, careful.tool) as session:
        await one_call(peer, "careful")
        peer.user_speaks()
        await wait_all_tasks_blocked()
        await session.send_message("Something else.")
        assert await kinds(peer) == [OUTPUT]  # the message; its create is held back
        await trio.sleep(1)
        assert await kinds(peer) == [OUTPUT, OUTPUT, CREATE]
        assert [call_id for call_id, _ in answers(peer)] == ["call_1"]


async def test_a_response_that_the_service_cancelled_takes_its_tools_along(
    autojump_clock: MockClock,
) -> None:
    careful = make_careful()
    peer = ScriptedPeer()
    async with talk(peer, careful.tool):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "careful")
        await wait_all_tasks_blocked()
        peer.end_response("resp_1", "cancelled", reason="turn_detected")
        await trio.sleep(1)
        assert careful.log == ["started", "cleaned up"]
        assert await kinds(peer) == [OUTPUT]


async def test_a_call_that_completes_after_the_interrupt_is_answered_and_not_run(
    autojump_clock: MockClock,
) -> None:
    careful = make_careful()
    peer = ScriptedPeer()
    async with talk(peer, careful.tool) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        await session.interrupt()
        peer.call("resp_1", "item_1", "call_1", "careful")
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        await wait_all_tasks_blocked()
        assert careful.log == []
        assert [call_id for call_id, _ in answers(peer)] == ["call_1"]
        assert CREATE not in await kinds(peer)


async def test_a_tool_that_finishes_in_spite_of_the_interrupt_is_answered_with_its_result(
    autojump_clock: MockClock,
) -> None:
    """The truth is better than "cancelled"; but it does not make the agent speak again."""

    @function_tool
    async def commit() -> str:
        """Cannot be stopped half-way."""
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        return "committed"

    peer = ScriptedPeer()
    async with talk(peer, commit) as session:
        await one_call(peer, "commit")
        await session.interrupt()
        await wait_all_tasks_blocked()
        assert answers(peer) == [("call_1", "committed")]
        assert await kinds(peer) == [OUTPUT]
        (end,) = ends(session)
        assert end.outcome == "completed"


async def test_of_two_calls_one_answered_and_one_interrupted_no_create_follows(
    autojump_clock: MockClock,
) -> None:
    careful = make_careful()
    peer = ScriptedPeer()
    async with talk(peer, wait, careful.tool) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "wait", '{"seconds": 0}')
        peer.call("resp_1", "item_2", "call_2", "careful")
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        await session.interrupt()
        assert await kinds(peer) == [OUTPUT, OUTPUT]
        assert [call_id for call_id, _ in answers(peer)] == ["call_1", "call_2"]


async def test_a_tool_with_a_nursery_that_breaks_while_it_is_cancelled_is_answered(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def messy() -> None:
        """A child of it breaks when it is stopped."""

        async def child() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("broken pipe")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(trio.sleep_forever)

    peer = ScriptedPeer()
    async with talk(peer, messy) as session:
        await one_call(peer, "messy")
        await session.interrupt()
        await wait_all_tasks_blocked()
        ((call_id, _output),) = answers(peer)
        assert call_id == "call_1"
        await session.send_message("Go on.")
        assert (await kinds(peer))[-1] == CREATE


async def test_an_interrupt_from_inside_a_tool_stops_that_tool_too(
    autojump_clock: MockClock,
) -> None:
    sessions: list[RealtimeSession[None]] = []
    went_on: list[bool] = []

    @function_tool
    async def hush() -> None:
        """Make the agent stop."""
        await sessions[0].interrupt()
        went_on.append(True)

    peer = ScriptedPeer()
    async with talk(peer, hush) as session:
        sessions.append(session)
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "hush")
        assert await kinds(peer) == ["response.cancel", OUTPUT]
        assert went_on == []


async def test_tools_of_a_newer_response_start_clean_after_an_interrupt(
    autojump_clock: MockClock,
) -> None:
    careful = make_careful()
    peer = ScriptedPeer()
    async with talk(peer, careful.tool, wait) as session:
        await one_call(peer, "careful")
        await session.interrupt()
        peer.begin_response("resp_2")
        peer.call("resp_2", "item_2", "call_2", "wait", '{"seconds": 1}')
        peer.end_response("resp_2")
        await trio.sleep(2)
        assert answers(peer)[-1] == ("call_2", "waited 1")
        assert (await kinds(peer))[-1] == CREATE
