"""Input audio: spoken turns, push-to-talk and idle users."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pybase64
import pytest

from support.harness import append_silence, append_speech, collapsed_types, only, rejected, scripted
from trio_realtime.local import (
    Frame,
    Output,
    Pause,
    Say,
    TranscriptionFailed,
)
from trio_realtime.local.harness import ProtocolHarness, types_of
from trio_realtime.local.transcriber import ScriptedTranscriber
from trio_realtime.local.vad import MAX_BUFFER_BYTES

# -- turns ---------------------------------------------------------------------------------------


def test_a_spoken_turn_has_the_order_of_the_live_service() -> None:
    harness = scripted(Say("ok"))
    append_silence(harness, 640)
    frames = append_speech(harness, 960) + append_silence(harness, 640)
    assert types_of(frames) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    assert len({f["item_id"] for f in frames if "item_id" in f}) == 1
    assert frames[3]["item"] == {
        "id": frames[0]["item_id"],
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }


def test_two_utterances_in_one_append_are_two_turns_and_a_barge_in() -> None:
    harness = scripted(Say("one"), Say("two"))
    utterance = b"\x00\x20" * (24 * 640) + bytes(48 * 640)
    kinds = types_of(harness.append(utterance * 2))
    assert kinds.count("input_audio_buffer.committed") == 2
    assert kinds.count("response.created") == 2
    assert kinds.count("response.done") == 1


def test_the_responder_reads_the_transcript_of_the_speech() -> None:
    harness = ProtocolHarness(transcripts=["turn the light off"])
    harness.update(output_modalities=["text"])
    append_speech(harness, 640)
    append_silence(harness, 640)
    harness.run()
    append_speech(harness, 1024)
    append_silence(harness, 640)
    harness.run()
    said = [frame["text"] for frame in harness.of_type("response.output_text.done")]
    assert said == ["You said: turn the light off", "I heard 1.7 seconds of audio."]


def test_without_interruption_a_second_turn_gets_no_response() -> None:
    harness = scripted(Say("long", audio_ms=9000), pacing=1.0)
    detection = {"type": "server_vad", "interrupt_response": False}
    harness.update(audio={"input": {"turn_detection": detection}})
    harness.send("response.create")
    harness.run(1.0)
    append_speech(harness, 640)
    frames = append_silence(harness, 640)
    assert frames[-1]["type"] == "error"
    assert frames[-1]["error"]["code"] == "conversation_already_has_active_response"
    assert frames[-1]["error"]["event_id"] is None
    assert types_of(frames)[-3:-1] == ["conversation.item.added", "conversation.item.done"]


def test_turn_detection_can_leave_responses_to_the_client() -> None:
    harness = ProtocolHarness()
    detection = {"type": "server_vad", "create_response": False}
    harness.update(audio={"input": {"turn_detection": detection}})
    append_speech(harness, 640)
    assert types_of(append_silence(harness, 640))[-1] == "conversation.item.done"


def test_a_commit_while_speaking_ends_the_turn_without_speech_stopped() -> None:
    harness = ProtocolHarness()
    started = append_speech(harness, 640)[0]
    frames = harness.send("input_audio_buffer.commit")
    assert frames[0]["type"] == "input_audio_buffer.committed"
    assert frames[0]["item_id"] == started["item_id"]
    assert append_silence(harness, 2000) == []


def test_clear_discards_the_turn() -> None:
    harness = ProtocolHarness()
    append_speech(harness, 640)
    assert types_of(harness.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert append_silence(harness, 2000) == []
    assert types_of(harness.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]


# -- push-to-talk --------------------------------------------------------------------------------


def test_push_to_talk_responds_only_on_request() -> None:
    harness = ProtocolHarness()
    harness.update(audio={"input": {"turn_detection": None}})
    assert append_speech(harness, 2800) == []
    frames = harness.send("input_audio_buffer.commit")
    assert types_of(frames) == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert frames[0]["previous_item_id"] is None
    assert harness.run() == []
    frames = harness.respond(output_modalities=["text"])
    assert only(frames, "response.output_text.done")["text"] == "I heard 2.8 seconds of audio."


TRANSCRIPTS: dict[str, tuple[str | TranscriptionFailed, ...]] = {
    "known": ("turn the light off",),
    "unknown": (),
    "empty": ("",),
    "failed": (TranscriptionFailed(),),
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
@pytest.mark.parametrize("model", [None, "whisper-1", "gpt-4o-transcribe", "gpt-live-transcribe"])
def test_the_answer_does_not_depend_on_the_time_of_the_request(
    model: str | None, name: str
) -> None:
    answers: list[str] = []
    for seconds in (0.0, 0.02, 10.0):
        harness = ProtocolHarness(transcripts=TRANSCRIPTS[name], pacing=1.0)
        transcription = None if model is None else {"model": model}
        harness.update(audio={"input": {"transcription": transcription, "turn_detection": None}})
        append_speech(harness, 1500)
        harness.send("input_audio_buffer.commit")
        harness.run(seconds)
        harness.send("response.create", response={"output_modalities": ["text"]})
        answers.append(only(harness.run(10.0), "response.output_text.done")["text"])
    expected = (
        "You said: turn the light off" if name == "known" else "I heard 1.5 seconds of audio."
    )
    assert answers == [expected] * 3


def test_a_commit_requires_a_tenth_of_a_second() -> None:
    harness = ProtocolHarness()
    harness.update(audio={"input": {"turn_detection": None}})
    error = rejected(harness, "input_audio_buffer.commit")
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert "buffer only has 0.00ms of audio" in error["message"]
    harness.append(bytes(48 * 99))
    assert "99.00ms" in rejected(harness, "input_audio_buffer.commit")["message"]
    harness.append(bytes(48))
    assert harness.send("input_audio_buffer.commit")[0]["type"] == "input_audio_buffer.committed"


# -- idle users ----------------------------------------------------------------------------------


def test_an_idle_prompt_has_the_order_of_the_live_service() -> None:
    harness = scripted(Say("Hello", audio_ms=800), Say("Still there?"))
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    harness.update(audio={"input": {"turn_detection": detection}})
    append_silence(harness, 672)
    harness.respond()
    harness.run(0.8)
    append_silence(harness, 5120)
    assert harness.run(4.9) == []
    frames = harness.run(0.2)
    assert collapsed_types(frames)[:7] == [
        "input_audio_buffer.timeout_triggered",
        "conversation.item.added",
        "conversation.item.done",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    triggered = frames[0]
    assert (triggered["audio_start_ms"], triggered["audio_end_ms"]) == (672, 5792)
    system = frames[1]["item"]
    assert system["role"] == "system"
    assert frames[3]["previous_item_id"] == system["id"]
    assert frames[4]["item"]["id"] == triggered["item_id"] == frames[3]["item_id"]


def harness_with_transcripts(
    model: str, *transcripts: str | TranscriptionFailed, **settings: Any
) -> ProtocolHarness:
    harness = ProtocolHarness(transcriber=ScriptedTranscriber(transcripts), **settings)
    harness.update(audio={"input": {"transcription": {"model": model}}})
    return harness


COMPLETED = "conversation.item.input_audio_transcription.completed"


def test_the_transcript_of_an_idle_item_is_empty_and_free() -> None:
    harness = harness_with_transcripts("gpt-realtime-whisper", "not for this")
    harness.update(
        audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}}
    )
    harness.respond()
    harness.run_until("input_audio_buffer.timeout_triggered")
    completed = only(harness.run(), COMPLETED)
    assert completed["transcript"] == ""
    assert completed["usage"] == {"type": "duration", "seconds": 0}


@pytest.mark.parametrize("disturbance", ["speech", "response"])
def test_speech_or_a_response_cancels_the_idle_timer(disturbance: str) -> None:
    harness = scripted(Say("Hello"), [Pause(math.inf)])
    detection = {"type": "server_vad", "idle_timeout_ms": 5000, "create_response": False}
    harness.update(audio={"input": {"turn_detection": detection}})
    harness.respond()
    harness.run(4.0)
    if disturbance == "speech":
        append_speech(harness, 640)
    else:
        harness.send("response.create")
    harness.run(30.0)
    assert not harness.of_type("input_audio_buffer.timeout_triggered")


# -- long audio ----------------------------------------------------------------------------------

UTTERANCE = b"\x00\x20" * (24 * 640) + bytes(48 * 640)


def append_event(audio: bytes) -> str:
    event = {"type": "input_audio_buffer.append", "audio": pybase64.b64encode(audio).decode()}
    return json.dumps(event)


def committed(outputs: Sequence[Output]) -> int:
    return sum(
        isinstance(output, Frame) and output.type == "input_audio_buffer.committed"
        for output in outputs
    )


def test_long_audio_is_handled_in_slices() -> None:
    protocol = scripted(*[Say("ok")] * 20).protocol
    turns = [committed(protocol.receive(append_event(UTTERANCE * 20), 0.0))]
    while protocol.is_busy:
        assert protocol.next_deadline() == 0.0
        turns.append(committed(protocol.advance(0.0)))
    assert sum(turns) == 20
    assert max(turns) == 2


def test_the_next_event_waits_for_long_audio() -> None:
    protocol = scripted(*[Say("ok")] * 20).protocol
    protocol.receive(append_event(UTTERANCE * 20), 0.0)
    outputs = protocol.receive('{"type":"input_audio_buffer.clear"}', 0.0)
    assert isinstance(outputs[-1], Frame)
    assert outputs[-1].type == "input_audio_buffer.cleared"
    assert committed(outputs) > 15
    assert not protocol.is_busy


def test_push_to_talk_audio_is_bounded() -> None:
    harness = ProtocolHarness()
    harness.update(audio={"input": {"turn_detection": None}})
    ten_mebibytes = bytes(10 * 1024 * 1024)
    assert harness.append(ten_mebibytes) == []
    (error,) = harness.append(ten_mebibytes)
    assert error["error"]["code"] == "input_audio_buffer_too_large"
    committed = harness.send("input_audio_buffer.commit")
    assert committed[0]["type"] == "input_audio_buffer.committed"
    assert harness.append(ten_mebibytes) == []


def test_a_turn_that_does_not_end_is_bounded() -> None:
    harness = scripted(Say("ok"))
    minute = b"\x00\x20" * (24 * 60_000)
    for _ in range(8):
        harness.append(minute)
        assert len(harness.protocol._input_audio._buffer._data) <= MAX_BUFFER_BYTES
    frames = harness.append(bytes(48_000))
    (stopped,) = (f for f in frames if f["type"] == "input_audio_buffer.speech_stopped")
    assert stopped["audio_end_ms"] == pytest.approx(480_000, abs=1000)
    (item,) = harness.protocol._state.conversation
    assert item.audio_ms == pytest.approx(MAX_BUFFER_BYTES / 48, abs=1000)
