"""Frames of the WebSocket."""

from __future__ import annotations

import json

import pytest

from trio_realtime.local import frames
from trio_realtime.local.errors import ProtocolError


def test_an_event_survives_a_round_trip() -> None:
    event = {"type": "response.create", "response": {"instructions": "Grüße", "tools": []}}
    text = frames.encode(event, "ga")
    assert text is not None
    assert frames.decode(text, "ga") == event


def test_a_beta_session_is_read_as_ga() -> None:
    session = {"modalities": ["text"], "temperature": 0.8, "voice": "ash"}
    event = frames.decode(json.dumps({"type": "session.update", "session": session}), "beta")
    assert event["session"] == {
        "type": "realtime",
        "output_modalities": ["text"],
        "audio": {"output": {"voice": "ash"}},
    }


@pytest.mark.parametrize("key", ["type", "audio", "output_modalities", "max_output_tokens"])
def test_the_beta_protocol_refuses_keys_of_a_ga_session(key: str) -> None:
    message = json.dumps({"type": "session.update", "session": {key: "realtime"}})
    with pytest.raises(ProtocolError, match=f"Unknown parameter: 'session.{key}'"):
        frames.decode(message, "beta")


def test_events_that_the_beta_protocol_does_not_have_are_left_out() -> None:
    assert frames.encode({"type": "conversation.item.done", "item": {}}, "beta") is None
    text = frames.encode({"type": "response.output_audio.delta", "delta": "AAAA"}, "beta")
    assert json.loads(text or "") == {"type": "response.audio.delta", "delta": "AAAA"}


@pytest.mark.parametrize("value", ["{},", "[],", "0,", '{"a":{"b":[0]}},'])
def test_an_event_with_too_many_values_is_rejected_before_it_is_decoded(value: str) -> None:
    message = '{"type":"x","values":[%s0]}' % (value * 600_000)
    with pytest.raises(ProtocolError, match="more than 500000 values"):
        frames.decode(message, "ga")


def test_a_large_event_with_few_values_is_accepted() -> None:
    text = "a" * 20_000_000
    event = frames.decode(json.dumps({"type": "x", "audio": text, "list": [0] * 1000}), "ga")
    assert event["audio"] == text
