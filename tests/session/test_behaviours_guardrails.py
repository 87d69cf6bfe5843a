"""Guardrails on the wire. Numbers are those of the reference's list of behaviours."""

from __future__ import annotations

from typing import TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.guardrails import RecordingGuardrail, begin_reply
from support.service import silence
from support.sessions import open_test_session
from support.wire import CANCEL, CREATE, ITEM, TRUNCATE, Frame, sent_frames, sent_types
from trio_realtime import (
    AgentContext,
    RealtimeAgent,
    RealtimeSession,
    events,
    output_guardrail,
)
from trio_realtime.testing import ScriptedPeer

Session: TypeAlias = RealtimeSession[None]

LONG = "and so it goes on and on, "  # 26 characters


def guarded(*watches: RecordingGuardrail, name: str = "Guarded") -> RealtimeAgent[None]:
    return RealtimeAgent(name=name, output_guardrails=[watch.guardrail for watch in watches])


def feedback(frame: Frame) -> str:
    """What a message of the user says."""
    assert (frame["item"]["type"], frame["item"]["role"]) == ("message", "user")
    (part,) = frame["item"]["content"]
    assert part["type"] == "input_text"
    return str(part["text"])


def trips(session: Session) -> list[events.GuardrailTripped]:
    return drain_events(session.events, events.GuardrailTripped)


# --- 39: a trip --------------------------------------------------------------------------------


async def test_a_reply_that_has_grown_enough_trips_while_it_is_spoken(
    autojump_clock: MockClock,
) -> None:
    """39: one event, one interrupt, and feedback that names all that tripped."""
    first, second, calm = (
        RecordingGuardrail(name="first"),
        RecordingGuardrail(name="second"),
        RecordingGuardrail("other", name="calm"),
    )
    peer = ScriptedPeer()
    agent = guarded(first, calm, second)
    async with open_test_session(peer, agent=agent, guardrail_debounce=52) as session:
        begin_reply(peer, LONG, audio=silence(5))
        await trio.sleep(2)
        assert await sent_types(peer) == []
        peer.transcript("resp_1", "item_1", "here is the secret: hunter2")
        cancel, truncate, item = [await peer.next() for _ in range(3)]
        assert (cancel["type"], cancel["response_id"]) == (CANCEL, "resp_1")
        assert (truncate["item_id"], truncate["audio_end_ms"]) == ("item_1", 2000)
        assert feedback(item) == "guardrail triggered: first, second"
        await peer.expect_nothing()
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        await peer.expect(CREATE)
        await peer.expect_nothing()
        (trip,) = trips(session)
        assert [found.name for found in trip.guardrail_results] == ["first", "second"]


async def test_two_checks_at_once_that_both_trip_are_one_trip(autojump_clock: MockClock) -> None:
    """39: the second one adds nothing, on the wire or to the events."""
    watch = RecordingGuardrail(delay=3)
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(watch), guardrail_debounce=10) as session:
        begin_reply(peer, "the first secret", audio=silence(9))
        await trio.sleep(1)
        peer.transcript("resp_1", "item_1", " and another one")
        await trio.sleep(1)
        assert len(watch.seen) == 2
        await trio.sleep(5)
        assert await sent_types(peer) == [CANCEL, TRUNCATE, ITEM]
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        assert await sent_types(peer) == [CANCEL, TRUNCATE, ITEM, CREATE]
        assert len(trips(session)) == 1


# --- 40: text ----------------------------------------------------------------------------------


async def test_a_trip_in_a_text_cancels_its_response_and_leaves_older_audio_alone(
    autojump_clock: MockClock,
) -> None:
    """40: what still plays is another response's, and nobody objected to it."""
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=guarded(RecordingGuardrail()), guardrail_debounce=5
    ) as session:
        begin_reply(peer, "a story", audio=silence(60))
        peer.end_response("resp_1")
        await trio.sleep(1)
        begin_reply(peer, "the secret", number=2, spoken=False)
        await peer.expect(CANCEL, response_id="resp_2")
        assert "guardrail triggered" in feedback(await peer.expect(ITEM))
        await peer.expect_nothing()
        told = [event.type for event in drain_channel(session.events)]
        assert "guardrail_tripped" in told
        assert "audio_interrupted" not in told
        assert session.playback.remaining > 55


# --- 41: a newer response ----------------------------------------------------------------------


@pytest.mark.parametrize("spoken", [True, False])
async def test_a_late_trip_cuts_its_own_audio_and_nothing_of_a_newer_response(
    spoken: bool, autojump_clock: MockClock
) -> None:
    """41: no cancel, no feedback: the conversation has gone on."""
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(RecordingGuardrail(delay=3))) as session:
        audio = silence(60) if spoken else b""
        begin_reply(peer, "the secret", audio=audio, spoken=spoken)
        peer.end_response("resp_1")
        await trio.sleep(2)
        begin_reply(peer, "a story", number=2, audio=silence(60))
        await trio.sleep(5)
        (trip,) = trips(session)
        assert trip.response_id == "resp_1"
        cut = [frame for frame in await sent_frames(peer) if frame["type"] == TRUNCATE]
        assert await sent_types(peer) == ([TRUNCATE] if spoken else [])
        assert [(frame["item_id"], frame["audio_end_ms"]) for frame in cut] == (
            [("item_1", 3000)] if spoken else []
        )
        peer.audio("resp_2", "item_2", silence(1))
        await wait_all_tasks_blocked()
        assert len(drain_events(session.events, events.Audio)) == 1, "the newer one speaks on"


# --- 42: a source that has ended ---------------------------------------------------------------


async def test_a_trip_after_the_end_cancels_nothing_and_is_told_to_the_model(
    autojump_clock: MockClock,
) -> None:
    """42: with a create at once, since nothing runs."""
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(RecordingGuardrail(delay=3))):
        begin_reply(peer, "the secret", spoken=False)
        peer.end_response("resp_1")
        await peer.expect_nothing()
        assert feedback(await peer.expect(ITEM)) == "guardrail triggered: watch"
        await peer.expect(CREATE)
        await peer.expect_nothing()


async def test_a_response_that_begins_in_the_last_moment_spares_the_feedback(
    autojump_clock: MockClock,
) -> None:
    """42: the check has found something and has not yet been heard.

    From there to the feedback there is no moment in which a response could still begin.
    """
    begun = trio.Event()

    @output_guardrail
    async def strict(_about: AgentContext[None], _text: str) -> bool:
        await begun.wait()
        return True

    peer = ScriptedPeer()
    async with open_test_session(peer, output_guardrails=[strict]) as session:
        begin_reply(peer, "the secret", spoken=False)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        with session.subscribe(events.ResponseStart) as starts:
            peer.begin_response("resp_2")
            await starts.receive()
            begun.set()
            await wait_all_tasks_blocked()
        assert len(trips(session)) == 1
        assert await sent_types(peer) == []


async def test_a_trip_after_the_end_leaves_what_was_asked_for_since_alone(
    autojump_clock: MockClock,
) -> None:
    """42: the user has gone on, and that answer is on its way; feedback would make another one."""
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(RecordingGuardrail(delay=3))) as session:
        begin_reply(peer, "the secret", spoken=False)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        await session.send_message("Something else")
        await trio.sleep(5)
        assert len(trips(session)) == 1
        assert await sent_types(peer) == [ITEM, CREATE]


# --- 43: whose guardrails ----------------------------------------------------------------------


@pytest.mark.parametrize("announced", ["before the text", "after the text"])
async def test_a_reply_is_checked_by_the_guardrails_of_the_agent_that_began_it(
    announced: str, autojump_clock: MockClock
) -> None:
    """43: also where its first delta came before its ``response.created``."""
    old, new = RecordingGuardrail(), RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(old, name="Old")) as session:
        if announced == "before the text":
            peer.begin_response("resp_1")
        peer.text("resp_1", "item_1", "the sec")
        await wait_all_tasks_blocked()
        await session.update_agent(guarded(new, name="New"))
        if announced == "after the text":
            peer.begin_response("resp_1")
        peer.text("resp_1", "item_1", "ret")
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        assert (old.seen, old.agents, new.seen) == (["the secret"], ["Old"], [])
        assert await sent_types(peer) == [ITEM, CREATE]
        begin_reply(peer, "hello", number=2)
        peer.end_response("resp_2")
        await wait_all_tasks_blocked()
    assert (new.seen, new.agents, len(old.seen)) == (["hello"], ["New"], 1)


async def test_a_guardrail_of_agent_and_session_checks_once_and_is_named_once(
    autojump_clock: MockClock,
) -> None:
    """43."""
    watch = RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(watch), output_guardrails=[watch.guardrail]):
        begin_reply(peer, "the secret")
        peer.end_response("resp_1")
        assert feedback(await peer.expect(ITEM)) == "guardrail triggered: watch"
    assert watch.seen == ["the secret"]


# --- 44: what is kept for a check, and what late ends do ---------------------------------------


async def test_what_plays_is_known_until_the_check_of_its_response_is_over(
    autojump_clock: MockClock,
) -> None:
    """44: the response is long done, and a newer one too; the cut is at the right millisecond."""
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(RecordingGuardrail(delay=7))):
        begin_reply(peer, "the secret", audio=silence(5))
        peer.open_message("resp_1", "item_1b")
        peer.audio("resp_1", "item_1b", silence(5))
        peer.end_response("resp_1")
        await trio.sleep(1)
        begin_reply(peer, "a story", number=2, audio=silence(5))
        peer.end_response("resp_2")
        await trio.sleep(7)
        cut = [(frame["item_id"], frame["audio_end_ms"]) for frame in await sent_frames(peer)]
        assert cut == [("item_1b", 2000)]


async def test_a_late_end_of_an_older_response_leaves_the_running_one_alone(
    autojump_clock: MockClock,
) -> None:
    """44: no second end of a turn, no create before its time, and its checks go on."""
    watch = RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(watch), guardrail_debounce=5) as session:
        begin_reply(peer, "hello")
        peer.end_response("resp_1")
        begin_reply(peer, "a st", number=2)
        await wait_all_tasks_blocked()
        await session.send_message("And then?")
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        await peer.expect(ITEM)
        await peer.expect_nothing()
        ends = drain_events(session.events, events.AgentEnd)
        assert [end.response_id for end in ends] == ["resp_1"]
        peer.transcript("resp_2", "item_2", "ory with a secret")
        await peer.expect(CANCEL, response_id="resp_2")
        await peer.expect(ITEM)
        await peer.expect_nothing()
        peer.end_response("resp_2", "cancelled", reason="client_cancelled")
        await peer.expect(CREATE)
        await peer.expect_nothing()
    assert watch.seen == ["hello", "a story with a secret"]
