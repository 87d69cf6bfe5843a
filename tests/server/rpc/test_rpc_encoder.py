"""RpcEncoder: numbers, audio and run events."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from trio_realtime import errors, events
from trio_realtime.server.rpc import (
    ClientAttached,
    ClientDetached,
    RpcEncoder,
    RpcEvent,
    RpcEventError,
    RunConnected,
    RunEnded,
    RunError,
    RunFailure,
    RunStarted,
    RunWarning,
)
from trio_realtime.wire import PCM24K, PCMU

AUDIO = events.Audio(data=bytes(960), response_id="r", item_id="i", content_index=0)


def test_events_are_numbered_without_gaps() -> None:
    encoder = RpcEncoder("s", "r")
    assert encoder.last_seq == 0
    first = encoder.encode(AUDIO, time=1.0)
    second = encoder.make("run_warning", {"code": "c", "message": "m"}, time=2.0)
    with pytest.raises(RpcEventError):
        encoder.encode(AUDIO, time=math.nan)
    third = encoder.encode(AUDIO, time=3.0)
    assert [event.seq for event in (first, second, third)] == [1, 2, 3]
    assert encoder.last_seq == 3
    continued = RpcEncoder("s", "r2", encoder.last_seq + 1)
    assert continued.last_seq == 3
    assert continued.encode(AUDIO, time=4.0).seq == 4


def test_audio() -> None:
    assert RpcEncoder("s", "r").encode(AUDIO, time=1.5) == RpcEvent(
        type="realtime_audio",
        session_id="s",
        run_id="r",
        seq=1,
        time=1.5,
        data={"response_id": "r", "item_id": "i", "content_index": 0, "delta_ms": 20.0},
        audio=bytes(960),
        version=1,
    )


@pytest.mark.parametrize(("bytes_per_ms", "expected"), [(8, 120.0), (32, 30.0), (88.2, 10.884)])
def test_the_duration_depends_on_the_format(bytes_per_ms: float, expected: float) -> None:
    encoder = RpcEncoder("s", "r", bytes_per_ms=bytes_per_ms)
    assert encoder.encode(AUDIO, time=1.0).data["delta_ms"] == expected
    changed = RpcEncoder("s", "r")
    changed.bytes_per_ms = bytes_per_ms
    assert changed.encode(AUDIO, time=1.0).data["delta_ms"] == expected


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (
            RunStarted(agent="Clerk", model="m"),
            {"agent": "Clerk", "model": "m"},
        ),
        (
            RunConnected(input_format=PCMU, output_format=PCM24K),
            {
                "input_format": {"type": "audio/pcmu"},
                "output_format": {"type": "audio/pcm", "rate": 24000},
            },
        ),
        (RunWarning(code="c", message="m"), {"code": "c", "message": "m"}),
        (
            RunEnded(
                by="application",
                reason="closed",
                error=RunError(type="E", message="m"),
                failures=(RunFailure(part="recording", message="disk full"),),
                duration=1.5,
            ),
            {
                "by": "application",
                "reason": "closed",
                "error": {"type": "E", "message": "m"},
                "failures": [{"part": "recording", "message": "disk full"}],
                "duration": 1.5,
            },
        ),
        (ClientAttached(client_id="c", role="owner"), {"client_id": "c", "role": "owner"}),
        (
            ClientDetached(client_id="c", role="observer", reason="closed"),
            {"client_id": "c", "role": "observer", "reason": "closed"},
        ),
    ],
)
def test_run_events(event: Any, data: dict[str, Any]) -> None:
    encoded = RpcEncoder("s", "r").make(event.type, event, time=1.0)
    assert (encoded.type, encoded.data, encoded.audio) == (event.type, data, None)


def test_a_mapping_becomes_json() -> None:
    encoded = RpcEncoder("s", "r").make("own", {"n": math.nan, "t": "\ud800", 1: (2,)}, time=1.0)
    assert encoded.data == {"n": None, "t": "\ufffd", "1": [2]}


@pytest.mark.parametrize("data", [None, [], "text", RunStarted])
def test_other_data_is_rejected(data: Any) -> None:
    encoder = RpcEncoder("s", "r")
    with pytest.raises(errors.UsageError, match="must be a mapping or a run event"):
        encoder.make("own", data, time=1.0)
    assert encoder.last_seq == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first_seq": 0}, "first_seq must be at least 1, got 0"),
        ({"bytes_per_ms": 0}, "bytes_per_ms must be positive, got 0"),
        ({"bytes_per_ms": math.nan}, "bytes_per_ms must be positive, got nan"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.UsageError) as caught:
        RpcEncoder("s", "r", **arguments)
    assert str(caught.value) == message


def test_deeply_nested_data_survives_a_frame() -> None:
    value: list[Any] = []
    for _ in range(300):  # more than a frame may have
        value = [value]
    encoded = RpcEncoder("s", "r").make("own", {"value": value}, time=1.0)
    assert RpcEvent.from_frame(encoded.to_frame()) == encoded


def test_the_data_is_independent_of_the_event() -> None:
    trip = events.GuardrailTrip(name="g", info={"a": [1]})
    event = events.GuardrailTripped(guardrail_results=(trip,), message="m", response_id=None)
    encoded = RpcEncoder("s", "r").encode(event, time=1.0)
    trip.info["a"].append(2)
    assert encoded.data["guardrail_results"][0]["info"] == {"a": [1]}
    assert attrs.evolve(encoded, seq=2).data is encoded.data
