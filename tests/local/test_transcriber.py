"""Transcribers: the audio that they receive, and what becomes of their transcripts."""

from __future__ import annotations

import attrs
import pytest

from support.harness import append_silence, append_speech, only
from trio_realtime.local import ScriptedTranscriber, TranscriptionFailed
from trio_realtime.local.audio import FORMATS, encode
from trio_realtime.local.harness import ProtocolHarness
from trio_realtime.local.transcriber import TranscriptionResult

COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"
SPEECH = b"\x00\x20" * 24 * 640
SILENCE = bytes(48 * 640)


@attrs.define
class RecordingTranscriber:
    """A transcriber that records its calls, and knows transcripts of complete audio only."""

    result: TranscriptionResult = "Hello"
    calls: list[tuple[bytes, str, bool]] = attrs.field(factory=list[tuple[bytes, str, bool]])

    def transcribe(
        self, audio: bytes, *, audio_format: str, is_complete: bool
    ) -> TranscriptionResult:
        self.calls.append((audio, audio_format, is_complete))
        return self.result if is_complete else None


def harness_with_model(transcriber: RecordingTranscriber, model: str | None) -> ProtocolHarness:
    harness = ProtocolHarness(transcriber=transcriber)
    if model is not None:
        harness.update(audio={"input": {"transcription": {"model": model}}})
    return harness


def test_a_script_returns_its_entries_in_order_and_then_none() -> None:
    failure = TranscriptionFailed()
    transcriber = ScriptedTranscriber(["one", failure])
    results = [
        transcriber.transcribe(b"", audio_format="audio/pcm", is_complete=True) for _ in range(3)
    ]
    assert results == ["one", failure, None]


@pytest.mark.parametrize("model", [None, "gpt-transcribe"])
def test_a_transcriber_receives_the_audio_of_the_item(model: str | None) -> None:
    transcriber = RecordingTranscriber()
    harness = harness_with_model(transcriber, model)
    append_silence(harness, 640)
    append_speech(harness, 640)
    append_silence(harness, 640)
    ((audio, audio_format, is_complete),) = transcriber.calls
    assert (audio_format, is_complete) == ("audio/pcm", True)
    committed = only(harness.frames, "input_audio_buffer.committed")
    item = harness.protocol._state.conversation.find(committed["item_id"])
    assert item is not None
    assert audio == bytes(item.audio[0])
    assert SPEECH in audio


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_the_audio_is_in_the_input_format_of_the_session(name: str) -> None:
    transcriber = RecordingTranscriber()
    harness = ProtocolHarness(transcriber=transcriber)
    harness.update(audio={"input": {"format": {"type": name}, "turn_detection": None}})
    audio = encode(SPEECH, FORMATS[name])
    harness.append(audio)
    harness.send("input_audio_buffer.commit")
    assert transcriber.calls == [(audio, name, True)]


def test_a_streaming_model_asks_for_a_transcript_early_and_again_after_the_commit() -> None:
    transcriber = RecordingTranscriber()
    harness = harness_with_model(transcriber, "gpt-realtime-whisper")
    append_speech(harness, 640)
    harness.run(1.0)
    ((early, _, is_complete),) = transcriber.calls
    assert not is_complete
    assert early
    append_silence(harness, 640)
    complete, _, is_complete = transcriber.calls[1]
    assert is_complete
    assert complete.startswith(early)
    assert only(harness.run(), COMPLETED)["transcript"] == "Hello"
    assert len(transcriber.calls) == 2


def test_a_streaming_transcription_can_fail_after_the_commit() -> None:
    transcriber = RecordingTranscriber(TranscriptionFailed("unclear", "Mumbling."))
    harness = harness_with_model(transcriber, "gpt-realtime-whisper")
    harness.append(SPEECH + SILENCE)
    assert only(harness.run(), FAILED)["error"]["code"] == "unclear"
    assert not harness.of_type(COMPLETED)


def test_the_audio_of_an_idle_user_is_not_transcribed() -> None:
    transcriber = RecordingTranscriber()
    harness = harness_with_model(transcriber, "gpt-realtime-whisper")
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    harness.update(audio={"input": {"turn_detection": detection}})
    harness.respond()
    harness.run_until("input_audio_buffer.timeout_triggered")
    assert only(harness.run(), COMPLETED)["transcript"] == ""
    assert transcriber.calls == []
