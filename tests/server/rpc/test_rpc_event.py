"""RpcEvent: exact round trips, and clear errors for everything else."""

from __future__ import annotations

import json
import math
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from support.event_strategies import TEXT
from trio_realtime.server.rpc import PROTOCOL_VERSION, RpcEvent, RpcEventError

AUDIO = RpcEvent(
    type="realtime_audio",
    session_id="s",
    run_id="r",
    seq=3,
    time=1.5,
    data={"item_id": "i", "delta_ms": 20.0},
    audio=b"\0\1\2\xff",
)
OTHER = RpcEvent(type="run_ended", session_id="s", run_id="r", seq=4, time=2.0, data={"a": [None]})

# Values that are the same after JSON: no lone surrogates and finite numbers.
NAMES = st.text(max_size=6)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        NAMES,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
DATA = st.dictionaries(NAMES, VALUES, max_size=4)


@st.composite
def rpc_events(draw: st.DrawFn) -> RpcEvent:
    kind = draw(st.one_of(st.just("realtime_audio"), st.text(min_size=1, max_size=20)))
    data = draw(DATA)
    audio = None
    if kind == "realtime_audio":
        data.pop("audio", None)
        audio = draw(st.one_of(st.none(), st.binary(max_size=50)))
    return RpcEvent(
        type=kind,
        session_id=draw(NAMES),
        run_id=draw(NAMES),
        seq=draw(st.integers(1, 2**63 - 1)),
        time=draw(st.floats(allow_nan=False, allow_infinity=False)),
        data=data,
        audio=audio,
    )


MANY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@MANY
@given(rpc_events())
def test_round_trips_are_exact(event: RpcEvent) -> None:
    assert RpcEvent.from_dict(event.to_dict()) == event
    assert RpcEvent.from_dict(json.loads(json.dumps(event.to_dict()))) == event
    frame = event.to_frame()
    assert RpcEvent.from_frame(frame) == event
    assert RpcEvent.from_frame(bytearray(frame)) == event
    assert RpcEvent.from_frame(memoryview(frame)) == event


def test_the_json_object() -> None:
    assert PROTOCOL_VERSION == 1
    assert AUDIO.to_dict() == {
        "type": "realtime_audio",
        "session_id": "s",
        "run_id": "r",
        "seq": 3,
        "time": 1.5,
        "data": {"item_id": "i", "delta_ms": 20.0, "audio": "AAEC/w=="},
        "version": 1,
    }
    assert AUDIO.data == {"item_id": "i", "delta_ms": 20.0}
    assert "audio" not in OTHER.to_dict()["data"]


def test_the_frame() -> None:
    frame = AUDIO.to_frame()
    length = int.from_bytes(frame[:4], "big")
    header = json.loads(frame[4 : 4 + length])
    assert header == AUDIO.to_dict() | {"data": {"item_id": "i", "delta_ms": 20.0}}
    assert frame[4 + length :] == b"\0\1\2\xff"


def test_audio_of_no_bytes_differs_from_no_audio() -> None:
    empty, none = attrs.evolve(AUDIO, audio=b""), attrs.evolve(AUDIO, audio=None)
    assert empty != none
    for event in (empty, none):
        assert RpcEvent.from_dict(event.to_dict()) == event
        assert RpcEvent.from_frame(event.to_frame()) == event
    without = none.to_dict()
    del without["data"]["audio"]
    assert RpcEvent.from_dict(without) == none


def test_unknown_types_and_keys_are_accepted() -> None:
    value = OTHER.to_dict() | {"type": "from_the_future", "new": 1, "data": {"x": {"y": 1}}}
    event = RpcEvent.from_dict(value)
    assert (event.type, event.data) == ("from_the_future", {"x": {"y": 1}})
    assert RpcEvent.from_frame(event.to_frame()) == event
    # Only `realtime_audio` has audio.
    text = RpcEvent.from_dict(value | {"data": {"audio": "no base64"}})
    assert (text.audio, text.data) == (None, {"audio": "no base64"})


def test_the_time_may_be_an_integer() -> None:
    event = RpcEvent.from_dict(OTHER.to_dict() | {"time": 2})
    assert event == OTHER
    assert type(event.time) is float


@pytest.mark.parametrize("value", ["\ud800", math.nan, {1: 2}, object, b"\0"])
def test_values_that_json_does_not_have_do_not_break_a_frame(value: Any) -> None:
    event = attrs.evolve(OTHER, data={"value": value, "n": 1})
    assert RpcEvent.from_frame(event.to_frame()).data["n"] == 1


def test_audio_is_not_in_the_repr() -> None:
    assert "xff" not in repr(AUDIO)


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": math.nan}, "time: expected a finite number, got nan"),
        ({"time": math.inf}, "time: expected a finite number, got inf"),
        ({"type": "realtime_error"}, "audio: only realtime_audio has audio, not 'realtime_error'"),
        ({"data": {"audio": "AA=="}}, "data: pass the audio as the argument 'audio'"),
    ],
)
def test_events_that_cannot_be_created(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RpcEventError) as caught:
        attrs.evolve(AUDIO, **changes)
    assert str(caught.value) == message


@pytest.mark.parametrize("key", ["type", "session_id", "run_id", "seq", "time", "data", "version"])
def test_a_missing_key(key: str) -> None:
    value = AUDIO.to_dict()
    del value[key]
    with pytest.raises(RpcEventError) as caught:
        RpcEvent.from_dict(value)
    assert str(caught.value) == f"{key} is missing"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version: expected 1, got 2"),
        ({"version": "1"}, "version: expected an integer, got '1'"),
        ({"version": True}, "version: expected an integer, got True"),
        ({"type": ""}, "type: expected a non-empty string, got ''"),
        ({"type": None}, "type: expected a non-empty string, got None"),
        ({"session_id": 5}, "session_id: expected a string, got 5"),
        ({"run_id": []}, "run_id: expected a string, got list"),
        ({"seq": 0}, "seq: expected an integer from 1, got 0"),
        ({"seq": True}, "seq: expected an integer from 1, got True"),
        ({"seq": 1.0}, "seq: expected an integer from 1, got 1.0"),
        ({"seq": 2**63}, f"seq: expected an integer from 1, got {2**63}"),
        ({"time": math.inf}, "time: expected a finite number, got inf"),
        ({"time": False}, "time: expected a finite number, got False"),
        ({"time": "now"}, "time: expected a finite number, got 'now'"),
        ({"time": 10**400}, "time: expected a finite number, got 1" + "0" * 79),
        ({"data": []}, "data: expected an object, got list"),
        ({"data": {1: 2}}, "data: expected an object, got dict"),
        ({"data": {"audio": 5}}, "data.audio: expected a string, got int"),
        ({"data": {"audio": "?"}}, "data.audio: expected base64"),
        ({"data": {"audio": "ä"}}, "data.audio: expected base64"),
    ],
)
def test_wrong_values(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RpcEventError) as caught:
        RpcEvent.from_dict(AUDIO.to_dict() | changes)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [None, [], "{}", b"{}", 5])
def test_other_objects(value: Any) -> None:
    with pytest.raises(RpcEventError, match=r"^expected a JSON object, got"):
        RpcEvent.from_dict(value)


def frame_of(header: bytes, audio: bytes = b"") -> bytes:
    return len(header).to_bytes(4, "big") + header + audio


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("text", "expected a binary frame, got str"),
        (b"", "the frame has 0 bytes, which is no complete length"),
        (b"\0\0\0", "the frame has 3 bytes, which is no complete length"),
        (b"\0\0\0\3{}", "the header has 3 bytes, and the frame only 2 more"),
        (b"\0\0\0\5{}", "the header has 5 bytes, and the frame only 2 more"),
        (b"\xff\xff\xff\xff{}", "the header has 4294967295 bytes, and the frame only 2 more"),
        (frame_of(b"[]"), "the header is not a JSON object: expected"),
        (frame_of(b"{"), "the header is not a JSON object: the frame is not valid JSON"),
        (frame_of(b"\xff"), "the header is not a JSON object: the frame is not valid JSON"),
        (frame_of(b""), "the header is not a JSON object"),
        (frame_of(b"{}"), "version is missing"),
        (OTHER.to_frame() + b"\0\0", "2 bytes follow the header of a 'run_ended'"),
        (
            frame_of(json.dumps(AUDIO.to_dict()).encode()),
            "data.audio: in a frame, audio follows the header",
        ),
        (
            frame_of(json.dumps(attrs.evolve(AUDIO, audio=None).to_dict()).encode(), b"\0"),
            "data.audio: in a frame, audio follows the header",
        ),
    ],
)
def test_other_frames(frame: Any, message: str) -> None:
    with pytest.raises(RpcEventError) as caught:
        RpcEvent.from_frame(frame)
    assert str(caught.value).startswith(message)


@MANY
@given(st.one_of(st.binary(max_size=60), st.integers(0, 200)))
def test_a_damaged_frame_is_an_error_of_its_own_type(damage: bytes | int) -> None:
    frame = AUDIO.to_frame()
    damaged = damage if isinstance(damage, bytes) else frame[:damage]
    try:
        event = RpcEvent.from_frame(damaged)
    except RpcEventError:
        return
    # Without some of the audio, the rest is valid.
    assert attrs.evolve(event, audio=AUDIO.audio) == AUDIO


@MANY
@given(st.dictionaries(st.sampled_from([*AUDIO.to_dict(), "x"]), st.one_of(VALUES, TEXT)))
def test_other_objects_are_errors_of_the_same_type(changes: dict[str, Any]) -> None:
    try:
        event = RpcEvent.from_dict(AUDIO.to_dict() | changes)
    except RpcEventError:
        return
    assert RpcEvent.from_dict(event.to_dict()) == event
