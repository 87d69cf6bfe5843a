"""The audio gate: nobody hears what was not checked, nobody waits longer than a check."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import audio_response_ids, drain_channel, drain_events
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
from trio_realtime.testing import ScriptedPeer

HALF_SECOND = bytes(24_000)


def watch(
    *, takes: float = 1.0, word: str = "secret", seen: list[str] | None = None
) -> OutputGuardrail:
    @output_guardrail
    async def watch(_about: AgentContext[Any], text: str) -> bool:
        if seen is not None:
            seen.append(text)
        await trio.sleep(takes)
        return word in text

    return watch


def guarded(*guardrails: OutputGuardrail) -> RealtimeAgent[None]:
    return RealtimeAgent(name="Guarded", output_guardrails=guardrails)


def gated(peer: ScriptedPeer, *guardrails: OutputGuardrail, **more: Any) -> Any:
    return open_test_session(peer, agent=guarded(*guardrails), guardrail_audio_gate=True, **more)


def begin(peer: ScriptedPeer, number: int = 1) -> None:
    peer.begin_response(f"resp_{number}")
    peer.open_message(f"resp_{number}", f"item_{number}")


def heard(session: RealtimeSession[None]) -> int:
    """Half seconds of audio that came through since the last time."""
    return len(audio_response_ids(drain_channel(session.events)))


async def test_audio_waits_until_the_text_before_it_has_passed(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with gated(peer, watch()) as session:
        begin(peer)
        peer.transcript("resp_1", "item_1", "Good ")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await trio.sleep(0.9)
        assert heard(session) == 0
        await trio.sleep(0.2)
        assert heard(session) == 2


async def test_what_comes_while_a_check_runs_is_checked_when_that_is_done(
    autojump_clock: MockClock,
) -> None:
    seen: list[str] = []
    peer = ScriptedPeer()
    async with gated(peer, watch(seen=seen)) as session:
        begin(peer)
        for word in ("Good ", "morning, ", "everybody"):
            peer.transcript("resp_1", "item_1", word)
            peer.audio("resp_1", "item_1", HALF_SECOND)
            await trio.sleep(0.2)
        await trio.sleep(0.5)
        assert heard(session) == 1
        await trio.sleep(1.0)
        assert heard(session) == 2
        assert seen == ["Good ", "Good morning, everybody"]


async def test_audio_before_any_text_waits_for_the_first(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with gated(peer, watch(takes=0)) as session:
        begin(peer)
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await wait_all_tasks_blocked()
        assert heard(session) == 0
        peer.transcript("resp_1", "item_1", "Hi")
        await wait_all_tasks_blocked()
        assert heard(session) == 1


async def test_a_reply_without_text_passes_at_its_end(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with gated(peer, watch()) as session:
        begin(peer)
        peer.audio("resp_1", "item_1", HALF_SECOND)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        assert heard(session) == 1


async def test_without_guardrails_nothing_waits(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with gated(peer) as session:
        begin(peer)
        peer.transcript("resp_1", "item_1", "Hi")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await wait_all_tasks_blocked()
        assert heard(session) == 1


async def test_the_end_of_the_audio_comes_after_the_audio(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with gated(peer, watch()) as session:
        begin(peer)
        peer.say("resp_1", "item_2", "Good morning", pcm=HALF_SECOND)
        done = {"response_id": "resp_1", "item_id": "item_2", "content_index": 0}
        peer.send({"type": "response.output_audio.done", **done})
        peer.end_response("resp_1")
        await trio.sleep(3)
        found = [e.type for e in drain_channel(session.events) if e.type.startswith("audio")]
        assert found == ["audio", "audio_end"]


async def test_nobody_hears_what_trips_and_the_service_knows(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with gated(peer, watch()) as session:
        begin(peer)
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


async def test_what_passed_before_a_trip_is_cut_where_it_plays(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with gated(peer, watch(takes=0.2)) as session:
        begin(peer)
        peer.transcript("resp_1", "item_1", "Well, ")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await trio.sleep(0.3)  # 100 ms of it have played
        assert heard(session) == 1
        peer.transcript("resp_1", "item_1", "the secret")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await trio.sleep(0.3)

        assert heard(session) == 0
        (truncate,) = [frame for frame in await sent_frames(peer) if frame["type"] == TRUNCATE]
        assert truncate["audio_end_ms"] == 300


async def test_audio_plays_from_when_it_was_let_through(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with gated(peer, watch(takes=5)) as session:
        begin(peer)
        peer.transcript("resp_1", "item_1", "Good morning")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        peer.end_response("resp_1")
        await trio.sleep(5.25)
        assert session.playback.position("item_1") == pytest.approx(250)
        await session.interrupt()
        (truncate,) = [frame for frame in await sent_frames(peer) if frame["type"] == TRUNCATE]
        assert truncate["audio_end_ms"] == 250


async def test_an_item_that_played_out_in_part_is_cut_by_all_that_was_heard(
    autojump_clock: MockClock,
) -> None:
    @output_guardrail
    async def slower_and_slower(_about: AgentContext[Any], text: str) -> bool:
        await trio.sleep(1 if text == "Good " else 4)
        return False

    peer = ScriptedPeer()
    async with gated(peer, slower_and_slower) as session:
        begin(peer)
        peer.transcript("resp_1", "item_1", "Good ")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await wait_all_tasks_blocked()
        peer.transcript("resp_1", "item_1", "morning")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        peer.end_response("resp_1")
        await trio.sleep(2)  # the first half has played out, the second still waits
        begin(peer, 2)
        peer.end_response("resp_2")
        await trio.sleep(2.25)  # of the second, 250 ms have played
        await session.interrupt()
        (truncate,) = [frame for frame in await sent_frames(peer) if frame["type"] == TRUNCATE]
        assert truncate["audio_end_ms"] == 750


async def test_an_interrupt_drops_what_waits(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with gated(peer, watch()) as session:
        begin(peer)
        peer.transcript("resp_1", "item_1", "Good morning")
        peer.audio("resp_1", "item_1", HALF_SECOND)
        await trio.sleep(0.5)
        await session.interrupt()
        await trio.sleep(5)
        assert heard(session) == 0
        assert [kind for kind in await sent_types(peer) if kind == TRUNCATE] == [TRUNCATE]


async def test_a_late_trip_leaves_the_reply_after_it_alone(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with gated(peer, watch()) as session:
        begin(peer)
        peer.say("resp_1", "item_1", "The secret", pcm=HALF_SECOND)
        peer.end_response("resp_1")
        await trio.sleep(0.5)
        begin(peer, 2)
        peer.say("resp_2", "item_2", "Sorry", pcm=HALF_SECOND)
        peer.end_response("resp_2")
        await trio.sleep(3)
        found = drain_channel(session.events)
        assert audio_response_ids(found) == ["resp_2"]
        assert len([event for event in found if isinstance(event, events.GuardrailTripped)]) == 1


async def test_draining_waits_for_what_waits(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with gated(peer, watch(takes=7)) as session:
        begin(peer)
        peer.say("resp_1", "item_1", "Good morning", pcm=HALF_SECOND)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        start = trio.current_time()
        await session.drain()
        assert trio.current_time() - start == pytest.approx(7.5)
        assert len(drain_events(session.events, events.Audio)) == 1


def test_the_gate_is_off_by_default() -> None:
    assert SessionConfig().guardrail_audio_gate is False


# --- the core of it, whatever comes in whatever order -------------------------------------------


@given(
    steps=st.lists(st.tuples(st.sampled_from(["text", "audio", "pass"]), st.integers(0, 5))),
    pieces=st.integers(1, 4),
)
def test_each_piece_comes_through_once_in_order_and_not_before_its_text(
    steps: list[tuple[str, int]], pieces: int
) -> None:
    held = GuardedAudio(Playback())
    length = passed = sent = 0
    out: list[ev.Audio | ev.AudioEnd] = []
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
                out += held.hold(event, length, 0.0)
        else:
            passed = max(passed, min(amount * 2, length))
            out += held.passed("r", passed, 0.0)
        assert all(covered[e.data] <= passed for e in out if isinstance(e, ev.Audio))
    out += held.all_passed("r", 0.0)
    assert [int.from_bytes(e.data, "little") for e in out if isinstance(e, ev.Audio)] == [
        *range(sent)
    ]
    assert held.is_empty
