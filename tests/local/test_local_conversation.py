"""The conversation: order, retrieval, deletion and truncation of items."""

from __future__ import annotations

import itertools
from typing import Any

import pybase64
import pytest

from support.harness import rejected
from trio_realtime.local import (
    Say,
    ScriptedResponder,
    conversation,
)
from trio_realtime.local.conversation import MAX_AUDIO_BYTES
from trio_realtime.local.harness import ProtocolHarness, types_of

# -- items ---------------------------------------------------------------------------------------


def order_of(harness: ProtocolHarness) -> list[str]:
    return [item.id for item in harness.protocol._state.conversation]


def test_items_are_inserted_after_their_predecessor() -> None:
    harness = ProtocolHarness()
    a = harness.say("a")["id"]
    b = harness.say("b", previous_item_id="")["id"]
    first = harness.say("first", previous_item_id="root")["id"]
    assert harness.frames[-1]["previous_item_id"] is None
    middle = harness.say("middle", previous_item_id=a)["id"]
    assert harness.frames[-1]["previous_item_id"] == a
    assert order_of(harness) == [first, a, middle, b]


def test_deletion_preserves_the_order_of_the_others() -> None:
    harness = ProtocolHarness()
    a, b = harness.say("a")["id"], harness.say("b")["id"]
    (deleted,) = harness.send("conversation.item.delete", item_id=b)
    assert (deleted["type"], deleted["item_id"]) == ("conversation.item.deleted", b)
    harness.say("c")
    assert harness.frames[-1]["previous_item_id"] == a


def test_audio_and_images_are_not_echoed_but_can_be_retrieved() -> None:
    harness = ProtocolHarness()
    audio = pybase64.b64encode(b"\x01\x02" * 100).decode()
    image = "data:image/png;base64,AAAA"
    parts = [
        {"type": "input_text", "text": "look"},
        {"type": "input_audio", "audio": audio, "transcript": "listen"},
        {"type": "input_image", "image_url": image, "detail": "low"},
    ]
    item = {"type": "message", "role": "user", "content": parts, "id": "item_x"}
    added = harness.send("conversation.item.create", item=item)[0]["item"]
    assert added["content"] == [
        parts[0],
        {"type": "input_audio", "transcript": "listen"},
        {"type": "input_image", "detail": "low"},
    ]
    (retrieved,) = harness.send("conversation.item.retrieve", item_id="item_x")
    content = retrieved["item"]["content"]
    assert content[1]["audio"] == audio
    assert content[2]["image_url"] == image


def test_a_spoken_message_can_be_retrieved_and_truncated() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("hello", audio_ms=1000)]))
    item_id = harness.respond()[-2]["response"]["output"][0]["id"]

    def stored() -> tuple[int, dict[str, Any]]:
        (frame,) = harness.send("conversation.item.retrieve", item_id=item_id)
        part = frame["item"]["content"][0]
        return len(pybase64.b64decode(part["audio"])) // 48, part

    assert stored()[0] == 1000
    assert stored()[1]["transcript"] == "hello"
    fields = {"item_id": item_id, "content_index": 0, "audio_end_ms": 250}
    (truncated,) = harness.send("conversation.item.truncate", **fields)
    assert {key: truncated[key] for key in fields} == fields
    assert stored()[0] == 250
    assert "transcript" not in stored()[1]
    assert harness.send("conversation.item.truncate", **{**fields, "audio_end_ms": 0})


def test_a_message_can_be_truncated_while_it_is_generated() -> None:
    harness = ProtocolHarness(
        responder=ScriptedResponder([Say("hello", audio_ms=4000)]), pacing=1.0
    )
    harness.send("response.create")
    harness.run(2.0)
    item_id = harness.of_type("response.output_item.added")[0]["item"]["id"]
    fields = {"item_id": item_id, "content_index": 0, "audio_end_ms": 500}
    assert types_of(harness.send("conversation.item.truncate", **fields)) == [
        "conversation.item.truncated"
    ]
    assert types_of(harness.send("conversation.item.retrieve", item_id=item_id)) == [
        "conversation.item.retrieved"
    ]
    harness.run(5.0)
    (frame,) = harness.send("conversation.item.retrieve", item_id=item_id)
    assert len(pybase64.b64decode(frame["item"]["content"][0]["audio"])) == 500 * 48


def test_a_function_call_of_the_client_gets_a_call_id() -> None:
    harness = ProtocolHarness()
    item = {"type": "function_call", "name": "x", "arguments": "{}"}
    added = harness.send("conversation.item.create", item=item)[0]["item"]
    assert added["call_id"].startswith("call_")
    output = {"type": "function_call_output", "call_id": added["call_id"], "output": ""}
    assert len(harness.send("conversation.item.create", item=output)) == 2


def test_previous_item_ids_match_the_order() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("x")] * 3))
    for text in "abc":
        harness.say(text)
        harness.respond()
    added = harness.of_type("conversation.item.added")
    pairs = [(frame["previous_item_id"], frame["item"]["id"]) for frame in added]
    assert pairs == list(itertools.pairwise([None, *order_of(harness)]))


# -- errors --------------------------------------------------------------------------------------


def test_an_output_requires_its_call() -> None:
    item = {"type": "function_call_output", "call_id": "call_x", "output": ""}
    error = rejected(ProtocolHarness(), "conversation.item.create", item=item)
    assert error["code"] == "invalid_tool_call_id"
    assert error["message"] == "Tool call ID 'call_x' not found in conversation."


def text_message(text: str, role: str = "user", kind: str = "input_text") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def test_an_item_with_an_unknown_predecessor_is_rejected() -> None:
    harness = ProtocolHarness()
    error = rejected(
        harness, "conversation.item.create", item=text_message("x"), previous_item_id="nix"
    )
    assert error["code"] == "item_create_invalid_previous_item_id"
    assert len(harness.protocol._state.conversation) == 0


def test_item_ids_are_unique() -> None:
    harness = ProtocolHarness()
    item = {**text_message("x"), "id": "item_mine"}
    assert harness.send("conversation.item.create", item=item)[0]["item"]["id"] == "item_mine"
    error = rejected(harness, "conversation.item.create", item=item)
    assert (error["code"], error["param"]) == ("invalid_value", "item.id")


@pytest.mark.parametrize(
    ("verb", "fields"),
    [("delete", {}), ("retrieve", {}), ("truncate", {"content_index": 0, "audio_end_ms": 0})],
)
def test_the_error_names_an_unknown_item(verb: str, fields: dict[str, Any]) -> None:
    error = rejected(ProtocolHarness(), f"conversation.item.{verb}", item_id="item_x", **fields)
    assert error["code"] == f"item_{verb}_invalid_item_id"
    assert error["message"].endswith("item: the item with id 'item_x' does not exist.")


def test_an_item_in_progress_cannot_be_deleted() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("x", audio_ms=5000)]), pacing=1.0)
    harness.send("response.create")
    item_id = harness.run_until("conversation.item.added")[-1]["item"]["id"]
    error = rejected(harness, "conversation.item.delete", item_id=item_id)
    assert error["code"] == "item_delete_invalid_item_id"
    harness.run(10.0)
    assert types_of(harness.send("conversation.item.delete", item_id=item_id)) == [
        "conversation.item.deleted"
    ]


def spoken_item(harness: ProtocolHarness) -> str:
    frames = harness.respond()
    (item_id,) = [f["item"]["id"] for f in frames if f["type"] == "response.output_item.done"]
    return str(item_id)


def test_truncation_beyond_the_audio_is_rejected() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("x", audio_ms=3700)]))
    item_id = spoken_item(harness)
    error = rejected(
        harness, "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=3760
    )
    assert error["code"] == "invalid_value"
    assert error["message"] == "Audio content of 3700ms is already shorter than 3760ms"


@pytest.mark.parametrize(
    ("index", "end_ms", "code"), [(0, -1, "integer_below_min_value"), (1, 0, "invalid_value")]
)
def test_invalid_positions_of_a_truncation_are_rejected(index: int, end_ms: int, code: str) -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("x")]))
    fields = {"item_id": spoken_item(harness), "content_index": index, "audio_end_ms": end_ms}
    assert rejected(harness, "conversation.item.truncate", **fields)["code"] == code


def test_only_speech_of_the_model_can_be_truncated() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("x")]))
    user = harness.say("hi")["id"]
    harness.respond(output_modalities=["text"])
    written = harness.of_type("response.output_item.done")[0]["item"]["id"]
    for item_id in (user, written):
        fields = {"item_id": item_id, "content_index": 0, "audio_end_ms": 0}
        error = rejected(harness, "conversation.item.truncate", **fields)
        assert error["code"] == "unsupported_content_type"
        assert error["message"] == "Only model output audio messages can be truncated"


# -- memory --------------------------------------------------------------------------------------


def audio_message(seconds: int) -> dict[str, Any]:
    data = pybase64.b64encode(bytes(48_000 * seconds)).decode()
    content = [{"type": "input_audio", "audio": data}]
    return {"type": "message", "role": "user", "content": content}


def test_the_audio_of_old_items_is_discarded_but_not_its_duration() -> None:
    harness = ProtocolHarness()
    ids = [
        harness.send("conversation.item.create", item=audio_message(120))[0]["item"]["id"]
        for _ in range(4)
    ]
    parts = [
        harness.send("conversation.item.retrieve", item_id=item_id)[0]["item"]["content"][0]
        for item_id in ids
    ]
    assert ["audio" in part for part in parts] == [False, False, True, True]
    items = list(harness.protocol._state.conversation)
    assert sum(item.audio_bytes for item in items) <= MAX_AUDIO_BYTES
    assert [item.audio_ms for item in items] == [120_000] * 4


def test_speech_whose_audio_was_discarded_can_be_truncated() -> None:
    script = [Say("a", audio_ms=400_000), Say("b", audio_ms=400_000)]
    harness = ProtocolHarness(responder=ScriptedResponder(script))
    first = spoken_item(harness)
    fields = {"item_id": first, "content_index": 0}
    (frame,) = harness.send("conversation.item.truncate", **fields, audio_end_ms=100_000)
    assert frame["type"] == "conversation.item.truncated"
    spoken_item(harness)
    (frame,) = harness.send("conversation.item.truncate", **fields, audio_end_ms=100_001)
    assert frame["error"]["message"] == "Audio content of 100000ms is already shorter than 100001ms"
    items = harness.protocol._state.conversation
    assert sum(item.audio_bytes for item in items) == items._audio_bytes <= MAX_AUDIO_BYTES


def test_audio_of_deleted_items_makes_space() -> None:
    harness = ProtocolHarness()
    for _ in range(6):
        created = harness.send("conversation.item.create", item=audio_message(120))
        harness.send("conversation.item.delete", item_id=created[0]["item"]["id"])
    assert harness.protocol._state.conversation._audio_bytes == 0
    harness.send("conversation.item.create", item=audio_message(1))
    (item,) = harness.protocol._state.conversation
    assert item.audio_bytes == 48_000


def test_a_full_conversation_accepts_no_more_items_until_some_are_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation, "MAX_CONTENT_BYTES", 30_000)
    harness = ProtocolHarness()
    first = harness.say("x" * 15_000)["id"]
    harness.say("x" * 15_000)
    for kind, fields in (
        ("conversation.item.create", {"item": audio_message(1)}),
        ("input_audio_buffer.append", {"audio": "AAAA"}),
        ("input_audio_buffer.commit", {}),
        ("response.create", {}),
    ):
        assert rejected(harness, kind, **fields)["code"] == "conversation_too_large"
    harness.send("conversation.item.delete", item_id=first)
    assert harness.say("again")["type"] == "message"


def test_the_output_of_responses_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MAX_CONTENT_BYTES", 10_000)
    harness = ProtocolHarness(responder=ScriptedResponder([Say("word " * 2000, audio_ms=100)]))
    harness.respond()
    assert rejected(harness, "response.create")["code"] == "conversation_too_large"
