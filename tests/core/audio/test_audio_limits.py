"""Audio that waits in the core is bounded: in the audio gate, and of out-of-band responses."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.guardrails import RecordingGuardrail, begin_reply, guarded_agent
from support.sessions import open_test_session
from support.wire import CREATE, TRUNCATE, sent_types
from trio_realtime import events as ev
from trio_realtime.core.audio.guardrail_gate import EVENT_SIZE, GuardedAudio, ReleasedEvent
from trio_realtime.core.audio.playback import Playback
from trio_realtime.core.audio.starts import AudioStarts
from trio_realtime.errors import GuardrailFailed
from trio_realtime.testing import ScriptedPeer

KB = 1000


def audio(number: int, item_id: str = "item_1", response_id: str = "resp_1") -> ev.Audio:
    data = bytes([number]) * 100
    return ev.Audio(data=data, response_id=response_id, item_id=item_id, content_index=0)


def numbers(released: Sequence[ReleasedEvent]) -> list[int]:
    return [event.data[0] for event in released if isinstance(event, ev.Audio)]


def make_gate() -> GuardedAudio:
    playback = Playback(48)
    return GuardedAudio(playback, AudioStarts(), KB)


@pytest.mark.parametrize("count", [10, 100], ids=["at the limit", "ten times the limit"])
def test_the_gate_holds_no_more_than_its_limit(count: int) -> None:
    gate = make_gate()
    found = [event for number in range(count) for event in gate.hold(audio(number), 5, 0.0)]
    errors = [event.error for event in found if isinstance(event, ev.Error)]
    assert len(errors) == (count > 10)
    assert all(isinstance(error, GuardrailFailed) for error in errors)
    assert (gate.size, gate.dropped) == (KB, 100 * (count - 10))
    assert numbers(gate.passed("resp_1", 5, 0.0)) == [*range(10)]
    assert gate.size == 0


def test_a_response_that_exceeds_the_limit_gets_no_more_audio() -> None:
    """Also once there is space again: audio with a gap is useless. Other responses are not affected."""
    gate = make_gate()
    for number in range(11):
        gate.hold(audio(number), 5, 0.0)
    end = ev.AudioEnd(response_id="resp_1", item_id="item_1", content_index=0)
    gate.hold(end, 5, 0.0)
    assert gate.passed("resp_1", 5, 0.0)[-1] == end
    assert gate.hold(audio(11), 5, 0.0) == []
    assert gate.hold(audio(12), 50, 0.0) == []
    gate.hold(audio(1, "item_2", "resp_2"), 5, 0.0)
    assert numbers(gate.all_passed("resp_2", 0.0)) == [1]
    gate.all_passed("resp_1", 0.0)
    assert gate.hold(audio(13), 5, 0.0) == []  # an id that is used again is a new response
    assert numbers(gate.all_passed("resp_1", 0.0)) == [13]
    assert gate.size == 0


def test_one_piece_of_audio_may_be_larger_than_the_limit() -> None:
    gate = GuardedAudio(Playback(48), AudioStarts(), 10)
    gate.hold(audio(1), 5, 0.0)
    assert numbers(gate.passed("resp_1", 5, 0.0)) == [1]


def test_items_whose_audio_was_dropped_were_not_heard() -> None:
    gate = make_gate()
    for number in range(10):
        gate.hold(audio(number), 5, 0.0)
    gate.hold(audio(10), 5, 0.0)
    gate.hold(audio(11, "item_2"), 5, 0.0)
    gate.passed("resp_1", 5, 0.0)
    assert gate.discard() == [("item_2", 0)]
    assert gate.size == 0


async def test_guardrails_that_are_too_slow_for_the_gate(autojump_clock: MockClock) -> None:
    recorder = RecordingGuardrail(delay=5.0)
    peer = ScriptedPeer()
    async with open_test_session(
        peer,
        agent=guarded_agent(recorder),
        guardrail_audio_gate=True,
        max_buffered_audio=10 * KB,
    ) as session:
        begin_reply(peer, "Good morning")
        for _ in range(100):
            peer.audio("resp_1", "item_1", bytes(KB))
        await wait_all_tasks_blocked()
        statistics = session.statistics()
        assert (statistics.gated_audio, statistics.dropped_audio) == (10 * KB, 90 * KB)
        peer.end_response("resp_1")
        await trio.sleep(20)
        found = drain_channel(session.events)
        assert sum(len(event.data) for event in found if isinstance(event, ev.Audio)) == 10 * KB
        (error,) = [event.error for event in found if isinstance(event, ev.Error)]
        assert "max_buffered_audio" in str(error)
        assert session.statistics().gated_audio == 0
        assert TRUNCATE not in await sent_types(peer)


@pytest.mark.parametrize("count", [10, 100], ids=["at the limit", "ten times the limit"])
async def test_audio_of_an_out_of_band_response_is_bounded(
    count: int, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_audio=10 * KB + 500) as session:
        response = await session.create_response(conversation="none")
        peer.begin_response("resp_1", await peer.expect(CREATE))
        for number in range(count):
            peer.audio("resp_1", "item_1", bytes([number]) * KB)
        if count > 10:
            peer.audio("resp_1", "item_1", b"1")  # it would fit, and leave a gap before it
        peer.end_response("resp_1")
        outcome = await response
        assert outcome.audio == b"".join(bytes([number]) * KB for number in range(10))
        assert outcome.dropped_audio == (count - 10) * KB + (count > 10)
        assert session.statistics().dropped_audio == outcome.dropped_audio


def test_many_events_with_hardly_any_audio_are_limited_too() -> None:
    gate = make_gate()
    for number in range(1000):
        gate.hold(attrs.evolve(audio(1), data=b"1"), 5, 0.0)
        gate.hold(ev.AudioEnd(response_id="resp_1", item_id="item_1", content_index=number), 5, 0.0)
        gate.hold(ev.AudioEnd(response_id="resp_1", item_id="item_1", content_index=0), 5, 0.0)
    released = gate.passed("resp_1", 5, 0.0)
    assert len(numbers(released)) <= KB / EVENT_SIZE + 1
    assert sum(isinstance(event, ev.AudioEnd) for event in released) == 1000
