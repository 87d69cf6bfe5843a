"""The latencies of turns, measured on a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.service import begin_audio_response, send_call, silence
from support.sessions import open_test_session
from support.wire import CREATE, ITEM
from trio_realtime import RealtimeSession, events, function_tool, output_guardrail
from trio_realtime.core import Interrupt
from trio_realtime.core.latency import MAX_RESPONSES, MAX_VALUES, LatencyMeter
from trio_realtime.latency import TurnLatency
from trio_realtime.testing import ScriptedPeer

SPEECH_STARTED = "input_audio_buffer.speech_started"
SPEECH_STOPPED = "input_audio_buffer.speech_stopped"
TEXT = "response.output_audio_transcript.delta"


def report_speech(peer: ScriptedPeer, kind: str) -> None:
    peer.send({"type": kind, "item_id": "item_user", "audio_start_ms": 0, "audio_end_ms": 0})


def send_transcript(peer: ScriptedPeer, response_id: str, item_id: str) -> None:
    peer.send(
        {
            "type": TEXT,
            "response_id": response_id,
            "item_id": item_id,
            "output_index": 0,
            "content_index": 0,
            "delta": "Hello",
        }
    )


async def latency_of_next_turn(session: RealtimeSession[None]) -> TurnLatency:
    await wait_all_tasks_blocked()
    (end,) = drain_events(session.events, events.AgentEnd)
    return end.latency


async def test_answer_to_speech_is_measured_from_its_end(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        report_speech(peer, SPEECH_STARTED)
        await trio.sleep(3)
        report_speech(peer, SPEECH_STOPPED)
        await trio.sleep(0.25)
        peer.begin_response("resp_1")
        await trio.sleep(0.25)
        send_transcript(peer, "resp_1", "item_1")
        await trio.sleep(0.5)
        peer.audio("resp_1", "item_1", silence(0.1))
        await trio.sleep(5)
        peer.audio("resp_1", "item_1", silence(0.1))
        peer.end_response("resp_1")
        assert await latency_of_next_turn(session) == TurnLatency(
            speech_to_audio=1.0, request_to_text=0.5, request_to_audio=1.0
        )


async def test_answer_to_a_message_is_measured_from_the_create(
    autojump_clock: MockClock,
) -> None:
    """What was said before belongs to no answer."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        report_speech(peer, SPEECH_STOPPED)
        await trio.sleep(10)
        await session.send_message("Hello?")
        await peer.expect(ITEM)
        create = await peer.expect(CREATE)
        await trio.sleep(0.75)
        peer.begin_response("resp_1", create)
        send_transcript(peer, "resp_1", "item_1")
        peer.end_response("resp_1")
        assert await latency_of_next_turn(session) == TurnLatency(request_to_text=0.75)


async def test_push_to_talk_ends_speech_with_the_commit(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, turn_detection=None) as session:
        await session.send_audio(silence(0.1))
        await session.commit_audio()
        await trio.sleep(1)
        await session.create_response()
        await peer.expect("input_audio_buffer.commit")
        create = await peer.expect(CREATE)
        await trio.sleep(0.5)
        peer.begin_response("resp_1", create)
        peer.audio("resp_1", "item_1", silence(0.1))
        peer.end_response("resp_1")
        assert await latency_of_next_turn(session) == TurnLatency(
            speech_to_audio=1.5, request_to_audio=0.5
        )


async def test_turn_with_tools_has_one_request_and_the_time_of_its_tools(
    autojump_clock: MockClock,
) -> None:
    """The time that a call waits for its approval does not count."""

    @function_tool(needs_approval=True)
    async def look_up() -> str:
        await trio.sleep(2)
        return "found"

    peer = ScriptedPeer()
    async with open_test_session(peer, look_up) as session:
        with session.subscribe(events.ToolEnd) as ends:
            report_speech(peer, SPEECH_STOPPED)
            await trio.sleep(1)
            send_call(peer, "look_up")
            await trio.sleep(30)
            await session.approve_tool_call("call_1")
            await peer.expect(ITEM)
            assert (await ends.receive()).duration == 2.0
        create = await peer.expect(CREATE)
        peer.begin_response("resp_2", create)
        peer.audio("resp_2", "item_2", silence(0.1))
        peer.end_response("resp_2")
        assert await latency_of_next_turn(session) == TurnLatency(
            speech_to_audio=33.0, request_to_audio=33.0, tool_time=2.0
        )
        statistics = session.statistics().latency
        assert (statistics.tool_time.count, statistics.tool_time.p50) == (1, 2.0)


async def test_call_that_did_not_run_has_no_duration(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        send_call(peer, "unknown")
        await wait_all_tasks_blocked()
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.duration is None
        assert session.statistics().latency.tool_time.count == 0


@pytest.mark.parametrize("by", ["speech", "interrupt"])
async def test_interruption_is_silent_at_once(by: str, autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        begin_audio_response(peer, "resp_1", "item_1", silence(5))
        await trio.sleep(1)
        if by == "speech":
            report_speech(peer, SPEECH_STARTED)
        else:
            await session.interrupt()
        peer.end_response("resp_1", "cancelled")
        assert (await latency_of_next_turn(session)).interruption_to_silence == 0.0
        assert session.statistics().latency.interruption_to_silence.count == 1


async def test_audio_gate_counts_until_the_audio_is_delivered(autojump_clock: MockClock) -> None:
    """It may be delivered after the end of the turn: then only the statistics have it."""

    @output_guardrail
    async def slow(_context: Any, _text: str) -> bool:
        await trio.sleep(4)
        return False

    peer = ScriptedPeer()
    async with open_test_session(
        peer, output_guardrails=[slow], guardrail_audio_gate=True
    ) as session:
        report_speech(peer, SPEECH_STOPPED)
        begin_audio_response(peer, "resp_1", "item_1", silence(0.1))
        send_transcript(peer, "resp_1", "item_1")
        peer.end_response("resp_1")
        assert (await latency_of_next_turn(session)).speech_to_audio is None
        await trio.sleep(5)
        assert session.statistics().latency.speech_to_audio.maximum == 4.0


async def test_statistics_are_the_percentiles_of_all_turns(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        for number in range(1, 11):
            report_speech(peer, SPEECH_STOPPED)
            await trio.sleep(number)
            peer.begin_response(f"resp_{number}")
            peer.audio(f"resp_{number}", f"item_{number}", silence(0.02))
            peer.end_response(f"resp_{number}")
        await wait_all_tasks_blocked()
        found = session.statistics().latency.speech_to_audio
        assert (found.count, found.p50, found.p90, found.maximum) == (10, 5.0, 9.0, 10.0)


def test_what_the_meter_remembers_is_bounded() -> None:
    meter = LatencyMeter()
    for number in range(3 * MAX_VALUES):
        name = f"resp_{number}"
        start = events.AgentStart(agent=None, turn_id=name)  # type: ignore[arg-type]
        begin = events.ResponseStart(agent=None, response_id=name, turn_ids=(name,))  # type: ignore[arg-type]
        audio = events.AudioStart(response_id=name, item_id="item", content_index=0)
        end = events.AgentEnd(agent=None, turn_id=name, response_id=name, status="completed")  # type: ignore[arg-type]
        meter.observe(Interrupt(), [start, begin, audio, end], float(number))
    assert meter.statistics().request_to_audio.count == 3 * MAX_VALUES
    assert len(meter._samples["request_to_audio"].values) == MAX_VALUES
    assert len(meter._turns_of) == MAX_RESPONSES
    assert not meter._turns
