"""Arguments that are guessed from words and a schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from jsonschema import Draft202012Validator

from trio_realtime.local.argument_guesser import guess_arguments

STRING = {"type": "string"}


def guess(words: str, required: bool = True, **properties: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required else [],
    }
    return guess_arguments(schema, words)


@pytest.mark.parametrize(
    ("words", "schema", "value"),
    [
        ("What's the weather in Oslo?", STRING, "Oslo"),
        ("weather in New York, please", STRING, "New York"),
        ("weather in paris", STRING, "paris"),
        ("My name is Marcelo.", STRING, "Marcelo"),
        ('note "buy milk" down', STRING, "buy milk"),
        ("nothing to see", {"type": "string", "format": "email"}, "user@example.com"),
        ("mail me@there.org", {"type": "string", "format": "email"}, "me@there.org"),
        ("add 3 apples", {"type": "integer"}, 3),
        ("add 3.5 kg", {"type": "number"}, 3.5),
        ("add 3.5 kg", {"type": "integer"}, 0),
        ("at 99 degrees", {"type": "integer", "maximum": 30}, 0),
        ("in fahrenheit", {"type": "string", "enum": ["celsius", "fahrenheit"]}, "fahrenheit"),
        ("whatever", {"type": "string", "enum": ["celsius", "fahrenheit"]}, "celsius"),
        ("turn it off", {"type": "boolean"}, False),
        ("turn it on", {"type": "boolean"}, True),
        ("Oslo and Bergen and Rome", {"type": "array", "items": STRING}, ["Bergen", "Rome"]),
        ("sum 1, 2 and 3", {"type": "array", "items": {"type": "integer"}}, [1, 2, 3]),
        ("hm", {"type": "array", "items": STRING, "minItems": 2}, ["hm", "hm"]),
        ("hm", {"anyOf": [{"type": "integer"}, {"type": "null"}]}, None),
        ("hm", {"type": ["string", "null"]}, None),
        ("hm", {"type": "integer", "default": 5}, 5),
        ("hm", {"const": "fixed"}, "fixed"),
        ("hm", {}, "hm"),
    ],
)
def test_an_argument_comes_from_the_words(words: str, schema: dict[str, Any], value: Any) -> None:
    assert guess(words, x=schema) == {"x": value}


def test_numbers_are_used_in_the_order_of_their_mention() -> None:
    integer = {"type": "integer"}
    assert guess("multiply 6 by 7", a=integer, b=integer) == {"a": 6, "b": 7}


def test_optional_arguments_come_only_from_the_words() -> None:
    unit = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    days = {"type": "integer"}
    assert guess("weather in Oslo", False, city=STRING, unit=unit, days=days) == {"city": "Oslo"}
    assert guess("Oslo in celsius, 3 days", False, unit=unit, days=days) == {
        "unit": "celsius",
        "days": 3,
    }


def test_references_are_followed() -> None:
    schema = {
        "type": "object",
        "properties": {"place": {"$ref": "#/$defs/Place"}},
        "required": ["place"],
        "$defs": {
            "Place": {"type": "object", "properties": {"city": STRING}, "required": ["city"]}
        },
    }
    assert guess_arguments(schema, "weather in Oslo") == {"place": {"city": "Oslo"}}


@pytest.mark.parametrize(
    "inner",
    [
        {"type": "array", "items": {"$ref": "#/$defs/Node"}, "minItems": 1},
        {"type": "object", "properties": {"x": {"$ref": "#/$defs/Node"}}, "required": ["x"]},
        {"$ref": "#/$defs/Node"},
        {"allOf": [{"$ref": "#/$defs/Node"}]},
    ],
)
def test_recursive_schemas_terminate(inner: dict[str, Any]) -> None:
    schema = {"properties": {"x": inner}, "required": ["x"], "$defs": {"Node": inner}}
    assert "x" in guess_arguments(schema, "weather in Oslo 1 2 3")


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": {"x": True}}])
def test_sparse_schemas_give_no_arguments(schema: dict[str, Any]) -> None:
    assert set(guess_arguments(schema, "Hello there")) <= {"x"}


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.integers(-50, 50)
    scalars = st.one_of(
        st.just({"type": "string"}),
        st.builds(lambda n: {"type": "string", "minLength": n}, st.integers(0, 30)),
        st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(0, 30)),
        st.builds(
            lambda kind, low, extra: {"type": kind, "minimum": low, "maximum": low + extra},
            st.sampled_from(["integer", "number"]),
            bounds,
            st.integers(0, 60),
        ),
        st.builds(
            lambda low, step: {"type": "integer", "exclusiveMinimum": low, "multipleOf": step},
            bounds,
            st.integers(1, 9),
        ),
        st.just({"type": "boolean"}),
        st.just({"type": ["string", "null"]}),
        st.builds(lambda m: {"enum": m}, st.lists(st.text(), min_size=1, unique=True)),
    )
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.builds(
                lambda items, n: {
                    "type": "array",
                    "items": items,
                    "minItems": n,
                    "maxItems": n + 2,
                },
                inner,
                st.integers(0, 3),
            ),
            st.builds(
                lambda properties, every: {
                    "type": "object",
                    "properties": properties,
                    "required": list(properties) if every else [],
                },
                st.dictionaries(st.sampled_from("abcde"), inner, max_size=3),
                st.booleans(),
            ),
            st.builds(lambda a: {"anyOf": [a, {"type": "null"}]}, inner),
        ),
        max_leaves=6,
    )


WORDS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["What's the weather in Oslo and New York?", "add 3 and 4.5 to -7", "turn it off, please"]
    ),
)


@settings(max_examples=150, deadline=None)
@given(schemas(), WORDS)
def test_arguments_always_match_the_schema(schema: dict[str, Any], words: str) -> None:
    whole = {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    Draft202012Validator(whole).validate(guess_arguments(whole, words))


JSON_VALUES = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats()),
        *(st.text(max_size=5), st.sampled_from(["object", "string", "array", "number"])),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    *("type", "properties", "required", "enum", "items", "minItems", "maxItems"),
                    *("format", "pattern", "minLength", "maxLength", "minimum", "maximum"),
                    *("exclusiveMinimum", "exclusiveMaximum", "multipleOf", "$ref"),
                    *("allOf", "anyOf", "oneOf", "city", "default", "const"),
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(JSON_VALUES, WORDS)
def test_an_invalid_schema_gives_some_arguments(schema: Any, words: str) -> None:
    assert isinstance(guess(words, x=schema), dict)
    if isinstance(schema, dict):
        assert isinstance(guess_arguments(schema, words), dict)


def test_a_schema_that_multiplies_gives_a_bounded_number_of_values() -> None:
    names = [f"p{number}" for number in range(20)]
    node = {"$ref": "#"}
    schema = {"properties": dict.fromkeys(names, node), "required": names}
    assert len(json.dumps(guess_arguments(schema, "Hello"))) < 100_000


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 10**12},
        {"type": "array", "minItems": 10**12, "items": {"type": "string"}},
        {"type": "array", "minItems": 10**12, "items": {"type": "integer"}},
    ],
)
def test_the_size_of_a_value_is_bounded(schema: dict[str, Any]) -> None:
    for words in ("Hello", "sum 1 and Oslo"):
        assert len(json.dumps(guess(words, x=schema))) < 100_000


@pytest.mark.parametrize(
    "pattern",
    [
        *("(a+)+$", "(a|a)*b", "a*a*a*a*b", "a?" * 30 + "a" * 30, "(a|a)" * 30 + "b"),
        *("((a{9}){9}){9}b", "(" * 150, "a{99999999999}", "["),
    ],
)
def test_a_pattern_that_may_be_slow_is_not_matched(pattern: str) -> None:
    text = "a" * 60
    assert guess(f'note "{text}"', x={"type": "string", "pattern": pattern}) == {"x": text}


def test_a_simple_pattern_is_matched() -> None:
    zip_code = {"type": "string", "pattern": r"^\d{5}$"}
    assert guess('send it to "12345"', False, x=zip_code) == {"x": "12345"}
    assert guess('send it to "Oslo"', False, x=zip_code) == {}


def test_only_the_beginning_of_long_words_is_searched() -> None:
    email = {"type": "string", "format": "email"}
    assert guess("a" * 200_000, x=email) == {"x": "user@example.com"}
