"""Spoken turns of the local service: who begins them, what was heard, and who is idle."""

from __future__ import annotations

import math
from typing import Any

import pytest

from support.harness import (
    append_silence,
    append_speech,
    collapsed_types,
    joined_deltas,
    only,
    scripted,
)
from trio_realtime.local import Pause, Say, TranscriptionFailed
from trio_realtime.local.harness import ProtocolHarness, types_of
from trio_realtime.local.transcriber import ScriptedTranscriber

# -- speech --------------------------------------------------------------------------------------


def test_a_spoken_turn_has_the_recorded_order() -> None:
    bench = scripted(Say("ok"))
    append_silence(bench, 640)
    frames = append_speech(bench, 960) + append_silence(bench, 640)
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
    bench = scripted(Say("one"), Say("two"))
    utterance = b"\x00\x20" * (24 * 640) + bytes(48 * 640)
    kinds = types_of(bench.append(utterance * 2))
    assert kinds.count("input_audio_buffer.committed") == 2
    assert kinds.count("response.created") == 2
    assert kinds.count("response.done") == 1


def test_the_words_of_speech_are_answered_when_they_are_known() -> None:
    bench = ProtocolHarness(transcripts=["turn the light off"])
    bench.update(output_modalities=["text"])
    append_speech(bench, 640)
    append_silence(bench, 640)
    bench.run()
    append_speech(bench, 1024)
    append_silence(bench, 640)
    bench.run()
    said = [frame["text"] for frame in bench.of_type("response.output_text.done")]
    assert said == ["You said: turn the light off", "I heard 1.5 seconds of audio."]


def test_without_interrupting_a_second_turn_is_refused_its_response() -> None:
    bench = scripted(Say("long", audio_ms=9000), pacing=1.0)
    detection = {"type": "server_vad", "interrupt_response": False}
    bench.update(audio={"input": {"turn_detection": detection}})
    bench.send("response.create")
    bench.run(1.0)
    append_speech(bench, 640)
    frames = append_silence(bench, 640)
    assert frames[-1]["type"] == "error"
    assert frames[-1]["error"]["code"] == "conversation_already_has_active_response"
    assert frames[-1]["error"]["event_id"] is None
    assert types_of(frames)[-3:-1] == ["conversation.item.added", "conversation.item.done"]


def test_turn_detection_may_leave_answering_to_the_client() -> None:
    bench = ProtocolHarness()
    detection = {"type": "server_vad", "create_response": False}
    bench.update(audio={"input": {"turn_detection": detection}})
    append_speech(bench, 640)
    assert types_of(append_silence(bench, 640))[-1] == "conversation.item.done"


def test_push_to_talk_answers_only_when_asked() -> None:
    bench = ProtocolHarness()
    bench.update(audio={"input": {"turn_detection": None}})
    assert append_speech(bench, 2800) == []
    frames = bench.send("input_audio_buffer.commit")
    assert types_of(frames) == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert frames[0]["previous_item_id"] is None
    assert bench.run() == []
    frames = bench.respond(output_modalities=["text"])
    assert only(frames, "response.output_text.done")["text"] == "I heard 2.8 seconds of audio."


def test_a_commit_while_speaking_ends_the_turn_without_speech_stopped() -> None:
    bench = ProtocolHarness()
    started = append_speech(bench, 640)[0]
    frames = bench.send("input_audio_buffer.commit")
    assert frames[0]["type"] == "input_audio_buffer.committed"
    assert frames[0]["item_id"] == started["item_id"]
    assert append_silence(bench, 2000) == []


def test_clear_forgets_the_speech() -> None:
    bench = ProtocolHarness()
    append_speech(bench, 640)
    assert types_of(bench.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert append_silence(bench, 2000) == []
    assert types_of(bench.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]


# -- transcription -------------------------------------------------------------------------------


def transcribing(
    model: str, *transcripts: str | TranscriptionFailed, **settings: Any
) -> ProtocolHarness:
    bench = ProtocolHarness(ears=ScriptedTranscriber(transcripts), **settings)
    bench.update(audio={"input": {"transcription": {"model": model}}})
    return bench


DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"


def test_a_transcript_comes_in_pieces_and_then_whole() -> None:
    bench = transcribing("gpt-4o-transcribe", "Hello, my name is Marcelo.")
    append_speech(bench, 2300)
    item_id = append_silence(bench, 640)[0]["item_id"]
    frames = bench.run()
    assert joined_deltas(frames, DELTA) == "Hello, my name is Marcelo."
    completed = only(frames, COMPLETED)
    assert (completed["item_id"], completed["content_index"]) == (item_id, 0)
    usage = completed["usage"]
    assert usage["type"] == "tokens"
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    shown = bench.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert shown["content"][0]["transcript"] == "Hello, my name is Marcelo."


def test_whisper_transcribes_in_one_piece_and_bills_whole_seconds() -> None:
    bench = transcribing("whisper-1", "Hi there")
    append_speech(bench, 2304)
    append_silence(bench, 640)
    frames = bench.run()
    assert types_of(frames).count(DELTA) == 1
    assert only(frames, COMPLETED)["usage"] == {"type": "duration", "seconds": 3}


def test_a_streaming_model_transcribes_before_the_item_exists() -> None:
    bench = transcribing("gpt-realtime-whisper", "Hello there")
    item_id = append_speech(bench, 640)[0]["item_id"]
    early = bench.run(1.0)
    assert [frame["item_id"] for frame in early] == [item_id, item_id]
    append_silence(bench, 640)
    assert only(bench.run(), COMPLETED)["transcript"] == "Hello there"


def test_clearing_the_buffer_ends_a_streaming_transcription() -> None:
    bench = transcribing("gpt-realtime-whisper", "Hello there", pacing=1.0)
    append_speech(bench, 640)
    bench.run(0.01)
    bench.send("input_audio_buffer.clear")
    assert bench.run(10.0) == []
    assert not bench.service._listening._hearings


def test_audio_that_nobody_understood_is_described() -> None:
    bench = transcribing("gpt-4o-transcribe")
    append_speech(bench, 2560)
    append_silence(bench, 640)
    assert only(bench.run(), COMPLETED)["transcript"] == "(2.8 seconds of audio)"


def test_transcription_may_fail_and_the_turn_goes_on() -> None:
    bench = transcribing("gpt-4o-transcribe", TranscriptionFailed("unclear", "Mumbling."))
    append_speech(bench, 640)
    append_silence(bench, 640)
    frames = bench.run()
    assert only(frames, FAILED)["error"]["code"] == "unclear"
    assert only(frames, "response.done")["response"]["status"] == "completed"
    assert not bench.of_type(COMPLETED)


def test_without_a_model_nothing_is_transcribed() -> None:
    bench = ProtocolHarness(ears=ScriptedTranscriber(["Hello"]))
    append_speech(bench, 640)
    append_silence(bench, 640)
    assert not [frame for frame in bench.run() if "transcription" in frame["type"]]


def test_a_deleted_item_is_no_longer_transcribed() -> None:
    bench = transcribing("gpt-4o-transcribe", "one two three", pacing=1.0)
    append_speech(bench, 640)
    item_id = append_silence(bench, 640)[0]["item_id"]
    bench.send("conversation.item.delete", item_id=item_id)
    assert not [frame for frame in bench.run(10.0) if frame["type"] in (DELTA, COMPLETED)]


# -- idle users ----------------------------------------------------------------------------------


def test_an_idle_user_is_asked_after_the_recorded_order() -> None:
    bench = scripted(Say("Hello", audio_ms=800), Say("Still there?"))
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    bench.update(audio={"input": {"turn_detection": detection}})
    append_silence(bench, 672)
    bench.respond()
    bench.run(0.8)
    append_silence(bench, 5120)
    assert bench.run(4.9) == []
    frames = bench.run(0.2)
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


def test_a_transcribed_idle_item_says_nothing_and_costs_nothing() -> None:
    bench = transcribing("gpt-realtime-whisper", "not for this")
    bench.update(
        audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}}
    )
    bench.respond()
    bench.run_until("input_audio_buffer.timeout_triggered")
    completed = only(bench.run(), COMPLETED)
    assert completed["transcript"] == ""
    assert completed["usage"] == {"type": "duration", "seconds": 0}


@pytest.mark.parametrize("disturbance", ["speech", "response"])
def test_a_user_who_is_not_idle_is_not_asked(disturbance: str) -> None:
    bench = scripted(Say("Hello"), [Pause(math.inf)])
    detection = {"type": "server_vad", "idle_timeout_ms": 5000, "create_response": False}
    bench.update(audio={"input": {"turn_detection": detection}})
    bench.respond()
    bench.run(4.0)
    if disturbance == "speech":
        append_speech(bench, 640)
    else:
        bench.send("response.create")
    bench.run(30.0)
    assert not bench.of_type("input_audio_buffer.timeout_triggered")
