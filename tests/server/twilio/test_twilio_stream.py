"""The messages of a media stream."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from trio_realtime.server.twilio.caller_audio import CallerAudio
from trio_realtime.server.twilio.stream import (
    Connected,
    Dtmf,
    MalformedMessage,
    MarkReturned,
    Media,
    Stop,
    StreamStart,
    Unknown,
    clear_message,
    mark_message,
    media_message,
    parse_message,
)

START: dict[str, Any] = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"FirstName": "Jane", "token": "secret"},
    },
    "streamSid": "MZ1",
}


def media(**fields: Any) -> str:
    payload = base64.b64encode(b"\x01" * 160).decode()
    return json.dumps({"event": "media", "media": {"payload": payload, **fields}})


def test_the_messages_of_twilio_are_understood() -> None:
    assert parse_message('{"event": "connected", "protocol": "Call"}') == Connected()
    start = parse_message(json.dumps(START))
    assert start == StreamStart(
        stream_sid="MZ1",
        call_sid="CA1",
        account_sid="AC1",
        parameters={"FirstName": "Jane", "token": "secret"},
    )
    assert "secret" not in repr(start)
    assert parse_message(media(track="inbound", chunk="3", timestamp="40")) == Media(
        audio=b"\x01" * 160, chunk=3, timestamp=40
    )
    assert parse_message(b'{"event":"mark","mark":{"name":"7"}}') == MarkReturned(name="7")
    assert parse_message('{"event":"dtmf","dtmf":{"digit":"a"}}') == Dtmf(key="A")
    assert parse_message('{"event":"stop","stop":{}}') == Stop()
    assert parse_message('{"event":"news"}') == Unknown(event="news")


@pytest.mark.parametrize("number", [3, "3", "three", None, True, 3.5, "9" * 30, 10**400, -1])
def test_numbers_may_be_strings_or_missing(number: Any) -> None:
    message = parse_message(media(chunk=number, timestamp=number))
    assert isinstance(message, Media)
    assert message.chunk == message.timestamp == (3 if number in (3, "3") else None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"event": 1}',
        b"\xff\xfe",
        "[" * 100_000,
        '{"event": "media"}',
        '{"event": "media", "media": {}}',
        '{"event": "media", "media": {"payload": "%%%"}}',
        '{"event": "mark", "mark": []}',
        '{"event": "dtmf", "dtmf": {"digit": "12"}}',
        '{"event": "start", "start": {}}',
        '{"event": "start", "start": {"streamSid": "MZ1", "callSid": "CA1\\nERROR"}}',
        '{"event": "start", "start": {"streamSid": "MZ1", "callSid": 1}}',
        '{"event": "start", "start": {"streamSid": "%s"}}' % ("M" * 65),
        " " * 300_000 + '{"event": "stop"}',
    ],
)
def test_other_messages_are_malformed(text: str | bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_message(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


@settings(deadline=None)
@given(
    st.sampled_from(["connected", "start", "media", "mark", "dtmf", "stop", "x"]),
    st.dictionaries(
        st.sampled_from(["payload", "chunk", "track", "name", "digit", "streamSid", "tracks"])
        | st.sampled_from(["mediaFormat", "customParameters"]),
        JSON,
    ),
)
def test_any_json_is_a_message_or_malformed(event: str, fields: dict[str, Any]) -> None:
    with contextlib.suppress(MalformedMessage):
        parse_message(json.dumps({"event": event, event: fields}))


def test_messages_to_twilio_have_exactly_the_documented_keys() -> None:
    assert json.loads(media_message("MZ1", b"\x01\x02")) == {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"payload": "AQI="},
    }
    assert json.loads(mark_message("MZ1", "7")) == {
        "event": "mark",
        "streamSid": "MZ1",
        "mark": {"name": "7"},
    }
    assert json.loads(clear_message("MZ1")) == {"event": "clear", "streamSid": "MZ1"}


# --- the caller's audio


def frame(number: int, timestamp: int | None = None, **fields: Any) -> Media:
    return Media(audio=bytes([number]) * 160, timestamp=timestamp, **fields)


def test_frames_are_joined() -> None:
    caller = CallerAudio(40)
    assert caller.add(frame(1, 0)) is None
    assert caller.add(frame(2, 20)) == b"\x01" * 160 + b"\x02" * 160
    assert caller.add(frame(3, 40)) is None
    assert caller.take() == b"\x03" * 160
    assert caller.take() is None
    assert (caller.received_ms, caller.lost_ms, caller.out_of_order) == (60, 0, 0)


def test_lost_and_late_frames_are_counted_and_no_audio_is_dropped() -> None:
    caller = CallerAudio(20)
    timestamps = [0, 21, 39, 100, 60, 120, None, 160]
    joined = [caller.add(frame(n, timestamp)) for n, timestamp in enumerate(timestamps)]
    assert joined == [bytes([n]) * 160 for n in range(len(timestamps))]
    assert caller.lost_ms == (100 - 59) + (160 - 140)
    assert caller.out_of_order == 1


def test_the_other_track_is_ignored() -> None:
    caller = CallerAudio(20)
    assert caller.add(frame(1, 0, track="outbound")) is None
    assert caller.received_ms == 0
