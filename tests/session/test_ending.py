"""Sessions that either side ends: everybody gets what came before, and is told why."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events
from support.service import start_call
from support.sessions import PassivePeer, open_test_session
from support.tools import endless
from trio_realtime import RealtimeSession, events
from trio_realtime.errors import (
    ConnectionLost,
    NetworkError,
    RealtimeError,
    SessionClosed,
    SessionExpired,
)
from trio_realtime.testing import ScriptedPeer

# --- the other side ends it --------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 4321])
async def test_events_before_a_close_are_delivered_first_and_only_1000_is_a_plain_end(
    code: int, autojump_clock: MockClock
) -> None:
    peer = PassivePeer()
    seen: list[events.SessionEvent] = []
    raised: list[RealtimeError] = []
    async with open_test_session(peer) as session:
        for number in range(3):
            response = {"id": f"resp_{number}", "object": "realtime.response"}
            await peer.far.send(json.dumps({"type": "response.created", "response": response}))
        if code == 1006:
            peer.far.drop()
        else:
            await peer.far.aclose(code, "going away")
        await wait_all_tasks_blocked()
        try:
            await collect_events(session, seen)
        except RealtimeError as exc:
            raised.append(exc)
    assert [event.type for event in seen].count("response_start") == 3
    if code == 1000:
        assert raised == []
    else:
        (error,) = raised
        assert type(error) is ConnectionLost
        assert error.code == code


async def test_after_the_end_every_consumer_gets_the_same_answer_again_and_again(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with session.subscribe(events.Audio) as early:
            peer.close(1011)
            await wait_all_tasks_blocked()
            with session.subscribe(events.Audio) as late:
                for channel in (early, late, early, late):
                    with pytest.raises(ConnectionLost):
                        await channel.receive()


async def test_a_session_that_expired_says_so(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.reject(None, "session_expired", "Your session hit the maximum duration of 60 minutes.")
        peer.close(1001)
        with pytest.raises(SessionExpired, match="60 minutes"):
            await collect_events(session, [])


@pytest.mark.parametrize("code", [1000, 1011])
async def test_who_waits_or_sends_when_the_connection_is_gone_is_told_why(
    code: int, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    told: list[Exception] = []

    async def told_why(wait: Callable[[], Awaitable[Any]]) -> None:
        with pytest.raises(NetworkError) as caught:
            await wait()
        told.append(caught.value)

    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        handle = await session.create_response()
        nursery.start_soon(told_why, handle.wait)
        nursery.start_soon(told_why, lambda: session.ask("Hello?"))
        nursery.start_soon(told_why, session.drain)
        await wait_all_tasks_blocked()
        peer.close(code, "gone fishing")
        await wait_all_tasks_blocked()
        nursery.start_soon(told_why, lambda: session.send_message("Hello?"))
        nursery.start_soon(told_why, lambda: session.send_audio(b"\0\0"))
        nursery.start_soon(told_why, session.interrupt)
    assert len(told) == 6
    assert all(isinstance(error, ConnectionLost) for error in told)
    assert all(error.code == code for error in told if isinstance(error, ConnectionLost))
    assert all("gone fishing" in str(error) for error in told)


async def test_a_lost_connection_stops_the_tools(autojump_clock: MockClock) -> None:
    """Nobody is left whom they could answer."""
    peer = ScriptedPeer()
    async with open_test_session(peer, endless) as session:
        await start_call(peer, "endless")
        assert session.statistics().running_tools == 1
        peer.close(1011)
        await wait_all_tasks_blocked()
        assert session.statistics().running_tools == 0
        with pytest.raises(ConnectionLost):
            await session.interrupt()


async def test_a_loss_that_nobody_was_told_of_is_raised_when_the_block_is_left(
    autojump_clock: MockClock,
) -> None:
    """The block itself is the user's: it ends when it ends."""
    peer = ScriptedPeer()
    slept = False
    with pytest.raises(ConnectionLost) as caught:
        async with open_test_session(peer):
            peer.close(1011)
            await trio.sleep(60)
            slept = True
    assert slept
    assert caught.value.code == 1011


@pytest.mark.parametrize("how", ["reading", "sending"])
async def test_a_loss_that_was_told_is_not_told_again(how: str, autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.close(1011)
        with pytest.raises(ConnectionLost):
            await trio.sleep(1)
            await (
                session.events.receive() if how == "sending" else collect_events(session.events, [])
            )
            await session.send_message("still there?")


async def test_an_exception_of_the_block_counts_more_than_a_loss(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    with pytest.raises(LookupError):
        async with open_test_session(peer):
            peer.close(1011)
            await trio.sleep(1)
            raise LookupError("the block's own")


async def test_each_who_gets_the_loss_gets_an_exception_of_its_own(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    got: list[ConnectionLost] = []
    async with open_test_session(peer) as session:
        peer.close(1011, "gone")
        await trio.sleep(1)
        for _ in range(3):
            try:
                await session.send_message("hello?")
            except ConnectionLost as lost:
                got.append(lost)
    assert len({id(lost) for lost in got}) == 3
    assert {(lost.code, lost.reason, str(lost)) for lost in got} == {(1011, "gone", str(got[0]))}


# --- this side ends it -------------------------------------------------------------------------


async def test_closing_twice_and_at_once_is_closing(autojump_clock: MockClock) -> None:
    peer = PassivePeer()
    async with open_test_session(peer) as session:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(session.aclose)
        await session.aclose()
    assert trio.current_time() - began <= 1


async def test_after_closing_everything_says_that_the_session_was_closed(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response()
    uses: list[Callable[[], Awaitable[Any]]] = [
        lambda: session.send_message("Hello"),
        lambda: session.send_audio(b"\0\0"),
        session.commit_audio,
        session.clear_audio,
        session.create_response,
        lambda: session.ask("Hello"),
        session.interrupt,
        session.drain,
        handle.wait,
    ]
    for use in uses:
        with pytest.raises(SessionClosed):
            await use()
    await session.aclose()
    await collect_events(session, [])
    with pytest.raises(trio.EndOfChannel):
        await session.events.receive()
    assert session.history == ()
    handle.cancel()


async def test_closing_wakes_whoever_waits(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    ended: list[str] = []

    async def consume(session: RealtimeSession[None]) -> None:
        async for _ in session:
            pass
        ended.append("consumer")

    async def wait(session: RealtimeSession[None]) -> None:
        with pytest.raises(SessionClosed):
            await session.ask("Hello")
        ended.append("asker")

    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        nursery.start_soon(consume, session)
        nursery.start_soon(wait, session)
        await wait_all_tasks_blocked()
        await session.aclose()
    assert sorted(ended) == ["asker", "consumer"]


async def test_a_session_writes_nothing_to_the_logs_of_its_user_when_all_is_well(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    peer = ScriptedPeer()
    with caplog.at_level(logging.INFO):
        async with open_test_session(peer, endless):
            await start_call(peer, "endless")
    assert caplog.records == []
