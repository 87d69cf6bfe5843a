"""Annotations become the schema of the arguments, and the model's JSON becomes values."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypedDict

import attrs
import jsonschema
import msgspec
import pydantic
import pytest

from support.function_tools import (
    Address,
    Colour,
    Level,
    Order,
    Point,
    Span,
    call_tool,
    tool_with_parameter,
)
from trio_realtime import FunctionTool, ToolContext, function_tool
from trio_realtime.agents import InvalidArguments
from trio_realtime.errors import ConfigurationError

if TYPE_CHECKING:
    from decimal import Decimal as Money  # not available at run time


class Stop(TypedDict):
    name: str
    minutes: NotRequired[int]


def property_of(tool: FunctionTool) -> Any:
    """Return the schema of the parameter, with its reference resolved."""
    schema = tool.parameters["properties"]["value"]
    return resolve(tool, schema)


def resolve(tool: FunctionTool, schema: Any) -> Any:
    if "$ref" in schema:
        return tool.parameters["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


# --- each annotation ---------------------------------------------------------------------------

KINDS: dict[str, tuple[Any, Any, Any]] = {
    # annotation, valid JSON value, what the function receives
    "str": (str, "Malmö", "Malmö"),
    "int": (int, 3, 3),
    "float": (float, 1.5, 1.5),
    "a whole number as float": (float, 2, 2.0),
    "bool": (bool, True, True),
    "None": (None, None, None),
    "optional": (str | None, None, None),
    "optional, given": (str | None, "x", "x"),
    "list": (list[int], [1, 2], [1, 2]),
    "list of anything": (list[Any], [1, "a"], [1, "a"]),
    "set": (set[str], ["a", "b"], {"a", "b"}),
    "tuple": (tuple[int, str], [1, "a"], (1, "a")),
    "tuple of any length": (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
    "dict": (dict[str, float], {"a": 1.5}, {"a": 1.5}),
    "plain dict": (dict[str, Any], {"a": [1]}, {"a": [1]}),
    "literal": (Literal["c", "f"], "f", "f"),
    "literal of numbers": (Literal[1, 2], 2, 2),
    "enum": (Colour, "red", Colour.RED),
    "int enum": (Level, 2, Level.HIGH),
    "union": (int | str, "7", "7"),
    "dataclass": (Address, {"street": "Storgatan"}, Address("Storgatan")),
    "attrs class": (Point, {"x": 1.0, "y": 2.0}, Point(1.0, 2.0)),
    "typed dict": (Stop, {"name": "Triangeln"}, {"name": "Triangeln"}),
    "named tuple": (Span, [1, 9], Span(1, 9)),
    "struct": (
        Order,
        {"what": "tea", "address": {"street": "S", "number": 2}},
        Order("tea", Address("S", 2)),
    ),
    "list of dataclasses": (list[Address], [{"street": "S"}], [Address("S")]),
    "datetime": (dt.datetime, "2026-01-02T03:04:05", dt.datetime(2026, 1, 2, 3, 4, 5)),  # noqa: DTZ001
    "date": (dt.date, "2026-01-02", dt.date(2026, 1, 2)),
    "time": (dt.time, "03:04:05", dt.time(3, 4, 5)),
    "uuid": (uuid.UUID, str(uuid.UUID(int=7)), uuid.UUID(int=7)),
    "decimal": (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
    "bounded": (Annotated[int, msgspec.Meta(ge=0, le=10)], 10, 10),
    "anything": (Any, {"a": [None]}, {"a": [None]}),
}

each_kind = pytest.mark.parametrize(
    ("annotation", "value", "expected"), KINDS.values(), ids=KINDS.keys()
)


@each_kind
async def test_the_function_receives_the_value_in_the_annotated_type(
    annotation: Any, value: Any, expected: Any
) -> None:
    got = await call_tool(tool_with_parameter(annotation), json.dumps({"value": value}))
    assert got == expected
    assert type(got) is type(expected)


@each_kind
def test_the_schema_is_valid_and_accepts_what_the_function_accepts(
    annotation: Any, value: Any, expected: Any
) -> None:
    schema = dict(tool_with_parameter(annotation).parameters)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"value": value}, schema)
    json.dumps(schema)
    assert schema["type"] == "object"
    assert schema["required"] == ["value"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (Literal["c", "f"], {"enum": ["c", "f"]}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    ],
)
def test_simple_annotations_have_simple_schemas(annotation: Any, schema: Any) -> None:
    assert property_of(tool_with_parameter(annotation)) == schema


def test_an_enum_lists_its_values() -> None:
    assert sorted(property_of(tool_with_parameter(Colour))["enum"]) == ["blue", "red"]


def test_constraints_and_descriptions_are_in_the_schema() -> None:
    @function_tool
    async def set_volume(
        volume: Annotated[int, msgspec.Meta(ge=0, le=10, description="0 is silence")],
    ) -> None:
        """Set the volume."""

    schema = set_volume.parameters["properties"]["volume"]
    assert (schema["minimum"], schema["maximum"]) == (0, 10)
    assert schema["description"] == "0 is silence"


def test_a_nested_class_is_described_in_the_definitions() -> None:
    tool = tool_with_parameter(Order)
    order = property_of(tool)
    address = resolve(tool, order["properties"]["address"])
    assert address["properties"]["street"] == {"type": "string"}
    assert address["required"] == ["street"]


def test_a_class_named_like_the_internal_struct_does_not_clash() -> None:
    @dataclass
    class Arguments:
        inner: int

    tool = tool_with_parameter(Arguments)
    jsonschema.validate({"value": {"inner": 1}}, dict(tool.parameters))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"value": {"inner": "x"}}, dict(tool.parameters))
    assert tool.parameters["required"] == ["value"]


# --- defaults ----------------------------------------------------------------------------------


async def test_a_parameter_with_a_default_may_be_omitted() -> None:
    @function_tool
    async def greet(name: str, polite: bool = True, times: int = 2) -> list[Any]:
        """Greet."""
        return [name, polite, times]

    assert greet.parameters["required"] == ["name"]
    assert greet.parameters["properties"]["times"]["default"] == 2
    assert await call_tool(greet, '{"name": "you"}') == ["you", True, 2]
    assert await call_tool(greet, '{"name": "you", "times": 5}') == ["you", True, 5]


async def test_keyword_only_parameters_are_supported() -> None:
    @function_tool
    async def move(*, x: int, y: int = 0) -> tuple[int, int]:
        """Move."""
        return x, y

    assert await call_tool(move, '{"x": 4}') == (4, 0)


async def test_a_mutable_default_is_not_shared_between_calls() -> None:
    async def collect(item: str, into: list[str] = []) -> list[str]:  # noqa: B006
        """Collect."""
        into.append(item)
        return into

    tool = function_tool(collect)
    assert await call_tool(tool, '{"item": "a"}') == ["a"]
    assert await call_tool(tool, '{"item": "b"}') == ["b"]


async def test_a_nested_default_is_not_shared_between_calls() -> None:
    @function_tool
    async def note(found: dict[str, list[int]] = {"seen": []}) -> int:  # noqa: B006
        """Note."""
        found["seen"].append(1)
        return len(found["seen"])

    assert [await call_tool(note, "{}"), await call_tool(note, "{}")] == [1, 1]


def test_a_default_that_cannot_be_copied_is_rejected() -> None:
    with pytest.raises(ConfigurationError, match="parameter value: its default cannot be copied"):
        tool_with_parameter(Any, threading.Lock())


async def test_a_default_without_a_json_representation_is_supported() -> None:
    @function_tool
    async def paint(colour: Colour = Colour.BLUE, at: Point = Point(0, 0)) -> Any:  # noqa: B008
        """Paint."""
        return colour, at

    assert await call_tool(paint, "{}") == (Colour.BLUE, Point(0, 0))
    json.dumps(dict(paint.parameters))


@pytest.mark.parametrize("arguments", ["", "  ", "{}"])
async def test_a_tool_without_parameters_takes_no_arguments(arguments: str) -> None:
    @function_tool
    async def ping() -> str:
        """Ping."""
        return "pong"

    assert ping.parameters["properties"] == {}
    assert ping.parameters["additionalProperties"] is False
    assert await call_tool(ping, arguments) == "pong"


# --- wrong arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value", "says"),
    [
        (int, "3", "int"),
        (int, 3.5, "int"),
        (str, 3, "str"),
        (bool, 1, "bool"),
        (Literal["c", "f"], "k", "'k'"),
        (Colour, "green", "green"),
        (list[int], [1, "a"], "value[1]"),
        (Address, {"number": 1}, "street"),
        (dt.date, "tomorrow", "RFC3339"),
        (Annotated[int, msgspec.Meta(le=10)], 11, "10"),
    ],
)
async def test_an_invalid_value_is_rejected_with_its_location_and_not_coerced(
    annotation: Any, value: Any, says: str
) -> None:
    with pytest.raises(InvalidArguments, match="Invalid arguments for tool") as caught:
        await call_tool(tool_with_parameter(annotation), json.dumps({"value": value}))
    assert says in str(caught.value)
    assert "$.value" in str(caught.value)


@attrs.frozen
class Picky:
    number: int

    def __attrs_post_init__(self) -> None:
        {1: "one"}[self.number]


@pytest.mark.parametrize(
    ("annotation", "arguments", "says"),
    [(str, '{"value": "\ud800"}', "surrogates"), (Picky, '{"value": {"number": 2}}', "KeyError")],
    ids=["invalid text", "post init"],
)
async def test_every_error_in_decoding_is_reported_to_the_model(
    annotation: Any, arguments: str, says: str
) -> None:
    with pytest.raises(InvalidArguments, match=f"Invalid arguments for tool.*{says}"):
        await call_tool(tool_with_parameter(annotation), arguments)


# --- the context -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "annotation",
    [ToolContext, ToolContext[str], ToolContext[Any], ToolContext[None] | None,
     Annotated[ToolContext[None], "who calls"]],
)  # fmt: skip
async def test_the_context_is_passed_in_and_hidden_from_the_model(annotation: Any) -> None:
    async def tool(about: str, call_context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return about, call_context.call_id

    tool.__annotations__ = {"about": str, "call_context": annotation}
    made = function_tool(tool)
    assert set(made.parameters["properties"]) == {"about"}
    assert await call_tool(made, '{"about": "it"}') == ("it", "call_1")
    with pytest.raises(InvalidArguments):
        await call_tool(made, '{"about": "it", "call_context": {}}')


async def test_every_context_parameter_receives_the_context() -> None:
    @function_tool
    async def look(first: ToolContext[None], second: ToolContext[None]) -> bool:
        """Look."""
        return first is second

    assert await call_tool(look, "{}") is True


# --- annotations that have no schema -----------------------------------------------------------


def test_a_parameter_without_annotation_is_rejected() -> None:
    async def tool(city):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        """A tool."""

    with pytest.raises(ConfigurationError, match="parameter city has no annotation"):
        function_tool(tool)


def test_parameters_that_cannot_be_passed_by_name_are_rejected() -> None:
    async def many(*values: int) -> None:
        """Many."""

    async def more(**values: int) -> None:
        """More."""

    async def positional(value: int, /) -> None:
        """Positional."""

    async def private(__value: int) -> None:  # noqa: PYI063
        """The old spelling of positional-only."""

    for function in (many, more, positional, private):
        with pytest.raises(ConfigurationError, match="value"):
            function_tool(function)


class Opaque:
    pass


@dataclass
class Payment:
    amount: Money


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (Opaque, ".*Opaque.* has no JSON representation"),
        (type[int], ".*type.* has no JSON representation"),
        (list[complex], ".*complex.* has no JSON representation"),
        (str | dt.date, r".*str \| datetime.date.* cannot be distinguished in JSON"),
        (Payment, "'Money' is not defined: import it at run time"),
        (Annotated[str, pydantic.Field(pattern="[")], "unterminated"),
        (Annotated[str, pydantic.Field(ge=1)], "numeric"),
        (Annotated[int, pydantic.AfterValidator(abs)], "AfterValidator works only in a model"),
        ("Nowhere", "'Nowhere' is not defined"),
        ("list[", "SyntaxError"),
        ("enum.nothing_such", "nothing_such"),
    ],
)
def test_an_annotation_without_a_schema_is_rejected_with_parameter_and_reason(
    annotation: Any, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"tool tool: .*parameter value.*{says}") as caught:
        tool_with_parameter(annotation)
    assert "schema_hook" not in str(caught.value)  # users of this package cannot set one


def test_the_return_annotation_need_not_be_resolvable() -> None:
    async def tool(value: int) -> Money:
        raise NotImplementedError

    assert property_of(function_tool(tool)) == {"type": "integer"}


class Shop:
    def count(self, of: str) -> None:
        """Count."""

    def sell(self: Any, of: str) -> None:
        """Sell."""


@pytest.mark.parametrize("function", [Shop.count, Shop.sell])
def test_a_method_without_its_instance_is_rejected(function: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"parameter self cannot come from the model: .* bound method"
    ):
        function_tool(function)
