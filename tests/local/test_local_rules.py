"""The default responder: which tools words name, and what arguments they give."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from jsonschema import Draft202012Validator

from trio_realtime.local import Call, RuleResponder, Say, Turn, TurnItem
from trio_realtime.local.argument_guesser import guess_arguments
from trio_realtime.local.rule_responder import named_tools, split_name


def tool(name: str, /, *required: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "name": name, "parameters": schema}


STRING = {"type": "string"}
WEATHER = tool("get_weather", "city", city=STRING)
ORDER = tool("lookup_order", "order_id", order_id={"type": "integer"})
BILLING = tool("transfer_to_billing_agent")
REFUND = tool("refund_order", "order_id", order_id={"type": "integer"})
TOOLS = (WEATHER, ORDER, BILLING, REFUND)


def user(text: str, audio_ms: float = 0.0) -> TurnItem:
    return TurnItem("u", "message", "user", text, audio_ms)


def answer(text: str, *tools: dict[str, Any], choice: Any = "auto") -> list[Any]:
    turn = Turn(items=(user(text),), tools=tools or TOOLS, tool_choice=choice)
    return list(RuleResponder().respond(turn))


# -- what is said --------------------------------------------------------------------------------


def test_it_repeats_what_was_said() -> None:
    assert answer("Hello there.") == [Say("You said: Hello there.")]


def test_it_tells_how_much_audio_it_heard() -> None:
    turn = Turn(items=(user("", 2796.0),))
    assert RuleResponder().respond(turn) == [Say("I heard 2.8 seconds of audio.")]


def test_it_greets_when_nobody_spoke_and_asks_when_nothing_was_said() -> None:
    assert RuleResponder().respond(Turn()) == [Say("Hello! How can I help you?")]
    idle = Turn(items=(user(""),))
    assert RuleResponder().respond(idle) == [Say("Are you still there?")]


def test_it_reads_out_what_tools_gave() -> None:
    outputs = [TurnItem(f"o{n}", "function_call_output", output=f"Fact {n}.") for n in (1, 2)]
    turn = Turn(items=(user("weather in Oslo"), *outputs), tools=TOOLS)
    assert RuleResponder().respond(turn) == [Say("Fact 1. Fact 2.")]


def test_old_results_are_not_read_out_again() -> None:
    output = TurnItem("o", "function_call_output", output="Old.")
    turn = Turn(items=(user("weather"), output, user("thanks")), tools=TOOLS)
    assert RuleResponder().respond(turn) == [Say("You said: thanks")]


# -- which tools ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("What's the weather in Oslo?", ["get_weather"]),
        ("Where is my order 7?", ["lookup_order"]),
        ("Please refund my order 7", ["lookup_order", "refund_order"]),
        ("I have a question on billing", ["transfer_to_billing_agent"]),
        ("call get_weather now", ["get_weather"]),
        ("my order, and the weather", ["lookup_order", "get_weather"]),
        ("Hello", []),
        ("", []),
    ],
)
def test_words_name_tools(text: str, names: list[str]) -> None:
    assert sorted(call["name"] for call in named_tools(TOOLS, text)) == sorted(names)


def test_several_tools_are_called_in_the_order_of_their_mention() -> None:
    calls = answer("First my order 7, then the weather in Oslo")
    assert calls == [
        Call("lookup_order", {"order_id": 7}),
        Call("get_weather", {"city": "Oslo"}),
    ]


def test_a_tool_without_telling_words_needs_its_whole_name() -> None:
    look = tool("look_up")
    assert answer("look at that", look) == [Say("You said: look at that")]
    assert answer("look up something", look) == [Call("look_up", {})]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("none", []),
        ("required", ["get_weather"]),
        ({"type": "function", "name": "refund_order"}, ["refund_order"]),
    ],
)
def test_the_choice_of_tools_is_obeyed(choice: Any, names: list[str]) -> None:
    steps = answer("Hello", choice=choice)
    assert [step.name for step in steps if isinstance(step, Call)] == names


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("get_weather", ["get", "weather"]),
        ("getCurrentWeather2", ["get", "Current", "Weather"]),
        ("HTTPGet-all", ["HTTP", "Get", "all"]),
    ],
)
def test_names_are_split_into_words(name: str, parts: list[str]) -> None:
    assert split_name(name) == parts


# -- which arguments -----------------------------------------------------------------------------


def filled(words: str, required: bool = True, **properties: Any) -> dict[str, Any]:
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
    assert filled(words, x=schema) == {"x": value}


def test_numbers_are_used_in_the_order_of_their_mention() -> None:
    integer = {"type": "integer"}
    assert filled("multiply 6 by 7", a=integer, b=integer) == {"a": 6, "b": 7}


def test_optional_arguments_are_given_only_when_the_words_have_them() -> None:
    unit = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    days = {"type": "integer"}
    assert filled("weather in Oslo", False, city=STRING, unit=unit, days=days) == {"city": "Oslo"}
    assert filled("Oslo in celsius, 3 days", False, unit=unit, days=days) == {
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
def test_endless_schemas_come_to_an_end(inner: dict[str, Any]) -> None:
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
def test_arguments_always_fit_the_schema(schema: dict[str, Any], words: str) -> None:
    whole = {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    Draft202012Validator(whole).validate(guess_arguments(whole, words))
