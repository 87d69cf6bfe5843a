"""``result_text``: the text that the model receives for a result."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

import pytest

from support.function_tools import Address, Colour, Level, Order, Point, Span
from trio_realtime.agents import result_text


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        ([1, "a"], '[1,"a"]'),
        ({"stad": "Malmö"}, '{"stad":"Malmö"}'),
        (Address("S"), '{"street":"S","number":1,"tags":[]}'),
        (Point(1.0, 2.0), '{"x":1.0,"y":2.0}'),
        (Colour.RED, '"red"'),
        (dt.date(2026, 1, 2), '"2026-01-02"'),
        ({"at": {dt.time(1, 2)}}, '{"at":["01:02:00"]}'),
        (b"\0\1", '"AAE="'),
        (1j, '"1j"'),
        ({(1, 2): "pair"}, '{"(1, 2)":"pair"}'),
        (float("nan"), "null"),
        (float("inf"), "null"),
        ({"a": [float("nan"), 1.5]}, '{"a":[null,1.5]}'),
        (decimal.Decimal("1.10"), '"1.10"'),
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), '"2026-01-02T03:04:05Z"'),
        (uuid.UUID(int=7), '"00000000-0000-0000-0000-000000000007"'),
        (Level.HIGH, "2"),
        ({Colour.RED: Level.LOW}, '{"red":1}'),
        (frozenset({1}), "[1]"),
        (Span(1, 9), "[1,9]"),
        (
            Order("tea", Address("S", 2)),
            '{"what":"tea","address":{"street":"S","number":2,"tags":[]}}',
        ),
        (
            {"all": [Point(0.5, 1.0), {"at": Address("Ö")}, {Colour.BLUE}]},
            '{"all":[{"x":0.5,"y":1.0},{"at":{"street":"Ö","number":1,"tags":[]}},["blue"]]}',
        ),
        ('{"already": "JSON, Malmö"}', '{"already": "JSON, Malmö"}'),
        (2**70, "1180591620717411303424"),
        (LookupError("gone"), '"gone"'),
        ({"bad": "\ud800"}, "{'bad': '\\ud800'}"),
    ],
)
def test_a_result_becomes_text_or_json(result: Any, text: str | None) -> None:
    assert result_text(result) == text


def test_a_result_that_contains_itself_becomes_some_text() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert result_text(loop)
