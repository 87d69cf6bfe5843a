"""Responses: their events, order and content, and how they end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pybase64
import pytest

from support.harness import (
    AUDIO_END,
    CALL,
    append_speech,
    collapsed_types,
    joined_deltas,
    only,
    scripted,
)
from trio_realtime.local import (
    Call,
    ConnectionRequest,
    Fail,
    Incomplete,
    Pause,
    Say,
    ScriptedResponder,
    Speech,
    Step,
)
from trio_realtime.local.harness import LOCAL_REQUEST, ProtocolHarness, types_of
from trio_realtime.local.responses import MAX_OUTPUT_CHARACTERS

# -- text ----------------------------------------------------------------------------------------


TEXT_TURN = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]


def test_a_text_response_has_the_order_of_the_live_service() -> None:
    harness = ProtocolHarness()
    harness.update(output_modalities=["text"])
    added = harness.say("hello there")
    assert types_of(harness.frames[-2:]) == ["conversation.item.added", "conversation.item.done"]
    assert added["status"] == "completed"
    frames = harness.respond()
    assert collapsed_types(frames) == TEXT_TURN
    assert joined_deltas(frames, "response.output_text.delta") == "You said: hello there"


def test_all_events_of_a_text_response_have_the_same_text() -> None:
    harness = scripted(Say("Yes, it's 12 degrees."))
    harness.say("cold?")
    frames = harness.respond(output_modalities=["text"])
    text = "Yes, it's 12 degrees."
    content = [{"type": "output_text", "text": text}]
    assert only(frames, "response.output_text.done")["text"] == text
    assert only(frames, "response.content_part.done")["part"] == {"type": "text", "text": text}
    assert only(frames, "response.output_item.done")["item"]["content"] == content
    done = only(frames, "response.done")["response"]
    assert done["output"][0]["content"] == content
    assert done["status"] == "completed"
    assert done["status_details"] is None


def test_short_deltas_are_padded_to_sixteen_characters() -> None:
    frames = scripted(Say("one two three")).respond(output_modalities=["text"])
    deltas = [frame for frame in frames if frame["type"] == "response.output_text.delta"]
    assert {len(frame["delta"]) + len(frame["obfuscation"]) for frame in deltas} == {16}


def test_done_of_the_second_item_names_no_predecessor() -> None:
    harness = ProtocolHarness()
    user = harness.say("hi")
    frames = harness.respond(output_modalities=["text"])
    assert only(frames, "conversation.item.added")["previous_item_id"] == user["id"]
    assert only(frames, "conversation.item.done")["previous_item_id"] is None
    second = harness.say("and")
    frames = harness.respond(output_modalities=["text"])
    assert only(frames, "conversation.item.done")["previous_item_id"] == second["id"]


def test_created_has_the_keys_of_the_live_service_in_order() -> None:
    harness = ProtocolHarness()
    created = only(harness.respond(metadata={"a": "b"}), "response.created")["response"]
    assert list(created) == [
        *("object", "id", "status", "status_details", "output", "conversation_id"),
        *("output_modalities", "max_output_tokens", "audio", "usage", "metadata"),
    ]
    assert created["status"] == "in_progress"
    assert created["usage"] is None
    assert created["metadata"] == {"a": "b"}
    assert created["conversation_id"].startswith("conv_")


# -- audio ---------------------------------------------------------------------------------------


def test_an_audio_response_has_the_order_of_the_live_service() -> None:
    harness = scripted(Say("Hello Marcelo, it is great to meet you today."))
    harness.say("hi")
    frames = harness.respond()
    kinds = collapsed_types(frames)
    assert kinds[:4] == TEXT_TURN[:4]
    assert kinds[-7:] == [*AUDIO_END, "rate_limits.updated"]
    assert set(kinds[4:-7]) == {
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
    }


def test_the_transcript_runs_ahead_of_the_audio_and_both_are_complete() -> None:
    text = "Hello Marcelo, it is great to meet you today."
    frames = scripted(Say(text)).respond()
    kinds = types_of(frames)
    assert kinds.index("response.output_audio_transcript.delta") < kinds.index(
        "response.output_audio.delta"
    )
    assert joined_deltas(frames, "response.output_audio_transcript.delta") == text
    audio = b"".join(
        pybase64.b64decode(frame["delta"])
        for frame in frames
        if frame["type"] == "response.output_audio.delta"
    )
    assert len(audio) == len(text) * 60 * 48
    done = only(frames, "response.output_item.done")["item"]
    assert done["content"] == [{"type": "output_audio", "transcript": text}]


def test_audio_deltas_are_small() -> None:
    frames = scripted(Say("word " * 30)).respond()
    sizes = {len(f["delta"]) for f in frames if f["type"] == "response.output_audio.delta"}
    assert max(sizes) == 6400


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_g711_audio_is_a_sixth_of_the_bytes(name: str) -> None:
    harness = scripted(Say("hello", audio_ms=600))
    frames = harness.respond(audio={"output": {"format": {"type": name}}})
    audio = [f["delta"] for f in frames if f["type"] == "response.output_audio.delta"]
    assert sum(len(pybase64.b64decode(delta)) for delta in audio) == 600 * 8
    created = only(frames, "response.created")["response"]
    assert created["audio"]["output"]["format"] == {"type": name}


def test_pacing_spreads_the_audio_over_time() -> None:
    harness = scripted(Say("slow", audio_ms=2000), pacing=2.0)
    harness.send("response.create")
    harness.run_until("response.done")
    assert harness.now == pytest.approx(1.0)


def test_speed_shortens_the_speech() -> None:
    harness = scripted(Say("a" * 50))
    harness.update(audio={"output": {"speed": 1.5}})
    harness.respond()
    total = sum(
        len(pybase64.b64decode(f["delta"])) for f in harness.of_type("response.output_audio.delta")
    )
    assert total / 48 == pytest.approx(2000, abs=20)


def test_latency_delays_the_first_item() -> None:
    harness = scripted(Say("x"), latency=0.3)
    harness.send("response.create")
    assert harness.run(0.2) == []
    assert collapsed_types(harness.run(0.2))[0] == "response.output_item.added"


# -- function calls ------------------------------------------------------------------------------


WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def test_a_function_call_has_the_order_of_the_live_service() -> None:
    harness = ProtocolHarness()
    harness.update(tools=[WEATHER])
    harness.say("What's the weather in Oslo?")
    frames = harness.respond()
    assert collapsed_types(frames) == [
        "response.created",
        *CALL,
        "response.done",
        "rate_limits.updated",
    ]
    done = only(frames, "response.function_call_arguments.done")
    assert (done["name"], done["arguments"]) == ("get_weather", '{"city":"Oslo"}')
    assert joined_deltas(frames, "response.function_call_arguments.delta") == done["arguments"]
    assert only(frames, "conversation.item.added")["item"]["arguments"] == ""
    item = only(frames, "response.output_item.done")["item"]
    assert item["status"] == "completed"
    assert item["call_id"] == done["call_id"]
    assert len(done["call_id"]) == len("call_") + 16


def test_the_output_of_a_call_is_echoed_without_status_and_read_out() -> None:
    harness = ProtocolHarness()
    harness.update(tools=[WEATHER], output_modalities=["text"])
    harness.say("What's the weather in Oslo?")
    call_id = only(harness.respond(), "response.function_call_arguments.done")["call_id"]
    item = {"type": "function_call_output", "call_id": call_id, "output": "Sunny"}
    added = harness.send("conversation.item.create", item=item)[0]["item"]
    assert added == {"id": added["id"], **item}
    assert joined_deltas(harness.respond(), "response.output_text.delta") == "Sunny"


def test_several_calls_are_items_of_one_response() -> None:
    harness = scripted(
        [Call("a", {"x": 1}), Call("b", "not json", call_id="call_mine")], interleave=False
    )
    frames = harness.respond()
    assert collapsed_types(frames)[1:-2] == CALL * 2
    output = only(frames, "response.done")["response"]["output"]
    assert [(item["name"], item["arguments"]) for item in output] == [
        ("a", '{"x":1}'),
        ("b", "not json"),
    ]
    assert output[1]["call_id"] == "call_mine"
    added = [f for f in frames if f["type"] == "response.output_item.added"]
    assert [frame["output_index"] for frame in added] == [0, 1]


def test_a_reasoning_model_interleaves_message_and_call() -> None:
    harness = scripted(
        [Say("I'll check."), Call("get_weather", {"city": "London"})], interleave=True
    )
    frames = harness.respond(output_modalities=["text"])
    assert [(f["type"], f.get("output_index")) for f in frames if "delta" not in f][1:-2] == [
        ("response.output_item.added", 0),
        ("conversation.item.added", None),
        ("response.content_part.added", 0),
        ("response.output_item.added", 1),
        ("conversation.item.added", None),
        ("response.output_text.done", 0),
        ("response.content_part.done", 0),
        ("conversation.item.done", None),
        ("response.output_item.done", 0),
        ("response.function_call_arguments.done", 1),
        ("conversation.item.done", None),
        ("response.output_item.done", 1),
    ]


def test_only_reasoning_models_set_phases() -> None:
    steps: list[Step] = [Say("I'll check."), Call("look")]
    harness = ProtocolHarness(responder=ScriptedResponder([steps, Say("Fine.")]))
    first = only(harness.respond(), "response.done")["response"]["output"]
    second = only(harness.respond(), "response.done")["response"]["output"]
    assert (first[0]["phase"], second[0]["phase"]) == ("commentary", "final_answer")
    request = ConnectionRequest("/v1/realtime?model=gpt-realtime-1.5", LOCAL_REQUEST.headers)
    harness = ProtocolHarness(request, responder=ScriptedResponder([steps]))
    plain = only(harness.respond(), "response.done")["response"]["output"]
    assert "phase" not in plain[0]


# -- cancellation --------------------------------------------------------------------------------


def test_a_barge_in_has_the_order_of_the_live_service() -> None:
    harness = scripted(Say("A long story about a small thing", audio_ms=6000), pacing=1.0)
    harness.send("response.create")
    spoken = harness.run(2.0)
    frames = append_speech(harness, 64)
    assert types_of(frames) == ["input_audio_buffer.speech_started", *AUDIO_END]
    done = only(frames, "response.done")["response"]
    assert done["status"] == "cancelled"
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["output"][0]["status"] == "incomplete"
    assert done["usage"]["output_tokens"] > 0
    transcript = joined_deltas(spoken, "response.output_audio_transcript.delta")
    assert only(frames, "response.output_audio_transcript.done")["transcript"] == transcript
    assert harness.run(10.0) == []


def test_cancel_closes_in_the_same_order_and_nothing_follows() -> None:
    harness = scripted(Say("A long story", audio_ms=6000), pacing=1.0)
    harness.send("response.create")
    harness.run(2.0)
    frames = harness.send("response.cancel")
    assert types_of(frames) == AUDIO_END
    details = only(frames, "response.done")["response"]["status_details"]
    assert details == {"type": "cancelled", "reason": "client_cancelled"}
    assert harness.run(10.0) == []


def test_a_cancelled_text_ends_with_the_streamed_text() -> None:
    harness = scripted(Say("one two three four five"), pacing=1.0)
    harness.send("response.create", response={"output_modalities": ["text"]})
    written = joined_deltas(harness.run(0.15), "response.output_text.delta")
    frames = harness.send("response.cancel")
    assert types_of(frames)[0] == "response.output_text.done"
    assert frames[0]["text"] == written != ""


def test_a_cancelled_call_is_incomplete_with_its_partial_arguments() -> None:
    harness = scripted(Call("send_mail", {"to": "somebody", "text": "hello"}), pacing=1.0)
    harness.send("response.create")
    partial = joined_deltas(harness.run(0.3), "response.function_call_arguments.delta")
    frames = harness.send("response.cancel")
    assert types_of(frames) == [*CALL[3:], "response.done"]
    assert only(frames, "response.function_call_arguments.done")["arguments"] == partial != ""
    assert only(frames, "response.output_item.done")["item"]["status"] == "incomplete"


def test_a_response_cancelled_before_its_first_item_has_no_output() -> None:
    harness = scripted([Pause(math.inf), Say("never")])
    harness.send("response.create")
    harness.run(100.0)
    (done,) = harness.send("response.cancel")
    assert done["response"]["output"] == []


def test_pacing_does_not_change_a_pause() -> None:
    harness = scripted([Pause(2.5), Say("now")])
    harness.send("response.create")
    assert harness.run(2.4) == []
    assert types_of(harness.run(0.2))[-1] == "rate_limits.updated"


# -- failed and incomplete responses -------------------------------------------------------------


def test_a_failure_without_output_uses_no_tokens() -> None:
    harness = scripted(Fail("insufficient_quota", "No more."))
    harness.say("hi")
    frames = harness.respond()
    assert types_of(frames) == ["response.created", "response.done"]
    done = frames[1]["response"]
    assert done["status"] == "failed"
    assert done["status_details"] == {
        "type": "failed",
        "error": {"type": "server_error", "code": "insufficient_quota", "message": "No more."},
    }
    assert done["output"] == []
    assert done["usage"]["total_tokens"] == 0


def test_a_failure_closes_open_items() -> None:
    frames = scripted([Say("Well,"), Fail("oops")], interleave=True).respond()
    assert types_of(frames)[-6:] == AUDIO_END
    assert only(frames, "response.output_item.done")["item"]["status"] == "incomplete"


@pytest.mark.parametrize("modality", ["text", "audio"])
def test_the_token_limit_ends_a_response(modality: str) -> None:
    harness = scripted(Say("one two three four five six seven eight nine ten"))
    frames = harness.respond(max_output_tokens=6, output_modalities=[modality])
    done = only(frames, "response.done")["response"]
    assert done["status"] == "incomplete"
    assert done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert done["output"][0]["status"] == "incomplete"
    assert done["usage"]["output_tokens"] <= 6
    assert done["max_output_tokens"] == 6


def test_a_filtered_response_is_incomplete() -> None:
    done = scripted([Say("Oh"), Incomplete()]).respond()[-1]["response"]
    assert done["status_details"] == {"type": "incomplete", "reason": "content_filter"}


# -- memory --------------------------------------------------------------------------------------


class CountingSynthesizer:
    """Generates speech of one hour, and counts the pieces that were taken."""

    blocking = False

    def __init__(self) -> None:
        self.taken = 0

    def synthesize(self, text: str) -> Speech:
        return Speech(self._pieces(), 3_600_000)

    def _pieces(self) -> Iterator[bytes]:
        for _ in range(36_000):
            self.taken += 1
            yield bytes(4800)


@pytest.mark.parametrize("audio_ms", [None, 3_600_000])
def test_audio_is_generated_as_it_is_paced(audio_ms: float | None) -> None:
    synthesizer = CountingSynthesizer()
    script = ScriptedResponder([Say("a long story", audio_ms=audio_ms)])
    harness = ProtocolHarness(responder=script, synthesizer=synthesizer, pacing=1.0)
    harness.send("response.create")
    harness.run(10.0)
    assert 100 <= synthesizer.taken <= 102
    harness.send("response.cancel")
    harness.run(10.0)
    assert synthesizer.taken <= 102


def test_the_audio_of_out_of_band_responses_is_not_stored() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("x", audio_ms=60_000)]))
    harness.send("response.create", response={"conversation": "none"})
    (response,) = harness.protocol._scheduler.running
    harness.run()
    assert response.audio_ms == 60_000
    assert sum(item.audio_bytes for item in response._items) == 0


@pytest.mark.parametrize("modality", ["text", "audio"])
def test_a_message_that_is_too_long_is_incomplete(modality: str) -> None:
    script = [[Say("word " * 60_000, audio_ms=1000), Say("never said")]]
    harness = ProtocolHarness(responder=ScriptedResponder(script))
    done = harness.respond(output_modalities=[modality])[-1]["response"]
    assert done["status_details"]["reason"] == "max_output_tokens"
    (item,) = done["output"]
    (part,) = item["content"]
    assert len(part.get("text") or part["transcript"]) == MAX_OUTPUT_CHARACTERS


@pytest.mark.parametrize("arguments", ["x" * 300_000, {"text": "x" * 300_000}])
def test_a_call_whose_arguments_are_too_long_is_incomplete(arguments: Any) -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([[Call("a", arguments), Say("no")]]))
    done = harness.respond()[-1]["response"]
    assert done["status"] == "incomplete"
    (item,) = done["output"]
    assert len(item["arguments"]) == MAX_OUTPUT_CHARACTERS
