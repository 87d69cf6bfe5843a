"""What the local service refuses: every code of the catalogue, and that nothing happened."""

from __future__ import annotations

from typing import Any

import pybase64
import pytest

from trio_realtime.local import (
    Close,
    ConnectionRequest,
    Pause,
    Say,
    ScriptedResponder,
)
from trio_realtime.local.harness import LOCAL_REQUEST, ProtocolHarness, types_of

WHERE = "/v1/realtime?model=gpt-realtime"
KEY = (("Authorization", "Bearer sk-right"),)
USER = {"type": "message", "role": "user", "content": []}


def refused(harness: ProtocolHarness, kind: str, /, **fields: Any) -> dict[str, Any]:
    """Send an event that must be answered with one error, and with its own id in it."""
    (frame,) = harness.send(kind, event_id="mine", **fields)
    assert frame["type"] == "error"
    error: dict[str, Any] = frame["error"]
    assert list(error) == ["type", "code", "message", "param", "event_id"]
    assert (error["type"], error["event_id"]) == ("invalid_request_error", "mine")
    return error


def text_message(text: str, role: str = "user", kind: str = "input_text") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


# -- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["", "nonsense", '{"type":', "[" * 100_000, '"\ud800"'])
def test_what_is_not_json_is_refused_and_the_session_goes_on(message: str) -> None:
    harness = ProtocolHarness()
    (frame,) = harness.send_raw(message)
    assert frame["error"]["code"] == "invalid_json"
    assert frame["error"]["event_id"] is None
    assert harness.say("still there")


def test_a_binary_message_is_refused() -> None:
    (frame,) = ProtocolHarness().send_raw(b"{}")
    assert frame["error"]["code"] == "invalid_event"
    assert "binary frames are not supported" in frame["error"]["message"]


@pytest.mark.parametrize("message", ["[]", "1", "null", '"text"'])
def test_json_that_is_no_object_is_refused(message: str) -> None:
    (frame,) = ProtocolHarness().send_raw(message)
    assert frame["error"]["code"] == "invalid_event"


def test_an_unknown_type_is_answered_with_those_there_are() -> None:
    error = refused(ProtocolHarness(), "nope")
    assert (error["code"], error["param"]) == ("invalid_value", "type")
    assert error["message"].startswith(
        "Invalid value: 'nope'. Supported values are: 'session.update', 'input_audio_buffer.append'"
    )
    assert error["message"].endswith(", and 'response.cancel'.")


def test_events_of_other_transports_are_unknown_here() -> None:
    assert refused(ProtocolHarness(), "output_audio_buffer.clear")["code"] == "invalid_value"


def test_a_message_without_a_type_is_refused() -> None:
    (frame,) = ProtocolHarness().send_raw('{"event_id":"e1"}')
    assert frame["error"]["code"] == "missing_required_parameter"
    assert frame["error"]["param"] == "type"
    assert frame["error"]["event_id"] == "e1"


def test_an_event_id_may_have_512_characters() -> None:
    harness = ProtocolHarness()
    (frame,) = harness.send("input_audio_buffer.clear", event_id="x" * 513)
    assert frame["error"]["code"] == "string_above_max_length"
    assert frame["error"]["event_id"] is None
    assert harness.send("input_audio_buffer.clear", event_id="x" * 512)[0]["type"] != "error"


def test_an_unknown_field_of_an_event_is_refused() -> None:
    error = refused(ProtocolHarness(), "input_audio_buffer.commit", force=True)
    assert (error["code"], error["param"]) == ("unknown_parameter", "force")


# -- session.update ------------------------------------------------------------------------------

INPUT = "session.audio.input"
OUTPUT = "session.audio.output"
BAD_SESSIONS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "missing_required_parameter", "session.type"),
    ({"type": "other"}, "invalid_value", "session.type"),
    ({"type": "transcription"}, "invalid_value", "session.type"),
    ({"bogus_field": 1}, "unknown_parameter", "session.bogus_field"),
    ({"modalities": ["text"]}, "unknown_parameter", "session.modalities"),
    ({"temperature": 0.8}, "unknown_parameter", "session.temperature"),
    ({"model": "another"}, "invalid_value", "session.model"),
    ({"output_modalities": ["audio", "text"]}, "invalid_value", "session.output_modalities"),
    ({"output_modalities": []}, "invalid_value", "session.output_modalities"),
    ({"output_modalities": ["video"]}, "invalid_value", "session.output_modalities[0]"),
    ({"output_modalities": "text"}, "invalid_type", "session.output_modalities"),
    ({"instructions": 5}, "invalid_type", "session.instructions"),
    ({"instructions": None}, "invalid_type", "session.instructions"),
    ({"max_output_tokens": 0}, "integer_below_min_value", "session.max_output_tokens"),
    ({"max_output_tokens": 5000}, "integer_above_max_value", "session.max_output_tokens"),
    ({"max_output_tokens": "many"}, "invalid_value", "session.max_output_tokens"),
    ({"max_output_tokens": True}, "invalid_type", "session.max_output_tokens"),
    ({"tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
    ({"tools": [{"type": "magic"}]}, "invalid_value", "session.tools[0].type"),
    ({"tools": [{"name": "x"}]}, "missing_required_parameter", "session.tools[0].type"),
    (
        {"tools": [{"type": "function", "name": "no spaces"}]},
        "invalid_value",
        "session.tools[0].name",
    ),
    (
        {"tools": [{"type": "function", "name": "x", "strict": True}]},
        "unknown_parameter",
        "session.tools[0].strict",
    ),
    ({"tool_choice": "maybe"}, "invalid_value", "session.tool_choice"),
    (
        {"tool_choice": {"type": "function"}},
        "missing_required_parameter",
        "session.tool_choice.name",
    ),
    ({"truncation": "always"}, "invalid_value", "session.truncation"),
    (
        {"truncation": {"type": "retention_ratio", "retention_ratio": 1.5}},
        "decimal_above_max_value",
        "session.truncation.retention_ratio",
    ),
    ({"tracing": "manual"}, "invalid_value", "session.tracing"),
    ({"reasoning": {"effort": "enormous"}}, "invalid_value", "session.reasoning.effort"),
    ({"include": ["everything"]}, "invalid_value", "session.include[0]"),
    ({"audio": {"input": {"volume": 1}}}, "unknown_parameter", f"{INPUT}.volume"),
    (
        {"audio": {"input": {"format": {"rate": 24000}}}},
        "missing_required_parameter",
        f"{INPUT}.format.type",
    ),
    (
        {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
        "integer_below_min_value",
        f"{INPUT}.format.rate",
    ),
    ({"audio": {"input": {"format": "pcm16"}}}, "invalid_type", f"{INPUT}.format"),
    (
        {"audio": {"input": {"transcription": {}}}},
        "missing_required_parameter",
        f"{INPUT}.transcription.model",
    ),
    (
        {"audio": {"input": {"noise_reduction": {"type": "loud"}}}},
        "invalid_value",
        f"{INPUT}.noise_reduction.type",
    ),
    *(
        ({"audio": {"input": {"turn_detection": detection}}}, code, f"{INPUT}.turn_detection.{key}")
        for detection, code, key in [
            ({"type": "telepathy"}, "invalid_value", "type"),
            ({"type": "server_vad", "threshold": 7}, "decimal_above_max_value", "threshold"),
            ({"type": "server_vad", "threshold": -0.1}, "decimal_below_min_value", "threshold"),
            ({"type": "server_vad", "eagerness": "low"}, "unknown_parameter", "eagerness"),
            (
                {"type": "server_vad", "idle_timeout_ms": 100},
                "integer_below_min_value",
                "idle_timeout_ms",
            ),
            (
                {"type": "server_vad", "idle_timeout_ms": 30001},
                "integer_above_max_value",
                "idle_timeout_ms",
            ),
            (
                {"type": "server_vad", "silence_duration_ms": 1.5},
                "invalid_type",
                "silence_duration_ms",
            ),
            ({"type": "semantic_vad", "eagerness": "keen"}, "invalid_value", "eagerness"),
            ({"type": "semantic_vad", "threshold": 0.5}, "unknown_parameter", "threshold"),
            ({"type": "server_vad", "create_response": 1}, "invalid_type", "create_response"),
        ]
    ),
    ({"audio": {"output": {"speed": 2.0}}}, "decimal_above_max_value", f"{OUTPUT}.speed"),
    ({"audio": {"output": {"speed": 0.1}}}, "decimal_below_min_value", f"{OUTPUT}.speed"),
    ({"audio": {"output": {"voice": ""}}}, "invalid_value", f"{OUTPUT}.voice"),
    ({"audio": {"output": {"voice": {}}}}, "missing_required_parameter", f"{OUTPUT}.voice.id"),
]


@pytest.mark.parametrize(("session", "code", "param"), BAD_SESSIONS)
def test_a_bad_session_is_refused_as_a_whole(
    session: dict[str, Any], code: str, param: str
) -> None:
    harness = ProtocolHarness()
    before = harness.session
    whole = {**({"type": "realtime"} if session else {}), "tool_choice": "none", **session}
    error = refused(harness, "session.update", session=whole)
    assert (error["code"], error["param"]) == (code, param)
    assert harness.session == before


@pytest.mark.parametrize("session", [None, 5, "realtime", []])
def test_a_session_must_be_an_object(session: object) -> None:
    assert refused(ProtocolHarness(), "session.update", session=session)["code"] == "invalid_type"


def test_both_modalities_are_refused_in_the_words_of_the_service() -> None:
    session = {"type": "realtime", "output_modalities": ["text", "audio"]}
    message = refused(ProtocolHarness(), "session.update", session=session)["message"]
    assert message.startswith("Invalid modalities: ['text', 'audio'].")


def test_a_sample_rate_is_refused_in_the_words_of_the_service() -> None:
    session = {
        "type": "realtime",
        "audio": {"input": {"format": {"type": "audio/pcm", "rate": 8000}}},
    }
    assert refused(ProtocolHarness(), "session.update", session=session)["message"] == (
        "Invalid 'session.audio.input.format.rate': integer below minimum value. "
        "Expected a value >= 24000, but got 8000 instead."
    )


def test_the_voice_is_locked_once_the_model_has_spoken() -> None:
    harness = ProtocolHarness()
    output = {"voice": "ash"}
    assert harness.update(audio={"output": output})[0]["type"] == "session.updated"
    harness.respond(output_modalities=["text"])
    assert harness.update(audio={"output": {"voice": "echo"}})[0]["type"] == "session.updated"
    harness.respond()
    session = {"type": "realtime", "audio": {"output": {"voice": "alloy"}}}
    error = refused(harness, "session.update", session=session)
    assert error["code"] == "cannot_update_voice"
    assert error["message"] == (
        "Cannot update a conversation's voice if assistant audio is present."
    )
    assert harness.update(audio={"output": {"voice": "echo"}})[0]["type"] == "session.updated"


def test_speed_changes_only_between_responses() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([[Pause(1.0)]]))
    harness.send("response.create")
    session = {"type": "realtime", "audio": {"output": {"speed": 1.2}}}
    error = refused(harness, "session.update", session=session)
    assert error["param"] == "session.audio.output.speed"
    harness.run(2.0)
    assert harness.send("session.update", session=session)[0]["type"] == "session.updated"


def test_tracing_cannot_change_once_enabled() -> None:
    harness = ProtocolHarness()
    harness.update(tracing="auto")
    assert harness.update(tracing="auto")[0]["type"] == "session.updated"
    session = {"type": "realtime", "tracing": None}
    assert refused(harness, "session.update", session=session)["param"] == "session.tracing"


# -- items ---------------------------------------------------------------------------------------

BAD_ITEMS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "missing_required_parameter", "item.type"),
    ({"type": "song"}, "invalid_value", "item.type"),
    ({"type": "mcp_call"}, "invalid_value", "item.type"),
    ({"type": "message", "content": []}, "missing_required_parameter", "item.role"),
    ({"type": "message", "role": "narrator", "content": []}, "invalid_value", "item.role"),
    ({"type": "message", "role": "user"}, "missing_required_parameter", "item.content"),
    ({**USER, "mood": "good"}, "unknown_parameter", "item.mood"),
    ({**USER, "status": "lost"}, "invalid_value", "item.status"),
    ({**USER, "id": ""}, "invalid_value", "item.id"),
    (text_message("x", kind="text"), "invalid_value", "item.content[0].type"),
    (text_message("x", role="assistant"), "invalid_value", "item.content[0].type"),
    (text_message("x", "system", "output_text"), "invalid_value", "item.content[0].type"),
    (
        {**USER, "content": [{"type": "input_text"}]},
        "missing_required_parameter",
        "item.content[0].text",
    ),
    (
        {**USER, "content": [{"type": "input_audio", "audio": "%%%"}]},
        "invalid_value",
        "item.content[0].audio",
    ),
    (
        {**USER, "content": [{"type": "input_image", "image_url": "https://example.com/x.png"}]},
        "invalid_value",
        "item.content[0].image_url",
    ),
    ({"type": "function_call", "name": "x"}, "missing_required_parameter", "item.arguments"),
    ({"type": "function_call_output", "output": "x"}, "missing_required_parameter", "item.call_id"),
    (
        {"type": "function_call_output", "call_id": "c", "output": {}},
        "invalid_type",
        "item.output",
    ),
]


@pytest.mark.parametrize(("item", "code", "param"), BAD_ITEMS)
def test_a_bad_item_is_refused(item: dict[str, Any], code: str, param: str) -> None:
    harness = ProtocolHarness()
    error = refused(harness, "conversation.item.create", item=item)
    assert (error["code"], error["param"]) == (code, param)


def test_a_text_may_have_256000_characters() -> None:
    harness = ProtocolHarness()
    error = refused(harness, "conversation.item.create", item=text_message("x" * 256_001))
    assert error["code"] == "string_above_max_length"
    assert error["param"] == "item.content[0].text"
    assert error["message"].endswith(
        "maximum length 256000, but got a string with length 256001 instead."
    )
    assert harness.send("conversation.item.create", item=text_message("x" * 256_000))


def test_an_output_needs_its_call() -> None:
    item = {"type": "function_call_output", "call_id": "call_x", "output": ""}
    error = refused(ProtocolHarness(), "conversation.item.create", item=item)
    assert error["code"] == "invalid_tool_call_id"
    assert error["message"] == "Tool call ID 'call_x' not found in conversation."


def test_an_unknown_predecessor_adds_nothing() -> None:
    harness = ProtocolHarness()
    error = refused(
        harness, "conversation.item.create", item=text_message("x"), previous_item_id="nix"
    )
    assert error["code"] == "item_create_invalid_previous_item_id"
    assert len(harness.protocol._state.conversation) == 0


def test_an_id_is_used_once() -> None:
    harness = ProtocolHarness()
    item = {**text_message("x"), "id": "item_mine"}
    assert harness.send("conversation.item.create", item=item)[0]["item"]["id"] == "item_mine"
    error = refused(harness, "conversation.item.create", item=item)
    assert (error["code"], error["param"]) == ("invalid_value", "item.id")


@pytest.mark.parametrize(
    ("verb", "fields"),
    [("delete", {}), ("retrieve", {}), ("truncate", {"content_index": 0, "audio_end_ms": 0})],
)
def test_an_unknown_item_is_named(verb: str, fields: dict[str, Any]) -> None:
    error = refused(ProtocolHarness(), f"conversation.item.{verb}", item_id="item_x", **fields)
    assert error["code"] == f"item_{verb}_invalid_item_id"
    assert error["message"].endswith("item: the item with id 'item_x' does not exist.")


def test_an_item_in_progress_cannot_be_deleted() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("x", audio_ms=5000)]), pacing=1.0)
    harness.send("response.create")
    item_id = harness.run_until("conversation.item.added")[-1]["item"]["id"]
    error = refused(harness, "conversation.item.delete", item_id=item_id)
    assert error["code"] == "item_delete_invalid_item_id"
    harness.run(10.0)
    assert types_of(harness.send("conversation.item.delete", item_id=item_id)) == [
        "conversation.item.deleted"
    ]


def spoken_item(harness: ProtocolHarness) -> str:
    frames = harness.respond()
    (item_id,) = [f["item"]["id"] for f in frames if f["type"] == "response.output_item.done"]
    return str(item_id)


def test_truncating_beyond_the_audio_is_refused() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("x", audio_ms=3700)]))
    item_id = spoken_item(harness)
    error = refused(
        harness, "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=3760
    )
    assert error["code"] == "invalid_value"
    assert error["message"] == "Audio content of 3700ms is already shorter than 3760ms"


@pytest.mark.parametrize(
    ("index", "end_ms", "code"), [(0, -1, "integer_below_min_value"), (1, 0, "invalid_value")]
)
def test_truncating_takes_sensible_numbers(index: int, end_ms: int, code: str) -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("x")]))
    fields = {"item_id": spoken_item(harness), "content_index": index, "audio_end_ms": end_ms}
    assert refused(harness, "conversation.item.truncate", **fields)["code"] == code


def test_only_speech_of_the_model_can_be_truncated() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("x")]))
    user = harness.say("hi")["id"]
    harness.respond(output_modalities=["text"])
    written = harness.of_type("response.output_item.done")[0]["item"]["id"]
    for item_id in (user, written):
        fields = {"item_id": item_id, "content_index": 0, "audio_end_ms": 0}
        error = refused(harness, "conversation.item.truncate", **fields)
        assert error["code"] == "unsupported_content_type"
        assert error["message"] == "Only model output audio messages can be truncated"


# -- audio ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("audio", ["not base64!", "AAA", 5, None])
def test_audio_must_be_base64(audio: object) -> None:
    error = refused(ProtocolHarness(), "input_audio_buffer.append", audio=audio)
    assert error["param"] == "audio"
    assert error["code"] in ("invalid_value", "invalid_type")


def test_an_append_may_have_15_mebibytes() -> None:
    harness = ProtocolHarness()
    harness.update(audio={"input": {"turn_detection": None}})
    assert harness.append(bytes(15 * 1024 * 1024)) == []
    audio = pybase64.b64encode(bytes(15 * 1024 * 1024 + 2)).decode()
    assert refused(harness, "input_audio_buffer.append", audio=audio)["param"] == "audio"


def test_a_commit_needs_a_tenth_of_a_second() -> None:
    harness = ProtocolHarness()
    harness.update(audio={"input": {"turn_detection": None}})
    error = refused(harness, "input_audio_buffer.commit")
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert "buffer only has 0.00ms of audio" in error["message"]
    harness.append(bytes(48 * 99))
    assert "99.00ms" in refused(harness, "input_audio_buffer.commit")["message"]
    harness.append(bytes(48))
    assert harness.send("input_audio_buffer.commit")[0]["type"] == "input_audio_buffer.committed"


# -- responses -----------------------------------------------------------------------------------


def test_one_response_at_a_time() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([[Pause(1.0)]]))
    created = harness.send("response.create")[0]["response"]["id"]
    error = refused(harness, "response.create")
    assert error["code"] == "conversation_already_has_active_response"
    assert f"in progress: {created}." in error["message"]


@pytest.mark.parametrize("fields", [{}, {"response_id": "resp_unknown"}])
def test_there_must_be_something_to_cancel(fields: dict[str, Any]) -> None:
    error = refused(ProtocolHarness(), "response.cancel", **fields)
    assert error["code"] == "response_cancel_not_active"
    assert error["message"] == "Cancellation failed: no active response found"


BAD_RESPONSES: list[tuple[dict[str, Any], str, str]] = [
    ({"conversation": "side"}, "invalid_value", "response.conversation"),
    ({"modalities": ["text"]}, "unknown_parameter", "response.modalities"),
    ({"output_modalities": ["text", "audio"]}, "invalid_value", "response.output_modalities"),
    ({"max_output_tokens": 4097}, "integer_above_max_value", "response.max_output_tokens"),
    ({"metadata": {"k": 1}}, "invalid_type", "response.metadata.k"),
    ({"metadata": {"k": "x" * 513}}, "string_above_max_length", "response.metadata.k"),
    ({"metadata": {"x" * 65: ""}}, "string_above_max_length", "response.metadata." + "x" * 64),
    ({"metadata": {str(n): "" for n in range(17)}}, "invalid_value", "response.metadata"),
    ({"input": [{"type": "item_reference"}]}, "missing_required_parameter", "response.input[0].id"),
    (
        {"input": [{"type": "item_reference", "id": "nix"}]},
        "invalid_value",
        "response.input[0].id",
    ),
    ({"input": [{"type": "poem"}]}, "invalid_value", "response.input[0].type"),
    ({"audio": {"output": {"speed": 1.0}}}, "unknown_parameter", "response.audio.output.speed"),
    ({"tools": [{"type": "function"}]}, "missing_required_parameter", "response.tools[0].name"),
]


@pytest.mark.parametrize(("response", "code", "param"), BAD_RESPONSES)
def test_a_bad_response_is_refused(response: dict[str, Any], code: str, param: str) -> None:
    harness = ProtocolHarness()
    error = refused(harness, "response.create", response=response)
    assert (error["code"], error["param"]) == (code, param)
    assert harness.send("response.create")[0]["type"] == "response.created"


def test_after_a_refused_item_the_next_events_go_on() -> None:
    harness = ProtocolHarness()
    harness.send("conversation.item.create", item={"type": "song"})
    assert harness.respond()[-1]["type"] == "rate_limits.updated"


def test_a_transcription_session_has_no_responses() -> None:
    harness = ProtocolHarness(
        ConnectionRequest("/v1/realtime?intent=transcription", LOCAL_REQUEST.headers)
    )
    for kind in ("response.create", "response.cancel"):
        assert refused(harness, kind)["param"] == "type"
    error = refused(harness, "session.update", session={"type": "realtime"})
    assert error["message"] == (
        "Passing a realtime session update event to a transcription session is not allowed."
    )


# -- the door ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "code", "close"),
    [
        (
            ConnectionRequest(WHERE, (("Authorization", "Bearer sk-wrong-key"),)),
            "invalid_api_key",
            Close(3000, "invalid_request_error.invalid_api_key"),
        ),
        (ConnectionRequest(WHERE), None, Close(3000, "invalid_request_error")),
        (
            ConnectionRequest("/v1/realtime?model=gpt-5", KEY),
            "invalid_model",
            Close(4000, "invalid_request_error.invalid_model"),
        ),
        (
            ConnectionRequest("/v1/realtime", KEY),
            "missing_model",
            Close(4000, "invalid_request_error.missing_model"),
        ),
        (
            ConnectionRequest(WHERE, (*KEY, ("openai-beta", "realtime=v1"))),
            "beta_api_shape_disabled",
            Close(4000, "invalid_request_error.beta_api_shape_disabled"),
        ),
    ],
)
def test_who_is_not_let_in_gets_an_error_and_a_close(
    request_: ConnectionRequest, code: str | None, close: Close
) -> None:
    harness = ProtocolHarness(request_, api_keys={"sk-right"}, models={"gpt-realtime"})
    (frame,) = harness.frames
    assert frame["error"]["code"] == code
    assert frame["error"]["event_id"] is None
    assert harness.closed == close
    assert harness.send("response.create") == []
    assert harness.protocol.next_deadline() is None


def test_no_key_is_ever_printed() -> None:
    request = ConnectionRequest(
        "/v1/realtime?model=m&api-key=sk-in-query",
        (("Authorization", "Bearer sk-in-header"),),
        ("realtime", "openai-insecure-api-key.sk-in-protocol"),
    )
    harness = ProtocolHarness(request, api_keys={"sk-right"})
    printed = f"{request!r} {harness.frames} {harness.protocol._config!r}"
    assert "sk-" not in printed


@pytest.mark.parametrize(
    "request_",
    [
        ConnectionRequest(WHERE, KEY),
        ConnectionRequest(WHERE, (("api-key", "sk-right"),)),
        ConnectionRequest(f"{WHERE}&api-key=sk-right"),
        ConnectionRequest(WHERE, subprotocols=("realtime", "openai-insecure-api-key.sk-right")),
        ConnectionRequest("/openai/realtime?api-version=x&deployment=gpt-realtime", KEY),
        ConnectionRequest("/v1/realtime?call_id=rtc_1", KEY),
        ConnectionRequest("/v1/realtime?intent=transcription", KEY),
    ],
)
def test_a_key_is_found_in_every_known_place(request_: ConnectionRequest) -> None:
    harness = ProtocolHarness(request_, api_keys={"sk-right"}, models={"gpt-realtime"})
    assert types_of(harness.frames) == ["session.created"]


def test_any_key_or_none_at_all_may_be_let_in() -> None:
    assert ProtocolHarness(ConnectionRequest(WHERE), require_key=False).closed is None
    assert (
        ProtocolHarness(ConnectionRequest(WHERE, (("Authorization", "Bearer any"),))).closed is None
    )


def test_a_session_expires() -> None:
    harness = ProtocolHarness(session_seconds=3600.0, epoch=1000.0)
    assert harness.session["expires_at"] == 4600
    harness.run(3599.9)
    assert harness.closed is None
    (frame,) = harness.run(0.2)
    message = "Your session hit the maximum duration of 60 minutes."
    assert (frame["error"]["code"], frame["error"]["message"]) == ("session_expired", message)
    assert harness.closed == Close(1001, message)
