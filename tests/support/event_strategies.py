"""Hypothesis strategies for the events of a session, by the annotated types of their fields."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, Union

import attrs
from hypothesis import strategies as st

from trio_realtime import FunctionTool, RealtimeAgent, errors, events, function_tool
from trio_realtime.items import HistoryItem
from trio_realtime.server.rpc import run_events
from trio_realtime.wire import UNSET, Unset, WireObject

TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
"""Text with lone surrogates."""

EVENT_CLASSES: tuple[type[events.SessionEvent], ...] = typing.get_args(events.AnyEvent)


@function_tool
async def lookup(city: str) -> str:
    """Look up a city."""
    return city


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: float
    y: float


@attrs.frozen
class Pair:
    first: Any
    second: Any


class Unprintable:
    """An object without a text."""

    def __str__(self) -> str:
        raise LookupError("no text")


def _cycle() -> list[Any]:
    values: list[Any] = [1]
    values.append(values)
    return values


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


def _large() -> int:
    return 10**5000  # more digits than Python prints


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    TEXT,
    st.binary(max_size=8),
    st.builds(Point, st.floats(), st.floats()),
    st.sampled_from(
        [
            Color.RED,
            dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
            decimal.Decimal("1.50"),
            10**400,
            object,
            {1, 2},
            {(1, 2): 3},
            2j,
            ValueError("bad"),
        ]
    ),
    st.builds(Unprintable),
    st.builds(object),
    st.builds(_cycle),
    st.builds(_deep),
    st.builds(_large),
)

ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(TEXT, st.integers()), inner, max_size=3),
        st.builds(Pair, inner, inner),
        st.tuples(inner),
    ),
    max_leaves=6,
)
"""Values that a tool may return."""

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=5,
)

OBJECTS = st.dictionaries(TEXT, JSON, max_size=3)

EXCEPTIONS: st.SearchStrategy[Any] = st.one_of(
    st.builds(ValueError, TEXT),
    st.builds(errors.UsageError, TEXT),
    st.builds(errors.PeerError, TEXT, code=st.one_of(st.none(), TEXT)),
    st.builds(errors.ConnectionLost, TEXT, code=st.integers(1000, 4999)),
    st.builds(Unprintable).map(KeyError),
    st.builds(ExceptionGroup, st.just("group"), st.lists(st.builds(KeyError, TEXT), min_size=1)),
    st.builds(SystemExit, st.one_of(TEXT, st.integers(), st.none())),
)

ERRORS: st.SearchStrategy[Any] = st.one_of(
    st.builds(errors.UsageError, TEXT),
    st.builds(errors.PeerError, TEXT, code=st.one_of(st.none(), TEXT)),
    st.builds(errors.ConnectionLost, TEXT, code=st.integers(1000, 4999)),
)

_SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(),
    float: st.floats(),
    bool: st.booleans(),
    bytes: st.binary(max_size=100),
    Any: ANYTHING,
    types.NoneType: st.none(),
    Unset: st.just(UNSET),
    BaseException: EXCEPTIONS,
    errors.RealtimeError: ERRORS,
    RealtimeAgent: TEXT.filter(str.strip).map(lambda name: RealtimeAgent[None](name=name)),
    FunctionTool: st.just(lookup),
}


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of an annotated type."""
    if isinstance(annotation, st.SearchStrategy):
        return annotation
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation) or annotation
    if origin in _SIMPLE:
        return _SIMPLE[origin]
    if origin in (Union, types.UnionType):
        return st.one_of([values_of(member) for member in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(TEXT, TEXT if arguments[1] is str else JSON, max_size=2)
    return objects_of(annotation)


@cache
def _arguments_of(cls: Any) -> dict[str, st.SearchStrategy[Any]]:
    names = {"AnyAgent": RealtimeAgent, "AnyTool": FunctionTool}
    hints = typing.get_type_hints(cls, localns=names)
    fields = [field for field in attrs.fields(cls) if field.metadata.get("on_the_wire", True)]
    if issubclass(cls, events.HistoryUpdated):
        hints["_item"] = HistoryItem | None
    if issubclass(cls, WireObject):
        hints = {name: JSON if hint is Any else hint for name, hint in hints.items()}
    arguments = {
        field.alias or field.name: OBJECTS if field.name == "raw" else values_of(hints[field.name])
        for field in fields
        if field.name != "_read" and hints[field.name] is not typing.ClassVar
    }
    if cls is events.HistoryUpdated:
        arguments["read"] = st.lists(values_of(HistoryItem), max_size=2).map(_reader)
    if cls is events.RawModelEvent:
        arguments["data"] = st.none()
        arguments["frame"] = OBJECTS.map(json.dumps)
    return arguments


def _reader(history: Sequence[Any]) -> Callable[[], Sequence[Any]]:
    return lambda: history


def _create(cls: Any, arguments: dict[str, Any]) -> Any:
    with attrs.validators.disabled():  # as for what a service sends
        return cls(**arguments)


def objects_of(cls: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the objects of an attrs class."""
    return st.deferred(
        lambda: st.fixed_dictionaries(_arguments_of(cls)).map(
            lambda arguments: _create(cls, arguments)
        )
    )


ALL_EVENTS: st.SearchStrategy[Any] = st.one_of([objects_of(cls) for cls in EVENT_CLASSES])

RUN_EVENTS: st.SearchStrategy[run_events.RunEvent] = st.one_of(
    [objects_of(cls) for cls in run_events.RUN_EVENTS]
)
