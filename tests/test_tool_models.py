"""Pydantic's models as parameters of tools, as inputs of handoffs and as results."""

from __future__ import annotations

import datetime as dt
import enum
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import attrs
import jsonschema
import msgspec
import pydantic
import pytest

from trio_realtime import AgentContext, FunctionTool, RealtimeAgent, ToolContext, handoff
from trio_realtime.agents import InvalidArguments, function_tool, result_text
from trio_realtime.errors import ConfigurationError


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Topping(pydantic.BaseModel):
    name: str
    grams: int = pydantic.Field(default=10, ge=1)


class Pizza(pydantic.BaseModel):
    """A pizza."""

    size: Size
    toppings: list[Topping] = []
    due: dt.date | None = None


class Node(pydantic.BaseModel):
    value: int
    children: list[Node] = []


@dataclass
class Delivery:
    pizza: Pizza
    extra: Topping | None = None


@attrs.frozen
class Guest:
    name: str
    friend: Guest | None = None


def tool_of(annotation: Any) -> FunctionTool:
    async def order(value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return value

    order.__annotations__ = {"value": annotation}
    return function_tool(order)


async def call(tool: FunctionTool, value: Any) -> Any:
    arguments = json.dumps({"value": value})
    context = ToolContext(
        context=None,
        call_id="call_1",
        tool_name=tool.name,
        arguments=arguments,
        agent=None,
        response_id="resp_1",
    )
    return await tool.invoke(context, arguments)


SMALL = {"size": "small", "toppings": [{"name": "basil"}], "due": "2026-01-02"}
PIZZA = Pizza(size=Size.SMALL, toppings=[Topping(name="basil")], due=dt.date(2026, 1, 2))
KINDS: dict[str, tuple[Any, Any, Any]] = {
    "a model": (Pizza, SMALL, PIZZA),
    "a list": (list[Pizza], [SMALL, SMALL], [PIZZA, PIZZA]),
    "a dict": (dict[str, Topping], {"a": {"name": "x"}}, {"a": Topping(name="x")}),
    "optional": (Pizza | None, SMALL, PIZZA),
    "optional, not given": (Pizza | None, None, None),
    "in a dataclass": (
        Delivery,
        {"pizza": SMALL, "extra": {"name": "x", "grams": 2}},
        Delivery(PIZZA, Topping(name="x", grams=2)),
    ),
    "one that contains itself": (
        Node,
        {"value": 1, "children": [{"value": 2}]},
        Node(value=1, children=[Node(value=2)]),
    ),
    "described": (Annotated[Topping, "what to put on it"], {"name": "x"}, Topping(name="x")),
}


@pytest.mark.parametrize(("annotation", "value", "expected"), KINDS.values(), ids=KINDS.keys())
async def test_the_schema_takes_what_the_function_gets_as_models(
    annotation: Any, value: Any, expected: Any
) -> None:
    tool = tool_of(annotation)
    schema = dict(tool.parameters)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"value": value}, schema)
    assert await call(tool, value) == expected
    assert "model:" not in json.dumps(schema)


@pytest.mark.parametrize(
    ("annotation", "wrong", "says"),
    [
        (Pizza, {"size": "huge"}, ["size", "'small' or 'large'", "$.value"]),
        (Pizza, {"size": "small", "toppings": [{"name": 3}]}, ["toppings.0.name", "string"]),
        (list[Pizza], [SMALL, {}], ["size", "required", "$.value[1]"]),
        (Delivery, {"pizza": SMALL, "extra": {"name": "x", "grams": 0}}, ["grams", "extra"]),
        (Pizza, 3, ["object", "$.value"]),
    ],
)
async def test_wrong_arguments_are_refused_with_the_field_and_what_is_wrong(
    annotation: Any, wrong: Any, says: list[str]
) -> None:
    tool = tool_of(annotation)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"value": wrong}, dict(tool.parameters))
    with pytest.raises(InvalidArguments, match="Invalid arguments for order") as caught:
        await call(tool, wrong)
    text = str(caught.value)
    assert all(word in text for word in says), text
    assert "pydantic.dev" not in text


async def test_classes_of_one_name_do_not_get_in_each_others_way() -> None:
    """A dataclass and a model, each named like something that the other kind has."""

    @dataclass
    class Topping_:  # noqa: N801 - what a name that is taken is made into
        colour: str

    Topping_.__name__ = Topping_.__qualname__ = "Topping"

    @dataclass
    class Both:
        ours: Topping_
        theirs: Pizza

    Both.__annotations__ = {"ours": Topping_, "theirs": Pizza}
    tool = tool_of(Both)
    fits = {"ours": {"colour": "red"}, "theirs": SMALL}
    jsonschema.validate({"value": fits}, dict(tool.parameters))
    for wrong in (
        {"ours": {"name": "x"}, "theirs": SMALL},
        {"ours": {"colour": "red"}, "theirs": {"size": "small", "toppings": [{"colour": "red"}]}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"value": wrong}, dict(tool.parameters))
    assert (await call(tool, fits)).ours.colour == "red"


async def test_a_strict_model_takes_what_json_has_no_type_for() -> None:
    class Strict(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(strict=True, extra="forbid")
        day: dt.date
        amount: int

    tool = tool_of(Strict)
    got = await call(tool, {"day": "2026-01-02", "amount": 1})
    assert got.day == dt.date(2026, 1, 2)
    for wrong in ({"day": "2026-01-02", "amount": "1"}, {"day": "2026-01-02", "amount": 1, "x": 1}):
        with pytest.raises(InvalidArguments):
            await call(tool, wrong)


def test_what_cannot_be_told_apart_is_refused_when_the_tool_is_made() -> None:
    with pytest.raises(ConfigurationError, match="no schema"):
        tool_of(Pizza | Topping)


# --- handoffs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Pizza, SMALL, PIZZA),
        (Node, {"value": 1, "children": [{"value": 2}]}, Node(value=1, children=[Node(value=2)])),
        (Delivery, {"pizza": SMALL}, Delivery(PIZZA)),
        (
            Guest,
            {"name": "a", "friend": {"name": "b", "friend": None}},
            Guest("a", Guest("b")),
        ),
    ],
)
async def test_a_handoff_takes_the_same_as_a_tool(kind: Any, value: Any, expected: Any) -> None:
    taken: list[Any] = []
    agent: RealtimeAgent[None] = RealtimeAgent(name="Kitchen")
    over = handoff(agent, input_type=kind, on_handoff=lambda _, given: taken.append(given))
    schema = dict(over.spec().parameters or {})
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(value, schema)
    assert schema["type"] == "object"
    about = AgentContext(context=None, agent=agent)
    await over.begin(about, json.dumps(value))
    assert taken == [expected]
    with pytest.raises(InvalidArguments, match="Invalid arguments for transfer_to_kitchen"):
        await over.begin(about, '{"size": 3}')


def test_a_handoff_whose_input_has_no_schema_is_refused_when_it_is_made() -> None:
    class Opaque:
        pass

    with pytest.raises(ConfigurationError, match="no schema"):
        handoff(RealtimeAgent(name="A"), input_type=Opaque, on_handoff=lambda _, __: None)


# --- results -----------------------------------------------------------------------------------


class Wrapped(pydantic.RootModel[list[int]]):
    pass


class Struct(msgspec.Struct):
    guest: Guest
    topping: Topping


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (PIZZA, '{"size":"small","toppings":[{"name":"basil","grams":10}],"due":"2026-01-02"}'),
        ([Topping(name="å")], '[{"name":"å","grams":10}]'),
        ({"it": Wrapped([1, 2])}, '{"it":[1,2]}'),
        (Delivery(Pizza(size=Size.LARGE)),
         '{"pizza":{"size":"large","toppings":[],"due":null},"extra":null}'),
        (Struct(Guest("ö"), Topping(name="x")),
         '{"guest":{"name":"ö","friend":null},"topping":{"name":"x","grams":10}}'),
    ],
)  # fmt: skip
def test_models_are_told_as_json_wherever_they_stand(result: Any, text: str) -> None:
    told = result_text(result)
    assert json.loads(told) == json.loads(text)
    assert sorted(told) == sorted(text)  # nothing escaped, nothing spaced; the order may differ


def test_pydantic_is_not_imported_for_those_who_do_not_use_it() -> None:
    # In a child: this process has it already.
    child = """
import sys
from trio_realtime import FunctionTool, function_tool
from trio_realtime.agents import result_text
@function_tool
def f(a: list[int] | None = None) -> object:
    "Do."
result_text({"a": object()})
print("pydantic" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", "False")
