"""Rows: merging them changes nothing, and every value can be stored."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from support.session_rows import apply, chunk_row, event_row, session_row
from trio_realtime.server.store import Row, without_content
from trio_realtime.server.store.rows import (
    KEYS,
    as_float,
    as_int,
    as_text,
    clean_json,
    merge_rows,
    storable,
)
from trio_realtime.server.store.tables import CONTENT_COLUMNS, METADATA

COLUMNS = ("status", "text", "heard_text")
VALUES = st.dictionaries(st.sampled_from(COLUMNS), st.none() | st.sampled_from("abc"))


@st.composite
def item_rows(draw: st.DrawFn) -> Row:
    values = draw(VALUES)
    initial = {name: value for name, value in draw(VALUES).items() if name not in values}
    key = {"session_id": "s", "item_id": draw(st.sampled_from("xy"))}
    return Row(table="items", values={**key, **values}, initial=initial)


@given(st.lists(item_rows(), max_size=8))
def test_merged_rows_have_the_same_effect(rows: list[Row]) -> None:
    merged = merge_rows(rows)
    assert apply(merged) == apply(rows)
    assert len({row.key for row in merged}) == len(merged)
    assert all(not row.values.keys() & row.initial.keys() for row in merged)


def test_inserts_are_not_merged() -> None:
    rows = [event_row(1), event_row(1), session_row(status="running"), session_row(last_seq=1)]
    assert merge_rows(rows) == [
        *rows[:2],
        Row(
            table="sessions",
            values={"id": "session_1", "status": "running", "last_seq": 1},
            initial={"created_at": 1.0},
        ),
    ]


@given(st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=20))
def test_a_larger_payload_has_a_larger_size(payload: Any) -> None:
    row = event_row(1, payload=payload)
    assert event_row(1, payload=[payload, "more"]).size > row.size > 0


def test_sizes_grow_with_texts() -> None:
    assert event_row(1, payload={"text": "x" * 1000}).size > 1000
    assert chunk_row(1).size < 1000


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "integer", "number"),
    [
        (1, 1, 1.0),
        (1.5, 1, 1.5),
        (2**63, None, float(2**63)),
        (-(2**63), -(2**63), -float(2**63)),
        (10**400, None, None),
        (math.nan, None, None),
        (math.inf, None, None),
        (True, None, None),
        ("1", None, None),
        (None, None, None),
    ],
)
def test_numbers(value: object, integer: int | None, number: float | None) -> None:
    assert as_int(value) == integer
    assert as_float(value) == number


def test_texts_have_no_character_that_a_database_refuses() -> None:
    assert as_text("a\x00b\ud800c\U0001f600") == "a\ufffdb\ufffdc\U0001f600"
    assert as_text(b"bytes") is None


def test_json_is_what_every_database_stores() -> None:
    value = {"a\x00": [math.nan, 1.5, True, None, {1: (b"", "x")}], "big": 10**5000}
    expected = {"a\ufffd": [None, 1.5, True, None, {"1": [None, "x"]}], "big": None}
    assert clean_json(value) == expected


def test_json_is_not_nested_without_end() -> None:
    loop: list[Any] = []
    loop.append(loop)
    depth, inner = 0, clean_json(loop)
    while inner is not None:
        depth, inner = depth + 1, inner[0]
    assert depth == 64
    assert event_row(1, payload=loop).size > 0


def test_long_strings_are_cut_where_an_index_may_have_them() -> None:
    row = storable(session_row(tenant="t" * 1000, end_detail="d" * 1000))
    assert len(row.values["tenant"]) == 500
    assert len(row.values["end_detail"]) == 1000


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row(table="secrets", values={}), "no table 'secrets'"),
        (Row(table="sessions", values={"id": None}), "'id' .* is missing"),
        (Row(table="sessions", values={}), "'id' .* is missing"),
        (Row(table="sessions", values={"id": "x" * 501}), "'id' .* too long"),
        (session_row(colour="private"), "no column 'colour'"),
        (session_row(tenant=["private"]), "'tenant' .* takes no such list"),
        (session_row(last_seq="private"), "'last_seq' .* takes no such str"),
        (session_row(created_at=math.nan), "'created_at' .* takes no such float"),
    ],
)
def test_what_cannot_be_stored_is_explained_without_its_value(row: Row, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        storable(row)
    assert "private" not in str(raised.value)


# --- content -----------------------------------------------------------------------------------


def test_content_columns_exist_and_are_no_keys() -> None:
    for name, columns in CONTENT_COLUMNS.items():
        assert columns <= set(METADATA.tables[name].columns.keys())
        assert not columns & set(KEYS[name])


def test_content_is_removed() -> None:
    row = Row(
        table="items",
        values={"session_id": "s", "item_id": "i", "text": "private", "status": "completed"},
        initial={"heard_text": "private", "role": "user"},
    )
    expected = Row(
        table="items",
        values={"session_id": "s", "item_id": "i", "status": "completed"},
        initial={"role": "user"},
    )
    assert without_content(row) == expected
    assert without_content(expected) is expected
