"""Pydantic models as parameters of tools, inputs of handoffs, and results."""

from __future__ import annotations

import datetime as dt
import enum
import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    Required,
    TypeAlias,
    TypedDict,
    TypeVar,
)

import attrs
import jsonschema
import msgspec
import pydantic
import pytest

from support.function_tools import call_tool, tool_with_parameter
from trio_realtime import AgentContext, FunctionTool, RealtimeAgent, handoff
from trio_realtime.agents import InvalidArguments, result_text
from trio_realtime.errors import ConfigurationError

T = TypeVar("T")


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


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    name: str


PET: TypeAlias = Annotated[Cat | Dog, pydantic.Field(discriminator="kind", description="a pet")]


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


@attrs.frozen
class Visit:
    """Each field needs pydantic."""

    pet: Cat | Dog
    link: pydantic.HttpUrl | None = None
    age: Annotated[int, pydantic.AfterValidator(abs)] = 0
    after: Visit | None = None


class Stay(NamedTuple):
    pet: PET
    days: int = 1


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
    return tool_with_parameter(annotation, name="order")


async def call(tool: FunctionTool, value: Any) -> Any:
    return await call_tool(tool, json.dumps({"value": value}))


SMALL = {"size": "small", "toppings": [{"name": "basil"}], "due": "2026-01-02"}
PIZZA = Pizza(size=Size.SMALL, toppings=[Topping(name="basil")], due=dt.date(2026, 1, 2))
CAT = Cat(kind="cat")
DOG = Dog(kind="dog", name="x")
DAY = dt.date(2026, 1, 2)
KINDS: dict[str, tuple[Any, Any, Any]] = {
    "a model": (Pizza, SMALL, PIZZA),
    "a list": (list[Pizza], [SMALL, SMALL], [PIZZA, PIZZA]),
    "a dict": (dict[str, Topping], {"a": {"name": "x"}}, {"a": Topping(name="x")}),
    "optional": (Pizza | None, SMALL, PIZZA),
    "optional, None": (Pizza | None, None, None),
    "in a dataclass": (
        Delivery,
        {"pizza": SMALL, "extra": {"name": "x", "grams": 2}},
        Delivery(PIZZA, Topping(name="x", grams=2)),
    ),
    "a model that contains itself": (
        Node,
        {"value": 1, "children": [{"value": 2}]},
        Node(value=1, children=[Node(value=2)]),
    ),
    "described": (Annotated[Topping, "what to put on it"], {"name": "x"}, Topping(name="x")),
    "a number as 3.0": (Topping, {"name": "x", "grams": 3.0}, Topping(name="x", grams=3)),
    "a union": (Pizza | Topping, {"name": "x"}, Topping(name="x")),
    "a union with None": (Cat | Dog | None, None, None),
    "a union with a dataclass": (Delivery | Dog, {"kind": "dog", "name": "x"}, DOG),
    "a union with an attrs class": (Guest | Dog, {"kind": "dog", "name": "x"}, DOG),
    "a union with text": (Dog | str, "x", "x"),
    "a discriminated union": (PET, {"kind": "dog", "name": "x"}, DOG),
    "discriminated unions in a list": (list[PET], [{"kind": "cat"}], [Cat(kind="cat")]),
    "a discriminated union or None": (PET | None, None, None),
    "a generic model": (Page[Cat], {"items": [{"kind": "cat"}]}, Page[Cat](items=[CAT])),
    "a URL": (pydantic.HttpUrl, "http://a.b/", pydantic.HttpUrl("http://a.b/")),
    "a secret": (pydantic.SecretStr, "x", pydantic.SecretStr("x")),
    "a validator": (Annotated[int, pydantic.AfterValidator(abs)], -3, 3),
    "constraints of text": (
        Annotated[str, pydantic.StringConstraints(to_upper=True, min_length=1)],
        "a",
        "A",
    ),
    "a bounded date": (Annotated[dt.date, pydantic.Field(ge=DAY)], "2026-01-02", DAY),
    "a list with a bounded length": (
        Annotated[list[Cat], pydantic.Field(min_length=1)],
        [{"kind": "cat"}],
        [CAT],
    ),
    "attrs classes with a bounded length": (
        Annotated[list[Guest], pydantic.Field(min_length=1)],
        [{"name": "x"}],
        [Guest("x")],
    ),
    "keys that are integers": (dict[int, Cat | Dog], {"1": {"kind": "cat"}}, {1: CAT}),
    "in an attrs class": (
        Visit,
        {
            "pet": {"kind": "dog", "name": "x"},
            "age": -3.0,
            "after": {"pet": {"kind": "cat"}, "link": "http://a.b/"},
        },
        Visit(DOG, age=3, after=Visit(CAT, pydantic.HttpUrl("http://a.b/"))),
    ),
    "in a named tuple": (Stay, [{"kind": "cat"}, 2], Stay(CAT, 2)),
    "in a union of classes": (list[Guest | Stay], [[{"kind": "cat"}]], [Stay(CAT)]),
}


@pytest.mark.parametrize(("annotation", "value", "expected"), KINDS.values(), ids=KINDS.keys())
async def test_the_schema_accepts_what_the_function_receives_as_models(
    annotation: Any, value: Any, expected: Any
) -> None:
    tool = tool_of(annotation)
    schema = dict(tool.parameters)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"value": value}, schema)
    assert await call(tool, value) == expected
    assert "converted:" not in json.dumps(schema)


async def test_an_address_of_mail_is_validated() -> None:
    pytest.importorskip("email_validator")
    tool = tool_of(list[pydantic.EmailStr])
    assert tool.parameters["properties"]["value"]["items"] == {"type": "string", "format": "email"}
    assert await call(tool, ["a@example.org"]) == ["a@example.org"]
    with pytest.raises(InvalidArguments, match=r"valid email address.* - at `\$\.value\[0\]`$"):
        await call(tool, ["a"])


def test_a_package_that_pydantic_misses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "email_validator", None)
    monkeypatch.setattr("pydantic.networks.email_validator", None, raising=False)
    with pytest.raises(
        ConfigurationError,
        match=r"parameter value: .* pydantic does not accept it: email-validator",
    ):
        tool_of(pydantic.EmailStr)


class Opaque:
    pass


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (
            Annotated[str, pydantic.AfterValidator(str), pydantic.Field(pattern="[")],
            "pydantic does not",
        ),
        (
            Annotated[Cat | Guest, pydantic.Field(discriminator="kind")],
            "pydantic does not accept it",
        ),
        (Annotated[Opaque, pydantic.AfterValidator(str)], "pydantic does not accept it: Unable to"),
        (Opaque | Cat, "Opaque.* has no JSON representation"),
    ],
)
def test_what_pydantic_does_not_accept_is_rejected_where_the_tool_is_made(
    annotation: Any, says: str
) -> None:
    with pytest.raises(
        ConfigurationError, match=f"tool order: parameter value: .*{says}"
    ) as caught:
        tool_of(annotation)
    assert "errors.pydantic.dev" not in str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "wrong", "says"),
    [
        (Pizza, {"size": "huge"}, ["'small' or 'large'", "$.value.size"]),
        (
            Pizza,
            {"size": "small", "toppings": [{"name": 3}]},
            ["$.value.toppings[0].name", "string"],
        ),
        (list[Pizza], [SMALL, {}], ["required", "$.value[1].size"]),
        (Delivery, {"pizza": SMALL, "extra": {"name": "x", "grams": 0}}, ["$.value.extra.grams"]),
        (Pizza, 3, ["object", "$.value"]),
        (Topping, {"name": "x", "grams": "3"}, ["valid integer", "$.value.grams"]),
        (Cat | Dog, {"kind": "cow"}, ["'cat'", "'dog'", "at `$.value.kind`"]),
        (PET, {"kind": "cow"}, ["'cow'", "'dog'", "at `$.value`"]),
        (PET, {"kind": "dog"}, ["required", "at `$.value.name`"]),
        (Visit, {"pet": {"kind": "dog"}}, ["required", "at `$.value.pet.name`"]),
        (Guest | Dog, {"kind": "dog", "name": 3}, ["valid string", "at `$.value.name`"]),
        (dict[str, list[Cat]], {"a": [{"kind": "x"}]}, ["'cat'", "at `$.value[...][0].kind`"]),
    ],
)
async def test_invalid_arguments_are_rejected_with_field_and_reason(
    annotation: Any, wrong: Any, says: list[str]
) -> None:
    tool = tool_of(annotation)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"value": wrong}, dict(tool.parameters))
    with pytest.raises(InvalidArguments, match="Invalid arguments for order") as caught:
        await call(tool, wrong)
    text = str(caught.value)
    assert all(word in text for word in says), text
    assert text.count("`$.value") <= 3
    assert "pydantic.dev" not in text


async def test_classes_with_the_same_name_do_not_clash() -> None:
    """A dataclass is named like a pydantic model."""

    @dataclass
    class Topping_:  # noqa: N801 - the name that a clash would produce
        colour: str

    Topping_.__name__ = Topping_.__qualname__ = "Topping"

    @dataclass
    class Both:
        extra: Topping_
        pizza: Pizza

    Both.__annotations__ = {"extra": Topping_, "pizza": Pizza}
    tool = tool_of(Both)
    fits = {"extra": {"colour": "red"}, "pizza": SMALL}
    jsonschema.validate({"value": fits}, dict(tool.parameters))
    for wrong in (
        {"extra": {"name": "x"}, "pizza": SMALL},
        {"extra": {"colour": "red"}, "pizza": {"size": "small", "toppings": [{"colour": "red"}]}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"value": wrong}, dict(tool.parameters))
    assert (await call(tool, fits)).extra.colour == "red"


async def test_a_strict_model_accepts_types_that_json_lacks() -> None:
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


# --- pydantic metadata on other types ------------------------------------------

Seats: TypeAlias = Annotated[int, pydantic.Field(ge=1, description="how many")]


class Row(msgspec.Struct, rename="camel"):
    free_seats: Seats
    behind: Row | None = None


@dataclass(frozen=True, slots=True)
class Coach:
    seats: Seats = 2
    rows: list[Row] = field(default_factory=list)


@attrs.frozen
class Train:
    coach: Coach


class Ticket(TypedDict, total=False):
    seats: Required[Seats]
    inside: Ticket


class Pair(NamedTuple):
    first: Seats
    second: int = 0


BOUNDED: dict[str, tuple[Any, Any, Any, Any]] = {
    # annotation, valid JSON, what the function receives, invalid JSON
    "in a list": (list[Seats], [1], [1], [0]),
    "in a dict": (dict[str, Seats], {"a": 1}, {"a": 1}, {"a": 0}),
    "in a tuple": (tuple[Seats, ...], [1], (1,), [0]),
    "optional": (Seats | None, None, None, 0),
    "of an optional": (Annotated[int | None, pydantic.Field(ge=1)], None, None, 0),
    "in a struct": (Row, {"freeSeats": 1}, Row(1), {"freeSeats": 0}),
    "in itself": (
        Row,
        {"freeSeats": 1, "behind": {"freeSeats": 2}},
        Row(1, Row(2)),
        {"freeSeats": 1, "behind": {"freeSeats": 0}},
    ),
    "in a dataclass": (list[Coach], [{}], [Coach()], [{"seats": 0}]),
    "in an attrs class": (
        Train,
        {"coach": {"rows": [{"freeSeats": 1}]}},
        Train(Coach(rows=[Row(1)])),
        {"coach": {"rows": [{"freeSeats": 0}]}},
    ),
    "in a typed dict": (Ticket, {"seats": 1}, {"seats": 1}, {"seats": 0}),
    "in a named tuple": (Pair, [1], Pair(1), [0]),
}


@pytest.mark.parametrize(
    ("annotation", "fits", "expected", "wrong"), BOUNDED.values(), ids=BOUNDED.keys()
)
async def test_constraints_of_pydantic_are_enforced_everywhere(
    annotation: Any, fits: Any, expected: Any, wrong: Any
) -> None:
    tool = tool_of(annotation)
    schema = dict(tool.parameters)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"value": fits}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"value": wrong}, schema)
    got = await call(tool, fits)
    assert (got, type(got)) == (expected, type(expected))
    with pytest.raises(InvalidArguments, match=">= 1"):
        await call(tool, wrong)


def test_a_description_in_a_nested_class_is_in_the_schema() -> None:
    (row,) = tool_of(list[Row]).parameters["$defs"].values()
    assert row["properties"]["freeSeats"] == {
        "type": "integer",
        "minimum": 1,
        "description": "how many",
    }


@pydantic.dataclasses.dataclass
class Booking:
    seats: int
    day: dt.date | None = None

    @pydantic.field_validator("seats")
    @classmethod
    def _some(cls, seats: int) -> int:
        if seats < 1:
            raise ValueError("at least one seat")
        return {1: 10, 2: 20}[seats]


@pytest.mark.parametrize("wrong", [{"seats": -3}, {"seats": "x"}, {}, 3, {"seats": 5}])
async def test_a_pydantic_dataclass_is_validated_by_pydantic(wrong: Any) -> None:
    fits = {"seats": 2, "day": "2026-01-02"}
    booking = Booking(2, dt.date(2026, 1, 2))
    for kind, valid, expected, invalid in (
        (Booking, fits, booking, wrong),
        (list[Booking], [fits], [booking], [wrong]),
        (Booking | None, fits, booking, wrong),
    ):
        tool = tool_of(kind)
        jsonschema.validate({"value": valid}, dict(tool.parameters))
        assert await call(tool, valid) == expected
        with pytest.raises(InvalidArguments):
            await call(tool, invalid)


# --- handoffs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Pizza, SMALL, PIZZA),
        (Node, {"value": 1, "children": [{"value": 2}]}, Node(value=1, children=[Node(value=2)])),
        (Delivery, {"pizza": SMALL}, Delivery(PIZZA)),
        (Row, {"freeSeats": 1}, Row(1)),
        (Booking, {"seats": 2}, Booking(2)),
        (
            Guest,
            {"name": "a", "friend": {"name": "b", "friend": None}},
            Guest("a", Guest("b")),
        ),
    ],
)
async def test_a_handoff_accepts_the_same_types_as_a_tool(
    kind: Any, value: Any, expected: Any
) -> None:
    inputs: list[Any] = []
    agent: RealtimeAgent[None] = RealtimeAgent(name="Kitchen")
    transfer = handoff(agent, input_type=kind, on_handoff=lambda _, value: inputs.append(value))
    schema = dict(transfer.spec().parameters or {})
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(value, schema)
    assert schema["type"] == "object"
    context = AgentContext(context=None, agent=agent)
    await transfer.begin(context, json.dumps(value))
    assert inputs == [expected]
    with pytest.raises(InvalidArguments, match="Invalid arguments for transfer_to_kitchen"):
        await transfer.begin(context, '{"size": 3}')


def test_a_handoff_input_without_a_schema_is_rejected() -> None:
    class Opaque:
        pass

    with pytest.raises(ConfigurationError, match="no JSON Schema"):
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
def test_models_in_results_become_json(result: Any, text: str) -> None:
    encoded = result_text(result)
    assert json.loads(encoded) == json.loads(text)
    assert sorted(encoded) == sorted(text)  # compact and unescaped; the order may differ


def test_pydantic_is_not_imported_unless_it_is_used() -> None:
    # In a child process, because this one has imported pydantic already.
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
