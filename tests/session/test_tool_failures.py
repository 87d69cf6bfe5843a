"""What a failure may mean: a time that is up, words of one's own, the end of the session."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events, drain_events
from support.failures import UNUSUAL_EXCEPTIONS
from support.service import send_call_and_wait
from support.sessions import PassivePeer, open_test_session
from support.tools import endless, make_cleanup_tool
from support.wire import CREATE, ITEM, sent_outputs, sent_types
from trio_realtime import FunctionTool, RealtimeSession, ToolContext, events, function_tool
from trio_realtime.errors import (
    ConnectionLost,
    RealtimeError,
    SessionClosed,
    ToolFailed,
    ToolTimedOut,
    UsageError,
)
from trio_realtime.testing import ScriptedPeer
from trio_realtime.transports import TransportClosed

LATE = "Tool slow timed out after 2 seconds."


def slow(**options: Any) -> FunctionTool:
    @function_tool(timeout=2, **options)
    async def slow() -> None:
        await trio.sleep_forever()

    return slow


def broken(takes: float = 0.0, **options: Any) -> FunctionTool:
    @function_tool(**options)
    async def broken() -> None:
        await trio.sleep(takes)
        raise LookupError("lost")

    return broken


# --- a time that is up -------------------------------------------------------------------------


async def test_a_time_that_is_up_may_count_as_a_failure(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, slow(on_timeout="failure")) as session:
        await send_call_and_wait(peer, "slow")
        await trio.sleep(3)
        assert sent_outputs(peer) == [("call_1", LATE)]
        assert await sent_types(peer) == [ITEM, CREATE]
        (end,) = drain_events(session.events, events.ToolEnd)
    assert end.outcome == "timed_out"
    assert isinstance(end.error, ToolTimedOut)
    assert isinstance(end.error, TimeoutError)
    assert isinstance(end.error, RealtimeError)
    assert str(end.error) == LATE
    assert [one for one in caplog.records if one.name == "trio_realtime.tools"]


async def test_a_failure_by_time_is_the_tools_to_word(autojump_clock: MockClock) -> None:
    def word(_: ToolContext[None], exc: Exception) -> str:
        return f"{type(exc).__name__}, sorry"

    peer = ScriptedPeer()
    async with open_test_session(peer, slow(on_timeout="failure", format_error=word)):
        await send_call_and_wait(peer, "slow")
        await trio.sleep(3)
        assert sent_outputs(peer) == [("call_1", "ToolTimedOut, sorry")]


async def test_a_time_that_is_just_answered_is_no_failure(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    tool = slow(on_failure="end_session", format_error=lambda _, __: "never")
    async with open_test_session(peer, tool) as session:
        await send_call_and_wait(peer, "slow")
        await trio.sleep(3)
        assert sent_outputs(peer) == [("call_1", LATE)]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.error is None
        await session.send_message("Still here?")


# --- words of one's own ------------------------------------------------------------------------


def raises(_: ToolContext[None], __: Exception) -> str:
    raise RuntimeError("no words")


async def raises_later(_: ToolContext[None], __: Exception) -> str:
    await trio.sleep(1)
    raise RuntimeError("no words")


@pytest.mark.parametrize(
    "format_error", [raises, raises_later, lambda _, __: None, lambda _, __: 42]
)
async def test_words_that_cannot_be_had_leave_the_usual_ones(
    format_error: Any, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, broken(format_error=format_error)) as session:
        await send_call_and_wait(peer, "broken")
        await trio.sleep(2)
        assert sent_outputs(peer) == [("call_1", "Tool broken failed: LookupError: lost")]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert isinstance(end.error, LookupError)
        await session.send_message("Still here?")
    logged = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert logged == ["format_error of tool broken failed"]


# --- failures of every kind --------------------------------------------------------------------


def failing(failure: BaseException, **options: Any) -> FunctionTool:
    @function_tool(**options)
    async def crash() -> None:
        raise failure

    return crash


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_the_tool_words_whatever_it_raises(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    seen: list[Any] = []

    def word(_: ToolContext[None], exc: BaseException) -> str:
        seen.append(exc)
        return "Sorry."

    peer = ScriptedPeer()
    async with open_test_session(peer, failing(failure, format_error=word)) as session:
        await send_call_and_wait(peer, "crash")
        assert sent_outputs(peer) == [("call_1", "Sorry.")]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.error is seen[0]
        assert type(end.error) is type(failure)


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_words_of_its_own_may_fail_in_every_way_too(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    def word(_: ToolContext[None], __: Exception) -> str:
        raise failure

    peer = ScriptedPeer()
    async with open_test_session(peer, broken(format_error=word)):
        await send_call_and_wait(peer, "broken")
        assert sent_outputs(peer) == [("call_1", "Tool broken failed: LookupError: lost")]


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_a_tool_whose_failures_end_the_session_ends_it_with_each(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ToolFailed):
        async with open_test_session(peer, failing(failure, on_failure="end_session")):
            await send_call_and_wait(peer, "crash")
            await trio.sleep(1)
    assert len(sent_outputs(peer)) == 1


# --- the end of the session --------------------------------------------------------------------


def is_ours(error: RealtimeError) -> bool:
    return (
        type(error) is ToolFailed
        and isinstance(error.__cause__, LookupError)
        and "broken" in str(error)
    )


async def test_a_tool_may_end_the_session_and_its_call_is_answered_all_the_same(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    seen: list[events.SessionEvent] = []
    with pytest.raises(ToolFailed) as caught:
        async with open_test_session(peer, broken(on_failure="end_session")) as session:
            await send_call_and_wait(peer, "broken")
            await collect_events(session, seen)
    assert is_ours(caught.value)
    assert sent_outputs(peer) == [("call_1", "Tool broken failed: LookupError: lost")]
    assert CREATE not in await sent_types(peer)
    *_, end = [event for event in seen if not isinstance(event, events.AgentEnd)]
    assert isinstance(end, events.ToolEnd), "what came before the end is delivered"
    assert isinstance(end.error, LookupError)


@pytest.mark.parametrize("takes", [0.0, 1.0])
async def test_everybody_is_told_why_it_ended(takes: float, autojump_clock: MockClock) -> None:
    """Also where the response is over, and with it its turn."""
    peer = ScriptedPeer()
    async with open_test_session(peer, broken(takes, on_failure="end_session"), endless) as session:
        got: list[RealtimeError] = []

        async def ask() -> None:
            with pytest.raises(ToolFailed) as caught:
                await session.ask("Anything?")
            got.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            await send_call_and_wait(peer, "broken")
        with pytest.raises(ToolFailed) as caught:
            await session.send_message("And now?")
        got.append(caught.value)
        with pytest.raises(ToolFailed) as caught:
            await session.send_audio(bytes(480))
        got.append(caught.value)
        with session.subscribe(events.Audio) as late, pytest.raises(ToolFailed) as caught:
            await late.receive()
        got.append(caught.value)
        assert session.statistics().running_tools == 0
    assert all(is_ours(error) for error in got)
    assert len(got) == 4


async def test_whoever_leaves_without_having_been_told_is_told_then(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ToolFailed) as caught:
        async with open_test_session(peer, broken(on_failure="end_session")):
            await send_call_and_wait(peer, "broken")
    assert is_ours(caught.value)
    assert len(sent_outputs(peer)) == 1


async def test_the_answer_leaves_before_the_session_does(autojump_clock: MockClock) -> None:
    """Left in the very moment of the failure: the writer has not had its turn yet."""
    peer = ScriptedPeer()
    with pytest.raises(ToolFailed):
        async with open_test_session(peer, broken(on_failure="end_session")) as session:
            peer.begin_response("resp_1")
            peer.call("resp_1", "item_1", "call_1", "broken")
            with session.subscribe(events.ToolEnd) as ends:
                await ends.receive()
    assert len(sent_outputs(peer)) == 1


async def test_the_answer_leaves_also_where_the_service_is_slow_to_read(
    autojump_clock: MockClock,
) -> None:
    wire = PassivePeer(max_messages=3)
    read: list[str] = []

    async def read_later() -> None:
        await trio.sleep(0.1)
        with suppress(TransportClosed):
            while True:
                read.append(str(await wire.far.receive()))

    async with trio.open_nursery() as nursery:
        with pytest.raises(ToolFailed):
            async with open_test_session(wire, broken(on_failure="end_session")) as session:
                for _ in range(5):
                    await session.send_message("Not read yet.", respond=False)
                await call_on(wire, "broken")
                await until_failed(session)
                nursery.start_soon(read_later)
    assert any("function_call_output" in frame for frame in read)


async def test_an_own_exception_of_the_block_is_not_replaced(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ZeroDivisionError):
        async with open_test_session(peer, broken(on_failure="end_session")):
            await send_call_and_wait(peer, "broken")
            raise ZeroDivisionError


async def test_other_tools_are_stopped_and_the_session_is_left_in_time(
    autojump_clock: MockClock,
) -> None:
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    with pytest.raises(ToolFailed):
        async with open_test_session(
            peer, broken(on_failure="end_session"), careful.tool
        ) as session:
            peer.begin_response("resp_1")
            peer.call("resp_1", "item_1", "call_1", "careful")
            await wait_all_tasks_blocked()
            peer.call("resp_1", "item_2", "call_2", "broken")
            await collect_events(session, [])
    assert careful.log == ["started", "cleaned up"]
    assert sent_outputs(peer)[0][0] == "call_2"


async def test_a_service_that_does_not_read_cannot_hold_the_session(
    autojump_clock: MockClock,
) -> None:
    wire = PassivePeer(max_messages=3)
    with pytest.raises(ToolFailed):
        async with open_test_session(wire, broken(on_failure="end_session")) as session:
            for _ in range(5):
                await session.send_message("Not read.", respond=False)
            await call_on(wire, "broken")
            left = await until_failed(session)
    assert trio.current_time() - left <= 1.5


async def call_on(wire: PassivePeer, name: str) -> None:
    item = {
        "id": "item_1",
        "type": "function_call",
        "status": "completed",
        "name": name,
        "call_id": "call_1",
        "arguments": "{}",
    }
    for frame in (
        {"type": "response.created", "response": {"id": "resp_1", "object": "realtime.response"}},
        {
            "type": "response.output_item.done",
            "response_id": "resp_1",
            "output_index": 0,
            "item": item,
        },
    ):
        await wire.far.send(json.dumps(frame))


async def until_failed(session: RealtimeSession[None]) -> float:
    with session.subscribe(events.ToolEnd) as ends:
        await ends.receive()
    return trio.current_time()


async def test_after_a_loss_nobody_waits_for_what_cannot_be_sent(
    autojump_clock: MockClock,
) -> None:
    wire = PassivePeer(max_messages=3)
    with pytest.raises(ConnectionLost):
        async with open_test_session(wire) as session:
            for _ in range(5):
                await session.send_message("Not read.", respond=False)
            await wait_all_tasks_blocked()
            assert session.statistics().outgoing_frames
            wire.far.drop()
            await wait_all_tasks_blocked()
            assert session.statistics().outgoing_frames == 0
            left = trio.current_time()
    assert trio.current_time() == left


async def test_a_connection_that_goes_after_the_failure_does_not_change_the_reason(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    seen: list[events.SessionEvent] = []
    with pytest.raises(ToolFailed):
        async with open_test_session(peer, broken(on_failure="end_session")) as session:
            await send_call_and_wait(peer, "broken")
            peer.close(1011)
            await wait_all_tasks_blocked()
            await collect_events(session, seen)


async def test_a_connection_that_went_before_the_failure_stays_the_reason(
    autojump_clock: MockClock,
) -> None:
    @function_tool(on_failure="end_session")
    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        raise LookupError("lost")

    peer = ScriptedPeer()
    with pytest.raises(ConnectionLost):
        async with open_test_session(peer, stubborn) as session:
            await send_call_and_wait(peer, "stubborn")
            peer.close(1011)
            await trio.sleep(10)
            await collect_events(session, [])


async def test_a_tool_that_fails_while_it_may_finish_is_told_on_the_way_out(
    autojump_clock: MockClock,
) -> None:
    @function_tool(on_failure="end_session", finish_timeout=5)
    async def late() -> None:
        await trio.sleep(2)
        raise LookupError("lost")

    peer = ScriptedPeer()
    with pytest.raises(ToolFailed):
        async with open_test_session(peer, late):
            await send_call_and_wait(peer, "late")
    assert sent_outputs(peer) == [("call_1", "Tool late failed: LookupError: lost")]


async def test_wrong_arguments_and_cancellations_end_nothing(autojump_clock: MockClock) -> None:
    @function_tool(on_failure="end_session")
    async def wait(seconds: float) -> None:
        await trio.sleep(seconds)

    peer = ScriptedPeer()
    async with open_test_session(peer, wait) as session:
        await send_call_and_wait(peer, "wait", '{"seconds": "long"}')
        peer.begin_response("resp_2", await peer_create(peer))
        peer.call("resp_2", "item_2", "call_2", "wait", '{"seconds": 100}')
        await wait_all_tasks_blocked()
        await session.interrupt()
        await session.send_message("Still here?")
        await wait_all_tasks_blocked()
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1", "call_2"]
    with pytest.raises(SessionClosed):
        await session.send_message("And now?")


async def peer_create(peer: ScriptedPeer) -> dict[str, Any]:
    await peer.expect(ITEM)
    return await peer.expect(CREATE)


@pytest.mark.parametrize("options", [{"on_timeout": "ignore"}, {"on_failure": "raise"}])
def test_choices_are_closed_lists(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        broken(**options)


def test_both_errors_are_the_users_to_mend() -> None:
    assert issubclass(ToolFailed, UsageError)
    assert issubclass(ToolTimedOut, UsageError)
