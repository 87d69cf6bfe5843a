"""The checks of the turns accept right results only."""

from __future__ import annotations

from typing import Any

import pytest

from interop.turns import TURNS, find_mistake

RIGHT: dict[str, dict[str, Any]] = {
    "text": {"reply": "You said: Hello there"},
    "tool": {"reply": "Sunny in Oslo", "arguments": {"city": "Oslo"}},
    "vad": {"reply": "I heard 2.6 seconds of audio."},
    "barge_in": {"status": "cancelled", "truncated_ms": 80},
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_right_result_has_no_mistake(turn: str) -> None:
    assert find_mistake(turn, RIGHT[turn]) is None


def test_the_output_of_a_tool_may_be_read_out_as_json() -> None:
    assert find_mistake("tool", {**RIGHT["tool"], "reply": '"Sunny in Oslo"'}) is None


@pytest.mark.parametrize(
    ("turn", "change"),
    [
        ("text", {"reply": ""}),
        ("tool", {"reply": "You said: What's the weather in Oslo?"}),
        ("tool", {"arguments": {}}),
        ("vad", {"reply": "Hello! How can I help you?"}),
        ("vad", {"reply": "I heard 0.3 seconds of audio."}),
        ("vad", {"reply": "I heard 4.1 seconds of audio."}),
        ("barge_in", {"status": "completed"}),
        ("barge_in", {"truncated_ms": 0}),
    ],
)
def test_a_wrong_result_is_a_mistake(turn: str, change: dict[str, Any]) -> None:
    mistake = find_mistake(turn, {**RIGHT[turn], **change})
    assert mistake is not None
    assert repr(next(iter(change.values()))) in mistake


def test_an_unknown_turn_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of text, tool"):
        find_mistake("video", {})


def test_a_tool_on_the_server_is_not_called_by_the_client() -> None:
    for arguments in (dict[str, Any](), None):
        result = {"reply": "Sunny in Oslo", "arguments": arguments}
        assert find_mistake("tool", result, tool_on_server=True) is None
        assert find_mistake("tool", result) is not None
    assert find_mistake("tool", RIGHT["tool"], tool_on_server=True) is not None
