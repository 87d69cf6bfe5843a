"""Frames as a whole: what is no frame at all, what the live service sent, what must not be printed."""

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

# --- no frames ----------------------------------------------------------------------------------

NO_FRAMES: dict[str, str | bytes] = {
    "empty": "",
    "no JSON": "hello",
    "cut off": '{"type":"error"',
    "two": '{"type":"a"}{"type":"b"}',
    "array": '[{"type":"error"}]',
    "text": '"error"',
    "number": "3",
    "null": "null",
    "not a number": '{"a":NaN}',
    "beyond floats": '{"a":1e999}',
    "bytes that are not UTF-8": b'{"type":"\xff"}',
    "not UTF-8 and cut off": b'{"type":"\xff',
    "text that is not Unicode": '{"type":"\ud83d"}',
    "nested without end": '{"a":' + "[" * 100_000,
    "nested very deep": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
}


@pytest.mark.parametrize("frame", NO_FRAMES.values(), ids=NO_FRAMES.keys())
def test_what_is_not_a_json_object_is_a_frame_error(frame: str | bytes) -> None:
    for decode in (parse_frame, decode_server_event, decode_client_event):
        with pytest.raises(FrameError):
            decode(frame)


def test_a_frame_error_names_no_cause_and_is_a_value_error() -> None:
    with pytest.raises(FrameError) as caught:
        parse_frame("[")

    assert isinstance(caught.value, ValueError)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@given(frame=st.binary(max_size=40) | st.text(max_size=40))
@settings(deadline=None)
def test_any_bytes_are_an_event_or_a_frame_error(frame: str | bytes) -> None:
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
def test_an_emoji_that_was_cut_in_two_costs_no_frame(escaped: str, text: str) -> None:
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
def test_what_is_no_client_event_is_a_frame_error(frame: str) -> None:
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
def test_garbage_of_a_client_is_an_event_or_a_frame_error(tag: str, keys: dict[str, Any]) -> None:
    frame = json.dumps({**keys, "type": tag})
    try:
        event = decode_client_event(frame.replace("Infinity", "1"))
    except FrameError:
        return
    assert isinstance(event, ClientEvent)
    assert event.type == tag


def test_metadata_that_is_no_text_is_left_to_the_server_to_refuse() -> None:
    frame = {"type": "response.create", "response": {"metadata": {"a": 5}}}

    assert unstructure(decode_client_event(json.dumps(frame))) == frame


# --- the live service ---------------------------------------------------------------------------


def recorded(data_dir: Path, direction: str) -> list[Any]:
    lines = [
        json.loads(line)
        for path in sorted((data_dir / "live_frames").glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    return [line["data"] for line in lines if line["direction"] == direction]


def test_recorded_frames_of_clients_come_back_unchanged(data_dir: Path) -> None:
    frames = recorded(data_dir, "sent")

    assert len(frames) > 20
    for frame in frames:
        assert json.loads(encode(decode_client_event(json.dumps(frame)))) == frame


def test_every_recorded_frame_of_the_service_is_known(data_dir: Path) -> None:
    frames = recorded(data_dir, "received")

    assert len(frames) > 250
    for frame in frames:
        event = decode_server_event(json.dumps(frame))
        assert not isinstance(event, UnknownEvent), event
        assert event.type == frame["type"]
        assert event.event_id == frame["event_id"]


# Sent by some servers, of no use here. Azure repeats a message's parts beside each function call.
PASSED_OVER = {"object", "obfuscation", "content"}


def lost(sent: Any, kept: Any, path: str = "") -> list[str]:
    """What was said in a frame and is not in the event; null says as much as nothing."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        return [
            found
            for key, value in sent.items()
            if value is not None and key not in PASSED_OVER - set(kept)
            for found in lost(value, kept.get(key), f"{path}.{key}")
        ]
    if isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        pairs = zip(sent, kept, strict=True)
        return [found for one, other in pairs for found in lost(one, other, f"{path}[]")]
    return [] if sent == kept else [f"{path}: {sent!r} became {kept!r}"]


def test_nothing_that_the_service_said_is_lost(data_dir: Path) -> None:
    for frame in recorded(data_dir, "received"):
        event = decode_server_event(json.dumps(frame))
        assert lost(frame, unstructure(event)) == [], frame["type"]


# --- what does not print ------------------------------------------------------------------------


def test_credentials_of_a_hosted_tool_do_not_print() -> None:
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


def test_a_tool_of_a_kind_not_known_here_does_not_print_its_json() -> None:
    # Nobody knows where such a tool keeps its key.
    tool = UnknownToolSpec(raw={"type": "computer", "password": SECRET})

    assert SECRET not in repr(SessionUpdate(session=Session(tools=(tool,))))


def test_audio_and_images_do_not_print() -> None:
    values = [
        InputAudioBufferAppend(audio=b"noise"),
        ResponseOutputAudioDelta(response_id="r", item_id="i", delta=b"noise"),
        InputAudio(audio=b"noise", transcript="hello"),
        OutputAudio(audio=b"noise", transcript="hello"),
        InputImage(image_url="data:image/png;base64,noise"),
    ]

    assert [value for value in values if "noise" in repr(value)] == []
