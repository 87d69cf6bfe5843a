"""Annotations become the schema of the arguments, and the model's JSON becomes values."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import sys
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    TypedDict,
    TypeVar,
)

import annotated_types
import attrs
import jsonschema
import msgspec
import pydantic
import pytest
from typing_extensions import TypeAliasType

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


@dataclass
class Circle:
    radius: float = 1


@dataclass
class Square:
    side: float = 1


T = TypeVar("T")


@attrs.frozen
class Box(Generic[T]):
    content: T


@attrs.frozen
class PathBox(Box[Path]):
    name: str


@attrs.frozen
class Trip:
    start: str | dt.date
    map: Path = Path("none")
    next: Trip | None = None


class File(msgspec.Struct, tag="file", rename="camel"):
    file_path: Path


class Files(TypedDict):
    main: Path
    other: NotRequired[Path]


class Move(NamedTuple):
    source: Path
    target: Path = Path()


class Tree(NamedTuple):
    value: int
    children: tuple[Tree, ...] = ()


Meters = NewType("Meters", int)
Pair = TypeAliasType("Pair", tuple[T, T], type_params=(T,))


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
    "duration": (dt.timedelta, "P1DT2H", dt.timedelta(days=1, hours=2)),
    "bytes": (bytes, "YQ==", b"a"),
    "an integer as 3.0": (int, 3.0, 3),
    "integers as 3.0": (dict[str, list[int] | None], {"a": [3.0, 4]}, {"a": [3, 4]}),
    "a literal as 3.0": (Literal[3, 4], 3.0, 3),
    "an int enum as 2.0": (Level, 2.0, Level.HIGH),
    "a fraction in a union": (int | float, 2.5, 2.5),
    "a float that is no literal": (float | Literal[1], 3, 3.0),
    "path": (Path, "a/b", Path("a/b")),
    "pure path": (PurePosixPath, "a", PurePosixPath("a")),
    "optional path": (Path | None, None, None),
    "paths": (list[Path], ["a"], [Path("a")]),
    "text or path": (str | Path, "a", Path("a")),
    "text or date, a date": (str | dt.date, "2026-01-02", dt.date(2026, 1, 2)),
    "text or date, a text": (str | dt.date, "tomorrow", "tomorrow"),
    "date or number": (dt.date | decimal.Decimal | None, "1.5", decimal.Decimal("1.5")),
    "text or enum": (str | Colour, "red", Colour.RED),
    "one or several": (Address | list[Address], [{"street": "S"}], [Address("S")]),
    "classes": (Address | Point | None, {"x": 1, "y": 2}, Point(1.0, 2.0)),
    "classes with defaults": (Circle | Square, {"side": 3}, Square(3)),
    "classes in a list": (list[Circle | Square], [{"side": 3}, {}], [Square(3), Circle()]),
    "literal of an enum": (Literal[Colour.RED], "red", Colour.RED),
    "literal of several types": (Literal[Level.LOW, "x", 5], 1, Level.LOW),
    "keys that are integers": (dict[int, str], {"1": "a"}, {1: "a"}),
    "keys that are dates": (dict[dt.date, int], {"2026-01-02": 1}, {dt.date(2026, 1, 2): 1}),
    "keys that are enums": (dict[Colour, int], {"red": 1}, {Colour.RED: 1}),
    "generic class": (Box[int], {"content": 3.0}, Box(3)),
    "generic class with a path": (Box[Path], {"content": "a"}, Box(Path("a"))),
    "subclass of a generic class": (
        PathBox,
        {"content": "a", "name": "b"},
        PathBox(Path("a"), "b"),
    ),
    "class that msgspec does not decode": (
        Trip,
        {"start": "today", "map": "a", "next": {"start": "2026-01-02"}},
        Trip("today", Path("a"), Trip(dt.date(2026, 1, 2))),
    ),
    "struct that msgspec does not decode": (
        File,
        {"type": "file", "filePath": "a"},
        File(Path("a")),
    ),
    "typed dict that msgspec does not decode": (Files, {"main": "a"}, {"main": Path("a")}),
    "named tuple that msgspec does not decode": (Move, ["a"], Move(Path("a"))),
    "named tuple in itself": (Tree, [1, [[2]]], Tree(1, (Tree(2),))),
    "annotated types": (Annotated[int | None, annotated_types.Ge(1)], None, None),
    "new type": (Meters, 3.0, 3),
    "type alias": (Pair[Path], ["a", "b"], (Path("a"), Path("b"))),
    "class twice": (tuple[Point, Point], [{"x": 1, "y": 2}] * 2, (Point(1, 2), Point(1, 2))),
    "keys with a constraint": (
        dict[Annotated[str, pydantic.Field(pattern="^a")], Path],
        {"a": "b"},
        {"a": Path("b")},
    ),
    "generic class with a constraint": (
        Box[Annotated[int, pydantic.Field(json_schema_extra={"unit": "m"}, ge=1)]],
        {"content": 1},
        Box(1),
    ),
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
        (dt.date, {"type": "string", "format": "date"}),
        (dt.datetime, {"type": "string", "format": "date-time"}),
        (dt.time, {"type": "string", "format": "time"}),
        (dt.timedelta, {"type": "string", "format": "duration"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (Path, {"type": "string", "format": "path"}),
        (str | dt.date, {"anyOf": [{"type": "string"}, {"type": "string", "format": "date"}]}),
        (Literal[Colour.RED, 5], {"enum": ["red", 5]}),
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


@pytest.mark.parametrize(
    ("annotation", "default", "shown"),
    [
        (Colour, Colour.BLUE, "blue"),
        (Level, Level.HIGH, 2),
        (Literal[Colour.RED], Colour.RED, "red"),
        (dt.date, dt.date(2026, 1, 2), "2026-01-02"),
        (uuid.UUID, uuid.UUID(int=7), str(uuid.UUID(int=7))),
        (Path, Path("a"), "a"),
        (list[Colour], [Colour.RED], ["red"]),
        (Point, Point(1, 2), {"x": 1, "y": 2}),
        (str | None, None, None),
    ],
)
async def test_a_default_is_in_the_schema_as_the_model_would_write_it(
    annotation: Any, default: Any, shown: Any
) -> None:
    tool = tool_with_parameter(annotation, default)
    assert tool.parameters["properties"]["value"]["default"] == shown
    jsonschema.validate({"value": shown}, dict(tool.parameters))
    assert await call_tool(tool, "{}") == default
    assert await call_tool(tool, json.dumps({"value": shown})) == default


@pytest.mark.parametrize("default", [float("nan"), float("inf"), [float("nan")], 1j])
async def test_a_default_that_is_not_json_is_left_out_of_the_schema(default: Any) -> None:
    tool = tool_with_parameter(Any, default)
    assert tool.parameters["properties"]["value"] == {}
    assert repr(await call_tool(tool, "{}")) == repr(default)


def test_a_field_default_that_is_not_json_is_left_out_of_the_schema() -> None:
    @dataclass
    class Limit:
        seconds: float = float("inf")

    assert property_of(tool_with_parameter(Limit))["properties"]["seconds"] == {"type": "number"}


async def test_a_default_of_none_makes_a_parameter_optional() -> None:
    tool = tool_with_parameter(int, None)
    assert await call_tool(tool, '{"value": null}') is None
    jsonschema.validate({"value": None}, dict(tool.parameters))


@pytest.mark.parametrize("arguments", ["", "  ", "{}", "null", " null\n"])
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
        (int, 1e300, "int"),
        (Path, 3, "Expected `str`, got `int`"),
        (Literal[Colour.RED], "blue", "Invalid value 'blue'"),
        (str | dt.date, 3, "Expected `date`, got `int` - at `$.value`; Expected `str`, got `int`"),
        (Trip, {"start": "x", "next": {"start": 1}}, "at `$.value.next.start`"),
        (
            list[Address | Point],
            [{"x": 1, "y": "2"}],
            "Expected `float`, got `str` - at `$.value[0].y`",
        ),
        (dict[int, str], {"a": "b"}, "Expected `int`, got `str` - at `key` in `$.value`"),
        (Move, ["a", 3], "Expected `str`, got `int` - at `$.value[1]`"),
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


@attrs.frozen
class Checked:
    path: Path = attrs.field()

    @path.validator
    def _check(self, _attribute: Any, path: Path) -> None:
        if not path.is_absolute():
            raise ValueError("path must be absolute")


@pytest.mark.parametrize(
    ("annotation", "arguments", "says"),
    [
        (str, '{"value": "\ud800"}', "surrogates"),
        (Picky, '{"value": {"number": 2}}', "KeyError"),
        (Checked, '{"value": {"path": "a"}}', r"path must be absolute - at `\$.value`"),
    ],
    ids=["invalid text", "post init", "check of a field"],
)
async def test_every_error_in_decoding_is_reported_to_the_model(
    annotation: Any, arguments: str, says: str
) -> None:
    with pytest.raises(InvalidArguments, match=f"Invalid arguments for tool.*{says}"):
        await call_tool(tool_with_parameter(annotation), arguments)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(Colour, "x" * 5000), (Address | Point | Trip | Box[int] | list[int], {"first": 1})],
)
async def test_an_error_is_short(annotation: Any, value: Any) -> None:
    with pytest.raises(InvalidArguments) as caught:
        await call_tool(tool_with_parameter(annotation), json.dumps({"value": value}))
    assert len(str(caught.value)) < 500
    assert "$.value" in str(caught.value)


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


async def test_a_parameter_may_have_the_usual_name_of_the_context() -> None:
    @function_tool
    async def tool(context: str, about: ToolContext[None], schema: int = 1) -> tuple[str, str, int]:
        """Do it."""
        return context, about.call_id, schema

    assert list(tool.parameters["properties"]) == ["context", "schema"]
    assert await call_tool(tool, '{"context": "a"}') == ("a", "call_1", 1)


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


NoType = attrs.make_class("NoType", ["field"])


class Weight(enum.Enum):
    LIGHT = 0.5


@dataclass
class Payment:
    amount: Money


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (Opaque, ".*Opaque.* has no JSON representation"),
        (type[int], ".*type.* has no JSON representation"),
        (list[complex], ".*complex.* has no JSON representation"),
        (Payment, "'Money' is not defined: import it at run time"),
        (Annotated[str, pydantic.Field(pattern="[")], "unterminated"),
        (Annotated[str, pydantic.Field(ge=1)], "numeric"),
        ("Nowhere", "'Nowhere' is not defined"),
        ("list[", "SyntaxError"),
        (NoType, r"NoType.field has no annotation: add one"),
        (Opaque | str, "no JSON representation"),
        (Weight, "Enums must contain either all str or all int values"),
        ("enum.nothing_such", "nothing_such"),
    ],
)
def test_an_annotation_without_a_schema_is_rejected_with_parameter_and_reason(
    annotation: Any, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"tool tool: .*parameter value.*{says}") as caught:
        tool_with_parameter(annotation)
    assert "schema_hook" not in str(caught.value)  # users of this package cannot set one


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the statement is new in Python 3.12")
def test_a_type_alias_that_contains_itself_is_rejected() -> None:
    names: dict[str, Any] = {}
    exec("type Endless = list[Endless]", names)
    with pytest.raises(ConfigurationError, match="the type Endless contains itself: use a class"):
        tool_with_parameter(names["Endless"])


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"type": "object", "properties": {"amont": {}}}, r"\['amount'\], got \['amont'\]"),
        ({"type": "object"}, r"the properties \['amount'\], got \[\]"),
        ({"properties": {"amount": {}}}, "the schema of an object"),
        ({"type": "object", "properties": {"amount": {}}}, r"must require \['amount'\]"),
    ],
)
def test_a_schema_has_the_parameters_of_the_function(parameters: Any, says: str) -> None:
    async def pay(amount: Opaque) -> None:
        """Pay."""

    with pytest.raises(ConfigurationError, match=says):
        function_tool(parameters=parameters)(pay)


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
