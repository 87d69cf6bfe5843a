"""Waiting until everything is said and heard, and the report that tells how far playing is."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.service import silence, start_audio_response
from support.sessions import open_test_session
from trio_realtime import function_tool
from trio_realtime.testing import ScriptedPeer


async def test_drain_waits_for_what_is_asked_written_called_and_heard(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def think() -> str:
        """Takes a second."""
        await trio.sleep(1)
        return "thought"

    async def serve() -> None:
        create = await peer.expect("response.create")
        await trio.sleep(1)
        peer.begin_response("resp_1", create)
        peer.call("resp_1", "item_1", "call_1", "think")
        peer.end_response("resp_1")
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        await trio.sleep(1)
        peer.begin_response("resp_2", create)
        peer.say("resp_2", "item_2", "So.", pcm=silence(3))
        peer.end_response("resp_2")

    peer = ScriptedPeer()
    async with open_test_session(peer, think) as session, trio.open_nursery() as nursery:
        began = trio.current_time()
        await session.drain()
        assert trio.current_time() == began
        await session.create_response()
        nursery.start_soon(serve)
        await session.drain()
        assert trio.current_time() - began == pytest.approx(1 + 1 + 1 + 3)


async def test_drain_is_over_when_the_rest_is_interrupted(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        began = trio.current_time()
        await start_audio_response(peer, "resp_1", "item_1", audio=30)
        peer.end_response("resp_1")

        async def interrupt_later() -> None:
            await trio.sleep(2)
            await session.interrupt()

        nursery.start_soon(interrupt_later)
        await session.drain()
        assert trio.current_time() - began == pytest.approx(2)


async def test_drain_believes_reports_in_whole_milliseconds(autojump_clock: MockClock) -> None:
    """What is left then is less than can be told."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.audio("resp_1", "item_1", bytes(48_040))  # 1000.83 ms
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        session.playback.played("item_1", 0, 1000)
        with trio.fail_after(5):
            await session.drain()


async def test_drain_waits_for_reports_where_there_are_some(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        began = trio.current_time()
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.end_response("resp_1")

        async def play_slowly() -> None:
            for ms in range(0, 1001, 100):
                session.playback.played("item_1", 0, ms)
                await trio.sleep(0.3)

        nursery.start_soon(play_slowly)
        await trio.sleep(0.1)
        await session.drain()
        assert trio.current_time() - began == pytest.approx(3)


async def test_the_playback_report_tells_where_an_item_is(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=2)
        await trio.sleep(0.5)
        assert session.playback.position("item_1") == pytest.approx(500)
        assert session.playback.remaining == pytest.approx(1.5)
        assert session.playback.position("nobody") == 0
