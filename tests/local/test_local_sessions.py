"""Sessions and items of the local service: what it echoes, keeps and gives back."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pybase64
import pytest

from trio_realtime.local import ConnectionRequest, Say, ScriptedResponder
from trio_realtime.local.harness import LOCAL_REQUEST, ProtocolHarness, types_of

KEYS = [
    *("type", "object", "id", "model", "output_modalities", "instructions", "tools"),
    *("tool_choice", "max_output_tokens", "tracing", "truncation", "prompt", "expires_at"),
    *("audio", "include"),
]
VAD = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 200,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}


def for_model(model: str) -> ProtocolHarness:
    return ProtocolHarness(ConnectionRequest(f"/v1/realtime?model={model}", LOCAL_REQUEST.headers))


def detection_of(harness: ProtocolHarness) -> Any:
    return harness.session["audio"]["input"]["turn_detection"]


# -- sessions ------------------------------------------------------------------------------------


def test_a_new_session_looks_like_a_recorded_one() -> None:
    harness = ProtocolHarness()
    (created,) = harness.frames
    assert created["type"] == "session.created"
    session = created["session"]
    assert list(session) == KEYS
    assert session["id"].startswith("sess_")
    assert len(session["id"]) == len("sess_") + 21
    assert session["audio"] == {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": VAD,
        },
        "output": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "voice": "alloy",
            "speed": 1.0,
        },
    }
    assert [session[key] for key in ("tracing", "prompt", "include")] == [None] * 3


def recorded(path: Path, kind: str) -> dict[str, Any]:
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    data: dict[str, Any] = next(line["data"] for line in lines if line["data"]["type"] == kind)
    return data


@pytest.mark.parametrize(
    "name",
    [
        "openai_server_vad_turn",
        "openai_tool_call_round",
        "openai_reasoning_tool_round_interleaved",
        "openai_text_in_audio_out",
        "azure_spoken_turn_drives_a_tool",
    ],
)
def test_updates_are_echoed_like_the_recorded_ones(data_dir: Path, name: str) -> None:
    path = data_dir / "live_frames" / f"{name}.jsonl"
    created = recorded(path, "session.created")["session"]
    harness = for_model(created["model"])
    unlike = {"id", "instructions", "expires_at"}
    shown = {key: value for key, value in harness.session.items() if key not in unlike}
    assert shown == {key: value for key, value in created.items() if key not in unlike}
    update = recorded(path, "session.update")
    (updated,) = harness.send("session.update", session=update["session"])
    expected = recorded(path, "session.updated")["session"]
    same = {"id": updated["session"]["id"], "expires_at": updated["session"]["expires_at"]}
    expected |= same if "instructions" in update["session"] else {**same, "instructions": ANY}
    # As text, because the order of the keys is part of the promise.
    assert json.dumps(updated["session"]) == json.dumps(expected)


ANY = ProtocolHarness().session["instructions"]


def test_reasoning_models_have_other_defaults() -> None:
    harness = for_model("gpt-realtime-2.1")
    assert detection_of(harness)["silence_duration_ms"] == 500
    assert harness.session["audio"]["output"]["voice"] == "marin"


def test_only_what_is_named_changes() -> None:
    harness = ProtocolHarness()
    harness.update(instructions="Be brief.", audio={"output": {"voice": "ash"}})
    (updated,) = harness.update(audio={"output": {"speed": 1.25}})
    session = updated["session"]
    assert session["instructions"] == "Be brief."
    assert session["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "voice": "ash",
        "speed": 1.25,
    }
    assert session["audio"]["input"]["turn_detection"] == VAD


def test_lists_are_replaced_and_empty_values_clear() -> None:
    harness = ProtocolHarness()
    harness.update(tools=[{"type": "function", "name": "a"}], instructions="x")
    harness.update(tools=[{"type": "function", "name": "b"}])
    assert [tool["name"] for tool in harness.session["tools"]] == ["b"]
    harness.update(tools=[], instructions="")
    assert (harness.session["tools"], harness.session["instructions"]) == ([], "")


def test_turn_detection_takes_defaults_for_what_is_left_out() -> None:
    harness = ProtocolHarness()
    harness.update(audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.9}}})
    assert detection_of(harness) == {**VAD, "threshold": 0.9}
    harness.update(audio={"input": {"turn_detection": {"type": "server_vad"}}})
    assert detection_of(harness) == VAD
    harness.update(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
    assert detection_of(harness) == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }
    harness.update(audio={"input": {"turn_detection": None}})
    assert detection_of(harness) is None


def test_transcription_is_echoed_with_nulls() -> None:
    harness = ProtocolHarness()
    for model, more in (("whisper-1", {}), ("gpt-live-transcribe", {"languages": None})):
        harness.update(audio={"input": {"transcription": {"model": model}}})
        assert harness.session["audio"]["input"]["transcription"] == {
            "model": model,
            "language": None,
            "prompt": None,
            **more,
        }


def test_tools_are_echoed_in_the_recorded_key_order() -> None:
    harness = ProtocolHarness()
    harness.update(
        tools=[
            {"parameters": {"type": "object"}, "description": "d", "name": "n", "type": "function"}
        ]
    )
    assert list(harness.session["tools"][0]) == ["type", "name", "description", "parameters"]


def test_credentials_of_an_mcp_server_are_not_echoed_and_its_import_fails() -> None:
    harness = ProtocolHarness()
    tool = {
        "type": "mcp",
        "server_label": "x",
        "server_url": "https://x",
        "authorization": "s3cret",
    }
    frames = harness.update(tools=[tool])
    assert "s3cret" not in json.dumps(frames)
    assert types_of(frames) == [
        "session.updated",
        "conversation.item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.failed",
        "conversation.item.done",
    ]
    assert types_of(harness.update(tools=[tool])) == ["session.updated"]


def test_reasoning_is_shown_once_it_was_set() -> None:
    harness = ProtocolHarness()
    harness.update(reasoning={"effort": "none"})
    keys = list(harness.session)
    assert keys[keys.index("reasoning") - 1 : keys.index("reasoning") + 2] == [
        *("prompt", "reasoning", "expires_at")
    ]


def test_a_transcription_session_has_only_an_input() -> None:
    harness = ProtocolHarness(
        ConnectionRequest("/v1/realtime?intent=transcription", LOCAL_REQUEST.headers)
    )
    assert list(harness.session) == ["type", "object", "id", "expires_at", "audio", "include"]
    assert harness.session["object"] == "realtime.transcription_session"
    assert list(detection_of(harness)) == [
        *("type", "threshold", "prefix_padding_ms", "silence_duration_ms")
    ]
    harness.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
    harness.append(b"\x00\x20" * (24 * 640))
    frames = harness.append(bytes(48 * 640)) + harness.run()
    assert types_of(frames) == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
    ]


def test_the_same_inputs_give_the_same_outputs_and_other_seeds_do_not() -> None:
    def play(seed: str) -> list[dict[str, Any]]:
        harness = ProtocolHarness(seed=seed)
        harness.say("hello")
        harness.respond()
        return harness.frames

    assert play("a") == play("a")
    assert play("a")[0]["session"]["id"] != play("b")[0]["session"]["id"]


def test_ids_begin_with_their_time() -> None:
    harness = ProtocolHarness()
    first = harness.say("a")["id"]
    harness.run(100.0)
    assert first[:11] < harness.say("b")["id"][:11]


# -- items ---------------------------------------------------------------------------------------


def order_of(harness: ProtocolHarness) -> list[str]:
    return [item.id for item in harness.protocol._state.conversation]


def test_items_go_where_they_are_put() -> None:
    harness = ProtocolHarness()
    a = harness.say("a")["id"]
    b = harness.say("b", previous_item_id="")["id"]
    first = harness.say("first", previous_item_id="root")["id"]
    assert harness.frames[-1]["previous_item_id"] is None
    middle = harness.say("middle", previous_item_id=a)["id"]
    assert harness.frames[-1]["previous_item_id"] == a
    assert order_of(harness) == [first, a, middle, b]


def test_deleting_repairs_the_chain() -> None:
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


def test_a_spoken_answer_can_be_retrieved_and_cut_off() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("hello", audio_ms=1000)]))
    item_id = harness.respond()[-2]["response"]["output"][0]["id"]

    def kept() -> tuple[int, dict[str, Any]]:
        (frame,) = harness.send("conversation.item.retrieve", item_id=item_id)
        part = frame["item"]["content"][0]
        return len(pybase64.b64decode(part["audio"])) // 48, part

    assert kept()[0] == 1000
    assert kept()[1]["transcript"] == "hello"
    fields = {"item_id": item_id, "content_index": 0, "audio_end_ms": 250}
    (truncated,) = harness.send("conversation.item.truncate", **fields)
    assert {key: truncated[key] for key in fields} == fields
    assert kept()[0] == 250
    assert "transcript" not in kept()[1]
    assert harness.send("conversation.item.truncate", **{**fields, "audio_end_ms": 0})


def test_an_answer_can_be_cut_off_while_it_is_spoken() -> None:
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


def test_chains_of_items_agree_with_the_order() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([Say("x")] * 3))
    for text in "abc":
        harness.say(text)
        harness.respond()
    added = harness.of_type("conversation.item.added")
    pairs = [(frame["previous_item_id"], frame["item"]["id"]) for frame in added]
    assert pairs == list(itertools.pairwise([None, *order_of(harness)]))
