"""Transcription of user items."""

from __future__ import annotations

from typing import Any

from support.harness import append_silence, append_speech, joined_deltas, only
from trio_realtime.local import TranscriptionFailed
from trio_realtime.local.harness import ProtocolHarness, types_of
from trio_realtime.local.transcriber import ScriptedTranscriber


def harness_with_transcripts(
    model: str, *transcripts: str | TranscriptionFailed, **settings: Any
) -> ProtocolHarness:
    harness = ProtocolHarness(transcriber=ScriptedTranscriber(transcripts), **settings)
    harness.update(audio={"input": {"transcription": {"model": model}}})
    return harness


DELTA = "conversation.item.input_audio_transcription.delta"


COMPLETED = "conversation.item.input_audio_transcription.completed"


def test_deltas_precede_the_complete_transcript() -> None:
    harness = harness_with_transcripts("gpt-transcribe", "Hello, my name is Marcelo.")
    append_speech(harness, 2300)
    item_id = append_silence(harness, 640)[0]["item_id"]
    frames = harness.run()
    assert joined_deltas(frames, DELTA) == "Hello, my name is Marcelo."
    completed = only(frames, COMPLETED)
    assert (completed["item_id"], completed["content_index"]) == (item_id, 0)
    usage = completed["usage"]
    assert usage["type"] == "tokens"
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    shown = harness.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert shown["content"][0]["transcript"] == "Hello, my name is Marcelo."


def test_whisper_sends_one_delta_and_bills_whole_seconds() -> None:
    harness = harness_with_transcripts("whisper-1", "Hi there")
    append_speech(harness, 2304)
    append_silence(harness, 640)
    frames = harness.run()
    assert types_of(frames).count(DELTA) == 1
    assert only(frames, COMPLETED)["usage"] == {"type": "duration", "seconds": 3}


def test_a_streaming_model_transcribes_before_the_item_exists() -> None:
    harness = harness_with_transcripts("gpt-realtime-whisper", "Hello there")
    item_id = append_speech(harness, 640)[0]["item_id"]
    early = harness.run(1.0)
    assert [frame["item_id"] for frame in early] == [item_id, item_id]
    append_silence(harness, 640)
    assert only(harness.run(), COMPLETED)["transcript"] == "Hello there"


def test_clearing_the_buffer_ends_a_streaming_transcription() -> None:
    harness = harness_with_transcripts("gpt-realtime-whisper", "Hello there", pacing=1.0)
    append_speech(harness, 640)
    harness.run(0.01)
    harness.send("input_audio_buffer.clear")
    assert harness.run(10.0) == []
    assert not harness.protocol._input_audio._transcriptions


def test_audio_without_a_transcript_is_described() -> None:
    harness = harness_with_transcripts("gpt-transcribe")
    append_speech(harness, 2560)
    append_silence(harness, 640)
    assert only(harness.run(), COMPLETED)["transcript"] == "(3.1 seconds of audio)"


FAILED = "conversation.item.input_audio_transcription.failed"


def test_the_turn_continues_after_a_failed_transcription() -> None:
    harness = harness_with_transcripts(
        "gpt-transcribe", TranscriptionFailed("unclear", "Mumbling.")
    )
    append_speech(harness, 640)
    append_silence(harness, 640)
    frames = harness.run()
    assert only(frames, FAILED)["error"]["code"] == "unclear"
    assert only(frames, "response.done")["response"]["status"] == "completed"
    assert not harness.of_type(COMPLETED)


def test_without_a_transcription_model_there_are_no_transcription_events() -> None:
    harness = ProtocolHarness(transcriber=ScriptedTranscriber(["Hello"]))
    append_speech(harness, 640)
    append_silence(harness, 640)
    assert not [frame for frame in harness.run() if "transcription" in frame["type"]]


def test_a_deleted_item_is_no_longer_transcribed() -> None:
    harness = harness_with_transcripts("gpt-transcribe", "one two three", pacing=1.0)
    append_speech(harness, 640)
    item_id = append_silence(harness, 640)[0]["item_id"]
    harness.send("conversation.item.delete", item_id=item_id)
    assert not [frame for frame in harness.run(10.0) if frame["type"] in (DELTA, COMPLETED)]
