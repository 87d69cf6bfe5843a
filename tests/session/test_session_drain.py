"""``drain`` waits until everything requested was said, done and played."""

from __future__ import annotations

from typing import TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.service import (
    accept_create,
    send_spoken_reply,
    silence,
    start_audio_response,
    start_call,
)
from support.sessions import open_test_session
from support.wire import ITEM, sent_outputs
from trio_realtime import RealtimeSession, ToolContext, events, function_tool
from trio_realtime.errors import ClosedByService
from trio_realtime.testing import ScriptedPeer

Session: TypeAlias = RealtimeSession[None]


async def test_drain_waits_for_responses_calls_and_playback(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def think() -> str:
        """Take a second."""
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


async def test_drain_returns_after_an_interruption(autojump_clock: MockClock) -> None:
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


async def test_drain_accepts_reports_in_whole_milliseconds(autojump_clock: MockClock) -> None:
    """A remainder of less than a millisecond cannot be reported."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.audio("resp_1", "item_1", bytes(48_040))  # 1000.83 ms
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        session.playback.played("item_1", 0, 1000)
        with trio.fail_after(5):
            await session.drain()


async def test_drain_waits_for_playback_reports(autojump_clock: MockClock) -> None:
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


async def test_playback_report_wakes_drain(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        send_spoken_reply(peer, 1, audio=10)
        await wait_all_tasks_blocked()
        session.playback.played("item_1", 0, 10)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.drain)
            await trio.sleep(1)
            session.playback.played("item_1", 0, 10_000)
        assert trio.current_time() - began < 2


async def test_drain_does_not_wait_for_an_item_excluded_from_truncation(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        send_spoken_reply(peer, 1)
        await wait_all_tasks_blocked()
        session.playback.played("item_1", 0, -1)
        with trio.fail_after(30):
            await session.drain()


async def test_drain_inside_a_tool_raises(autojump_clock: MockClock) -> None:
    """It would wait for itself, even in a child task of the tool."""
    sessions: list[Session] = []

    @function_tool
    async def goodbye(deep: bool) -> None:
        if deep:
            async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - needs a child task
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
    assert "drain() inside a tool" in outputs["call_2"]


async def test_drain_in_a_task_that_outlives_its_tool_is_allowed(autojump_clock: MockClock) -> None:
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


async def test_drain_notices_the_end_of_a_tool_that_has_nothing_more_to_say(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def search(context: ToolContext[None]) -> None:
        await context.answer_early("searching", respond=False)
        await trio.sleep(5)

    peer = ScriptedPeer()
    async with open_test_session(peer, search) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "search")
        peer.end_response("resp_1")
        await trio.sleep(1)
        began = trio.current_time()
        with trio.fail_after(60):
            await session.drain()
        assert trio.current_time() - began == pytest.approx(4)


# --- the deadline -------------------------------------------------------------------------------


async def test_drain_returns_whether_the_agent_finished_in_time(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        send_spoken_reply(peer, 1, audio=10)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        assert not await session.drain(timeout=4)
        assert trio.current_time() - began == pytest.approx(4)
        assert session.end is None
        assert await session.drain(timeout=7)
        assert trio.current_time() - began == pytest.approx(10)
        assert await session.drain(timeout=0)


async def test_drain_with_a_deadline_raises_what_ended_the_session(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        send_spoken_reply(peer, 1, audio=10)
        await wait_all_tasks_blocked()

        async def close_soon() -> None:
            await trio.sleep(1)
            peer.close(1000)

        nursery.start_soon(close_soon)
        with pytest.raises(ClosedByService):
            await session.drain(timeout=5)


@pytest.mark.parametrize(("seconds", "reason"), [(20, "drained"), (4, "closed")])
async def test_aclose_lets_the_agent_finish_in_time(
    seconds: float, reason: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        send_spoken_reply(peer, 1, audio=10)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await session.aclose(drain_timeout=seconds)
        assert trio.current_time() - began == pytest.approx(min(seconds, 10))
    assert session.end is not None
    assert (session.end.by, session.end.reason) == ("application", reason)
    assert session.end.unheard_audio_ms == pytest.approx(10_000 - min(seconds, 10) * 1000)


async def test_cancelled_drain_leaves_the_session_open(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        send_spoken_reply(peer, 1, audio=10)
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await session.aclose(drain_timeout=20)
        await session.send_message("Still there?")
        assert session.end is None


async def test_loss_while_aclose_drains_is_still_raised_by_the_block(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ClosedByService):
        async with open_test_session(peer) as session:
            send_spoken_reply(peer, 1, audio=10)
            await wait_all_tasks_blocked()
            peer.close(1000)
            began = trio.current_time()
            await session.aclose(drain_timeout=20)
            assert trio.current_time() - began < 2


async def test_aclose_in_a_tool_cannot_drain(autojump_clock: MockClock) -> None:
    sessions: list[Session] = []

    @function_tool
    async def goodbye() -> None:
        await sessions[0].aclose(drain_timeout=1)

    peer = ScriptedPeer()
    async with open_test_session(peer, goodbye) as session:
        sessions.append(session)
        await start_call(peer, "goodbye")
        (ended,) = drain_events(session.events, events.ToolEnd)
        assert session.end is None
    assert "aclose(drain_timeout=...) inside a tool" in ended.output_text


async def test_aclose_after_the_end_does_not_drain(autojump_clock: MockClock) -> None:
    async with open_test_session(ScriptedPeer()) as session:
        await session.aclose()
    began = trio.current_time()
    await session.aclose(drain_timeout=20)
    assert trio.current_time() == began
    assert session.end is not None
    assert session.end.reason == "closed"
