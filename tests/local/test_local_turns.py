"""Turns of the local service: which events come, in which order, with which content."""

from __future__ import annotations

import pybase64
import pytest

from support.harness import AUDIO_END, CALL, joined, scripted, speak, squeezed, the
from trio_realtime.local import Call, Frame, Pause, Say, ScriptedResponder, Step
from trio_realtime.local.harness import ProtocolHarness, types_of

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
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


# -- text ----------------------------------------------------------------------------------------


def test_a_text_turn_has_the_recorded_order() -> None:
    harness = ProtocolHarness()
    harness.update(output_modalities=["text"])
    added = harness.say("hello there")
    assert types_of(harness.frames[-2:]) == ["conversation.item.added", "conversation.item.done"]
    assert added["status"] == "completed"
    frames = harness.respond()
    assert squeezed(frames) == TEXT_TURN
    assert joined(frames, "response.output_text.delta") == "You said: hello there"


def test_a_text_answer_is_the_same_in_all_its_places() -> None:
    harness = scripted(Say("Yes, it's 12 degrees."))
    harness.say("cold?")
    frames = harness.respond(output_modalities=["text"])
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
    harness = ProtocolHarness()
    user = harness.say("hi")
    frames = harness.respond(output_modalities=["text"])
    assert the(frames, "conversation.item.added")["previous_item_id"] == user["id"]
    assert the(frames, "conversation.item.done")["previous_item_id"] is None
    second = harness.say("and")
    frames = harness.respond(output_modalities=["text"])
    assert the(frames, "conversation.item.done")["previous_item_id"] == second["id"]


def test_created_has_all_keys_in_the_recorded_order() -> None:
    harness = ProtocolHarness()
    created = the(harness.respond(metadata={"a": "b"}), "response.created")["response"]
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
    harness = scripted(Say("Hello Marcelo, it is great to meet you today."))
    harness.say("hi")
    frames = harness.respond()
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
    harness = scripted(Say("hello", audio_ms=600))
    frames = harness.respond(audio={"output": {"format": {"type": name}}})
    audio = [f["delta"] for f in frames if f["type"] == "response.output_audio.delta"]
    assert sum(len(pybase64.b64decode(delta)) for delta in audio) == 600 * 8
    created = the(frames, "response.created")["response"]
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


def test_draining_runs_to_quiescence_at_one_time() -> None:
    harness = scripted([Say("one"), Pause(1.0), Say("two")])
    harness.send("response.create")
    outputs = harness.protocol.drain(0.0)
    kinds = [output.type for output in outputs if isinstance(output, Frame)]
    assert kinds[-1] == "response.output_item.done"
    assert harness.protocol.drain(0.5) == []
    assert harness.protocol.drain(1.0)


def test_latency_holds_back_the_first_item() -> None:
    harness = scripted(Say("x"), latency=0.3)
    harness.send("response.create")
    assert harness.run(0.2) == []
    assert squeezed(harness.run(0.2))[0] == "response.output_item.added"


# -- function calls ------------------------------------------------------------------------------


def test_a_function_call_has_the_recorded_order() -> None:
    harness = ProtocolHarness()
    harness.update(tools=[WEATHER])
    harness.say("What's the weather in Oslo?")
    frames = harness.respond()
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
    harness = ProtocolHarness()
    harness.update(tools=[WEATHER], output_modalities=["text"])
    harness.say("What's the weather in Oslo?")
    call_id = the(harness.respond(), "response.function_call_arguments.done")["call_id"]
    item = {"type": "function_call_output", "call_id": call_id, "output": "Sunny"}
    added = harness.send("conversation.item.create", item=item)[0]["item"]
    assert added == {"id": added["id"], **item}
    assert joined(harness.respond(), "response.output_text.delta") == "Sunny"


def test_several_calls_are_items_of_one_response() -> None:
    harness = scripted([Call("a", {"x": 1}), Call("b", "not json", call_id="call_mine")])
    frames = harness.respond()
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


def test_phases_are_labelled_for_reasoning_models_only() -> None:
    steps: list[Step] = [Say("I'll check."), Call("look")]
    request = ProtocolHarness().protocol._connection
    clever = type(request)("/v1/realtime?model=gpt-realtime-2.1", request.headers)
    harness = ProtocolHarness(clever, responder=ScriptedResponder([steps, Say("Fine.")]))
    first = the(harness.respond(), "response.done")["response"]["output"]
    second = the(harness.respond(), "response.done")["response"]["output"]
    assert (first[0]["phase"], second[0]["phase"]) == ("commentary", "final_answer")
    plain = the(scripted(steps).respond(), "response.done")["response"]["output"]
    assert "phase" not in plain[0]


# -- out of band ---------------------------------------------------------------------------------


def test_an_out_of_band_response_leaves_no_trace_in_the_conversation() -> None:
    harness = scripted(Say("aside"), Say("main"))
    user = harness.say("hi")
    frames = harness.respond(conversation="none", output_modalities=["text"], metadata={"k": "v"})
    kinds = [kind for kind in TEXT_TURN[:-1] if not kind.startswith("conversation")]
    assert squeezed(frames) == kinds
    created = frames[0]["response"]
    assert (created["conversation_id"], created["metadata"]) == (None, {"k": "v"})
    added = the(harness.respond(), "conversation.item.added")
    assert added["previous_item_id"] == user["id"]


def test_out_of_band_responses_run_beside_the_one_of_the_conversation() -> None:
    harness = scripted(*[Say("x", audio_ms=1000)] * 3, pacing=1.0)
    ids = [harness.send("response.create")[0]["response"]["id"]]
    for _ in range(2):
        created = harness.send("response.create", response={"conversation": "none"})[0]
        ids.append(created["response"]["id"])
    speak(harness, 64)  # a barge-in is for the conversation's response alone
    assert [f["response"]["id"] for f in harness.of_type("response.done")] == ids[:1]
    assert the(harness.send("response.cancel", response_id=ids[2]), "response.done")
    harness.run(5.0)
    statuses = {
        f["response"]["id"]: f["response"]["status"] for f in harness.of_type("response.done")
    }
    assert [statuses[key] for key in ids] == ["cancelled", "completed", "cancelled"]


def test_the_input_of_a_response_replaces_its_context() -> None:
    responder = ScriptedResponder([Say("1"), Say("2"), Say("3")])
    harness = ProtocolHarness(responder=responder)
    first = harness.say("first")
    harness.say("second")
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "raw"}]}
    reference = {"type": "item_reference", "id": first["id"]}
    harness.respond(conversation="none", input=[item, reference])
    harness.respond(conversation="none", input=[])
    harness.respond(conversation="none")
    heard = [[entry.text for entry in turn.items] for turn in responder.turns]
    assert heard == [["raw", "first"], [], ["first", "second"]]
    assert responder.turns[0].out_of_band


def test_overrides_are_for_one_response() -> None:
    responder = ScriptedResponder([Say("1"), Say("2")])
    harness = ProtocolHarness(responder=responder)
    harness.update(instructions="Be brief.", tools=[WEATHER])
    harness.respond(instructions="Be long.", tools=[], output_modalities=["text"])
    harness.respond()
    assert [turn.instructions for turn in responder.turns] == ["Be long.", "Be brief."]
    assert [len(turn.tools) for turn in responder.turns] == [0, 1]
    assert [turn.modality for turn in responder.turns] == ["text", "audio"]


# -- usage ---------------------------------------------------------------------------------------


def test_usage_adds_up_and_audio_is_counted_by_its_length() -> None:
    harness = scripted(Say("Hello you", audio_ms=1000), Say("And again"))
    harness.update(audio={"input": {"turn_detection": None}})
    speak(harness, 2796)
    harness.send("input_audio_buffer.commit")
    usage = the(harness.respond(), "response.done")["response"]["usage"]
    details = usage["input_token_details"]
    assert details["audio_tokens"] == 27
    assert usage["output_token_details"] == {"text_tokens": 2, "audio_tokens": 20}
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens"] == details["text_tokens"] + details["audio_tokens"]
    assert details["cached_tokens"] == 0
    again = the(harness.respond(), "response.done")["response"]["usage"]["input_token_details"]
    assert again["audio_tokens"] == 27 + 20
    assert again["cached_tokens"] % 64 == 0


def test_rate_limits_count_down() -> None:
    harness = scripted(Say("one"), Say("two"))
    harness.respond()
    harness.respond()
    left = [f["rate_limits"][0]["remaining"] for f in harness.of_type("rate_limits.updated")]
    assert left[1] < left[0] < 15_000_000
