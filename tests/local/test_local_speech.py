"""Spoken turns of the local service: who begins them, what was heard, and who is idle."""

from __future__ import annotations

import math
from typing import Any

import pytest

from support.harness import be_silent, joined, scripted, speak, squeezed, the
from trio_realtime.local import Pause, Say, TranscriptionFailed
from trio_realtime.local.harness import ProtocolHarness, types_of
from trio_realtime.local.transcriber import ScriptedTranscriber

# -- speech --------------------------------------------------------------------------------------


def test_a_spoken_turn_has_the_recorded_order() -> None:
    harness = scripted(Say("ok"))
    be_silent(harness, 640)
    frames = speak(harness, 960) + be_silent(harness, 640)
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


def test_the_words_of_speech_are_answered_when_they_are_known() -> None:
    harness = ProtocolHarness(transcripts=["turn the light off"])
    harness.update(output_modalities=["text"])
    speak(harness, 640)
    be_silent(harness, 640)
    harness.run()
    speak(harness, 1024)
    be_silent(harness, 640)
    harness.run()
    said = [frame["text"] for frame in harness.of_type("response.output_text.done")]
    assert said == ["You said: turn the light off", "I heard 1.5 seconds of audio."]


def test_without_interrupting_a_second_turn_is_refused_its_response() -> None:
    harness = scripted(Say("long", audio_ms=9000), pacing=1.0)
    detection = {"type": "server_vad", "interrupt_response": False}
    harness.update(audio={"input": {"turn_detection": detection}})
    harness.send("response.create")
    harness.run(1.0)
    speak(harness, 640)
    frames = be_silent(harness, 640)
    assert frames[-1]["type"] == "error"
    assert frames[-1]["error"]["code"] == "conversation_already_has_active_response"
    assert frames[-1]["error"]["event_id"] is None
    assert types_of(frames)[-3:-1] == ["conversation.item.added", "conversation.item.done"]


def test_turn_detection_may_leave_answering_to_the_client() -> None:
    harness = ProtocolHarness()
    detection = {"type": "server_vad", "create_response": False}
    harness.update(audio={"input": {"turn_detection": detection}})
    speak(harness, 640)
    assert types_of(be_silent(harness, 640))[-1] == "conversation.item.done"


def test_push_to_talk_answers_only_when_asked() -> None:
    harness = ProtocolHarness()
    harness.update(audio={"input": {"turn_detection": None}})
    assert speak(harness, 2800) == []
    frames = harness.send("input_audio_buffer.commit")
    assert types_of(frames) == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert frames[0]["previous_item_id"] is None
    assert harness.run() == []
    frames = harness.respond(output_modalities=["text"])
    assert the(frames, "response.output_text.done")["text"] == "I heard 2.8 seconds of audio."


def test_a_commit_while_speaking_ends_the_turn_without_speech_stopped() -> None:
    harness = ProtocolHarness()
    started = speak(harness, 640)[0]
    frames = harness.send("input_audio_buffer.commit")
    assert frames[0]["type"] == "input_audio_buffer.committed"
    assert frames[0]["item_id"] == started["item_id"]
    assert be_silent(harness, 2000) == []


def test_clear_forgets_the_speech() -> None:
    harness = ProtocolHarness()
    speak(harness, 640)
    assert types_of(harness.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert be_silent(harness, 2000) == []
    assert types_of(harness.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]


# -- transcription -------------------------------------------------------------------------------


def transcribing(
    model: str, *transcripts: str | TranscriptionFailed, **settings: Any
) -> ProtocolHarness:
    harness = ProtocolHarness(transcriber=ScriptedTranscriber(transcripts), **settings)
    harness.update(audio={"input": {"transcription": {"model": model}}})
    return harness


DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"


def test_a_transcript_comes_in_pieces_and_then_whole() -> None:
    harness = transcribing("gpt-4o-transcribe", "Hello, my name is Marcelo.")
    speak(harness, 2300)
    item_id = be_silent(harness, 640)[0]["item_id"]
    frames = harness.run()
    assert joined(frames, DELTA) == "Hello, my name is Marcelo."
    completed = the(frames, COMPLETED)
    assert (completed["item_id"], completed["content_index"]) == (item_id, 0)
    usage = completed["usage"]
    assert usage["type"] == "tokens"
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    shown = harness.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert shown["content"][0]["transcript"] == "Hello, my name is Marcelo."


def test_whisper_transcribes_in_one_piece_and_bills_whole_seconds() -> None:
    harness = transcribing("whisper-1", "Hi there")
    speak(harness, 2304)
    be_silent(harness, 640)
    frames = harness.run()
    assert types_of(frames).count(DELTA) == 1
    assert the(frames, COMPLETED)["usage"] == {"type": "duration", "seconds": 3}


def test_a_streaming_model_transcribes_before_the_item_exists() -> None:
    harness = transcribing("gpt-realtime-whisper", "Hello there")
    item_id = speak(harness, 640)[0]["item_id"]
    early = harness.run(1.0)
    assert [frame["item_id"] for frame in early] == [item_id, item_id]
    be_silent(harness, 640)
    assert the(harness.run(), COMPLETED)["transcript"] == "Hello there"


def test_clearing_the_buffer_ends_a_streaming_transcription() -> None:
    harness = transcribing("gpt-realtime-whisper", "Hello there", pacing=1.0)
    speak(harness, 640)
    harness.run(0.01)
    harness.send("input_audio_buffer.clear")
    assert harness.run(10.0) == []
    assert not harness.protocol._input_audio._transcriptions


def test_audio_that_nobody_understood_is_described() -> None:
    harness = transcribing("gpt-4o-transcribe")
    speak(harness, 2560)
    be_silent(harness, 640)
    assert the(harness.run(), COMPLETED)["transcript"] == "(2.8 seconds of audio)"


def test_transcription_may_fail_and_the_turn_goes_on() -> None:
    harness = transcribing("gpt-4o-transcribe", TranscriptionFailed("unclear", "Mumbling."))
    speak(harness, 640)
    be_silent(harness, 640)
    frames = harness.run()
    assert the(frames, FAILED)["error"]["code"] == "unclear"
    assert the(frames, "response.done")["response"]["status"] == "completed"
    assert not harness.of_type(COMPLETED)


def test_without_a_model_nothing_is_transcribed() -> None:
    harness = ProtocolHarness(transcriber=ScriptedTranscriber(["Hello"]))
    speak(harness, 640)
    be_silent(harness, 640)
    assert not [frame for frame in harness.run() if "transcription" in frame["type"]]


def test_a_deleted_item_is_no_longer_transcribed() -> None:
    harness = transcribing("gpt-4o-transcribe", "one two three", pacing=1.0)
    speak(harness, 640)
    item_id = be_silent(harness, 640)[0]["item_id"]
    harness.send("conversation.item.delete", item_id=item_id)
    assert not [frame for frame in harness.run(10.0) if frame["type"] in (DELTA, COMPLETED)]


# -- idle users ----------------------------------------------------------------------------------


def test_an_idle_user_is_asked_after_the_recorded_order() -> None:
    harness = scripted(Say("Hello", audio_ms=800), Say("Still there?"))
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    harness.update(audio={"input": {"turn_detection": detection}})
    be_silent(harness, 672)
    harness.respond()
    harness.run(0.8)
    be_silent(harness, 5120)
    assert harness.run(4.9) == []
    frames = harness.run(0.2)
    assert squeezed(frames)[:7] == [
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
    harness = transcribing("gpt-realtime-whisper", "not for this")
    harness.update(
        audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}}
    )
    harness.respond()
    harness.run_until("input_audio_buffer.timeout_triggered")
    completed = the(harness.run(), COMPLETED)
    assert completed["transcript"] == ""
    assert completed["usage"] == {"type": "duration", "seconds": 0}


@pytest.mark.parametrize("disturbance", ["speech", "response"])
def test_a_user_who_is_not_idle_is_not_asked(disturbance: str) -> None:
    harness = scripted(Say("Hello"), [Pause(math.inf)])
    detection = {"type": "server_vad", "idle_timeout_ms": 5000, "create_response": False}
    harness.update(audio={"input": {"turn_detection": detection}})
    harness.respond()
    harness.run(4.0)
    if disturbance == "speech":
        speak(harness, 640)
    else:
        harness.send("response.create")
    harness.run(30.0)
    assert not harness.of_type("input_audio_buffer.timeout_triggered")
