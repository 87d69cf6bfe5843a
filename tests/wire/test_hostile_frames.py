"""Frames that no honest service sends: the codec raises nothing but FrameError, and its work is linear."""

from __future__ import annotations

import json
from contextlib import suppress
from random import Random
from typing import Any, get_args

import pytest
from hypothesis import given, settings, strategies as st

from support.hostile_frames import hostile_text, nested, recorded_frames
from trio_realtime.wire import (
    ClientEvent,
    FrameError,
    ServerEvent,
    decode_client_event,
    encode,
    raw_client_event,
)
from trio_realtime.wire.dialects import Dialect, DialectName, UnsupportedByDialect

NAMES: tuple[DialectName, ...] = get_args(DialectName)


def decoded(name: DialectName, frame: str | bytes) -> list[ServerEvent]:
    """Return the events of a frame; none if the codec refuses it."""
    try:
        return [*Dialect(name).decoder().decode(frame)]
    except FrameError:
        return []


@given(random=st.randoms(use_true_random=False), name=st.sampled_from(NAMES))
@settings(deadline=None, max_examples=500)
def test_mutated_frames_are_events_or_frame_errors(random: Random, name: DialectName) -> None:
    for event in decoded(name, hostile_text(random)):
        assert isinstance(event, ServerEvent)
        repr(event)
        encode(event)
        assert event == event  # noqa: PLR0124 - comparing may be recursive


@given(frame=st.binary(max_size=200) | st.text(max_size=200), name=st.sampled_from(NAMES))
@settings(deadline=None, max_examples=200)
def test_random_frames_are_events_or_frame_errors(frame: str | bytes, name: DialectName) -> None:
    decoded(name, frame)


@given(random=st.randoms(use_true_random=False), name=st.sampled_from(NAMES))
@settings(deadline=None, max_examples=200)
def test_mutated_client_events_are_events_or_refused(random: Random, name: DialectName) -> None:
    text = hostile_text(random)
    try:
        event = decode_client_event(text)
    except FrameError:
        return
    assert isinstance(event, ClientEvent)
    with suppress(UnsupportedByDialect):
        Dialect(name).encode(event)


@given(random=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_what_the_user_sends_is_an_event_or_a_value_error(random: Random) -> None:
    try:
        raw: Any = json.loads(hostile_text(random))
        event = raw_client_event(raw)
    except (ValueError, TypeError):
        return
    encode(event)


@pytest.mark.parametrize("depth", [10, 190, 250, 500, 900, 980, 100_000])
def test_every_depth_is_decoded_and_printed_or_refused(depth: int) -> None:
    value = "[" * depth + "]" * depth
    for kind in ("conversation.item.added", "session.updated", "response.done", "hologram"):
        frame = f'{{"type":"{kind}","item":{{"type":"hologram","id":"i","x":{value}}},"session":{{"tools":[{{"x":{value}}}]}}}}'
        for name in NAMES:
            for event in decoded(name, frame):
                repr(event)
                encode(event)


def test_long_texts_and_many_elements_are_decoded() -> None:
    item = {"id": "i", "type": "message", "role": "user"}
    content = [{"type": "input_text", "text": "x" * 1_000_000}, *[{"type": "q"}] * 10_000]
    frame = {"type": "conversation.item.added", "item": {**item, "content": content}}
    (event,) = decoded("ga", json.dumps(frame))
    assert len(encode(event)) > 1_000_000


def test_the_mutations_start_from_all_recordings() -> None:
    assert len(recorded_frames()) > 300
    assert nested(2) == [{"a": 0}]
