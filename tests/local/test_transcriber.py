"""Transcribers: the audio that they receive, and what becomes of their transcripts."""

from __future__ import annotations

from typing import Any

import pytest

from support.harness import (
    append_silence,
    append_speech,
    collapsed_types,
    joined_deltas,
    only,
    rejected,
)
from trio_realtime.local import ScriptedTranscriber, TranscriptionFailed, UserAudio
from trio_realtime.local.audio import AudioFormat, encode
from trio_realtime.local.harness import ProtocolHarness, types_of
from trio_realtime.local.transcriber import TranscriptionResult

COMPLETED = "conversation.item.input_audio_transcription.completed"
DELTA = "conversation.item.input_audio_transcription.delta"
FAILED = "conversation.item.input_audio_transcription.failed"
SPEECH = b"\x00\x20" * 24 * 640
SILENCE = bytes(48 * 640)


def never_called(audio: UserAudio) -> TranscriptionResult:
    raise AssertionError("the protocol calls no function of the user")


def harness_with_model(model: str | None, **settings: Any) -> ProtocolHarness:
    harness = ProtocolHarness(transcriber=never_called, **settings)
    harness.update(output_modalities=["text"])
    if model is not None:
        harness.update(audio={"input": {"transcription": {"model": model}}})
    return harness


def push_to_talk(harness: ProtocolHarness) -> str:
    """Commit audio without turn detection. Return the id of its item."""
    harness.update(audio={"input": {"turn_detection": None}})
    harness.append(SPEECH)
    return str(harness.send("input_audio_buffer.commit")[0]["item_id"])


def answer(harness: ProtocolHarness) -> str:
    return str(only(harness.run(), "response.output_text.done")["text"])


# -- scripts -------------------------------------------------------------------------------------


def test_a_script_returns_its_entries_in_order_and_then_none() -> None:
    failure = TranscriptionFailed()
    transcriber = ScriptedTranscriber(["one", failure])
    audio = UserAudio(b"", "audio/pcm", 24_000)
    assert [transcriber(audio) for _ in range(3)] == ["one", failure, None]


def test_a_script_is_read_without_a_request() -> None:
    harness = ProtocolHarness(transcriber=ScriptedTranscriber(["Hello"]))
    push_to_talk(harness)
    assert harness.requests == []


# -- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [None, "gpt-transcribe", "gpt-live-transcribe"])
def test_a_request_has_the_audio_of_the_item(model: str | None) -> None:
    harness = harness_with_model(model)
    append_silence(harness, 640)
    append_speech(harness, 640)
    append_silence(harness, 640)
    (request,) = harness.requests
    committed = only(harness.frames, "input_audio_buffer.committed")
    item = harness.protocol._state.conversation.find(committed["item_id"])
    assert item is not None
    assert request.item_id == item.id
    assert request.audio == UserAudio(bytes(item.audio[0]), "audio/pcm", 24_000)
    assert SPEECH in request.audio.data


@pytest.mark.parametrize(
    ("audio_format", "rate"),
    [
        ({"type": "audio/pcmu"}, 8000),
        ({"type": "audio/pcma"}, 8000),
        ({"type": "audio/pcm", "rate": 16000}, 16000),
    ],
)
def test_the_audio_is_in_the_input_format_of_the_session(
    audio_format: dict[str, Any], rate: int
) -> None:
    harness = harness_with_model(None)
    harness.update(audio={"input": {"format": audio_format, "turn_detection": None}})
    audio = encode(SPEECH, AudioFormat.from_json(audio_format))
    harness.append(audio)
    harness.send("input_audio_buffer.commit")
    assert harness.requests[0].audio == UserAudio(audio, audio_format["type"], rate)


def test_the_audio_does_not_appear_in_the_repr() -> None:
    assert repr(UserAudio(b"secret", "audio/pcm", 24_000)) == (
        "UserAudio(data=<6 bytes>, format='audio/pcm', sample_rate=24000)"
    )


def test_the_audio_of_an_idle_user_is_not_transcribed() -> None:
    harness = harness_with_model("gpt-realtime-whisper")
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    harness.update(audio={"input": {"turn_detection": detection}})
    harness.respond()
    harness.run_until("input_audio_buffer.timeout_triggered")
    assert only(harness.run(), COMPLETED)["transcript"] == ""
    assert harness.requests == []


def test_a_result_is_taken_once() -> None:
    harness = harness_with_model(None)
    item_id = push_to_talk(harness)
    harness.transcribe("Hello")
    with pytest.raises(LookupError):
        harness.protocol.transcribed(item_id, "again", harness.now)


# -- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe", "gpt-live-transcribe"])
def test_transcription_events_follow_the_result(model: str) -> None:
    harness = harness_with_model(model)
    item_id = push_to_talk(harness)
    assert harness.run(5.0) == []
    harness.transcribe("Hello there")
    frames = harness.run()
    assert collapsed_types(frames) == [DELTA, COMPLETED]
    assert joined_deltas(frames, DELTA) == "Hello there"
    item = harness.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert item["content"][0]["transcript"] == "Hello there"


def test_a_result_can_be_a_failure() -> None:
    harness = harness_with_model("gpt-realtime-whisper")
    push_to_talk(harness)
    harness.transcribe(TranscriptionFailed("unclear", "Mumbling."))
    assert only(harness.run(), FAILED)["error"]["code"] == "unclear"
    assert not harness.of_type(COMPLETED)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("turn the light off", "You said: turn the light off"),
        (None, "I heard 0.6 seconds of audio."),
        (TranscriptionFailed(), "I heard 0.6 seconds of audio."),
    ],
)
@pytest.mark.parametrize("model", [None, "gpt-4o-transcribe", "gpt-live-transcribe"])
@pytest.mark.parametrize("when", ["before the result", "with the result", "after the events"])
def test_the_answer_does_not_depend_on_the_time_of_the_request(
    model: str | None, when: str, result: TranscriptionResult, text: str
) -> None:
    harness = harness_with_model(model)
    push_to_talk(harness)
    if when == "before the result":
        assert types_of(harness.send("response.create")) == ["response.created"]
        assert harness.run(5.0) == []
        harness.transcribe(result)
    else:
        harness.transcribe(result)
        harness.run(5.0 if when == "after the events" else 0.0)
        harness.send("response.create")
    assert answer(harness) == text


def test_a_spoken_turn_waits_for_its_transcript() -> None:
    harness = harness_with_model(None)
    append_speech(harness, 640)
    assert types_of(append_silence(harness, 640))[-1] == "response.created"
    assert harness.run(5.0) == []
    harness.transcribe("Hello")
    assert answer(harness) == "You said: Hello"


def test_a_response_waits_for_all_audio_in_its_context() -> None:
    harness = harness_with_model(None)
    push_to_talk(harness)
    push_to_talk(harness)
    harness.send("response.create")
    push_to_talk(harness)  # not in the context of the response
    harness.requests.reverse()
    harness.requests.append(harness.requests.pop(0))
    harness.transcribe("second")
    assert harness.run() == []
    harness.transcribe("first")
    assert answer(harness) == "You said: second"


def test_a_response_without_the_audio_in_its_context_does_not_wait() -> None:
    harness = harness_with_model(None)
    push_to_talk(harness)
    message = {"type": "message", "role": "user"}
    text = {**message, "content": [{"type": "input_text", "text": "Hello"}]}
    frames = harness.respond(conversation="none", input=[text])
    assert only(frames, "response.output_text.done")["text"] == "You said: Hello"


def test_an_out_of_band_response_waits_for_a_referenced_item() -> None:
    harness = harness_with_model(None)
    reference = {"type": "item_reference", "id": push_to_talk(harness)}
    harness.respond(conversation="none", input=[reference])
    assert not harness.of_type("response.done")
    harness.transcribe("Hello")
    assert answer(harness) == "You said: Hello"


def test_settings_of_a_waiting_response_do_not_change() -> None:
    harness = harness_with_model(None)
    push_to_talk(harness)
    harness.send("response.create")
    harness.update(output_modalities=["audio"], tools=[{"type": "function", "name": "hello"}])
    harness.transcribe("Hello")
    assert answer(harness) == "You said: Hello"


def test_a_waiting_response_is_active_and_can_be_cancelled() -> None:
    harness = harness_with_model(None)
    push_to_talk(harness)
    harness.send("response.create")
    error = rejected(harness, "response.create")
    assert error["code"] == "conversation_already_has_active_response"
    (done,) = harness.send("response.cancel")
    assert done["response"]["status"] == "cancelled"
    assert harness.transcribe("Hello") + harness.run() == []
    harness.send("response.create")
    assert answer(harness) == "You said: Hello"


def test_a_waiting_response_starts_when_the_audio_is_deleted_and_transcribed() -> None:
    harness = harness_with_model("gpt-4o-transcribe")
    item_id = push_to_talk(harness)
    harness.send("response.create")
    harness.send("conversation.item.delete", item_id=item_id)
    harness.transcribe("Hello")
    frames = harness.run()
    assert only(frames, "response.output_text.done")["text"] == "You said: Hello"
    assert not [frame for frame in frames if frame["type"] in (DELTA, COMPLETED)]


def test_a_result_after_the_close_is_ignored() -> None:
    harness = harness_with_model(None, session_seconds=10.0)
    push_to_talk(harness)
    harness.run(11.0)
    assert harness.closed is not None
    assert harness.transcribe("Hello") == []
