"""The session object: defaults, updates and their validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.harness import rejected
from trio_realtime.local import (
    ConnectionRequest,
    Pause,
    ScriptedResponder,
)
from trio_realtime.local.harness import LOCAL_REQUEST, ProtocolHarness, types_of

# -- defaults ------------------------------------------------------------------------------------


KEYS = [
    *("type", "object", "id", "model", "output_modalities", "instructions", "tools"),
    *("tool_choice", "max_output_tokens", "tracing", "truncation", "prompt", "expires_at"),
    *("audio", "include"),
]


VAD = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}


def test_a_new_session_matches_one_of_the_live_service() -> None:
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
            "voice": "marin",
            "speed": 1.0,
        },
    }
    assert [session[key] for key in ("tracing", "prompt", "include")] == [None] * 3


def for_model(model: str) -> ProtocolHarness:
    return ProtocolHarness(ConnectionRequest(f"/v1/realtime?model={model}", LOCAL_REQUEST.headers))


def detection_of(harness: ProtocolHarness) -> Any:
    return harness.session["audio"]["input"]["turn_detection"]


@pytest.mark.parametrize(
    ("model", "silence_ms", "voice"),
    [
        ("gpt-realtime", 200, "alloy"),
        ("gpt-realtime-2025-08-28", 200, "alloy"),
        ("gpt-realtime-1.5", 200, "alloy"),
        ("gpt-realtime-2", 500, "marin"),
        ("gpt-realtime-2.1-mini", 500, "marin"),
        ("gpt-realtime-3", 500, "marin"),
        ("gpt-realtime-10.2-2031-01-31", 500, "marin"),
        ("parrot", 200, "alloy"),
    ],
)
def test_defaults_depend_on_the_version_of_the_model(
    model: str, silence_ms: int, voice: str
) -> None:
    harness = for_model(model)
    assert detection_of(harness)["silence_duration_ms"] == silence_ms
    assert harness.session["audio"]["output"]["voice"] == voice


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


# -- updates -------------------------------------------------------------------------------------


def recorded_event(path: Path, kind: str) -> dict[str, Any]:
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    data: dict[str, Any] = next(line["data"] for line in lines if line["data"]["type"] == kind)
    return data


INSTRUCTIONS = ProtocolHarness().session["instructions"]


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
def test_updates_are_echoed_as_by_the_live_service(data_dir: Path, name: str) -> None:
    path = data_dir / "live_frames" / f"{name}.jsonl"
    created = recorded_event(path, "session.created")["session"]
    harness = for_model(created["model"])
    excluded = {"id", "instructions", "expires_at"}
    shown = {key: value for key, value in harness.session.items() if key not in excluded}
    assert shown == {key: value for key, value in created.items() if key not in excluded}
    update = recorded_event(path, "session.update")
    (updated,) = harness.send("session.update", session=update["session"])
    expected = recorded_event(path, "session.updated")["session"]
    same = {"id": updated["session"]["id"], "expires_at": updated["session"]["expires_at"]}
    expected |= (
        same if "instructions" in update["session"] else {**same, "instructions": INSTRUCTIONS}
    )
    # Compare text, because the order of the keys matters too.
    assert json.dumps(updated["session"]) == json.dumps(expected)


def test_an_update_changes_only_the_given_members() -> None:
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


def test_omitted_members_of_turn_detection_take_their_defaults() -> None:
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
    for model, more in (
        ("whisper-1", {}),
        ("gpt-live-transcribe", {"languages": None}),
        ("gpt-live-transcribe-2026-08-26", {"languages": None}),
    ):
        harness.update(audio={"input": {"transcription": {"model": model}}})
        assert harness.session["audio"]["input"]["transcription"] == {
            "model": model,
            "language": None,
            "prompt": None,
            **more,
        }


def test_the_strength_of_noise_reduction_is_echoed() -> None:
    harness = ProtocolHarness()
    for noise_reduction in ({"type": "far_field", "strength": 0.25}, {"strength": 1.0}):
        harness.update(audio={"input": {"noise_reduction": noise_reduction}})
        assert harness.session["audio"]["input"]["noise_reduction"] == noise_reduction


def test_tools_are_echoed_with_the_keys_in_order() -> None:
    harness = ProtocolHarness()
    harness.update(
        tools=[
            {"parameters": {"type": "object"}, "description": "d", "name": "n", "type": "function"}
        ]
    )
    assert list(harness.session["tools"][0]) == ["type", "name", "description", "parameters"]


def test_credentials_of_an_mcp_server_are_not_echoed() -> None:
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


def test_reasoning_is_echoed_after_it_was_set() -> None:
    harness = ProtocolHarness()
    harness.update(reasoning={"effort": "none"})
    keys = list(harness.session)
    assert keys[keys.index("reasoning") - 1 : keys.index("reasoning") + 2] == [
        *("prompt", "reasoning", "expires_at")
    ]


# -- invalid updates -----------------------------------------------------------------------------


INPUT = "session.audio.input"


OUTPUT = "session.audio.output"


NESTED: dict[str, Any] = json.loads('{"a":' * 70 + "{}" + "}" * 70)


INVALID_SESSIONS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "missing_required_parameter", "session.type"),
    ({"type": "other"}, "invalid_value", "session.type"),
    ({"type": "transcription"}, "invalid_value", "session.type"),
    ({"bogus_field": 1}, "unknown_parameter", "session.bogus_field"),
    ({"modalities": ["text"]}, "unknown_parameter", "session.modalities"),
    ({"temperature": 0.8}, "unknown_parameter", "session.temperature"),
    ({"model": 5}, "invalid_type", "session.model"),
    ({"output_modalities": ["audio", "text"]}, "invalid_value", "session.output_modalities"),
    ({"output_modalities": []}, "invalid_value", "session.output_modalities"),
    ({"output_modalities": ["video"]}, "invalid_value", "session.output_modalities[0]"),
    ({"output_modalities": "text"}, "invalid_type", "session.output_modalities"),
    ({"instructions": 5}, "invalid_type", "session.instructions"),
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
        {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 11025}}}},
        "invalid_value",
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
    (
        {"audio": {"input": {"noise_reduction": {"strength": 10**400}}}},
        "invalid_value",
        f"{INPUT}.noise_reduction.strength",
    ),
    ({"prompt": {"id": "x", "variables": NESTED}}, "invalid_value", "session.prompt.variables"),
    ({"tracing": {"metadata": NESTED}}, "invalid_value", "session.tracing.metadata"),
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


@pytest.mark.parametrize(("session", "code", "param"), INVALID_SESSIONS)
def test_an_invalid_update_has_no_effect(session: dict[str, Any], code: str, param: str) -> None:
    harness = ProtocolHarness()
    before = harness.session
    whole = {**({"type": "realtime"} if session else {}), "tool_choice": "none", **session}
    error = rejected(harness, "session.update", session=whole)
    assert (error["code"], error["param"]) == (code, param)
    assert harness.session == before


@pytest.mark.parametrize("session", [None, 5, "realtime", []])
def test_a_session_must_be_an_object(session: object) -> None:
    assert rejected(ProtocolHarness(), "session.update", session=session)["code"] == "invalid_type"


def test_the_error_for_two_modalities_has_the_text_of_the_live_service() -> None:
    session = {"type": "realtime", "output_modalities": ["text", "audio"]}
    message = rejected(ProtocolHarness(), "session.update", session=session)["message"]
    assert message.startswith("Invalid modalities: ['text', 'audio'].")


def test_the_error_for_a_sample_rate_lists_the_supported_rates() -> None:
    session = {
        "type": "realtime",
        "audio": {"input": {"format": {"type": "audio/pcm", "rate": 44100}}},
    }
    assert rejected(ProtocolHarness(), "session.update", session=session)["message"] == (
        "Invalid value: '44100'. Supported values are: '8000', '16000', '24000', and '48000'."
    )


# -- settings that are fixed ---------------------------------------------------------------------


def test_the_model_of_an_update_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    harness = for_model("gpt-realtime-mini")
    tools = [{"type": "function", "name": "get_weather"}]
    for _ in range(2):
        (updated,) = harness.update(model="gpt-realtime-2.1", tools=tools)
        assert updated["session"]["model"] == "gpt-realtime-mini"
        assert updated["session"]["tools"] == tools
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("trio_realtime.local", "WARNING")
    assert "'gpt-realtime-2.1'" in record.getMessage()


def test_the_model_of_the_connection_may_be_repeated(caplog: pytest.LogCaptureFixture) -> None:
    harness = for_model("gpt-realtime-mini")
    assert types_of(harness.update(model="gpt-realtime-mini")) == ["session.updated"]
    assert not caplog.records


def test_the_voice_cannot_change_after_the_model_has_spoken() -> None:
    harness = ProtocolHarness()
    output = {"voice": "ash"}
    assert harness.update(audio={"output": output})[0]["type"] == "session.updated"
    harness.respond(output_modalities=["text"])
    assert harness.update(audio={"output": {"voice": "echo"}})[0]["type"] == "session.updated"
    harness.respond()
    session = {"type": "realtime", "audio": {"output": {"voice": "alloy"}}}
    error = rejected(harness, "session.update", session=session)
    assert error["code"] == "cannot_update_voice"
    assert error["message"] == (
        "Cannot update a conversation's voice if assistant audio is present."
    )
    assert harness.update(audio={"output": {"voice": "echo"}})[0]["type"] == "session.updated"


def test_a_change_of_voice_while_the_model_speaks_rejects_the_whole_update() -> None:
    harness = ProtocolHarness(pacing=1.0)
    harness.send("response.create")
    harness.run_until("response.output_audio.delta")
    before = harness.session
    session = {"type": "realtime", "instructions": "x", "audio": {"output": {"voice": "echo"}}}
    error = rejected(harness, "session.update", session=session)
    assert (error["code"], error["param"]) == ("cannot_update_voice", None)
    assert harness.session == before


def test_speed_changes_only_between_responses() -> None:
    harness = ProtocolHarness(responder=ScriptedResponder([[Pause(1.0)]]))
    harness.send("response.create")
    session = {"type": "realtime", "audio": {"output": {"speed": 1.2}}}
    error = rejected(harness, "session.update", session=session)
    assert error["param"] == "session.audio.output.speed"
    harness.run(2.0)
    assert harness.send("session.update", session=session)[0]["type"] == "session.updated"


def test_tracing_cannot_change_once_enabled() -> None:
    harness = ProtocolHarness()
    harness.update(tracing="auto")
    assert harness.update(tracing="auto")[0]["type"] == "session.updated"
    session = {"type": "realtime", "tracing": None}
    assert rejected(harness, "session.update", session=session)["param"] == "session.tracing"
