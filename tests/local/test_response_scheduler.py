"""The response scheduler: active and out-of-band responses, and usage."""

from __future__ import annotations

from typing import Any

import pytest

from support.harness import append_speech, collapsed_types, only, rejected, scripted
from trio_realtime.local import (
    Pause,
    Say,
    ScriptedResponder,
)
from trio_realtime.local.harness import ProtocolHarness
from trio_realtime.local.response_scheduler import MAX_OUT_OF_BAND

# -- the active response -------------------------------------------------------------------------


def test_one_response_at_a_time() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([[Pause(1.0)]]))
    created = harness.send("response.create")[0]["response"]["id"]
    error = rejected(harness, "response.create")
    assert error["code"] == "conversation_already_has_active_response"
    assert f"in progress: {created}." in error["message"]


@pytest.mark.parametrize("fields", [{}, {"response_id": "resp_unknown"}])
def test_cancel_requires_an_active_response(fields: dict[str, Any]) -> None:
    error = rejected(ProtocolHarness(), "response.cancel", **fields)
    assert error["code"] == "response_cancel_not_active"
    assert error["message"] == "Cancellation failed: no active response found"


# -- out-of-band responses -----------------------------------------------------------------------


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


def test_an_out_of_band_response_does_not_change_the_conversation() -> None:
    harness = scripted(Say("aside"), Say("main"))
    user = harness.say("hi")
    frames = harness.respond(conversation="none", output_modalities=["text"], metadata={"k": "v"})
    kinds = [kind for kind in TEXT_TURN[:-1] if not kind.startswith("conversation")]
    assert collapsed_types(frames) == kinds
    created = frames[0]["response"]
    assert (created["conversation_id"], created["metadata"]) == (None, {"k": "v"})
    added = only(harness.respond(), "conversation.item.added")
    assert added["previous_item_id"] == user["id"]


def test_out_of_band_responses_run_concurrently_with_the_active_one() -> None:
    harness = scripted(*[Say("x", audio_ms=1000)] * 3, pacing=1.0)
    ids = [harness.send("response.create")[0]["response"]["id"]]
    for _ in range(2):
        created = harness.send("response.create", response={"conversation": "none"})[0]
        ids.append(created["response"]["id"])
    append_speech(harness, 64)  # a barge-in cancels only the active response
    assert [f["response"]["id"] for f in harness.of_type("response.done")] == ids[:1]
    assert only(harness.send("response.cancel", response_id=ids[2]), "response.done")
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
    texts = [[entry.text for entry in turn.items] for turn in responder.turns]
    assert texts == [["raw", "first"], [], ["first", "second"]]
    assert responder.turns[0].out_of_band


WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def test_overrides_apply_to_one_response() -> None:
    responder = ScriptedResponder([Say("1"), Say("2")])
    harness = ProtocolHarness(responder=responder)
    harness.update(instructions="Be brief.", tools=[WEATHER])
    harness.respond(instructions="Be long.", tools=[], output_modalities=["text"])
    harness.respond()
    assert [turn.instructions for turn in responder.turns] == ["Be long.", "Be brief."]
    assert [len(turn.tools) for turn in responder.turns] == [0, 1]
    assert [turn.modality for turn in responder.turns] == ["text", "audio"]


# -- usage ---------------------------------------------------------------------------------------


def test_usage_adds_up_and_audio_is_counted_by_its_duration() -> None:
    harness = scripted(Say("Hello you", audio_ms=1000), Say("And again"))
    harness.update(audio={"input": {"turn_detection": None}})
    append_speech(harness, 2796)
    harness.send("input_audio_buffer.commit")
    usage = only(harness.respond(), "response.done")["response"]["usage"]
    details = usage["input_token_details"]
    assert details["audio_tokens"] == 27
    assert usage["output_token_details"] == {"text_tokens": 2, "audio_tokens": 20}
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens"] == details["text_tokens"] + details["audio_tokens"]
    assert details["cached_tokens"] == 0
    again = only(harness.respond(), "response.done")["response"]["usage"]["input_token_details"]
    assert again["audio_tokens"] == 27 + 20
    assert again["cached_tokens"] % 64 == 0


def test_rate_limits_count_down() -> None:
    harness = scripted(Say("one"), Say("two"))
    harness.respond()
    harness.respond()
    left = [f["rate_limits"][0]["remaining"] for f in harness.of_type("rate_limits.updated")]
    assert left[1] < left[0] < 15_000_000


def test_out_of_band_responses_are_limited() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([[Pause(1.0)]] * (MAX_OUT_OF_BAND + 2)))
    params = {"conversation": "none"}
    for _ in range(MAX_OUT_OF_BAND):
        assert harness.send("response.create", response=params)[0]["type"] == "response.created"
    error = rejected(harness, "response.create", response=params)
    assert (error["type"], error["code"]) == ("invalid_request_error", "rate_limit_exceeded")
    # The conversation is not affected, and finished responses make space.
    assert harness.send("response.create")[0]["type"] == "response.created"
    harness.run(2.0)
    assert harness.send("response.create", response=params)[0]["type"] == "response.created"
