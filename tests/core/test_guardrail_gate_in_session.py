"""The audio gate: audio is delivered when its text has passed the guardrails, and no later."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import audio_response_ids, drain_channel, drain_events
from support.guardrails import RecordingGuardrail
from support.service import silence
from support.sessions import open_test_session
from support.wire import CANCEL, TRUNCATE, sent_frames, sent_types
from trio_realtime import (
    AgentContext,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    events,
    events as ev,
    output_guardrail,
)
from trio_realtime.agents import OutputGuardrail
from trio_realtime.core.audio.guardrail_gate import GuardedAudio
from trio_realtime.core.audio.playback import Playback
from trio_realtime.core.audio.starts import AudioStarts
from trio_realtime.testing import ScriptedPeer

HALF_SECOND = bytes(24_000)


def make_guardrail(
    *, takes: float = 1.0, word: str = "secret", seen: list[str] | None = None
) -> OutputGuardrail:
    @output_guardrail
    async def watch(_about: AgentContext[Any], text: str) -> bool:
        if seen is not None:
            seen.append(text)
        await trio.sleep(takes)
        return word in text

    return watch


def make_guarded_agent(*guardrails: OutputGuardrail) -> RealtimeAgent[None]:
    return RealtimeAgent(name="Guarded", output_guardrails=guardrails)


def open_gated_session(peer: ScriptedPeer, *guardrails: OutputGuardrail, **more: Any) -> Any:
    return open_test_session(
        peer, agent=make_guarded_agent(*guardrails), guardrail_audio_gate=True, **more
    )


def begin_message(peer: ScriptedPeer, number: int = 1) -> None:
    peer.begin_response(f"resp_{number}")
    peer.open_message(f"resp_{number}", f"item_{number}")


def count_half_seconds(session: RealtimeSession[None]) -> int:
    """Return how many half seconds of audio were delivered since the last call."""
    return len(audio_response_ids(drain_channel(session.events)))


# --- waiting for checks ------------------------------------------------------------------------


async def test_audio_waits_until_the_text_before_it_has_passed(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail()) as session:
        begin_message(peer)
        peer.transcript("resp_1", "item_1", "Good ")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await trio.sleep(0.9)
        assert count_half_seconds(session) == 0
        await trio.sleep(0.2)
        assert count_half_seconds(session) == 2


async def test_text_that_arrives_during_a_check_is_checked_next(
    autojump_clock: MockClock,
) -> None:
    seen: list[str] = []
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail(seen=seen)) as session:
        begin_message(peer)
        for word in ("Good ", "morning, ", "everybody"):
            peer.transcript("resp_1", "item_1", word)
            peer.audio("resp_1", "item_1", HALF_SECOND)
            await trio.sleep(0.2)
        await trio.sleep(0.5)
        assert count_half_seconds(session) == 1
        await trio.sleep(1.0)
        assert count_half_seconds(session) == 2
        assert seen == ["Good ", "Good morning, everybody"]


async def test_audio_before_any_text_waits_for_the_first_text(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail(takes=0)) as session:
        begin_message(peer)
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await wait_all_tasks_blocked()
        assert count_half_seconds(session) == 0
        peer.transcript("resp_1", "item_1", "Hi")
        await wait_all_tasks_blocked()
        assert count_half_seconds(session) == 1


async def test_reply_without_text_passes_at_its_end(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail()) as session:
        begin_message(peer)
        peer.audio("resp_1", "item_1", HALF_SECOND)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        assert count_half_seconds(session) == 1


async def test_audio_does_not_wait_without_guardrails(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer) as session:
        begin_message(peer)
        peer.transcript("resp_1", "item_1", "Hi")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await wait_all_tasks_blocked()
        assert count_half_seconds(session) == 1


async def test_end_of_the_audio_follows_the_audio(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail()) as session:
        begin_message(peer)
        peer.say("resp_1", "item_2", "Good morning", pcm=HALF_SECOND)
        done = {"response_id": "resp_1", "item_id": "item_2", "content_index": 0}
        peer.send({"type": "response.output_audio.done", **done})
        peer.end_response("resp_1")
        await trio.sleep(3)
        found = [e.type for e in drain_channel(session.events) if e.type.startswith("audio")]
        assert found == ["audio_start", "audio", "audio_end"]


async def test_start_of_the_audio_waits_with_the_audio(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail()) as session:
        begin_message(peer)
        peer.transcript("resp_1", "item_1", "Good ")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await trio.sleep(0.9)
        assert drain_events(session.events, events.AudioStart) == []
        peer.transcript("resp_1", "item_1", "morning")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        peer.end_response("resp_1")
        await trio.sleep(5)
        kinds = [event.type for event in drain_channel(session.events)]
    assert [kind for kind in kinds if kind.startswith("audio")] == ["audio_start", "audio", "audio"]


async def test_discarded_audio_does_not_start(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail(word="Good")) as session:
        begin_message(peer)
        peer.transcript("resp_1", "item_1", "Good morning")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await trio.sleep(5)
        assert drain_events(session.events, events.AudioStart) == []


async def test_drain_waits_for_gated_audio(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail(takes=7)) as session:
        begin_message(peer)
        peer.say("resp_1", "item_1", "Good morning", pcm=HALF_SECOND)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        start = trio.current_time()
        await session.drain()
        assert trio.current_time() - start == pytest.approx(7.5)
        assert len(drain_events(session.events, events.Audio)) == 1


def test_gate_is_off_by_default() -> None:
    assert SessionConfig().guardrail_audio_gate is False


# --- trips and interruptions -------------------------------------------------------------------


async def test_tripped_audio_is_not_delivered_and_is_truncated_at_zero(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail()) as session:
        begin_message(peer)
        peer.transcript("resp_1", "item_1", "The secret is")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await trio.sleep(1.1)
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await wait_all_tasks_blocked()

        found = drain_channel(session.events)
        assert audio_response_ids(found) == []
        assert not [event for event in found if isinstance(event, events.AudioInterrupted)]
        cancel, truncate = (await sent_frames(peer))[:2]
        assert (cancel["type"], cancel["response_id"]) == (CANCEL, "resp_1")
        assert (truncate["type"], truncate["item_id"], truncate["audio_end_ms"]) == (
            TRUNCATE,
            "item_1",
            0,
        )


async def test_audio_that_passed_before_a_trip_is_truncated_where_it_plays(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail(takes=0.2)) as session:
        begin_message(peer)
        peer.transcript("resp_1", "item_1", "Well, ")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await trio.sleep(0.3)  # 100 ms of it have played
        assert count_half_seconds(session) == 1
        peer.transcript("resp_1", "item_1", "the secret")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await trio.sleep(0.3)

        assert count_half_seconds(session) == 0
        (truncate,) = [frame for frame in await sent_frames(peer) if frame["type"] == TRUNCATE]
        assert truncate["audio_end_ms"] == 300


async def test_late_trip_does_not_affect_the_next_reply(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail()) as session:
        begin_message(peer)
        peer.say("resp_1", "item_1", "The secret", pcm=HALF_SECOND)
        peer.end_response("resp_1")
        await trio.sleep(0.5)
        begin_message(peer, 2)
        peer.say("resp_2", "item_2", "Sorry", pcm=HALF_SECOND)
        peer.end_response("resp_2")
        await trio.sleep(3)
        found = drain_channel(session.events)
        assert audio_response_ids(found) == ["resp_2"]
        assert len([event for event in found if isinstance(event, events.GuardrailTripped)]) == 1


async def test_interrupt_drops_gated_audio(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail()) as session:
        begin_message(peer)
        peer.transcript("resp_1", "item_1", "Good morning")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await trio.sleep(0.5)
        await session.interrupt()
        await trio.sleep(5)
        assert count_half_seconds(session) == 0
        assert [kind for kind in await sent_types(peer) if kind == TRUNCATE] == [TRUNCATE]


async def test_tripped_audio_is_not_released_at_the_end_of_its_response(
    autojump_clock: MockClock,
) -> None:
    agent = RealtimeAgent[None](name="G", output_guardrails=[RecordingGuardrail(delay=1).guardrail])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent, guardrail_audio_gate=True) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.transcript("resp_1", "item_1", "a secret")
        peer.audio("resp_1", "item_1", silence(0.1))
        peer.begin_response("resp_2")
        await trio.sleep(2)
        peer.audio("resp_1", "item_1", silence(0.1))
        peer.end_response("resp_1")
        await trio.sleep(2)
        assert audio_response_ids(drain_events(session.events, events.Audio)) == []


# --- playback ----------------------------------------------------------------------------------


async def test_audio_plays_from_the_moment_of_its_release(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_gated_session(peer, make_guardrail(takes=5)) as session:
        begin_message(peer)
        peer.transcript("resp_1", "item_1", "Good morning")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        peer.end_response("resp_1")
        await trio.sleep(5.25)
        assert session.playback.position("item_1") == pytest.approx(250)
        await session.interrupt()
        (truncate,) = [frame for frame in await sent_frames(peer) if frame["type"] == TRUNCATE]
        assert truncate["audio_end_ms"] == 250


async def test_item_with_a_pause_is_truncated_at_all_that_was_heard(
    autojump_clock: MockClock,
) -> None:
    @output_guardrail
    async def slower_and_slower(_about: AgentContext[Any], text: str) -> bool:
        await trio.sleep(1 if text == "Good " else 4)
        return False

    peer = ScriptedPeer()
    async with open_gated_session(peer, slower_and_slower) as session:
        begin_message(peer)
        peer.transcript("resp_1", "item_1", "Good ")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await wait_all_tasks_blocked()
        peer.transcript("resp_1", "item_1", "morning")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        peer.end_response("resp_1")
        await trio.sleep(2)  # the first half has played out, the second still waits
        begin_message(peer, 2)
        peer.end_response("resp_2")
        await trio.sleep(2.25)  # of the second, 250 ms have played
        await session.interrupt()
        (truncate,) = [frame for frame in await sent_frames(peer) if frame["type"] == TRUNCATE]
        assert truncate["audio_end_ms"] == 750


# --- the gate alone, with any order of inputs --------------------------------------------------


@given(
    steps=st.lists(st.tuples(st.sampled_from(["text", "audio", "pass"]), st.integers(0, 5))),
    pieces=st.integers(1, 4),
)
def test_each_chunk_is_released_once_in_order_and_not_before_its_text(
    steps: list[tuple[str, int]], pieces: int
) -> None:
    gate = GuardedAudio(Playback(), AudioStarts())
    length = passed = sent = 0
    out: list[ev.SessionEvent] = []
    covered: dict[bytes, int] = {}
    for what, amount in steps:
        if what == "text":
            length += amount
        elif what == "audio":
            for _ in range(pieces):
                data = sent.to_bytes(4, "little")
                covered[data] = max(length, 1)
                sent += 1
                event = ev.Audio(data=data, response_id="r", item_id="i", content_index=0)
                out += gate.hold(event, length, 0.0)
        else:
            passed = max(passed, min(amount * 2, length))
            out += gate.passed("r", passed, 0.0)
        assert all(covered[e.data] <= passed for e in out if isinstance(e, ev.Audio))
    out += gate.all_passed("r", 0.0)
    assert [int.from_bytes(e.data, "little") for e in out if isinstance(e, ev.Audio)] == [
        *range(sent)
    ]
    assert not gate.holding
