"""How many checks of a reply run at once, and which agents have none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.guardrails import RecordingGuardrail, begin_reply, drain_trips, guarded_agent
from support.service import silence
from support.sessions import open_test_session
from trio_realtime import RealtimeAgent, events as ev
from trio_realtime.core.audio.playback import Playback
from trio_realtime.core.effects import CheckReply, Effect
from trio_realtime.core.guardrails import MAX_CHECKS, GuardrailWindows, ReplyGuard
from trio_realtime.testing import ScriptedPeer

TEN = "0123456789"


def checked_texts(effects: Sequence[Effect]) -> list[str]:
    return [effect.text for effect in effects if isinstance(effect, CheckReply)]


def grow(guard: ReplyGuard, times: int) -> list[str]:
    """Let the reply of ``resp_1`` grow, and return the texts of the checks that begin."""
    found: list[str] = []
    for _ in range(times):
        found += checked_texts(guard.text("resp_1", "agent", TEN, now=0.0))
    return found


def finish_check(guard: ReplyGuard, length: int, *, tripped: bool = False) -> list[str]:
    _first, effects = guard.checked("resp_1", length, now=0.0, tripped=tripped)
    return checked_texts(effects)


def make_guard(*, gated: bool = False) -> ReplyGuard:
    return ReplyGuard(Playback(48), 10, gated=gated)


@pytest.mark.parametrize("times", [MAX_CHECKS, 10 * MAX_CHECKS], ids=["at limit", "ten times"])
def test_at_most_four_checks_of_a_reply_run_at_once(times: int) -> None:
    guard = make_guard()
    assert grow(guard, times) == [TEN * number for number in range(1, MAX_CHECKS + 1)]
    assert guard.superseded == max(times - MAX_CHECKS - 1, 0)


def test_the_check_that_waits_sees_all_text_when_it_begins() -> None:
    guard = make_guard()
    grow(guard, 10)
    assert finish_check(guard, 20) == [TEN * 10]
    assert finish_check(guard, 10) == []  # nothing is unchecked
    assert grow(guard, 1) == [TEN * 11]


def test_the_end_of_a_reply_waits_for_a_check_and_is_checked_in_full() -> None:
    guard = make_guard()
    grow(guard, 10)
    guard.text("resp_1", "agent", "end", now=0.0)
    assert checked_texts(guard.end("resp_1", "agent", TEN * 10 + "end", now=0.0)) == []
    assert finish_check(guard, 10) == [TEN * 10 + "end"]
    for _ in range(MAX_CHECKS):
        assert finish_check(guard, 20) == []
    assert guard.end("resp_1", "agent", "", now=0.0) == ()  # the reply was forgotten


def test_a_trip_drops_the_check_that_waits() -> None:
    guard = make_guard()
    grow(guard, 10)
    assert finish_check(guard, 10, tripped=True) == []
    assert grow(guard, 10) == []
    guard.end("resp_1", "agent", TEN * 20, now=0.0)
    for _ in range(MAX_CHECKS - 1):
        assert finish_check(guard, 20) == []


def test_replies_do_not_wait_for_each_other() -> None:
    windows = GuardrailWindows(10)
    for number in range(3):
        checks = [windows.add_text(f"resp_{number}", "agent", TEN) for _ in range(10)]
        assert len([check for check in checks if check is not None]) == MAX_CHECKS


def test_the_text_of_an_agent_without_guardrails_is_not_collected() -> None:
    guard = ReplyGuard(Playback(48), 10, gated=False, is_guarded=lambda agent: agent == "guarded")
    for _ in range(10):
        assert guard.text("resp_1", "free", TEN, now=0.0) == ()
    assert guard.end("resp_1", "free", TEN * 10, now=0.0) == ()
    assert checked_texts(guard.text("resp_2", "guarded", TEN, now=0.0)) == [TEN]


def test_the_gate_delivers_audio_of_an_agent_without_guardrails() -> None:
    guard = ReplyGuard(Playback(48), 10, gated=True, is_guarded=lambda _agent: False)
    audio = ev.Audio(data=b"1", response_id="resp_1", item_id="item_1", content_index=0)
    assert guard.audio(audio, now=0.0) == []  # whose it is becomes known with the text
    assert audio in guard.text("resp_1", "free", "a", now=0.0)
    assert audio in guard.audio(audio, now=0.0)
    guard.end("resp_1", "free", "a", now=0.0)
    assert guard.holding == ()
    silent = ev.Audio(data=b"1", response_id="resp_2", item_id="item_2", content_index=0)
    guard.audio(silent, now=0.0)
    assert silent in guard.end("resp_2", "free", "", now=0.0)


async def test_slow_checks_of_a_long_reply(autojump_clock: MockClock) -> None:
    """Forty checks are due; few run, and the last text is checked in full."""
    recorder = RecordingGuardrail("never", delay=5.0)
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=guarded_agent(recorder), guardrail_debounce=10
    ) as session:
        begin_reply(peer, *[TEN] * 10 * MAX_CHECKS)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        statistics = session.statistics()
        assert (len(recorder.seen), statistics.running_checks) == (MAX_CHECKS, MAX_CHECKS)
        await trio.sleep(6)
        assert recorder.seen[MAX_CHECKS:] == [TEN * 10 * MAX_CHECKS]
        statistics = session.statistics()
        assert (statistics.running_checks, statistics.superseded_checks) == (1, 35)
        await trio.sleep(5)
        assert session.statistics().running_checks == 0
        assert drain_trips(session) == []


async def test_a_guardrail_sees_a_word_that_came_while_other_checks_ran(
    autojump_clock: MockClock,
) -> None:
    recorder = RecordingGuardrail("secret", delay=1.0)
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=guarded_agent(recorder), guardrail_debounce=10
    ) as session:
        begin_reply(peer, *[TEN] * 10, "the secret")
        peer.end_response("resp_1")
        await trio.sleep(3)
        (tripped,) = drain_trips(session)
        assert tripped.message.endswith("the secret")


async def test_agents_with_and_without_guardrails_in_one_session(
    autojump_clock: MockClock,
) -> None:
    recorder = RecordingGuardrail()
    free = RealtimeAgent[None](name="Free")
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=free, guardrail_audio_gate=True) as session:
        begin_reply(peer, TEN * 20, audio=silence(1))
        await wait_all_tasks_blocked()
        assert len(drain_events(session.events, ev.Audio)) == 1
        peer.end_response("resp_1")
        await session.update_agent(guarded_agent(recorder))
        begin_reply(peer, TEN * 20, audio=silence(1), number=2)
        await wait_all_tasks_blocked()
        assert recorder.seen == [TEN * 20]
