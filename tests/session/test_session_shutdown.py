"""How a session shuts down: what it waits for, what it sends, and how long it takes."""

from __future__ import annotations

import json
from typing import TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events
from support.service import function_call_item, send_call, start_call
from support.sessions import PassivePeer, open_session_with, open_test_session, task_count
from support.tools import make_booking_tool, make_cleanup_tool, make_pay_tool
from support.wire import sent_outputs
from trio_realtime import RealtimeSession, function_tool
from trio_realtime.errors import SessionClosed
from trio_realtime.testing import ScriptedPeer
from trio_realtime.transports import TransportClosed

# --- duration ----------------------------------------------------------------------------------


@pytest.mark.parametrize("close_timeout", [1, 0.2, 4])
async def test_shutdown_takes_at_most_close_timeout_if_the_peer_never_closes(
    close_timeout: float, autojump_clock: MockClock
) -> None:
    peer = PassivePeer()
    before = task_count()
    async with open_test_session(peer, close_timeout=close_timeout):
        began = trio.current_time()
    assert trio.current_time() - began <= close_timeout
    assert task_count() == before


async def test_shutdown_takes_at_most_close_timeout_if_the_peer_never_reads(
    autojump_clock: MockClock,
) -> None:
    peer = PassivePeer(max_messages=2)
    before = task_count()
    async with open_test_session(peer) as session:
        for _ in range(10):
            await session.send_message("Are you there?")
        await wait_all_tasks_blocked()
        assert session.statistics().outgoing_frames > 0
        began = trio.current_time()
    assert trio.current_time() - began <= 1
    assert task_count() == before
    with pytest.raises(TransportClosed) as closed:
        await peer.read_all()
    assert closed.value.code == 1000  # still delivered to a peer that reads later


async def test_shutdown_takes_at_most_close_timeout_with_a_slow_tool_and_an_unresponsive_peer(
    autojump_clock: MockClock,
) -> None:
    """The tool's cleanup takes longer than it may, and the peer neither reads nor closes."""
    careful = make_cleanup_tool(0.9)
    peer = PassivePeer(max_messages=2)
    async with open_test_session(peer, careful.tool) as session:
        item = function_call_item("item_1", "call_1", "careful")
        frame = {"type": "response.output_item.done", "response_id": "resp_1", "item": item}
        await peer.far.send(json.dumps({**frame, "output_index": 0}))
        for _ in range(10):
            await session.send_message("Are you there?")
        await wait_all_tasks_blocked()
        assert session.statistics().running_tools == 1
        began = trio.current_time()
    assert trio.current_time() - began <= 1


async def test_shutdown_after_a_cancellation_takes_at_most_close_timeout(
    autojump_clock: MockClock,
) -> None:
    peer = PassivePeer(max_messages=2)
    with trio.move_on_after(5) as scope:
        began = trio.current_time()
        async with open_session_with(peer) as session:
            for _ in range(10):
                await session.send_message("Are you there?")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() - began - 5 <= 1


async def test_connection_closes_in_time_although_a_tool_ignores_its_cancellation(
    autojump_clock: MockClock,
) -> None:
    """The tool cannot be stopped, so the block waits for it. The service does not."""

    @function_tool
    async def stubborn() -> None:
        """Run for 30 s, shielded."""
        with trio.CancelScope(shield=True):
            await trio.sleep(30)

    peer = ScriptedPeer()
    closed_after: list[float] = []

    async def wait_closed() -> None:
        began = trio.current_time()
        with pytest.raises(TransportClosed):
            await peer.next()
        closed_after.append(trio.current_time() - began)

    async with trio.open_nursery() as nursery:
        async with open_test_session(peer, stubborn):
            await start_call(peer, "stubborn")
            nursery.start_soon(wait_closed)
            began = trio.current_time()
        assert trio.current_time() - began == pytest.approx(30)
    assert closed_after[0] <= 1


# --- tools -------------------------------------------------------------------------------------


Session: TypeAlias = RealtimeSession[None]


async def test_aclose_waits_for_the_cleanup_of_tools_before_closing_the_connection(
    autojump_clock: MockClock,
) -> None:
    """Their calls are answered before the connection is closed."""
    connection_was_open: list[bool] = []
    peer = ScriptedPeer()

    @function_tool
    async def tidy() -> None:
        """Clean up for 100 ms."""
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.1)
            connection_was_open.append(peer.closed is None)

    async with open_test_session(peer, tidy):
        await start_call(peer, "tidy")
    assert connection_was_open == [True]
    answer = peer.received[-1]
    assert answer["item"]["type"] == "function_call_output"
    assert answer["item"]["call_id"] == "call_1"


async def test_tool_that_ignores_its_cancellation_cannot_send_after_the_close(
    autojump_clock: MockClock,
) -> None:
    """The connection closes without waiting for the tool; the block waits."""
    sessions: list[RealtimeSession[None]] = []
    raised: list[bool] = []

    @function_tool
    async def stubborn() -> str:
        """Run for 5 s, shielded, and then send a message."""
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
            with pytest.raises(SessionClosed):
                await sessions[0].send_message("too late")
        raised.append(True)
        return "too late"

    peer = ScriptedPeer()
    async with open_test_session(peer, stubborn) as session:
        sessions.append(session)
        await start_call(peer, "stubborn")
        left_at = trio.current_time()
    assert trio.current_time() - left_at == pytest.approx(5)
    assert raised == [True]
    assert peer.sent_types() == ["session.update"]


@pytest.mark.parametrize("finish_timeout", [None, 5])
@pytest.mark.parametrize("deep", [True, False])
async def test_tool_that_closes_the_session_does_not_wait_for_itself(
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
            async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - needs a child task
                nursery.start_soon(leave)
        else:
            await leave()

    peer = ScriptedPeer()
    async with open_test_session(peer, goodbye) as session:
        sessions.append(session)
        await start_call(peer, "goodbye")
        await collect_events(session, [])
    assert took == [pytest.approx(0, abs=0.05)]


async def test_no_tool_starts_during_shutdown(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []
    careful = make_cleanup_tool(0.2)
    peer = ScriptedPeer()
    async with (
        open_test_session(peer, careful.tool, make_pay_tool(log)) as session,
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


@pytest.mark.parametrize(("finish_timeout", "finishes"), [(10, True), (1, False), (None, False)])
async def test_finish_timeout_lets_a_tool_finish_during_shutdown(
    finish_timeout: float | None, finishes: bool, autojump_clock: MockClock
) -> None:
    done: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(peer, make_booking_tool(done, finish_timeout=finish_timeout)):
        send_call(peer, "book")
        await trio.sleep(1)
        left = trio.current_time()
    assert trio.current_time() - left <= (finish_timeout or 0) + 1
    assert done == (["booked"] if finishes else [])
    outputs = [
        frame["item"]["output"]
        for frame in peer.received
        if frame["type"] == "conversation.item.create"
    ]
    assert (outputs == ["booked"]) is finishes
    assert len(outputs) == 1


@pytest.mark.parametrize("closing", [False, True])
async def test_finish_timeout_applies_when_the_block_is_cancelled(
    closing: bool,
    autojump_clock: MockClock,
    nursery: trio.Nursery,
) -> None:
    """Also while another task is closing the session."""
    finished: list[float] = []

    @function_tool(finish_timeout=5)
    async def save(seconds: int) -> str:
        await trio.sleep(seconds)
        finished.append(seconds)
        return "saved"

    peer = ScriptedPeer()
    began = trio.current_time()
    with trio.CancelScope() as block:
        async with open_test_session(peer, save) as session:
            await start_call(peer, "save", '{"seconds": 2}')
            peer.call("resp_1", "item_2", "call_2", "save", '{"seconds": 20}')
            await wait_all_tasks_blocked()
            if closing:
                nursery.start_soon(session.aclose)
                await wait_all_tasks_blocked()
            block.cancel()
            await trio.sleep_forever()
    assert finished == [2]
    assert next(output for _, output in sent_outputs(peer)) == "saved"
    assert trio.current_time() - began == pytest.approx(5)


# --- concurrent closers ------------------------------------------------------------------------


async def test_aclose_may_be_called_repeatedly_and_concurrently(autojump_clock: MockClock) -> None:
    peer = PassivePeer()
    async with open_test_session(peer) as session:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(session.aclose)
        await session.aclose()
    assert trio.current_time() - began <= 1


async def test_every_concurrent_aclose_returns_after_the_close(autojump_clock: MockClock) -> None:
    careful = make_cleanup_tool(0.2)
    closed: list[bool] = []

    async def close(session: RealtimeSession[None]) -> None:
        await session.aclose()
        closed.append(session.statistics().running_tools == 0)

    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session, trio.open_nursery() as nursery:
        await start_call(peer, "careful")
        for _ in range(3):
            nursery.start_soon(close, session)
    assert closed == [True] * 3


async def test_cancelled_aclose_does_not_cancel_the_shutdown(autojump_clock: MockClock) -> None:
    """A later call waits for the cleanup of the tools."""
    careful = make_cleanup_tool(0.2)
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session:
        await start_call(peer, "careful")
        with trio.move_on_after(0.1):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(session.aclose)
        await session.aclose()
        assert peer.closed is not None
        assert peer.closed.code == 1000
        assert session.statistics().running_tools == 0
        assert careful.log == ["started", "cleaned up"]
