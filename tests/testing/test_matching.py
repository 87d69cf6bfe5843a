"""Comparing texts and arguments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_realtime.testing.matching import TextMatch, arguments_match

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("match", "yes", "no"),
    [
        (TextMatch(contains="sun"), "It is sunny", "It rains"),
        (TextMatch(equals="Hi"), "Hi", "Hi!"),
        (TextMatch(regex=r"^\d+ EUR$"), "12 EUR", "about 12 EUR"),
        (TextMatch(contains="a", regex="b"), "ab", "a"),
    ],
)
def test_all_conditions_apply(match: TextMatch, yes: str, no: str) -> None:
    assert match.matches(yes)
    assert not match.matches(no)


def test_a_match_says_what_it_needs() -> None:
    assert str(TextMatch(contains="a", regex="b")) == "containing 'a' and matching 'b'"
    with pytest.raises(ValueError, match="give contains, equals or regex"):
        TextMatch()
    with pytest.raises(ValueError, match="is not a regular expression"):
        TextMatch(regex="(")


@pytest.mark.parametrize(
    ("expected", "actual", "matches"),
    [
        ({}, {"a": 1}, True),
        ({"a": 1}, {"a": 1.0, "b": 2}, True),
        ({"a": 1}, {}, False),
        ({"a": None}, {}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({}, None, False),
    ],
)
def test_expected_arguments_are_a_part_of_the_actual_ones(
    expected: dict[str, Any], actual: dict[str, Any] | None, *, matches: bool
) -> None:
    assert arguments_match(expected, actual) is matches


@given(st.dictionaries(st.text(), JSON, max_size=4), st.text(), JSON)
def test_arguments_match_themselves_and_not_a_missing_one(
    arguments: dict[str, Any], name: str, value: Any
) -> None:
    assert arguments_match(
        arguments, arguments | {"other": 1} if "other" not in arguments else arguments
    )
    without = {key: each for key, each in arguments.items() if key != name}
    assert not arguments_match({**without, name: value}, without)
