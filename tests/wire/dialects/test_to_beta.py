"""Translating GA to the beta protocol."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime.wire.dialects import UnsupportedByDialect, server_event_to_beta
from trio_realtime.wire.dialects.to_beta import client_event_to_beta
from trio_realtime.wire.dialects.to_ga import client_event_to_ga, server_event_to_ga

Json = dict[str, Any]


def update(session: Json) -> Json:
    return {"type": "session.update", "session": {"type": "realtime", **session}}


def audio(side: str, **settings: Any) -> Json:
    return {"audio": {side: settings}}


PCM = {"type": "audio/pcm", "rate": 24000}

SETTINGS: list[tuple[Json, Json]] = [
    ({}, {}),
    ({"instructions": "Be brief."}, {"instructions": "Be brief."}),
    ({"output_modalities": ["audio"]}, {"modalities": ["text", "audio"]}),
    ({"output_modalities": ["text"]}, {"modalities": ["text"]}),
    (
        {"tools": [{"type": "function", "name": "f"}]},
        {"tools": [{"type": "function", "name": "f"}]},
    ),
    ({"tool_choice": "none"}, {"tool_choice": "none"}),
    ({"max_output_tokens": 10}, {"max_response_output_tokens": 10}),
    ({"tracing": "auto"}, {"tracing": "auto"}),
    (audio("output", voice="ash"), {"voice": "ash"}),
    (audio("output", speed=1.5), {"speed": 1.5}),
    (audio("output", format=PCM), {"output_audio_format": "pcm16"}),
    (audio("input", format=PCM), {"input_audio_format": "pcm16"}),
    (audio("input", format={"type": "audio/pcmu"}), {"input_audio_format": "g711_ulaw"}),
    (audio("input", format={"type": "audio/pcma"}), {"input_audio_format": "g711_alaw"}),
    (audio("input", turn_detection=None), {"turn_detection": None}),
    (
        audio("input", turn_detection={"type": "server_vad", "threshold": 0.4}),
        {"turn_detection": {"type": "server_vad", "threshold": 0.4}},
    ),
    (
        audio("input", turn_detection={"type": "semantic_vad", "eagerness": "low"}),
        {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}},
    ),
    (
        audio("input", transcription={"model": "m", "language": "en"}),
        {"input_audio_transcription": {"model": "m", "language": "en"}},
    ),
    (audio("input", transcription=None), {"input_audio_transcription": None}),
    (
        audio("input", noise_reduction={"type": "near_field"}),
        {"input_audio_noise_reduction": {"type": "near_field"}},
    ),
]


@pytest.mark.parametrize(("ga", "beta"), SETTINGS)
def test_settings_are_flat_and_a_server_reads_them_back(ga: Json, beta: Json) -> None:
    sent = client_event_to_beta(update(ga))
    assert sent == {"type": "session.update", "session": beta}
    assert client_event_to_ga(sent) == update(ga)


@pytest.mark.parametrize(
    ("session", "name"),
    [
        ({"type": "transcription"}, "type"),
        ({"parallel_tool_calls": True}, "parallel_tool_calls"),
        ({"reasoning": {"effort": "low"}}, "reasoning"),
        ({"truncation": "auto"}, "truncation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"include": ["x"]}, "include"),
        ({"tools": [{"type": "mcp"}]}, "tools: mcp"),
        (audio("output", voice={"id": "v"}), "voice.id"),
        (
            audio("output", format={"type": "audio/pcm", "rate": 16000}),
            "audio format audio/pcm at 16000 Hz",
        ),
        (audio("input", format={"type": "audio/x"}), "audio format audio/x"),
        (audio("input", noise_reduction={"strength": 0.5}), "noise_reduction.strength"),
        (audio("input", transcription={"keywords": ["a"]}), "transcription.keywords"),
        (
            audio("input", turn_detection={"idle_timeout_ms": 6000}),
            "turn_detection.idle_timeout_ms",
        ),
        (audio("input", echo=True), "audio.input.echo"),
    ],
)
def test_a_setting_that_beta_lacks_is_refused_by_name(session: Json, name: str) -> None:
    with pytest.raises(UnsupportedByDialect, match=f"beta dialect .* cannot express '{name}"):
        client_event_to_beta(update(session))


@pytest.mark.parametrize(
    "name", ["prompt", "include", "tracing", "reasoning", "truncation", "parallel_tool_calls"]
)
def test_clearing_a_setting_that_beta_lacks_needs_no_key(name: str) -> None:
    session = client_event_to_beta(update({name: None}))["session"]
    assert session == ({"tracing": None} if name == "tracing" else {})


@pytest.mark.parametrize(
    ("ga", "beta"),
    [
        ({"instructions": "x"}, {"instructions": "x"}),
        ({"metadata": {"a": "b"}, "conversation": "none"},) * 2,
        ({"output_modalities": ["audio"]}, {"modalities": ["text", "audio"]}),
        ({"max_output_tokens": 5}, {"max_response_output_tokens": 5}),
        (
            audio("output", voice="ash", format=PCM),
            {"voice": "ash", "output_audio_format": "pcm16"},
        ),
        ({"input": [{"type": "item_reference", "id": "i"}]},) * 2,
    ],
)
def test_the_parameters_of_a_response_are_flat(ga: Json, beta: Json) -> None:
    sent = client_event_to_beta({"type": "response.create", "response": ga})
    assert sent["response"] == beta
    assert client_event_to_ga(sent)["response"] == ga


@pytest.mark.parametrize("name", ["reasoning", "prompt", "parallel_tool_calls"])
def test_a_parameter_that_beta_lacks_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedByDialect, match=name):
        client_event_to_beta({"type": "response.create", "response": {name: "x"}})


def test_parts_of_the_assistant_have_beta_names() -> None:
    content = [{"type": "output_text", "text": "Hi"}, {"type": "input_text", "text": "Ho"}]
    item = {"type": "message", "role": "assistant", "content": content}
    sent = client_event_to_beta({"type": "conversation.item.create", "item": item})
    assert [part["type"] for part in sent["item"]["content"]] == ["text", "input_text"]
    asked = client_event_to_beta({"type": "response.create", "response": {"input": [item]}})
    assert asked["response"]["input"] == [sent["item"]]


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ({"type": "message", "content": [{"type": "input_image"}]}, "input_image"),
        ({"type": "mcp_approval_response"}, "mcp_approval_response"),
    ],
)
def test_an_item_that_beta_lacks_is_refused(item: Json, name: str) -> None:
    with pytest.raises(UnsupportedByDialect, match=name):
        client_event_to_beta({"type": "conversation.item.create", "item": item})


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.create"},
        {"type": "response.cancel", "response_id": "r"},
        {"type": "input_audio_buffer.append", "audio": "AAAA"},
        {"type": "conversation.item.truncate", "item_id": "i", "audio_end_ms": 0},
    ],
)
def test_other_events_are_the_same(event: Json) -> None:
    assert client_event_to_beta(event) == event


# --- server events, for servers ------------------------------------------------------------------

MESSAGE = {
    "id": "i",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_audio", "transcript": "Hi"}],
}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_audio.delta", "delta": "AAAA"},
        {"type": "response.output_item.added", "item": MESSAGE},
        {"type": "response.done", "response": {"id": "r", "output": [MESSAGE]}},
        {
            "type": "session.updated",
            "session": {
                "id": "s",
                "output_modalities": ["audio"],
                "audio": {"input": {"format": PCM, "turn_detection": None}},
            },
        },
        {"type": "conversation.item.added", "previous_item_id": None, "item": MESSAGE},
        {"type": "input_audio_buffer.cleared"},
        {"type": "error", "error": {"message": "no"}},
    ],
)
def test_a_client_reads_back_what_a_beta_server_sends(event: Json) -> None:
    beta = server_event_to_beta(event)
    assert beta is not None
    assert server_event_to_ga(beta) == (event,)


def test_beta_has_no_event_for_a_complete_item() -> None:
    assert server_event_to_beta({"type": "conversation.item.done", "item": MESSAGE}) is None
