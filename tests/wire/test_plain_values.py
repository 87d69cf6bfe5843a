"""Values that look like those of JSON become those of JSON."""

from __future__ import annotations

import json
from collections import UserDict
from types import MappingProxyType
from typing import Any

import pytest

from trio_realtime.wire import ConversationItemCreate, MessageItem, Session, SessionUpdate, encode
from trio_realtime.wire.codec import json_copy
from trio_realtime.wire.items import InputText
from trio_realtime.wire.plain_values import plain_value


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Number(int):
    pass


class Fraction(float):
    pass


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Text("x"), "x"),
        (Number(3), 3),
        (Fraction(2.5), 2.5),
        (MappingProxyType({"a": 1}), {"a": 1}),
    ],
)
def test_a_value_becomes_the_built_in_value_that_it_is_like(value: Any, plain: Any) -> None:
    found = plain_value(value)
    assert (type(found), found) == (type(plain), plain)


def test_numbers_and_arrays_of_numpy_become_numbers_and_lists() -> None:
    numpy: Any = pytest.importorskip("numpy")
    for value, plain in [
        (numpy.str_("x"), "x"),
        (numpy.int64(3), 3),
        (numpy.float64(2.5), 2.5),
        (numpy.float32(1.5), 1.5),
        (numpy.bool_(True), True),
        (numpy.arange(3), [0, 1, 2]),
        (numpy.datetime64("2020-01-01T10:00:00.000000000"), "2020-01-01T10:00:00.000000000"),
        (numpy.array(["2020-01-01"], dtype="datetime64[D]"), ["2020-01-01"]),
    ]:
        found = plain_value(value)
        assert (type(found), found) == (type(plain), plain)


def test_raw_bytes_of_numpy_are_refused() -> None:
    numpy: Any = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match="JSON has no value for ndarray"):
        plain_value(numpy.array([b"ab"]))


@pytest.mark.parametrize("value", [object(), {1}, b"x".__iter__, UserDict])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="JSON has no value for"):
        plain_value(value)


@pytest.mark.parametrize("text", [Text("hello"), Text("a lone \ud800 surrogate")])
def test_every_event_with_such_a_value_can_be_encoded(text: str) -> None:
    item = MessageItem(role="user", content=(InputText(text=text),))
    frame = json.loads(encode(ConversationItemCreate(item=item)))
    assert frame["item"]["content"][0]["text"] == str.__str__(text).replace("\ud800", "\ufffd")
    update = json.loads(encode(SessionUpdate(session=Session(instructions=text))))
    assert update["session"]["instructions"].startswith(("hello", "a lone"))


def test_a_mapping_with_such_values_is_copied_as_json() -> None:
    assert json_copy({"a": Text("x"), "b": [Number(3)]}) == {"a": "x", "b": [3]}
