"""Whole frames: invalid frames, recorded frames of live services, and redaction in reprs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from trio_realtime.wire import (
    CLIENT_EVENTS,
    ClientEvent,
    FrameError,
    InputAudio,
    InputAudioBufferAppend,
    InputImage,
    McpToolSpec,
    OutputAudio,
    ResponseOutputAudioDelta,
    ResponseOutputTextDelta,
    Session,
    SessionUpdate,
    SessionUpdated,
    UnknownEvent,
    UnknownToolSpec,
    decode_client_event,
    decode_server_event,
    encode,
    parse_frame,
    unstructure,
)

SECRET = "sk-not-to-be-seen"  # a made-up key

# --- invalid frames -----------------------------------------------------------------------------

INVALID_FRAMES: dict[str, str | bytes] = {
    "empty": "",
    "not JSON": "hello",
    "truncated": '{"type":"error"',
    "two": '{"type":"a"}{"type":"b"}',
    "array": '[{"type":"error"}]',
    "text": '"error"',
    "number": "3",
    "null": "null",
    "not a number and truncated": '{"a":NaN',
    "a word": '{"a":Nothing}',
    "bytes that are not UTF-8": b'{"type":"\xff"}',
    "not UTF-8 and truncated": b'{"type":"\xff',
    "lone surrogate": '{"type":"\ud83d"}',
    "deeply nested and truncated": '{"a":' + "[" * 100_000,
    "deeply nested": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    "nested almost to the limit of recursion": '{"a":' + "[" * 900 + "]" * 900 + "}",
    "nested objects": '{"a":' * 300 + "1" + "}" * 300,
}


@pytest.mark.parametrize("frame", INVALID_FRAMES.values(), ids=INVALID_FRAMES.keys())
def test_a_frame_that_is_not_a_json_object_is_a_frame_error(frame: str | bytes) -> None:
    for decode in (parse_frame, decode_server_event, decode_client_event):
        with pytest.raises(FrameError):
            decode(frame)


@pytest.mark.parametrize("depth", [1, 100, 199])
def test_a_frame_may_be_nested_a_little(depth: int) -> None:
    frame = '{"a":' + "[" * depth + "]" * depth + "}"
    assert json.dumps(parse_frame(frame)).replace(" ", "") == frame


def test_a_frame_error_has_no_cause_and_is_a_value_error() -> None:
    with pytest.raises(FrameError) as caught:
        parse_frame("[")

    assert isinstance(caught.value, ValueError)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@given(frame=st.binary(max_size=40) | st.text(max_size=40))
@settings(deadline=None)
def test_arbitrary_frames_are_an_unknown_event_or_a_frame_error(frame: str | bytes) -> None:
    try:
        event = decode_server_event(frame)
    except FrameError:
        return
    assert isinstance(event, UnknownEvent)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"\ud83d\ude00", "\N{GRINNING FACE}"),
        (r"\ud83d", "\ufffd"),
        (r"\ude00", "\ufffd"),
        (r"\uD83D\uD83D\uDE00", "\ufffd\N{GRINNING FACE}"),
        (r"\\ud83d\u00e9\ud83d", "\\ud83d\u00e9\ufffd"),
        (r"\\\ud83d", "\\\ufffd"),
    ],
)
def test_lone_surrogates_are_replaced(escaped: str, text: str) -> None:
    frame = (
        '{"type":"response.output_text.delta","response_id":"r","item_id":"i","delta":"'
        f'{escaped}"}}'
    )

    for form in (frame, frame.encode()):
        event = decode_server_event(form)
        assert isinstance(event, ResponseOutputTextDelta)
        assert event.delta == text


@pytest.mark.parametrize(
    "frame",
    [
        "{}",
        '{"type":null}',
        '{"type":["session.update"]}',
        '{"type":"session.created"}',
        '{"type":"session.update"}',
        '{"type":"session.update","session":"realtime"}',
        '{"type":"input_audio_buffer.append"}',
        '{"type":"input_audio_buffer.append","audio":"not base64"}',
        '{"type":"conversation.item.create","item":[]}',
        '{"type":"conversation.item.delete"}',
        '{"type":"conversation.item.truncate","item_id":"i","audio_end_ms":"soon"}',
    ],
)
def test_an_invalid_client_event_is_a_frame_error(frame: str) -> None:
    with pytest.raises(FrameError):
        decode_client_event(frame)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from("type metadata input tools audio session item response content".split())
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(
    tag=st.sampled_from([cls.type for cls in CLIENT_EVENTS]),
    keys=st.dictionaries(
        st.sampled_from("event_id session audio item item_id response audio_end_ms".split()),
        json_values,
        max_size=5,
    ),
)
@settings(deadline=None, max_examples=200)
def test_arbitrary_values_in_client_events_are_an_event_or_a_frame_error(
    tag: str, keys: dict[str, Any]
) -> None:
    frame = json.dumps({**keys, "type": tag})
    try:
        event = decode_client_event(frame.replace("Infinity", "1"))
    except FrameError:
        return
    assert isinstance(event, ClientEvent)
    assert event.type == tag


def test_invalid_metadata_is_decoded_so_that_the_server_can_reject_it() -> None:
    frame = {"type": "response.create", "response": {"metadata": {"a": 5}}}

    assert unstructure(decode_client_event(json.dumps(frame))) == frame


# --- recorded frames ----------------------------------------------------------------------------


def recorded(data_dir: Path, direction: str) -> list[Any]:
    lines = [
        json.loads(line)
        for path in sorted((data_dir / "live_frames").glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    return [line["data"] for line in lines if line["direction"] == direction]


def test_recorded_client_frames_round_trip(data_dir: Path) -> None:
    frames = recorded(data_dir, "sent")

    assert len(frames) > 20
    for frame in frames:
        assert json.loads(encode(decode_client_event(json.dumps(frame)))) == frame


def test_every_recorded_server_frame_is_a_known_event(data_dir: Path) -> None:
    frames = recorded(data_dir, "received")

    assert len(frames) > 250
    for frame in frames:
        event = decode_server_event(json.dumps(frame))
        assert not isinstance(event, UnknownEvent), event
        assert event.type == frame["type"]
        assert event.event_id == frame["event_id"]


# Keys that the library ignores. Azure also repeats the parts of a message in each function call.
IGNORED_KEYS = {"object", "obfuscation", "content"}


def missing_values(frame_value: Any, event_value: Any, path: str = "") -> list[str]:
    """Return the values of a frame that the event lacks. A null counts as absent."""
    if isinstance(frame_value, dict) and isinstance(event_value, dict):
        return [
            message
            for key, value in frame_value.items()
            if value is not None and key not in IGNORED_KEYS - set(event_value)
            for message in missing_values(value, event_value.get(key), f"{path}.{key}")
        ]
    if (
        isinstance(frame_value, list)
        and isinstance(event_value, list)
        and len(frame_value) == len(event_value)
    ):
        pairs = zip(frame_value, event_value, strict=True)
        return [
            message for one, other in pairs for message in missing_values(one, other, f"{path}[]")
        ]
    return [] if frame_value == event_value else [f"{path}: {frame_value!r} became {event_value!r}"]


def test_recorded_server_frames_lose_no_values(data_dir: Path) -> None:
    for frame in recorded(data_dir, "received"):
        event = decode_server_event(json.dumps(frame))
        assert missing_values(frame, unstructure(event)) == [], frame["type"]


# --- reprs --------------------------------------------------------------------------------------


def test_reprs_omit_credentials_of_hosted_tools() -> None:
    tool = McpToolSpec(
        server_label="calendar",
        server_url="https://tools.example/mcp",
        authorization=SECRET,
        headers={"authorization": f"Bearer {SECRET}"},
    )
    session = Session(tools=(tool,))
    echoed = decode_server_event(
        json.dumps({"type": "session.updated", "session": unstructure(session)})
    )

    assert isinstance(echoed, SessionUpdated)
    assert echoed.session == session
    for value in (tool, SessionUpdate(session=session), echoed):
        assert "calendar" in repr(value)
        assert SECRET not in repr(value)
        assert SECRET not in str(value)


def test_the_repr_of_an_unknown_tool_omits_its_json() -> None:
    # It is unknown which of its keys contains a secret.
    tool = UnknownToolSpec(raw={"type": "computer", "password": SECRET})

    assert SECRET not in repr(SessionUpdate(session=Session(tools=(tool,))))


def test_reprs_omit_audio_and_images() -> None:
    values = [
        InputAudioBufferAppend(audio=b"noise"),
        ResponseOutputAudioDelta(response_id="r", item_id="i", delta=b"noise"),
        InputAudio(audio=b"noise", transcript="hello"),
        OutputAudio(audio=b"noise", transcript="hello"),
        InputImage(image_url="data:image/png;base64,noise"),
    ]

    assert [value for value in values if "noise" in repr(value)] == []
