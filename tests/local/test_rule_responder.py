"""The rule responder: what it says, and which tools words name."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime.local import Call, RuleResponder, Say, Turn, TurnItem
from trio_realtime.local.rule_responder import named_tools, split_name

# -- messages ------------------------------------------------------------------------------------


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


def respond(text: str, *tools: dict[str, Any], choice: Any = "auto") -> list[Any]:
    turn = Turn(items=(user(text),), tools=tools or TOOLS, tool_choice=choice)
    return list(RuleResponder().respond(turn))


def test_it_repeats_the_words_of_the_user() -> None:
    assert respond("Hello there.") == [Say("You said: Hello there.")]


def test_it_says_how_much_audio_it_received() -> None:
    turn = Turn(items=(user("", 2796.0),))
    assert RuleResponder().respond(turn) == [Say("I heard 2.8 seconds of audio.")]


def test_it_greets_first_and_prompts_a_silent_user() -> None:
    assert RuleResponder().respond(Turn()) == [Say("Hello! How can I help you?")]
    idle = Turn(items=(user(""),))
    assert RuleResponder().respond(idle) == [Say("Are you still there?")]


def test_it_reads_out_the_outputs_of_tools() -> None:
    outputs = [TurnItem(f"o{n}", "function_call_output", output=f"Fact {n}.") for n in (1, 2)]
    turn = Turn(items=(user("weather in Oslo"), *outputs), tools=TOOLS)
    assert RuleResponder().respond(turn) == [Say("Fact 1. Fact 2.")]


def test_old_results_are_not_read_out_again() -> None:
    output = TurnItem("o", "function_call_output", output="Old.")
    turn = Turn(items=(user("weather"), output, user("thanks")), tools=TOOLS)
    assert RuleResponder().respond(turn) == [Say("You said: thanks")]


# -- named tools ---------------------------------------------------------------------------------


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
    calls = respond("First my order 7, then the weather in Oslo")
    assert calls == [
        Call("lookup_order", {"order_id": 7}),
        Call("get_weather", {"city": "Oslo"}),
    ]


def test_a_tool_without_significant_words_requires_its_whole_name() -> None:
    look = tool("look_up")
    assert respond("look at that", look) == [Say("You said: look at that")]
    assert respond("look up something", look) == [Call("look_up", {})]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("none", []),
        ("required", ["get_weather"]),
        ({"type": "function", "name": "refund_order"}, ["refund_order"]),
    ],
)
def test_tool_choice_is_respected(choice: Any, names: list[str]) -> None:
    steps = respond("Hello", choice=choice)
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
