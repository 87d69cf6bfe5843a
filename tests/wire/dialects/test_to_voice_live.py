"""Translating GA client events to Azure Voice Live."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trio_realtime.wire.dialects import UnsupportedByDialect
from trio_realtime.wire.dialects.to_voice_live import client_event_to_voice_live

Json = dict[str, Any]


def session_of(session: Json) -> Json:
    event = {"type": "session.update", "session": {"type": "realtime", **session}}
    sent: Json = client_event_to_voice_live(event)["session"]
    return sent


def audio(side: str, **settings: Any) -> Json:
    return {"audio": {side: settings}}


def pcm(rate: int | None) -> Json:
    return {"type": "audio/pcm"} if rate is None else {"type": "audio/pcm", "rate": rate}


@pytest.mark.parametrize(
    ("ga", "sent"),
    [
        ({"output_modalities": ["audio"]}, {"modalities": ["text", "audio"]}),
        ({"max_output_tokens": 9}, {"max_response_output_tokens": 9}),
        ({"include": ["x"], "tool_choice": "auto"}, {"include": ["x"], "tool_choice": "auto"}),
        (audio("output", voice="alloy"), {"voice": {"type": "openai", "name": "alloy"}}),
        (
            audio("output", voice="en-US-AvaNeural"),
            {"voice": {"type": "azure-standard", "name": "en-US-AvaNeural"}},
        ),
        (audio("output", format=pcm(24000)), {"output_audio_format": "pcm16"}),
        (audio("output", format=pcm(16000)), {"output_audio_format": "pcm16-16000hz"}),
        (audio("output", format=pcm(8000)), {"output_audio_format": "pcm16-8000hz"}),
        (audio("output", format={"type": "audio/pcmu"}), {"output_audio_format": "g711_ulaw"}),
        *(
            (
                audio("input", format=pcm(rate)),
                {"input_audio_format": "pcm16", "input_audio_sampling_rate": rate or 24000},
            )
            for rate in (None, 16000, 24000)
        ),
        (audio("input", format={"type": "audio/pcma"}), {"input_audio_format": "g711_alaw"}),
        (
            audio("input", turn_detection={"type": "azure_semantic_vad", "idle_timeout_ms": 1}),
            {"turn_detection": {"type": "azure_semantic_vad", "idle_timeout_ms": 1}},
        ),
        (
            audio("input", noise_reduction={"type": "azure_deep_noise_suppression"}),
            {"input_audio_noise_reduction": {"type": "azure_deep_noise_suppression"}},
        ),
        (audio("input", transcription=None), {"input_audio_transcription": None}),
    ],
)
def test_settings_have_the_names_of_voice_live(ga: Json, sent: Json) -> None:
    assert session_of(ga) == sent


@pytest.mark.parametrize(
    ("session", "name"),
    [
        ({"tracing": "auto"}, "tracing"),
        ({"truncation": "auto"}, "truncation"),
        ({"reasoning": {"effort": "low"}}, "reasoning"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"tools": [{"type": "mcp"}]}, "tools: mcp"),
        (audio("output", speed=1.1), "audio.output.speed"),
        (audio("output", voice={"id": "v"}), "voice.id"),
        (audio("output", format=pcm(48000)), "audio format audio/pcm at 48000 Hz"),
        (audio("input", format=pcm(8000)), "audio format audio/pcm at 8000 Hz"),
        (audio("input", noise_reduction={"strength": 1.0}), "noise_reduction.strength"),
    ],
)
def test_a_setting_that_voice_live_lacks_is_refused_by_name(session: Json, name: str) -> None:
    with pytest.raises(UnsupportedByDialect, match=f"voice_live dialect .* '{name}'"):
        session_of(session)


def test_the_parameters_of_a_response() -> None:
    response = {
        "instructions": "x",
        "metadata": {"a": "b"},
        "max_output_tokens": 5,
        **audio("output", voice="alloy"),
    }
    sent = client_event_to_voice_live({"type": "response.create", "response": response})
    assert sent["response"] == {
        "instructions": "x",
        "metadata": {"a": "b"},
        "max_output_tokens": 5,
        "voice": {"type": "openai", "name": "alloy"},
    }


@pytest.mark.parametrize("name", ["conversation", "input", "reasoning"])
def test_a_parameter_that_voice_live_lacks_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedByDialect, match=name):
        client_event_to_voice_live({"type": "response.create", "response": {name: "none"}})


def test_settings_look_like_those_of_a_recorded_client(data_dir: Path) -> None:
    path = data_dir / "live_frames" / "other_services" / "voice_live_tool_call_round.jsonl"
    sent = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    (recorded,) = [
        entry["data"]["session"]
        for entry in sent
        if entry["direction"] == "sent" and entry["data"]["type"] == "session.update"
    ]
    assert (
        session_of(
            {
                "instructions": recorded["instructions"],
                "output_modalities": ["text"],
                "tools": recorded["tools"],
                "audio": {
                    "input": {
                        "format": pcm(24000),
                        "turn_detection": recorded["turn_detection"],
                        "transcription": {"model": "whisper-1"},
                    },
                    "output": {"format": pcm(24000)},
                },
            }
        )
        == recorded
    )
