"""Turns of the local service: which events come, in which order, with which content."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

import pybase64
import pytest

from trio_realtime.local import (
    Call,
    Fail,
    Frame,
    HearingFailed,
    Incomplete,
    Pause,
    Say,
    ScriptedBrain,
    Step,
)
from trio_realtime.local.bench import Bench, types_of
from trio_realtime.local.ears import ScriptedEars

Frames = list[dict[str, Any]]

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
CALL = [
    "response.output_item.added",
    "conversation.item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "conversation.item.done",
    "response.output_item.done",
]
AUDIO_END = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def squeezed(frames: Frames) -> list[str]:
    """Types, each run of the same type once."""
    return [kind for kind, _ in groupby(types_of(frames))]


def the(frames: Frames, kind: str) -> dict[str, Any]:
    (frame,) = [frame for frame in frames if frame["type"] == kind]
    return frame


def joined(frames: Frames, kind: str) -> str:
    return "".join(frame["delta"] for frame in frames if frame["type"] == kind)


def scripted(*answers: Any, **settings: Any) -> Bench:
    return Bench(brain=ScriptedBrain(answers), **settings)


def speak(bench: Bench, milliseconds: int) -> Frames:
    return bench.append(b"\x00\x20" * (24 * milliseconds))


def be_silent(bench: Bench, milliseconds: int) -> Frames:
    return bench.append(bytes(48 * milliseconds))


# -- text ----------------------------------------------------------------------------------------


def test_a_text_turn_has_the_recorded_order() -> None:
    bench = Bench()
    bench.update(output_modalities=["text"])
    added = bench.say("hello there")
    assert types_of(bench.frames[-2:]) == ["conversation.item.added", "conversation.item.done"]
    assert added["status"] == "completed"
    frames = bench.respond()
    assert squeezed(frames) == TEXT_TURN
    assert joined(frames, "response.output_text.delta") == "You said: hello there"


def test_a_text_answer_is_the_same_in_all_its_places() -> None:
    bench = scripted(Say("Yes, it's 12 degrees."))
    bench.say("cold?")
    frames = bench.respond(output_modalities=["text"])
    text = "Yes, it's 12 degrees."
    content = [{"type": "output_text", "text": text}]
    assert the(frames, "response.output_text.done")["text"] == text
    assert the(frames, "response.content_part.done")["part"] == {"type": "text", "text": text}
    assert the(frames, "response.output_item.done")["item"]["content"] == content
    done = the(frames, "response.done")["response"]
    assert done["output"][0]["content"] == content
    assert done["status"] == "completed"
    assert done["status_details"] is None


def test_short_deltas_are_padded_to_sixteen_characters() -> None:
    frames = scripted(Say("one two three")).respond(output_modalities=["text"])
    deltas = [frame for frame in frames if frame["type"] == "response.output_text.delta"]
    assert {len(frame["delta"]) + len(frame["obfuscation"]) for frame in deltas} == {16}


def test_done_of_an_item_after_the_first_one_names_no_predecessor() -> None:
    bench = Bench()
    user = bench.say("hi")
    frames = bench.respond(output_modalities=["text"])
    assert the(frames, "conversation.item.added")["previous_item_id"] == user["id"]
    assert the(frames, "conversation.item.done")["previous_item_id"] is None
    second = bench.say("and")
    frames = bench.respond(output_modalities=["text"])
    assert the(frames, "conversation.item.done")["previous_item_id"] == second["id"]


def test_created_has_all_keys_in_the_recorded_order() -> None:
    bench = Bench()
    created = the(bench.respond(metadata={"a": "b"}), "response.created")["response"]
    assert list(created) == [
        *("object", "id", "status", "status_details", "output", "conversation_id"),
        *("output_modalities", "max_output_tokens", "audio", "usage", "metadata"),
    ]
    assert created["status"] == "in_progress"
    assert created["usage"] is None
    assert created["metadata"] == {"a": "b"}
    assert created["conversation_id"].startswith("conv_")


# -- audio ---------------------------------------------------------------------------------------


def test_an_audio_answer_has_the_recorded_order() -> None:
    bench = scripted(Say("Hello Marcelo, it is great to meet you today."))
    bench.say("hi")
    frames = bench.respond()
    kinds = squeezed(frames)
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
    assert joined(frames, "response.output_audio_transcript.delta") == text
    audio = b"".join(
        pybase64.b64decode(frame["delta"])
        for frame in frames
        if frame["type"] == "response.output_audio.delta"
    )
    assert len(audio) == len(text) * 60 * 48
    done = the(frames, "response.output_item.done")["item"]
    assert done["content"] == [{"type": "output_audio", "transcript": text}]


def test_audio_deltas_are_small() -> None:
    frames = scripted(Say("word " * 30)).respond()
    sizes = {len(f["delta"]) for f in frames if f["type"] == "response.output_audio.delta"}
    assert max(sizes) == 6400


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_g711_audio_is_a_sixth_of_the_bytes(name: str) -> None:
    bench = scripted(Say("hello", audio_ms=600))
    frames = bench.respond(audio={"output": {"format": {"type": name}}})
    audio = [f["delta"] for f in frames if f["type"] == "response.output_audio.delta"]
    assert sum(len(pybase64.b64decode(delta)) for delta in audio) == 600 * 8
    created = the(frames, "response.created")["response"]
    assert created["audio"]["output"]["format"] == {"type": name}


def test_pacing_spreads_the_audio_over_time() -> None:
    bench = scripted(Say("slow", audio_ms=2000), pacing=2.0)
    bench.send("response.create")
    bench.run_until("response.done")
    assert bench.now == pytest.approx(1.0)


def test_speed_shortens_the_speech() -> None:
    bench = scripted(Say("a" * 50))
    bench.update(audio={"output": {"speed": 1.5}})
    bench.respond()
    total = sum(
        len(pybase64.b64decode(f["delta"])) for f in bench.of_type("response.output_audio.delta")
    )
    assert total / 48 == pytest.approx(2000, abs=20)


def test_draining_runs_to_quiescence_at_one_time() -> None:
    bench = scripted([Say("one"), Pause(1.0), Say("two")])
    bench.send("response.create")
    outputs = bench.service.drain(0.0)
    kinds = [output.type for output in outputs if isinstance(output, Frame)]
    assert kinds[-1] == "response.output_item.done"
    assert bench.service.drain(0.5) == []
    assert bench.service.drain(1.0)


def test_latency_holds_back_the_first_item() -> None:
    bench = scripted(Say("x"), latency=0.3)
    bench.send("response.create")
    assert bench.run(0.2) == []
    assert squeezed(bench.run(0.2))[0] == "response.output_item.added"


# -- function calls ------------------------------------------------------------------------------


def test_a_function_call_has_the_recorded_order() -> None:
    bench = Bench()
    bench.update(tools=[WEATHER])
    bench.say("What's the weather in Oslo?")
    frames = bench.respond()
    assert squeezed(frames) == [
        "response.created",
        *CALL,
        "response.done",
        "rate_limits.updated",
    ]
    done = the(frames, "response.function_call_arguments.done")
    assert (done["name"], done["arguments"]) == ("get_weather", '{"city":"Oslo"}')
    assert joined(frames, "response.function_call_arguments.delta") == done["arguments"]
    assert the(frames, "conversation.item.added")["item"]["arguments"] == ""
    item = the(frames, "response.output_item.done")["item"]
    assert item["status"] == "completed"
    assert item["call_id"] == done["call_id"]
    assert len(done["call_id"]) == len("call_") + 16


def test_the_output_of_a_call_is_echoed_without_status_and_read_out() -> None:
    bench = Bench()
    bench.update(tools=[WEATHER], output_modalities=["text"])
    bench.say("What's the weather in Oslo?")
    call_id = the(bench.respond(), "response.function_call_arguments.done")["call_id"]
    item = {"type": "function_call_output", "call_id": call_id, "output": "Sunny"}
    added = bench.send("conversation.item.create", item=item)[0]["item"]
    assert added == {"id": added["id"], **item}
    assert joined(bench.respond(), "response.output_text.delta") == "Sunny"


def test_several_calls_are_items_of_one_response() -> None:
    bench = scripted([Call("a", {"x": 1}), Call("b", "not json", call_id="call_mine")])
    frames = bench.respond()
    assert squeezed(frames)[1:-2] == CALL * 2
    output = the(frames, "response.done")["response"]["output"]
    assert [(item["name"], item["arguments"]) for item in output] == [
        ("a", '{"x":1}'),
        ("b", "not json"),
    ]
    assert output[1]["call_id"] == "call_mine"
    added = [f for f in frames if f["type"] == "response.output_item.added"]
    assert [frame["output_index"] for frame in added] == [0, 1]


def test_a_reasoning_model_interleaves_message_and_call() -> None:
    bench = scripted([Say("I'll check."), Call("get_weather", {"city": "London"})], interleave=True)
    frames = bench.respond(output_modalities=["text"])
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


def test_phases_are_labelled_for_reasoning_models_only() -> None:
    steps: list[Step] = [Say("I'll check."), Call("look")]
    request = Bench().service._connection
    clever = type(request)("/v1/realtime?model=gpt-realtime-2.1", request.headers)
    bench = Bench(clever, brain=ScriptedBrain([steps, Say("Fine.")]))
    first = the(bench.respond(), "response.done")["response"]["output"]
    second = the(bench.respond(), "response.done")["response"]["output"]
    assert (first[0]["phase"], second[0]["phase"]) == ("commentary", "final_answer")
    plain = the(scripted(steps).respond(), "response.done")["response"]["output"]
    assert "phase" not in plain[0]


# -- speech --------------------------------------------------------------------------------------


def test_a_spoken_turn_has_the_recorded_order() -> None:
    bench = scripted(Say("ok"))
    be_silent(bench, 640)
    frames = speak(bench, 960) + be_silent(bench, 640)
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
    bench = Bench(transcripts=["turn the light off"])
    bench.update(output_modalities=["text"])
    speak(bench, 640)
    be_silent(bench, 640)
    bench.run()
    speak(bench, 1024)
    be_silent(bench, 640)
    bench.run()
    said = [frame["text"] for frame in bench.of_type("response.output_text.done")]
    assert said == ["You said: turn the light off", "I heard 1.5 seconds of audio."]


def test_without_interrupting_a_second_turn_is_refused_its_response() -> None:
    bench = scripted(Say("long", audio_ms=9000), pacing=1.0)
    detection = {"type": "server_vad", "interrupt_response": False}
    bench.update(audio={"input": {"turn_detection": detection}})
    bench.send("response.create")
    bench.run(1.0)
    speak(bench, 640)
    frames = be_silent(bench, 640)
    assert frames[-1]["type"] == "error"
    assert frames[-1]["error"]["code"] == "conversation_already_has_active_response"
    assert frames[-1]["error"]["event_id"] is None
    assert types_of(frames)[-3:-1] == ["conversation.item.added", "conversation.item.done"]


def test_turn_detection_may_leave_answering_to_the_client() -> None:
    bench = Bench()
    detection = {"type": "server_vad", "create_response": False}
    bench.update(audio={"input": {"turn_detection": detection}})
    speak(bench, 640)
    assert types_of(be_silent(bench, 640))[-1] == "conversation.item.done"


def test_push_to_talk_answers_only_when_asked() -> None:
    bench = Bench()
    bench.update(audio={"input": {"turn_detection": None}})
    assert speak(bench, 2800) == []
    frames = bench.send("input_audio_buffer.commit")
    assert types_of(frames) == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert frames[0]["previous_item_id"] is None
    assert bench.run() == []
    frames = bench.respond(output_modalities=["text"])
    assert the(frames, "response.output_text.done")["text"] == "I heard 2.8 seconds of audio."


def test_a_commit_while_speaking_ends_the_turn_without_speech_stopped() -> None:
    bench = Bench()
    started = speak(bench, 640)[0]
    frames = bench.send("input_audio_buffer.commit")
    assert frames[0]["type"] == "input_audio_buffer.committed"
    assert frames[0]["item_id"] == started["item_id"]
    assert be_silent(bench, 2000) == []


def test_clear_forgets_the_speech() -> None:
    bench = Bench()
    speak(bench, 640)
    assert types_of(bench.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert be_silent(bench, 2000) == []
    assert types_of(bench.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]


# -- stopping ------------------------------------------------------------------------------------


def test_a_barge_in_has_the_recorded_order() -> None:
    bench = scripted(Say("A long story about a small thing", audio_ms=6000), pacing=1.0)
    bench.send("response.create")
    spoken = bench.run(2.0)
    frames = speak(bench, 64)
    assert types_of(frames) == ["input_audio_buffer.speech_started", *AUDIO_END]
    done = the(frames, "response.done")["response"]
    assert done["status"] == "cancelled"
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["output"][0]["status"] == "incomplete"
    assert done["usage"]["output_tokens"] > 0
    heard = joined(spoken, "response.output_audio_transcript.delta")
    assert the(frames, "response.output_audio_transcript.done")["transcript"] == heard
    assert bench.run(10.0) == []


def test_cancel_closes_in_the_same_order_and_nothing_follows() -> None:
    bench = scripted(Say("A long story", audio_ms=6000), pacing=1.0)
    bench.send("response.create")
    bench.run(2.0)
    frames = bench.send("response.cancel")
    assert types_of(frames) == AUDIO_END
    details = the(frames, "response.done")["response"]["status_details"]
    assert details == {"type": "cancelled", "reason": "client_cancelled"}
    assert bench.run(10.0) == []


def test_a_cancelled_text_ends_with_what_was_written() -> None:
    bench = scripted(Say("one two three four five"), pacing=1.0)
    bench.send("response.create", response={"output_modalities": ["text"]})
    written = joined(bench.run(0.15), "response.output_text.delta")
    frames = bench.send("response.cancel")
    assert types_of(frames)[0] == "response.output_text.done"
    assert frames[0]["text"] == written != ""


def test_a_cancelled_call_is_incomplete_and_keeps_its_partial_arguments() -> None:
    bench = scripted(Call("send_mail", {"to": "somebody", "text": "hello"}), pacing=1.0)
    bench.send("response.create")
    partial = joined(bench.run(0.3), "response.function_call_arguments.delta")
    frames = bench.send("response.cancel")
    assert types_of(frames) == [*CALL[3:], "response.done"]
    assert the(frames, "response.function_call_arguments.done")["arguments"] == partial != ""
    assert the(frames, "response.output_item.done")["item"]["status"] == "incomplete"


def test_a_response_cancelled_before_its_first_item_has_no_output() -> None:
    bench = scripted([Pause(math.inf), Say("never")])
    bench.send("response.create")
    bench.run(100.0)
    (done,) = bench.send("response.cancel")
    assert done["response"]["output"] == []


def test_a_pause_lasts_its_seconds_whatever_the_pacing() -> None:
    bench = scripted([Pause(2.5), Say("now")])
    bench.send("response.create")
    assert bench.run(2.4) == []
    assert types_of(bench.run(0.2))[-1] == "rate_limits.updated"


# -- other endings -------------------------------------------------------------------------------


def test_a_failure_before_anything_was_said_costs_nothing() -> None:
    bench = scripted(Fail("insufficient_quota", "No more."))
    bench.say("hi")
    frames = bench.respond()
    assert types_of(frames) == ["response.created", "response.done"]
    done = frames[1]["response"]
    assert done["status"] == "failed"
    assert done["status_details"] == {
        "type": "failed",
        "error": {"type": "server_error", "code": "insufficient_quota", "message": "No more."},
    }
    assert done["output"] == []
    assert done["usage"]["total_tokens"] == 0


def test_a_failure_in_the_middle_closes_what_is_open() -> None:
    frames = scripted([Say("Well,"), Fail("oops")], interleave=True).respond()
    assert types_of(frames)[-6:] == AUDIO_END
    assert the(frames, "response.output_item.done")["item"]["status"] == "incomplete"


def test_a_script_that_ran_out_fails_loudly_and_by_name() -> None:
    bench = scripted(Say("only one"))
    bench.respond()
    error = the(bench.respond(), "response.done")["response"]["status_details"]["error"]
    assert error["code"] == "script_exhausted"
    assert error["message"] == "the script has 1 answer(s), but response number 2 was asked for"


@pytest.mark.parametrize("modality", ["text", "audio"])
def test_the_token_limit_stops_an_answer_in_mid_sentence(modality: str) -> None:
    bench = scripted(Say("one two three four five six seven eight nine ten"))
    frames = bench.respond(max_output_tokens=6, output_modalities=[modality])
    done = the(frames, "response.done")["response"]
    assert done["status"] == "incomplete"
    assert done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert done["output"][0]["status"] == "incomplete"
    assert done["usage"]["output_tokens"] <= 6
    assert done["max_output_tokens"] == 6


def test_a_filtered_answer_is_incomplete() -> None:
    done = scripted([Say("Oh"), Incomplete()]).respond()[-1]["response"]
    assert done["status_details"] == {"type": "incomplete", "reason": "content_filter"}


# -- out of band ---------------------------------------------------------------------------------


def test_an_out_of_band_response_leaves_no_trace_in_the_conversation() -> None:
    bench = scripted(Say("aside"), Say("main"))
    user = bench.say("hi")
    frames = bench.respond(conversation="none", output_modalities=["text"], metadata={"k": "v"})
    kinds = [kind for kind in TEXT_TURN[:-1] if not kind.startswith("conversation")]
    assert squeezed(frames) == kinds
    created = frames[0]["response"]
    assert (created["conversation_id"], created["metadata"]) == (None, {"k": "v"})
    added = the(bench.respond(), "conversation.item.added")
    assert added["previous_item_id"] == user["id"]


def test_out_of_band_responses_run_beside_the_one_of_the_conversation() -> None:
    bench = scripted(*[Say("x", audio_ms=1000)] * 3, pacing=1.0)
    ids = [bench.send("response.create")[0]["response"]["id"]]
    for _ in range(2):
        created = bench.send("response.create", response={"conversation": "none"})[0]
        ids.append(created["response"]["id"])
    speak(bench, 64)  # a barge-in is for the conversation's response alone
    assert [f["response"]["id"] for f in bench.of_type("response.done")] == ids[:1]
    assert the(bench.send("response.cancel", response_id=ids[2]), "response.done")
    bench.run(5.0)
    statuses = {
        f["response"]["id"]: f["response"]["status"] for f in bench.of_type("response.done")
    }
    assert [statuses[key] for key in ids] == ["cancelled", "completed", "cancelled"]


def test_the_input_of_a_response_replaces_its_context() -> None:
    brain = ScriptedBrain([Say("1"), Say("2"), Say("3")])
    bench = Bench(brain=brain)
    first = bench.say("first")
    bench.say("second")
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "raw"}]}
    reference = {"type": "item_reference", "id": first["id"]}
    bench.respond(conversation="none", input=[item, reference])
    bench.respond(conversation="none", input=[])
    bench.respond(conversation="none")
    heard = [[entry.text for entry in turn.items] for turn in brain.turns]
    assert heard == [["raw", "first"], [], ["first", "second"]]
    assert brain.turns[0].out_of_band


def test_overrides_are_for_one_response() -> None:
    brain = ScriptedBrain([Say("1"), Say("2")])
    bench = Bench(brain=brain)
    bench.update(instructions="Be brief.", tools=[WEATHER])
    bench.respond(instructions="Be long.", tools=[], output_modalities=["text"])
    bench.respond()
    assert [turn.instructions for turn in brain.turns] == ["Be long.", "Be brief."]
    assert [len(turn.tools) for turn in brain.turns] == [0, 1]
    assert [turn.modality for turn in brain.turns] == ["text", "audio"]


# -- transcription -------------------------------------------------------------------------------


def transcribing(model: str, *transcripts: str | HearingFailed, **settings: Any) -> Bench:
    bench = Bench(ears=ScriptedEars(transcripts), **settings)
    bench.update(audio={"input": {"transcription": {"model": model}}})
    return bench


DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"


def test_a_transcript_comes_in_pieces_and_then_whole() -> None:
    bench = transcribing("gpt-4o-transcribe", "Hello, my name is Marcelo.")
    speak(bench, 2300)
    item_id = be_silent(bench, 640)[0]["item_id"]
    frames = bench.run()
    assert joined(frames, DELTA) == "Hello, my name is Marcelo."
    completed = the(frames, COMPLETED)
    assert (completed["item_id"], completed["content_index"]) == (item_id, 0)
    usage = completed["usage"]
    assert usage["type"] == "tokens"
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    shown = bench.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert shown["content"][0]["transcript"] == "Hello, my name is Marcelo."


def test_whisper_transcribes_in_one_piece_and_bills_whole_seconds() -> None:
    bench = transcribing("whisper-1", "Hi there")
    speak(bench, 2304)
    be_silent(bench, 640)
    frames = bench.run()
    assert types_of(frames).count(DELTA) == 1
    assert the(frames, COMPLETED)["usage"] == {"type": "duration", "seconds": 3}


def test_a_streaming_model_transcribes_before_the_item_exists() -> None:
    bench = transcribing("gpt-realtime-whisper", "Hello there")
    item_id = speak(bench, 640)[0]["item_id"]
    early = bench.run(1.0)
    assert [frame["item_id"] for frame in early] == [item_id, item_id]
    be_silent(bench, 640)
    assert the(bench.run(), COMPLETED)["transcript"] == "Hello there"


def test_clearing_the_buffer_ends_a_streaming_transcription() -> None:
    bench = transcribing("gpt-realtime-whisper", "Hello there", pacing=1.0)
    speak(bench, 640)
    bench.run(0.01)
    bench.send("input_audio_buffer.clear")
    assert bench.run(10.0) == []
    assert not bench.service._listening._hearings


def test_audio_that_nobody_understood_is_described() -> None:
    bench = transcribing("gpt-4o-transcribe")
    speak(bench, 2560)
    be_silent(bench, 640)
    assert the(bench.run(), COMPLETED)["transcript"] == "(2.8 seconds of audio)"


def test_transcription_may_fail_and_the_turn_goes_on() -> None:
    bench = transcribing("gpt-4o-transcribe", HearingFailed("unclear", "Mumbling."))
    speak(bench, 640)
    be_silent(bench, 640)
    frames = bench.run()
    assert the(frames, FAILED)["error"]["code"] == "unclear"
    assert the(frames, "response.done")["response"]["status"] == "completed"
    assert not bench.of_type(COMPLETED)


def test_without_a_model_nothing_is_transcribed() -> None:
    bench = Bench(ears=ScriptedEars(["Hello"]))
    speak(bench, 640)
    be_silent(bench, 640)
    assert not [frame for frame in bench.run() if "transcription" in frame["type"]]


def test_a_deleted_item_is_no_longer_transcribed() -> None:
    bench = transcribing("gpt-4o-transcribe", "one two three", pacing=1.0)
    speak(bench, 640)
    item_id = be_silent(bench, 640)[0]["item_id"]
    bench.send("conversation.item.delete", item_id=item_id)
    assert not [frame for frame in bench.run(10.0) if frame["type"] in (DELTA, COMPLETED)]


# -- idle users ----------------------------------------------------------------------------------


def test_an_idle_user_is_asked_after_the_recorded_order() -> None:
    bench = scripted(Say("Hello", audio_ms=800), Say("Still there?"))
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    bench.update(audio={"input": {"turn_detection": detection}})
    be_silent(bench, 672)
    bench.respond()
    bench.run(0.8)
    be_silent(bench, 5120)
    assert bench.run(4.9) == []
    frames = bench.run(0.2)
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
    bench = transcribing("gpt-realtime-whisper", "not for this")
    bench.update(
        audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}}
    )
    bench.respond()
    bench.run_until("input_audio_buffer.timeout_triggered")
    completed = the(bench.run(), COMPLETED)
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
        speak(bench, 640)
    else:
        bench.send("response.create")
    bench.run(30.0)
    assert not bench.of_type("input_audio_buffer.timeout_triggered")


# -- usage ---------------------------------------------------------------------------------------


def test_usage_adds_up_and_audio_is_counted_by_its_length() -> None:
    bench = scripted(Say("Hello you", audio_ms=1000), Say("And again"))
    bench.update(audio={"input": {"turn_detection": None}})
    speak(bench, 2796)
    bench.send("input_audio_buffer.commit")
    usage = the(bench.respond(), "response.done")["response"]["usage"]
    details = usage["input_token_details"]
    assert details["audio_tokens"] == 27
    assert usage["output_token_details"] == {"text_tokens": 2, "audio_tokens": 20}
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens"] == details["text_tokens"] + details["audio_tokens"]
    assert details["cached_tokens"] == 0
    again = the(bench.respond(), "response.done")["response"]["usage"]["input_token_details"]
    assert again["audio_tokens"] == 27 + 20
    assert again["cached_tokens"] % 64 == 0


def test_rate_limits_count_down() -> None:
    bench = scripted(Say("one"), Say("two"))
    bench.respond()
    bench.respond()
    left = [f["rate_limits"][0]["remaining"] for f in bench.of_type("rate_limits.updated")]
    assert left[1] < left[0] < 15_000_000
