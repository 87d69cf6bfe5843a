"""Leaving a session: what comes out, how soon, and that nothing stays behind."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.service import function_call_item, start_call
from support.sessions import PassivePeer, open_session_with, open_test_session, task_count
from support.tools import endless, make_cleanup_tool
from support.wire import sent_outputs
from trio_realtime import function_tool
from trio_realtime.errors import ConnectionLost
from trio_realtime.testing import ScriptedPeer
from trio_realtime.transports import TransportClosed

# --- what leaves the block ---------------------------------------------------------------------


Scene: TypeAlias = Callable[[ScriptedPeer], Awaitable[None]]


async def idle(peer: ScriptedPeer) -> None:
    """Nothing goes on."""


async def tool_runs(peer: ScriptedPeer) -> None:
    await start_call(peer, "endless")


async def connection_was_lost(peer: ScriptedPeer) -> None:
    peer.close(1011)
    await wait_all_tasks_blocked()


async def connection_is_being_lost(peer: ScriptedPeer) -> None:
    """The close is on its way when the block is left."""
    peer.close(1011)


async def tool_runs_and_connection_is_being_lost(peer: ScriptedPeer) -> None:
    await start_call(peer, "endless")
    peer.close(1011)


scenes = pytest.mark.parametrize(
    "scene",
    [
        idle,
        tool_runs,
        connection_was_lost,
        connection_is_being_lost,
        tool_runs_and_connection_is_being_lost,
    ],
)


@scenes
@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
async def test_an_exception_of_the_block_comes_out_bare(
    scene: Scene, kind: type[BaseException], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    own = kind("the block's own")
    before = task_count()

    async def fail_in_a_session() -> None:
        async with open_test_session(peer, endless):
            await scene(peer)
            raise own

    with pytest.raises(kind) as caught:
        await fail_in_a_session()
    assert caught.value is own
    assert own.__cause__ is None
    assert task_count() == before


@scenes
async def test_a_cancellation_from_outside_stays_one(
    scene: Scene, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    before = task_count()
    with trio.move_on_after(2) as scope:
        async with open_session_with(peer, endless):
            await scene(peer)
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert peer.closed is not None
    assert task_count() == before


@scenes
async def test_leaving_leaves_nothing(scene: Scene, autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    before = task_count()
    # A loss that nobody was told of comes out here; what matters is what is left.
    with contextlib.suppress(ConnectionLost):
        async with open_test_session(peer, endless) as session:
            await scene(peer)
    assert task_count() == before
    assert peer.closed is not None
    assert session.statistics().running_tools == 0


async def test_an_interrupt_from_the_keyboard_that_hits_a_tool_comes_out_bare(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def unlucky() -> None:
        """Where the interpreter happens to be when the key is pressed."""
        raise KeyboardInterrupt

    peer = ScriptedPeer()

    async def stay() -> None:
        async with open_test_session(peer, unlucky):
            await start_call(peer, "unlucky")
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        await stay()
    assert peer.closed is not None


async def test_a_tool_that_fails_while_it_is_stopped_does_not_disturb_the_exit(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def clumsy() -> None:
        """Breaks in its clean-up."""
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError("broken clean-up")

    peer = ScriptedPeer()

    async def leave(error: Exception | None) -> None:
        async with open_test_session(peer, clumsy):
            await start_call(peer, "clumsy")
            if error is not None:
                raise error

    await leave(None)
    assert "broken clean-up" in peer.received[-1]["item"]["output"]
    with pytest.raises(ZeroDivisionError):
        await leave(ZeroDivisionError())


# --- how long leaving takes --------------------------------------------------------------------


@pytest.mark.parametrize("close_timeout", [1, 0.2, 4])
async def test_a_peer_that_never_answers_the_close_costs_no_more_than_the_timeout(
    close_timeout: float, autojump_clock: MockClock
) -> None:
    peer = PassivePeer()
    async with open_test_session(peer, close_timeout=close_timeout):
        began = trio.current_time()
    assert trio.current_time() - began <= close_timeout


async def test_a_peer_that_never_reads_costs_no_more_than_the_timeout(
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
    assert closed.value.code == 1000  # it was told, should it ever read


async def test_everything_bad_together_costs_no_more_than_the_timeout(
    autojump_clock: MockClock,
) -> None:
    """A tool that cleans up for longer than it may, a peer that neither reads nor answers."""
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


async def test_leaving_by_a_cancellation_takes_no_longer(autojump_clock: MockClock) -> None:
    peer = PassivePeer(max_messages=2)
    with trio.move_on_after(5) as scope:
        began = trio.current_time()
        async with open_session_with(peer) as session:
            for _ in range(10):
                await session.send_message("Are you there?")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() - began - 5 <= 1


async def test_the_connection_closes_in_time_though_a_tool_ignores_its_cancellation(
    autojump_clock: MockClock,
) -> None:
    """Nothing can stop such a tool, so the block waits for it; the service does not have to."""

    @function_tool
    async def stubborn() -> None:
        """Takes 30 s, whatever happens."""
        with trio.CancelScope(shield=True):
            await trio.sleep(30)

    peer = ScriptedPeer()
    closed_after: list[float] = []

    async def watch() -> None:
        began = trio.current_time()
        with pytest.raises(TransportClosed):
            await peer.next()
        closed_after.append(trio.current_time() - began)

    async with trio.open_nursery() as nursery:
        async with open_test_session(peer, stubborn):
            await start_call(peer, "stubborn")
            nursery.start_soon(watch)
            began = trio.current_time()
        assert trio.current_time() - began == pytest.approx(30)
    assert closed_after[0] <= 1


async def test_what_was_sent_before_the_exit_arrives(autojump_clock: MockClock) -> None:
    """The peer reads slowly and the wire takes two messages: all the same, everything, in order."""
    peer = PassivePeer(max_messages=2)
    texts: list[str] = []

    async def read_slowly() -> None:
        with suppress(TransportClosed):
            while True:
                frame = json.loads(await peer.far.receive())
                if frame["type"] == "conversation.item.create":
                    texts.append(frame["item"]["content"][0]["text"])
                await trio.sleep(0.01)

    async with trio.open_nursery() as nursery, open_test_session(peer) as session:
        nursery.start_soon(read_slowly)
        for number in range(10):
            await session.send_message(str(number), respond=False)
        assert session.statistics().outgoing_frames > 0
    assert texts == [str(number) for number in range(10)]


async def test_what_was_sent_before_a_cancellation_arrives(autojump_clock: MockClock) -> None:
    """The cancellation stops the block, not what was said before it."""
    peer = ScriptedPeer()
    with trio.CancelScope() as outer:
        async with open_test_session(peer) as session:
            for number in range(20):
                await session.send_message(f"text {number}", respond=False)
            outer.cancel()
            await trio.sleep(1)
    assert outer.cancelled_caught
    said = [frame for frame in peer.received if frame["type"] == "conversation.item.create"]
    assert len(said) == 20
    assert peer.closed is not None
    assert peer.closed.code == 1000


@pytest.mark.parametrize("closing", [False, True])
async def test_a_tool_that_asked_for_time_has_it_also_where_the_block_is_cancelled(
    closing: bool,
    autojump_clock: MockClock,
    nursery: trio.Nursery,
) -> None:
    """And where another task is closing the session already."""
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
