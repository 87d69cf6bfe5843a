"""Client events: decoding and validation."""

from __future__ import annotations

from typing import Any

import pybase64
import pytest

from support.harness import rejected
from trio_realtime.local.harness import ProtocolHarness

# -- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["", "nonsense", '{"type":', "[" * 100_000, '"\ud800"'])
def test_invalid_json_is_rejected_and_the_session_continues(message: str) -> None:
    harness = ProtocolHarness()
    (frame,) = harness.send_raw(message)
    assert frame["error"]["code"] == "invalid_json"
    assert frame["error"]["event_id"] is None
    assert harness.say("still there")


def test_a_binary_message_is_rejected() -> None:
    (frame,) = ProtocolHarness().send_raw(b"{}")
    assert frame["error"]["code"] == "invalid_event"
    assert "binary frames are not supported" in frame["error"]["message"]


@pytest.mark.parametrize("message", ["[]", "1", "null", '"text"'])
def test_json_that_is_not_an_object_is_rejected(message: str) -> None:
    (frame,) = ProtocolHarness().send_raw(message)
    assert frame["error"]["code"] == "invalid_event"


def test_the_error_for_an_unknown_type_lists_the_known_types() -> None:
    error = rejected(ProtocolHarness(), "nope")
    assert (error["code"], error["param"]) == ("invalid_value", "type")
    assert error["message"].startswith(
        "Invalid value: 'nope'. Supported values are: 'session.update', 'input_audio_buffer.append'"
    )
    assert error["message"].endswith(", and 'response.cancel'.")


def test_events_of_other_transports_are_unknown() -> None:
    assert rejected(ProtocolHarness(), "output_audio_buffer.clear")["code"] == "invalid_value"


def test_a_message_without_a_type_is_rejected() -> None:
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


def test_an_unknown_field_of_an_event_is_rejected() -> None:
    error = rejected(ProtocolHarness(), "input_audio_buffer.commit", force=True)
    assert (error["code"], error["param"]) == ("unknown_parameter", "force")


# -- items ---------------------------------------------------------------------------------------


USER = {"type": "message", "role": "user", "content": []}


def text_message(text: str, role: str = "user", kind: str = "input_text") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


INVALID_ITEMS: list[tuple[dict[str, Any], str, str]] = [
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


@pytest.mark.parametrize(("item", "code", "param"), INVALID_ITEMS)
def test_an_invalid_item_is_rejected(item: dict[str, Any], code: str, param: str) -> None:
    harness = ProtocolHarness()
    error = rejected(harness, "conversation.item.create", item=item)
    assert (error["code"], error["param"]) == (code, param)


def test_a_text_may_have_256000_characters() -> None:
    harness = ProtocolHarness()
    error = rejected(harness, "conversation.item.create", item=text_message("x" * 256_001))
    assert error["code"] == "string_above_max_length"
    assert error["param"] == "item.content[0].text"
    assert error["message"].endswith(
        "maximum length 256000, but got a string with length 256001 instead."
    )
    assert harness.send("conversation.item.create", item=text_message("x" * 256_000))


# -- audio ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("audio", ["not base64!", "AAA", 5, None])
def test_audio_must_be_base64(audio: object) -> None:
    error = rejected(ProtocolHarness(), "input_audio_buffer.append", audio=audio)
    assert error["param"] == "audio"
    assert error["code"] in ("invalid_value", "invalid_type")


def test_an_append_may_have_15_mebibytes() -> None:
    harness = ProtocolHarness()
    harness.update(audio={"input": {"turn_detection": None}})
    assert harness.append(bytes(15 * 1024 * 1024)) == []
    audio = pybase64.b64encode(bytes(15 * 1024 * 1024 + 2)).decode()
    assert rejected(harness, "input_audio_buffer.append", audio=audio)["param"] == "audio"


# -- responses -----------------------------------------------------------------------------------


INVALID_RESPONSES: list[tuple[dict[str, Any], str, str]] = [
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


@pytest.mark.parametrize(("response", "code", "param"), INVALID_RESPONSES)
def test_an_invalid_response_is_rejected(response: dict[str, Any], code: str, param: str) -> None:
    harness = ProtocolHarness()
    error = rejected(harness, "response.create", response=response)
    assert (error["code"], error["param"]) == (code, param)
    assert harness.send("response.create")[0]["type"] == "response.created"
