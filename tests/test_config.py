"""``SessionConfig``: invalid values are rejected with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime import SessionConfig, function_tool
from trio_realtime.errors import ConfigurationError
from trio_realtime.wire import FunctionToolSpec


@function_tool
async def one() -> str:
    return "1"


@pytest.mark.parametrize(
    "settings",
    [
        {"speed": 9},
        {"connect_timeout": 0},
        {"output_modalities": ("audio", "text")},
        {"output_format": "audio/pcmu"},
    ],
)
def test_invalid_settings_are_rejected(settings: Any) -> None:
    with pytest.raises(ConfigurationError):
        SessionConfig(**settings)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"max_history_audio": None}, "max_history_audio must be a number"),
        ({"close_timeout": "1"}, "close_timeout must be a number > 0, got '1'"),
        ({"ping_interval": 0}, "ping_interval must be a number > 0, got 0"),
        ({"ping_timeout": "10"}, "ping_timeout must be a number > 0, got '10'"),
        ({"max_buffered_events": True}, "max_buffered_events must be a number"),
        ({"speed": "fast"}, "'>='|speed|supported"),
        (
            {"overflow": "block"},
            "overflow must be one of fail, drop_oldest_audio, drop_oldest, got 'block'",
        ),
        ({"turn_detection": "server_vad"}, "a ServerVad, a SemanticVad, or None"),
        ({"transcription": "gpt-live-transcribe"}, "transcription must be a Transcription"),
        ({"voice": 3}, "voice must be a name or a CustomVoice, got 3"),
        ({"model": 3}, "model must be the name of a model, got 3"),
        ({"format_rejection": 3}, "format_rejection: expected a function, got 3"),
    ],
)
def test_rejected_setting_is_explained(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        SessionConfig(**setting)


def test_first_settings_always_name_the_tools() -> None:
    settings = SessionConfig().session_settings(instructions="", tools=())
    assert settings.tools == ()
    assert settings.instructions == ""
    with_tool = SessionConfig().session_settings(
        instructions="x", tools=(FunctionToolSpec(name="one"),), voice="marin"
    )
    assert with_tool.audio
    assert with_tool.audio.output
    assert with_tool.audio.output.voice == "marin"


@pytest.mark.parametrize("name", ["output_guardrail", "input_guardrail"])
def test_function_must_be_decorated_to_be_a_guardrail(name: str) -> None:
    def check(_context: Any, text: str) -> bool:
        return "secret" in text

    settings: dict[str, Any] = {f"{name}s": [check]}
    with pytest.raises(
        ConfigurationError, match=f"{name}s: <function .* is not a guardrail: .* with @{name}$"
    ):
        SessionConfig(**settings)


@pytest.mark.parametrize("value", ["all", 5, None])
def test_guardrails_must_be_a_list(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="output_guardrails must be a list, got"):
        SessionConfig(output_guardrails=value)
