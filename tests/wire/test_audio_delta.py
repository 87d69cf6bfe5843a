"""The fast path that decodes audio deltas gives the same values as the codec, or declines."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pybase64
import pytest
from hypothesis import given, settings, strategies as st

from support.hostile_frames import hostile_text, recorded_frames
from trio_realtime.wire import FrameError, ResponseOutputAudioDelta, decode_server_event
from trio_realtime.wire.audio_delta import read_audio_delta
from trio_realtime.wire.dialects import Decoder

PCM = bytes(range(256)) * 2
AUDIO = pybase64.b64encode_as_string(PCM)
FRAME = {
    "type": "response.output_audio.delta",
    "event_id": "event_1",
    "response_id": "resp_1",
    "item_id": "item_1",
    "output_index": 0,
    "content_index": 1,
    "delta": AUDIO,
}


def any_text(_text: str) -> bool:
    return True


def assert_same(frame: str) -> bool:
    """Check that the codec decodes what the fast path does. Returns whether that has taken the frame."""
    read = read_audio_delta(frame, any_text)
    if read is None:
        return False
    event = decode_server_event(frame)
    assert isinstance(event, ResponseOutputAudioDelta)
    assert read == (event.response_id, event.item_id, event.content_index, event.delta)
    return True


def test_all_recorded_audio_of_the_ga_protocol_is_read() -> None:
    frames = [json.dumps(f) for f in recorded_frames() if f["type"] == FRAME["type"]]
    assert len(frames) > 10
    assert all(map(assert_same, frames))


@given(st.randoms(use_true_random=False))
@settings(deadline=None)
def test_hostile_frames_give_the_same_as_the_codec_or_none(random: Random) -> None:
    frame = hostile_text(random)
    try:
        decode_server_event(frame)
    except FrameError:
        assert read_audio_delta(frame, any_text) is None
    else:
        if isinstance(frame, str):
            assert_same(frame)


@given(
    st.dictionaries(
        st.sampled_from([*FRAME, "new"]),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(allow_nan=False),
            st.text(max_size=5),
            st.just(AUDIO),
            st.lists(st.integers(), max_size=2),
        ),
        max_size=3,
    ),
    st.booleans(),
)
def test_changed_keys_give_the_same_as_the_codec_or_none(
    changes: dict[str, Any], ascii_only: bool
) -> None:
    assert_same(json.dumps(FRAME | changes, ensure_ascii=ascii_only))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(FRAME).encode(),
        json.dumps({**FRAME, "type": "response.output_text.delta", "delta": FRAME["type"]}),
        json.dumps({**FRAME, "new": [1]}),
        json.dumps({**FRAME, "new": {"key": 1}}),
        json.dumps(FRAME)[:-1] + ', "new": ' + "[" * 5000 + "]" * 5000 + "}",
        json.dumps({**FRAME, "delta": "AAA/" + AUDIO}).replace("/", r"\/"),
        json.dumps({**FRAME, "delta": AUDIO + "!"}),
        json.dumps({key: value for key, value in FRAME.items() if key != "event_id"}),
    ],
    ids=["bytes", "quoted", "array", "object", "deep", "escaped", "no base64", "missing key"],
)
def test_unusual_frames_are_for_the_codec(text: str | bytes) -> None:
    assert read_audio_delta(text, any_text) is None


def test_the_text_without_the_audio_is_checked_for_credentials() -> None:
    seen: list[str] = []

    def is_clean(text: str) -> bool:
        seen.append(text)
        return "secret" not in text

    assert read_audio_delta(json.dumps(FRAME), is_clean) is not None
    assert read_audio_delta(json.dumps({**FRAME, "item_id": "secret"}), is_clean) is None
    assert seen[0] == json.dumps({**FRAME, "delta": ""})


def test_only_services_that_announce_the_ga_dialect_are_read_the_fast_path() -> None:
    text = json.dumps(FRAME)
    assert Decoder("ga").read_audio(text, any_text) is not None
    assert Decoder("beta").read_audio(text, any_text) is None


PIECES = (
    *(
        '"delta"',
        '"delta":"',
        '"delta": "AAAA"',
        '"delta":""',
        '"content_index":2,',
        '"item_id":"x",',
    ),
    *(
        f'"type":"{FRAME["type"]}"',
        '"new":',
        "null",
        "\\",
        "\\u0064",
        '"',
        ":",
        ",",
        "{",
        "}",
        "[",
        "]",
    ),
    *(" ", "\n", "0", "AAAA", "é"),
)


@given(st.randoms(use_true_random=False))
@settings(deadline=None)
def test_edited_frames_give_the_same_as_the_codec_or_none(random: Random) -> None:
    for _ in range(20):
        keys = random.sample([*FRAME], len(FRAME))
        separators = random.choice(((",", ":"), (", ", ": ")))
        frame = {key: FRAME[key] for key in keys} | {"delta": "AAAABBBB"}
        text = json.dumps(frame, separators=separators)
        for _ in range(random.randrange(4)):
            begin, end = sorted(random.randrange(len(text) + 1) for _ in range(2))
            match random.randrange(3):
                case 0:
                    text = text[:begin] + random.choice(PIECES) + text[begin:]
                case 1:
                    text = text[:begin] + text[min(end, begin + 12) :]
                case _:
                    text = text[:end] + text[begin:end] + text[end:]
        assert_same(text)
