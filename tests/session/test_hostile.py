"""Tools and services at their worst: what a session promises holds all the same."""

from __future__ import annotations

import asyncio  # noqa: TID251 - what a tool may raise that wraps other people's code
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events, drain_events
from support.service import (
    accept_create,
    function_call_item,
    send_call_and_wait,
    silence,
    start_call,
)
from support.sessions import open_session_with, open_test_session
from support.tools import make_cleanup_tool
from support.wire import CANCEL, ITEM, sent_outputs
from trio_realtime import (
    AgentContext,
    Endpoint,
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.errors import (
    ConnectTimeout,
    SettingsRejected,
)
from trio_realtime.testing import ScriptedPeer
from trio_realtime.transports import ConnectOptions, Transport

Session: TypeAlias = RealtimeSession[None]
Method: TypeAlias = Callable[[Session], Awaitable[object]]


def make_pay(log: list[str], **options: Any) -> FunctionTool:
    """A tool that has done its harm as soon as it begins."""

    @function_tool(**options)
    async def pay() -> str:
        log.append("paid")
        return "paid"

    return pay


# --- tools that are not to begin ----------------------------------------------------------------


async def test_no_tool_begins_while_the_session_waits_for_another_to_end(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []
    careful = make_cleanup_tool(0.2)
    peer = ScriptedPeer()
    async with (
        open_test_session(peer, careful.tool, make_pay(log)) as session,
        trio.open_nursery() as nursery,
    ):
        await start_call(peer, "careful")
        nursery.start_soon(session.aclose)
        await trio.sleep(0.1)
        peer.call("resp_1", "item_2", "call_2", "pay")
        await trio.sleep(1)
        assert session.statistics().running_tools == 0
    assert careful.log == ["started", "cleaned up"]
    assert log == []


async def test_a_call_of_a_response_that_was_cancelled_does_not_begin(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(peer, make_pay(log)):
        peer.begin_response("resp_1")
        listed = [function_call_item("item_1", "call_1", "pay")]
        peer.end_response("resp_1", "cancelled", reason="turn_detected", output=listed)
        await peer.expect(ITEM)
    assert log == []


# --- tools that go on ---------------------------------------------------------------------------


async def test_an_interrupt_does_not_wait_for_a_call_in_the_background(
    autojump_clock: MockClock,
) -> None:
    @function_tool(on_interrupt="background")
    async def book() -> str:
        await trio.sleep(300)
        return "booked"

    peer = ScriptedPeer()
    async with open_test_session(peer, book) as session:
        await start_call(peer, "book")
        with trio.fail_after(1):
            await session.interrupt()
        assert session.statistics().running_tools == 1


async def test_a_call_in_the_background_may_interrupt(autojump_clock: MockClock) -> None:
    sessions: list[Session] = []

    @function_tool(on_interrupt="background")
    async def hush() -> str:
        await sessions[0].interrupt()
        return "hushed"

    peer = ScriptedPeer()
    async with open_test_session(peer, hush) as session:
        sessions.append(session)
        await start_call(peer, "hush")
        await peer.expect(CANCEL)
        await peer.expect(ITEM)
        assert sent_outputs(peer) == [("call_1", "hushed")]


async def test_a_late_call_is_cancelled_though_its_sibling_may_finish(
    autojump_clock: MockClock,
) -> None:
    @function_tool(on_interrupt="finish")
    async def keep() -> str:
        await trio.sleep(1)
        return "kept"

    log: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(peer, keep, make_pay(log)) as session:
        await start_call(peer, "keep")
        await session.interrupt()
        peer.call("resp_1", "item_2", "call_2", "pay")
        peer.end_response("resp_1", "cancelled")
        await trio.sleep(3)
        outputs = dict(sent_outputs(peer))
    assert outputs["call_1"] == "kept"
    assert "cancelled" in outputs["call_2"]
    assert log == []


# --- what tools raise ---------------------------------------------------------------------------


class Odd(BaseException):
    """No ``Exception``, and none of trio's or the interpreter's own."""


class Mute(Exception):
    def __str__(self) -> str:
        raise self


@pytest.mark.parametrize(
    "failure",
    [asyncio.CancelledError(), pytest.fail.Exception("a test's own"), Odd("odd"), Mute()],
    ids=lambda failure: type(failure).__name__,
)
async def test_whatever_a_tool_raises_is_an_answer_and_ends_nothing(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    @function_tool
    async def odd() -> NoReturn:
        raise failure

    peer = ScriptedPeer()
    async with open_test_session(peer, odd) as session:
        await start_call(peer, "odd")
        peer.end_response("resp_1")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        ((_, output),) = sent_outputs(peer)
        (ended,) = drain_events(session.events, events.ToolEnd)
    assert output.startswith(f"Tool odd failed: {type(failure).__name__}")
    assert ended.outcome == "failed"
    assert ended.error is failure


async def test_an_interrupt_from_the_keyboard_wins_over_an_error_of_the_block(
    autojump_clock: MockClock,
) -> None:
    """However deep it hits, it comes out bare."""

    async def unlucky() -> NoReturn:
        raise KeyboardInterrupt

    @function_tool
    async def look_up() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(unlucky)
            nursery.start_soon(trio.sleep_forever)

    async def stay() -> None:
        peer = ScriptedPeer()
        async with open_test_session(peer, look_up):
            await start_call(peer, "look_up")
            try:
                await trio.sleep(5)
            finally:
                raise LookupError("the block's own")

    with pytest.raises(KeyboardInterrupt):
        await stay()


# --- tools that steer their own session ---------------------------------------------------------


async def test_drain_inside_a_tool_is_refused(autojump_clock: MockClock) -> None:
    """It would wait for itself, also from a task of the tool."""
    sessions: list[Session] = []

    @function_tool
    async def goodbye(deep: bool) -> None:
        if deep:
            async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - in a task of its own
                nursery.start_soon(sessions[0].drain)
        await sessions[0].drain()

    peer = ScriptedPeer()
    async with open_test_session(peer, goodbye) as session:
        sessions.append(session)
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "goodbye", '{"deep": false}')
        peer.call("resp_1", "item_2", "call_2", "goodbye", '{"deep": true}')
        await wait_all_tasks_blocked()
        ended = drain_events(session.events, events.ToolEnd)
        outputs = dict(sent_outputs(peer))
    assert [event.outcome for event in ended] == ["failed", "failed"]
    assert "drain() inside a tool" in outputs["call_1"]
    assert "ExceptionGroup" in outputs["call_2"]


async def test_a_task_that_a_tool_left_behind_may_drain(autojump_clock: MockClock) -> None:
    sessions: list[Session] = []
    drained: list[float] = []
    peer = ScriptedPeer()

    async def leave() -> None:
        await trio.sleep(1)
        await sessions[0].drain()
        drained.append(trio.current_time())

    async with trio.open_nursery() as nursery:

        @function_tool
        async def goodbye() -> str:
            nursery.start_soon(leave)
            return "soon"

        async with open_test_session(peer, goodbye) as session:
            sessions.append(session)
            began = trio.current_time()
            await start_call(peer, "goodbye")
            peer.end_response("resp_1")
            await peer.expect(ITEM)
            await accept_create(peer, "resp_2")
            peer.say("resp_2", "item_2", "Bye!", pcm=silence(3))
            peer.end_response("resp_2")
            await trio.sleep(5)
    assert drained == [pytest.approx(began + 3)]


@pytest.mark.parametrize("finish_timeout", [None, 5])
@pytest.mark.parametrize("deep", [True, False])
async def test_a_tool_that_ends_the_session_does_not_wait_for_itself(
    finish_timeout: float | None, deep: bool, autojump_clock: MockClock
) -> None:
    sessions: list[Session] = []
    took: list[float] = []

    async def leave() -> None:
        began = trio.current_time()
        await sessions[0].aclose()
        took.append(trio.current_time() - began)

    @function_tool(finish_timeout=finish_timeout)
    async def goodbye() -> None:
        if deep:
            async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - in a task of its own
                nursery.start_soon(leave)
        else:
            await leave()

    peer = ScriptedPeer()
    async with open_test_session(peer, goodbye) as session:
        sessions.append(session)
        await start_call(peer, "goodbye")
        await collect_events(session, [])
    assert took == [pytest.approx(0, abs=0.05)]


async def test_a_tool_may_ask_while_its_own_answer_is_waited_for(
    autojump_clock: MockClock,
) -> None:
    sessions: list[Session] = []
    heard: list[str] = []

    @function_tool
    async def consult() -> str:
        return f"it says {(await sessions[0].ask('What else?')).text}"

    async def ask() -> None:
        heard.append((await sessions[0].ask("What?")).text)

    peer = ScriptedPeer()
    async with open_test_session(peer, consult) as session, trio.open_nursery() as nursery:
        sessions.append(session)
        nursery.start_soon(ask)
        await peer.expect(ITEM)
        await accept_create(peer, "resp_1")
        peer.call("resp_1", "item_1", "call_1", "consult")
        peer.end_response("resp_1")
        for response_id, text in (("resp_2", "inner"), ("resp_3", "outer")):
            await peer.expect(ITEM)
            await accept_create(peer, response_id)
            peer.say(response_id, f"item_{response_id}", text)
            peer.end_response(response_id)
    assert sent_outputs(peer) == [("call_1", "it says inner")]
    assert heard == ["outer"]


async def test_an_interrupted_handoff_is_one_thing_or_the_other(autojump_clock: MockClock) -> None:
    """Its settings are on their way: the answer and the agent agree, whatever comes of them."""
    billing = RealtimeAgent[None](name="Billing", instructions="Bill.")
    triage = RealtimeAgent[None](name="Triage", handoffs=[billing])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=triage) as session:
        peer.acknowledge = False
        await send_call_and_wait(peer, "transfer_to_billing")
        with trio.move_on_after(5):
            await session.interrupt()
        await wait_all_tasks_blocked()
        peer.send({"type": "session.updated", "session": peer.session})
        await peer.expect(ITEM)
        await peer.expect_nothing()
        ((_, output),) = sent_outputs(peer)
        assert ("cancelled" in output) == (session.current_agent is triage)


# --- opening ------------------------------------------------------------------------------------


async def test_the_connect_timeout_is_one_for_everything(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer(greet=False)

    async def write(_: AgentContext[None]) -> str:
        await trio.sleep(3)
        return "Be brief."

    async def fetch_key() -> str:
        await trio.sleep(3)
        return "test-key"

    @asynccontextmanager
    async def connect(dial: ConnectOptions) -> AsyncGenerator[Transport]:
        await trio.sleep(3)
        async with peer.connect(dial) as transport:
            yield transport

    began = trio.current_time()
    with pytest.raises(ConnectTimeout, match="10 s"):
        async with open_realtime_session(
            RealtimeAgent[None](name="Assistant", instructions=write),
            endpoint=Endpoint.compatible("ws://test.invalid/v1", api_key=fetch_key),
            transport=connect,
            config=SessionConfig(connect_timeout=10),
        ):
            pytest.fail("the block must not run")
    assert trio.current_time() - began == pytest.approx(10)
    assert [dial.connect_timeout for dial in peer.connections] == [pytest.approx(4)]


@pytest.mark.parametrize(("writing", "slow"), [(600, "agent"), (6, "key")])
async def test_what_comes_before_the_dial_is_bounded_too(
    writing: float, slow: str, autojump_clock: MockClock
) -> None:
    async def write(_: AgentContext[None]) -> str:
        await trio.sleep(writing)
        return "Be brief."

    async def fetch_key() -> str:
        await trio.sleep(600)
        return "test-key"

    peer = ScriptedPeer()
    began = trio.current_time()
    with pytest.raises(ConnectTimeout, match=slow):
        async with open_realtime_session(
            RealtimeAgent[None](name="Assistant", instructions=write),
            endpoint=Endpoint.compatible("ws://test.invalid/v1", api_key=fetch_key),
            transport=peer.connect,
            config=SessionConfig(connect_timeout=10),
        ):
            pytest.fail("the block must not run")
    assert trio.current_time() - began == pytest.approx(10)
    assert peer.connections == []


async def test_settings_that_are_refused_without_a_name_are_refused_at_once(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(acknowledge=False)

    async def refuse() -> None:
        await wait_all_tasks_blocked()
        assert peer.sent_types() == ["session.update"]
        details = {"message": "Invalid value: 'x'.", "param": "session.audio.output.voice"}
        peer.send({"type": "error", "error": details})

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse)
        with pytest.raises(SettingsRejected, match="Invalid value"):
            async with open_session_with(peer):
                pytest.fail("the block must not run")
    assert trio.current_time() == began


async def test_what_the_service_said_is_told_when_it_acknowledges_nothing(
    autojump_clock: MockClock,
) -> None:
    """An error that could be about anything does not end the wait, but it may well be why."""
    peer = ScriptedPeer(acknowledge=False)
    peer.reject(None, "invalid_value", "Invalid value: 'x'.")
    with pytest.raises(ConnectTimeout, match="Invalid value"):
        async with open_session_with(peer):
            pytest.fail("the block must not run")


async def test_nonsense_before_the_greeting_is_passed_over(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer(greet=False)
    peer.send("garbage", "[1]", "null", '{"type": null}', '{"type": "session.created"}')
    peer.send('{"type": "session.created", "session": null}', '{"type": "error"}')
    peer.send('{"type": "response.done", "response": {}}')
    for _ in range(2):
        peer.send({"type": "session.created", "session": peer.session})
    async with open_test_session(peer) as session:
        await session.send_message("Hello?")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_1")
