"""Frames of the WebSocket."""

from __future__ import annotations

import json

import pytest

from trio_realtime.local import frames
from trio_realtime.local.errors import ProtocolError


def test_an_event_survives_a_round_trip() -> None:
    event = {"type": "response.create", "response": {"instructions": "Grüße", "tools": []}}
    assert frames.decode(frames.encode(event, "ga"), "ga") == event


@pytest.mark.parametrize("value", ["{},", "[],", "0,", '{"a":{"b":[0]}},'])
def test_an_event_with_too_many_values_is_rejected_before_it_is_decoded(value: str) -> None:
    message = '{"type":"x","values":[%s0]}' % (value * 600_000)
    with pytest.raises(ProtocolError, match="more than 500000 values"):
        frames.decode(message, "ga")


def test_a_large_event_with_few_values_is_accepted() -> None:
    text = "a" * 20_000_000
    event = frames.decode(json.dumps({"type": "x", "audio": text, "list": [0] * 1000}), "ga")
    assert event["audio"] == text
