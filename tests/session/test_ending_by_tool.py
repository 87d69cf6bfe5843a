"""A tool with ``on_failure="end_session"`` ends the session when it fails."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events
from support.failures import UNUSUAL_EXCEPTIONS
from support.service import send_call_and_wait
from support.sessions import PassivePeer, open_test_session
from support.tools import (
    endless,
    make_cleanup_tool,
    make_crashing_tool,
    make_failing_tool,
    make_search_tool,
)
from support.wire import CREATE, ITEM, late_result_messages, sent_outputs, sent_types
from trio_realtime import RealtimeSession, events, function_tool
from trio_realtime.errors import (
    ConnectionLost,
    RealtimeError,
    SessionClosed,
    ToolFailed,
    ToolTimedOut,
    UserCodeError,
)
from trio_realtime.testing import ScriptedPeer
from trio_realtime.transports import TransportClosed


def is_tool_failure(error: RealtimeError) -> bool:
    return (
        type(error) is ToolFailed
        and isinstance(error.__cause__, LookupError)
        and "broken" in str(error)
    )


# --- answer and reason -------------------------------------------------------------------------


async def test_tool_may_end_the_session_and_its_call_is_answered(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    seen: list[events.SessionEvent] = []
    with pytest.raises(ToolFailed) as caught:
        async with open_test_session(peer, make_failing_tool(on_failure="end_session")) as session:
            await send_call_and_wait(peer, "broken")
            await collect_events(session, seen)
    assert is_tool_failure(caught.value)
    assert sent_outputs(peer) == [("call_1", "Tool broken failed: LookupError: lost")]
    assert CREATE not in await sent_types(peer)
    *_, end, last = [event for event in seen if not isinstance(event, events.AgentEnd)]
    assert isinstance(last, events.SessionEnded)
    assert isinstance(end, events.ToolEnd), "events before the end are delivered"
    assert isinstance(end.error, LookupError)


async def test_tool_that_answered_early_may_end_the_session(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()

    async def run(session: RealtimeSession[None]) -> None:
        await send_call_and_wait(peer, "search")
        async for _ in session:
            pass

    with pytest.raises(ToolFailed):
        async with open_test_session(
            peer, make_search_tool(LookupError("lost"), respond=False, on_failure="end_session")
        ) as session:
            await run(session)
    assert len(sent_outputs(peer)) == 1
    assert len(await late_result_messages(peer)) == 1
    assert CREATE not in await sent_types(peer)


async def test_timed_out_tool_may_end_the_session_and_its_call_is_answered(
    autojump_clock: MockClock,
) -> None:
    @function_tool(timeout=3, on_timeout="failure", on_failure="end_session")
    async def slow() -> None:
        """Wait forever."""
        await trio.sleep_forever()

    peer = ScriptedPeer()
    async with open_test_session(peer, slow) as session:
        await send_call_and_wait(peer, "slow")
        with pytest.raises(ToolFailed) as caught:
            await collect_events(session, [])
        assert isinstance(caught.value.__cause__, ToolTimedOut)
    ((call_id, output),) = sent_outputs(peer)
    assert call_id == "call_1"
    assert "3 seconds" in output


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_every_kind_of_exception_ends_the_session(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ToolFailed):
        async with open_test_session(peer, make_crashing_tool(failure, on_failure="end_session")):
            await send_call_and_wait(peer, "crash")
            await trio.sleep(1)
    assert len(sent_outputs(peer)) == 1


async def test_tool_that_fails_within_its_finish_timeout_is_raised_when_the_block_ends(
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


async def next_create_after_output(peer: ScriptedPeer) -> dict[str, Any]:
    await peer.expect(ITEM)
    return await peer.expect(CREATE)


async def test_invalid_arguments_and_cancellations_do_not_end_the_session(
    autojump_clock: MockClock,
) -> None:
    @function_tool(on_failure="end_session")
    async def wait(seconds: float) -> None:
        await trio.sleep(seconds)

    peer = ScriptedPeer()
    async with open_test_session(peer, wait) as session:
        await send_call_and_wait(peer, "wait", '{"seconds": "long"}')
        peer.begin_response("resp_2", await next_create_after_output(peer))
        peer.call("resp_2", "item_2", "call_2", "wait", '{"seconds": 100}')
        await wait_all_tasks_blocked()
        await session.interrupt()
        await session.send_message("Still here?")
        await wait_all_tasks_blocked()
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1", "call_2"]
    with pytest.raises(SessionClosed):
        await session.send_message("And now?")


def test_tool_errors_are_user_code_errors() -> None:
    assert issubclass(ToolFailed, UserCodeError)
    assert issubclass(ToolTimedOut, UserCodeError)
    assert not issubclass(UserCodeError, ValueError)


# --- who gets the reason -----------------------------------------------------------------------


@pytest.mark.parametrize("takes", [0.0, 1.0])
async def test_all_callers_and_consumers_get_the_failure(
    takes: float, autojump_clock: MockClock
) -> None:
    """Also if the response and its turn have already ended."""
    peer = ScriptedPeer()
    async with open_test_session(
        peer, make_failing_tool(takes, on_failure="end_session"), endless
    ) as session:
        failures: list[RealtimeError] = []

        async def ask() -> None:
            with pytest.raises(ToolFailed) as caught:
                await session.ask("Anything?")
            failures.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            await send_call_and_wait(peer, "broken")
        with pytest.raises(ToolFailed) as caught:
            await session.send_message("And now?")
        failures.append(caught.value)
        with pytest.raises(ToolFailed) as caught:
            await session.send_audio(bytes(480))
        failures.append(caught.value)
        with session.subscribe(events.Audio) as late, pytest.raises(ToolFailed) as caught:
            await late.receive()
        failures.append(caught.value)
        assert session.statistics().running_tools == 0
    assert all(is_tool_failure(error) for error in failures)
    assert len(failures) == 4


async def test_undelivered_failure_is_raised_when_the_block_ends(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ToolFailed) as caught:
        async with open_test_session(peer, make_failing_tool(on_failure="end_session")):
            await send_call_and_wait(peer, "broken")
    assert is_tool_failure(caught.value)
    assert len(sent_outputs(peer)) == 1


async def test_exception_of_the_block_takes_precedence_over_the_failure(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ZeroDivisionError):
        async with open_test_session(peer, make_failing_tool(on_failure="end_session")):
            await send_call_and_wait(peer, "broken")
            raise ZeroDivisionError


async def test_loss_after_the_failure_does_not_replace_it(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    seen: list[events.SessionEvent] = []
    with pytest.raises(ToolFailed):
        async with open_test_session(peer, make_failing_tool(on_failure="end_session")) as session:
            await send_call_and_wait(peer, "broken")
            peer.close(1011)
            await wait_all_tasks_blocked()
            await collect_events(session, seen)


async def test_failure_after_a_loss_does_not_replace_it(
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


# --- shutdown ----------------------------------------------------------------------------------


async def test_answer_is_sent_before_the_session_closes(autojump_clock: MockClock) -> None:
    """Even if the block ends before the writer has run."""
    peer = ScriptedPeer()
    with pytest.raises(ToolFailed):
        async with open_test_session(peer, make_failing_tool(on_failure="end_session")) as session:
            peer.begin_response("resp_1")
            peer.call("resp_1", "item_1", "call_1", "broken")
            with session.subscribe(events.ToolEnd) as ends:
                await ends.receive()
    assert len(sent_outputs(peer)) == 1


async def send_call_from(wire: PassivePeer, name: str) -> None:
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


async def wait_tool_end(session: RealtimeSession[None]) -> float:
    with session.subscribe(events.ToolEnd) as ends:
        await ends.receive()
    return trio.current_time()


async def test_answer_is_sent_although_the_service_reads_slowly(
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
            async with open_test_session(
                wire, make_failing_tool(on_failure="end_session")
            ) as session:
                for _ in range(5):
                    await session.send_message("Not read yet.", respond=False)
                await send_call_from(wire, "broken")
                await wait_tool_end(session)
                nursery.start_soon(read_later)
    assert any("function_call_output" in frame for frame in read)


async def test_other_tools_are_cancelled_and_cleaned_up(
    autojump_clock: MockClock,
) -> None:
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    with pytest.raises(ToolFailed):
        async with open_test_session(
            peer, make_failing_tool(on_failure="end_session"), careful.tool
        ) as session:
            peer.begin_response("resp_1")
            peer.call("resp_1", "item_1", "call_1", "careful")
            await wait_all_tasks_blocked()
            peer.call("resp_1", "item_2", "call_2", "broken")
            await collect_events(session, [])
    assert careful.log == ["started", "cleaned up"]
    assert sent_outputs(peer)[0][0] == "call_2"


async def test_service_that_does_not_read_cannot_delay_the_close(
    autojump_clock: MockClock,
) -> None:
    wire = PassivePeer(max_messages=3)
    with pytest.raises(ToolFailed):
        async with open_test_session(wire, make_failing_tool(on_failure="end_session")) as session:
            for _ in range(5):
                await session.send_message("Not read.", respond=False)
            await send_call_from(wire, "broken")
            ended_at = await wait_tool_end(session)
    assert trio.current_time() - ended_at <= 1.5
