"""A session that reaches a limit lets the agent finish, ends plainly, and says why."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events, drain_events
from support.service import (
    accept_create,
    send_call,
    send_spoken_reply,
    silence,
    start_audio_response,
    start_call,
)
from support.sessions import open_test_session
from support.tools import endless, wait
from support.wire import CREATE, ITEM
from trio_realtime import RealtimeSession, SessionConfig, UsageLimits, events
from trio_realtime.errors import ConfigurationError, SessionClosed
from trio_realtime.testing import ScriptedPeer


async def seconds_until_end(session: RealtimeSession[None]) -> float:
    """Read events until iteration ends plainly; return how long that took."""
    began = trio.current_time()
    await collect_events(session, [])
    return trio.current_time() - began


def reason_of(session: RealtimeSession[None]) -> tuple[str, str]:
    assert session.end is not None
    assert session.end.error is None
    return session.end.by, session.end.reason


# --- time ---------------------------------------------------------------------------------------


async def test_idle_session_ends_plainly(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, idle_timeout=20) as session:
        await trio.sleep(15)
        await session.send_message("Hello?", respond=False)
        assert await seconds_until_end(session) == pytest.approx(20)
        with pytest.raises(SessionClosed, match="idle_timeout"):
            await session.send_message("Hello?")
    assert reason_of(session) == ("limit", "idle_timeout")
    assert peer.closed is not None
    assert peer.closed.code == 1000


async def test_microphone_alone_does_not_prevent_the_end(autojump_clock: MockClock) -> None:
    async def listen() -> None:
        while session.end is None:
            await session.send_audio(silence(0.1))
            await trio.sleep(0.1)

    peer = ScriptedPeer()
    async with open_test_session(peer, idle_timeout=5) as session, trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        assert await seconds_until_end(session) == pytest.approx(5)


async def test_call_that_runs_is_not_idle(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, wait, idle_timeout=5) as session:
        send_call(peer, "wait", '{"seconds": 60}')
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.end_response("resp_2")
        assert await seconds_until_end(session) == pytest.approx(5)


async def test_audio_finishes_after_the_maximum_duration(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_duration=10) as session:
        await trio.sleep(9)
        send_spoken_reply(peer, 1, audio=5)
        assert await seconds_until_end(session) == pytest.approx(5)
    assert reason_of(session) == ("limit", "max_duration")
    assert session.end is not None
    assert session.end.unheard_audio_ms == 0


@pytest.mark.parametrize("grace", [0, 3])
async def test_grace_is_limited(grace: float, autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(
        peer, endless, max_duration=10, limit_grace=grace, max_buffered_audio=10**8
    ) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=60)
        assert await seconds_until_end(session) == pytest.approx(10 + grace)
    assert session.end is not None
    assert session.end.unheard_audio_ms == pytest.approx(50_000 - grace * 1000)


async def test_block_that_does_not_read_is_not_cancelled(autojump_clock: MockClock) -> None:
    async with open_test_session(ScriptedPeer(), max_duration=10) as session:
        await trio.sleep(60)
    assert session.end is not None
    assert session.end.duration == pytest.approx(10)


async def test_event_announces_the_end(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_duration=10, limit_grace=4) as session:
        await start_call(peer, "unknown")
        await trio.sleep(10.5)
        assert session.end is None
        (event,) = drain_events(session.events, events.LimitReached)
        assert event == events.LimitReached(limit="max_duration", grace=4)


async def test_own_goodbye_in_the_grace_is_heard(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()

    async def serve() -> None:
        await accept_create(peer, "resp_1")
        peer.say("resp_1", "item_1", "Goodbye", pcm=silence(2))
        peer.end_response("resp_1")

    async with open_test_session(peer, max_duration=10) as session, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        send_spoken_reply(peer, 0, audio=11)
        with session.subscribe(events.LimitReached) as limits:
            await limits.receive()
            assert await session.end_call()
    assert session.end is not None
    assert session.end.duration == pytest.approx(13)
    assert session.end.unheard_audio_ms == 0


async def test_end_call_returns_when_the_grace_is_over(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_duration=10, limit_grace=3) as session:
        await trio.sleep(9)
        assert await session.end_call()  # the service does not answer
        assert session.end is not None
        assert session.end.duration == pytest.approx(13)
    assert reason_of(session) == ("limit", "max_duration")


async def test_limit_during_a_shutdown_changes_nothing(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_duration=10) as session:
        await trio.sleep(5)
        await session.aclose()
        await trio.sleep(60)
    assert reason_of(session) == ("application", "closed")


# --- budgets ------------------------------------------------------------------------------------


async def test_tokens_are_limited(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, limits=UsageLimits(total_tokens=100)) as session:
        for number in range(2):
            peer.begin_response(f"resp_{number}")
            peer.say(f"resp_{number}", f"item_{number}", "Hello", pcm=silence(1))
            peer.end_response(f"resp_{number}", usage={"total_tokens": 60})
            await wait_all_tasks_blocked()
        assert await seconds_until_end(session) == pytest.approx(2)
    assert reason_of(session) == ("limit", "total_tokens")
    assert session.usage.total_tokens == 120


async def test_last_call_is_answered_and_its_reply_heard(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, wait, limits=UsageLimits(tool_calls=1)) as session:
        send_call(peer, "wait", '{"seconds": 2}')
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.say("resp_2", "item_2", "Done", pcm=silence(3))
        peer.end_response("resp_2")
        assert await seconds_until_end(session) == pytest.approx(3)
    assert reason_of(session) == ("limit", "tool_calls")


async def test_loop_of_calls_is_stopped(autojump_clock: MockClock) -> None:
    """The session goes on."""
    peer = ScriptedPeer()
    async with open_test_session(peer, wait, limits=UsageLimits(tool_rounds=3)) as session:
        await session.send_message("Wait!")
        await peer.expect(ITEM)
        create: Any = await peer.expect(CREATE)
        rounds = 0
        while "tool_choice" not in create["response"]:
            rounds += 1
            peer.begin_response(f"resp_{rounds}", create)
            arguments = '{"seconds": 1}'
            peer.call(f"resp_{rounds}", f"item_{rounds}", f"call_{rounds}", "wait", arguments)
            peer.end_response(f"resp_{rounds}")
            await peer.expect(ITEM)
            create = await peer.expect(CREATE)
        assert create["response"]["tool_choice"] == "none"
        assert rounds == 3
        await trio.sleep(10)
        assert session.end is None
        assert drain_events(session.events, events.LimitReached) == [
            events.LimitReached(limit="tool_rounds")
        ]


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["idle_timeout", "max_duration"])
@pytest.mark.parametrize("value", [0, -1, "5", True])
def test_times_are_positive(name: str, value: Any) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=name):
        SessionConfig(**settings)


@pytest.mark.parametrize("name", [field.name for field in UsageLimits.__attrs_attrs__])
@pytest.mark.parametrize("value", [0, -1, 1.5, "5", True])
def test_budgets_are_positive_integers(name: str, value: Any) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=name):
        UsageLimits(**settings)


def test_limits_have_their_class() -> None:
    limits: Any = {"total_tokens": 5}
    with pytest.raises(ConfigurationError, match="UsageLimits"):
        SessionConfig(limits=limits)
