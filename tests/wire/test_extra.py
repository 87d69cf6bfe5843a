"""Extra keys: merged into what is sent, and found in raw events."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from trio_realtime.wire import (
    CLIENT_EVENTS,
    ResponseCreate,
    SessionUpdate,
    UnknownClientEvent,
    encode,
    parse_frame,
    raw_client_event,
)
from trio_realtime.wire.extra import merge_extra, missing_keys

OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
).flatmap(lambda value: st.dictionaries(st.sampled_from("abc"), st.just(value)))


def test_objects_are_merged_deeply_and_other_values_replaced() -> None:
    target = {"a": {"b": 1, "c": {"d": 2}}, "e": [1]}
    before = copy.deepcopy(target)
    merged = merge_extra(target, {"a": {"c": {"x": None}}, "e": [2], "f": {"g": 3}})
    assert merged == {"a": {"b": 1, "c": {"d": 2, "x": None}}, "e": [2], "f": {"g": 3}}
    assert target == before


@given(raw=OBJECTS, known=OBJECTS)
@settings(deadline=None)
def test_merging_the_missing_keys_gives_every_key_of_the_raw_object(
    raw: dict[str, Any], known: dict[str, Any]
) -> None:
    merged = merge_extra(known, missing_keys(raw, known))
    assert missing_keys(raw, merged) == {}
    assert missing_keys(raw, raw) == {}


RAW_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from("type id item session response audio output tools content x".split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(
    tag=st.sampled_from([cls.type for cls in CLIENT_EVENTS] + ["song"]),
    item=RAW_VALUES,
    session=RAW_VALUES,
    response=RAW_VALUES,
)
@settings(deadline=None)
def test_a_raw_event_is_sent_with_every_key_and_value(
    tag: str, item: Any, session: Any, response: Any
) -> None:
    """The library may add defaults of its own, such as the type of a session."""
    raw = {"type": tag, "item": item, "session": session, "response": response, "y": 1}
    before = copy.deepcopy(raw)
    frame = parse_frame(encode(raw_client_event(raw)))
    assert missing_keys(raw, frame) == {}
    assert raw == before


def test_extra_keys_stay_with_the_object_that_they_belong_to() -> None:
    update = raw_client_event({"type": "session.update", "session": {"x": 1}, "y": 2})
    assert isinstance(update, SessionUpdate)
    assert (update.session.extra, update.extra) == ({"x": 1}, {"y": 2})
    create = raw_client_event({"type": "response.create", "response": {"x": 1}})
    assert isinstance(create, ResponseCreate)
    assert create.response is not None
    assert create.response.extra == {"x": 1}


def test_an_event_of_an_unknown_type_keeps_its_json() -> None:
    event = raw_client_event({"type": "song", "x": 1})
    assert event == UnknownClientEvent(raw={"type": "song", "x": 1})


def cyclic() -> dict[str, Any]:
    value: dict[str, Any] = {"type": "x"}
    value["y"] = value
    return value


def deep() -> dict[str, Any]:
    value: dict[str, Any] = {"type": "x"}
    for _ in range(10_000):
        value = {"type": "x", "y": value}
    return value


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"type": None},
        {"type": 5},
        {"type": "x", "y": object()},
        {"type": "x", "y": [float("nan")]},
        {"type": "session.update", "session": {"speed": float("inf")}},
        cyclic(),
        deep(),
        5,
        [1],
    ],
    ids=range(10),
)
def test_what_is_no_event_is_refused(raw: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        raw_client_event(raw)
