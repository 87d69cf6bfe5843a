"""From a function's annotations to the schema that the model is told, and from its JSON back."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import attrs
import jsonschema
import msgspec
import pydantic
import pytest

from trio_realtime import FunctionTool, RealtimeAgent, ToolContext, function_tool
from trio_realtime.agents import InvalidArguments, result_text
from trio_realtime.errors import ConfigurationError

if TYPE_CHECKING:
    from decimal import Decimal as Money  # as users do who import for types only


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Address:
    street: str
    number: int = 1
    tags: list[str] = field(default_factory=list)


@attrs.frozen
class Point:
    x: float
    y: float


class Stop(TypedDict):
    name: str
    minutes: NotRequired[int]


class Span(NamedTuple):
    first: int
    last: int


class Order(msgspec.Struct):
    what: str
    address: Address


AGENT: RealtimeAgent[None] = RealtimeAgent(name="Assistant")


def make_context(context: Any = None, arguments: str = "{}") -> ToolContext[Any]:
    return ToolContext(
        context=context,
        call_id="call_1",
        tool_name="tool",
        arguments=arguments,
        agent=AGENT,
        response_id="resp_1",
    )


def tool_of(annotation: Any, default: Any = ...) -> FunctionTool:
    """A tool with one parameter of this annotation, which returns what it was given."""

    async def tool(value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return value

    tool.__annotations__ = {"value": annotation}
    if default is not ...:
        tool.__defaults__ = (default,)
    return function_tool(tool)


async def call(tool: FunctionTool, arguments: str) -> Any:
    return await tool.invoke(make_context(arguments=arguments), arguments)


def property_of(tool: FunctionTool) -> Any:
    """The parameter's schema, references followed."""
    schema = tool.parameters["properties"]["value"]
    return resolve(tool, schema)


def resolve(tool: FunctionTool, schema: Any) -> Any:
    if "$ref" in schema:
        return tool.parameters["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


# --- one annotation after the other ------------------------------------------------------------

KINDS: dict[str, tuple[Any, Any, Any]] = {
    # annotation, JSON value that fits, what the function gets
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
async def test_the_function_gets_the_models_value_as_its_annotation_says(
    annotation: Any, value: Any, expected: Any
) -> None:
    got = await call(tool_of(annotation), json.dumps({"value": value}))
    assert got == expected
    assert type(got) is type(expected)


@each_kind
def test_the_schema_is_a_schema_and_takes_what_the_function_takes(
    annotation: Any, value: Any, expected: Any
) -> None:
    schema = dict(tool_of(annotation).parameters)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"value": value}, schema)
    json.dumps(schema)  # it goes over the wire
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
def test_plain_annotations_have_the_plain_schema(annotation: Any, schema: Any) -> None:
    assert property_of(tool_of(annotation)) == schema


def test_an_enum_lists_its_values() -> None:
    assert sorted(property_of(tool_of(Colour))["enum"]) == ["blue", "red"]


def test_bounds_and_descriptions_reach_the_model() -> None:
    @function_tool
    async def set_volume(
        volume: Annotated[int, msgspec.Meta(ge=0, le=10, description="0 is silence")],
    ) -> None:
        """Set the volume."""

    schema = set_volume.parameters["properties"]["volume"]
    assert (schema["minimum"], schema["maximum"]) == (0, 10)
    assert schema["description"] == "0 is silence"


def test_a_class_inside_a_class_is_described_where_the_reference_points() -> None:
    tool = tool_of(Order)
    order = property_of(tool)
    address = resolve(tool, order["properties"]["address"])
    assert address["properties"]["street"] == {"type": "string"}
    assert address["required"] == ["street"]


def test_a_class_named_like_our_own_does_not_get_in_the_way() -> None:
    @dataclass
    class Arguments:
        inner: int

    tool = tool_of(Arguments)
    jsonschema.validate({"value": {"inner": 1}}, dict(tool.parameters))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"value": {"inner": "x"}}, dict(tool.parameters))
    assert tool.parameters["required"] == ["value"]


# --- defaults ----------------------------------------------------------------------------------


async def test_a_parameter_with_a_default_may_be_left_out() -> None:
    @function_tool
    async def greet(name: str, polite: bool = True, times: int = 2) -> list[Any]:
        """Greet."""
        return [name, polite, times]

    assert greet.parameters["required"] == ["name"]
    assert greet.parameters["properties"]["times"]["default"] == 2
    assert await call(greet, '{"name": "you"}') == ["you", True, 2]
    assert await call(greet, '{"name": "you", "times": 5}') == ["you", True, 5]


async def test_keyword_only_parameters_are_parameters() -> None:
    @function_tool
    async def move(*, x: int, y: int = 0) -> tuple[int, int]:
        """Move."""
        return x, y

    assert await call(move, '{"x": 4}') == (4, 0)


async def test_a_mutable_default_is_not_shared_between_calls() -> None:
    async def collect(item: str, into: list[str] = []) -> list[str]:  # noqa: B006
        """Collect."""
        into.append(item)
        return into

    tool = function_tool(collect)
    assert await call(tool, '{"item": "a"}') == ["a"]
    assert await call(tool, '{"item": "b"}') == ["b"]


async def test_a_default_is_not_shared_between_calls_however_deep() -> None:
    @function_tool
    async def note(found: dict[str, list[int]] = {"seen": []}) -> int:  # noqa: B006
        """Note."""
        found["seen"].append(1)
        return len(found["seen"])

    assert [await call(note, "{}"), await call(note, "{}")] == [1, 1]


def test_a_default_that_cannot_be_copied_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="parameter value: its default cannot be copied"):
        tool_of(Any, threading.Lock())


async def test_a_default_that_is_no_json_is_still_a_default() -> None:
    @function_tool
    async def paint(colour: Colour = Colour.BLUE, at: Point = Point(0, 0)) -> Any:
        """Paint."""
        return colour, at

    assert await call(paint, "{}") == (Colour.BLUE, Point(0, 0))
    json.dumps(dict(paint.parameters))


@pytest.mark.parametrize("arguments", ["", "  ", "{}"])
async def test_a_tool_without_parameters_takes_no_arguments(arguments: str) -> None:
    @function_tool
    async def ping() -> str:
        """Ping."""
        return "pong"

    assert ping.parameters["properties"] == {}
    assert ping.parameters["additionalProperties"] is False
    assert await call(ping, arguments) == "pong"


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
async def test_a_wrong_value_is_refused_with_its_place_and_not_bent_to_fit(
    annotation: Any, value: Any, says: str
) -> None:
    with pytest.raises(InvalidArguments, match="Invalid arguments for tool") as caught:
        await call(tool_of(annotation), json.dumps({"value": value}))
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
    ids=["no text", "post init"],
)
async def test_whatever_is_wrong_with_arguments_is_for_the_model_to_mend(
    annotation: Any, arguments: str, says: str
) -> None:
    with pytest.raises(InvalidArguments, match=f"Invalid arguments for tool.*{says}"):
        await call(tool_of(annotation), arguments)


# --- the context -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "annotation",
    [ToolContext, ToolContext[str], ToolContext[Any], ToolContext[None] | None,
     Annotated[ToolContext[None], "who calls"]],
)  # fmt: skip
async def test_the_context_is_handed_in_and_hidden_from_the_model(annotation: Any) -> None:
    async def tool(about: str, call_context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return about, call_context.call_id

    tool.__annotations__ = {"about": str, "call_context": annotation}
    made = function_tool(tool)
    assert set(made.parameters["properties"]) == {"about"}
    assert await call(made, '{"about": "it"}') == ("it", "call_1")
    with pytest.raises(InvalidArguments):
        await call(made, '{"about": "it", "call_context": {}}')


async def test_each_parameter_for_the_context_is_given_it() -> None:
    @function_tool
    async def look(first: ToolContext[None], second: ToolContext[None]) -> bool:
        """Look."""
        return first is second

    assert await call(look, "{}") is True


# --- names, descriptions, limits ---------------------------------------------------------------


def test_name_and_description_come_from_the_function_or_from_the_decorator() -> None:
    @function_tool
    async def look_up(what: str) -> None:
        """Look something up.

        In the book.
        """

    @function_tool(name="find", description="Finds it.", timeout=3)
    async def other(what: str) -> None:
        """Not this."""

    assert (look_up.name, look_up.timeout) == ("look_up", None)
    assert look_up.description == "Look something up.\n\nIn the book."
    assert (other.name, other.description, other.timeout) == ("find", "Finds it.", 3)
    assert (other.spec().name, other.spec().description) == ("find", "Finds it.")


@pytest.mark.parametrize("name", ["with space", "dötted", "a.b", "x" * 65])
def test_a_name_that_the_service_would_refuse_is_refused_here(name: str) -> None:
    async def tool() -> None:
        """A tool."""

    with pytest.raises(ConfigurationError, match="tool name"):
        function_tool(name=name)(tool)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_has_to_be_positive(timeout: float) -> None:
    async def tool() -> None:
        """A tool."""

    with pytest.raises(ConfigurationError, match="timeout"):
        function_tool(timeout=timeout)(tool)


async def test_a_plain_function_is_a_tool_too() -> None:
    @function_tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    assert await call(add, '{"a": 1, "b": 2}') == 3


async def test_a_method_is_a_tool_without_its_self() -> None:
    class Shop:
        stock = 3

        async def count(self, of: str) -> str:
            """Count what is there."""
            return f"{self.stock} {of}"

    tool = function_tool(Shop().count)
    assert set(tool.parameters["properties"]) == {"of"}
    assert await call(tool, '{"of": "apples"}') == "3 apples"


# --- what cannot be a tool ---------------------------------------------------------------------


def test_a_parameter_without_annotation_is_refused_and_named() -> None:
    async def tool(city):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        """A tool."""

    with pytest.raises(ConfigurationError, match="annotate the parameter city"):
        function_tool(tool)


def test_parameters_that_have_no_name_for_the_model_are_refused() -> None:
    async def many(*values: int) -> None:
        """Many."""

    async def more(**values: int) -> None:
        """More."""

    async def positional(value: int, /) -> None:
        """Positional."""

    async def private(__value: int) -> None:  # noqa: PYI063
        """The older way to say it."""

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
        (Opaque, "there is no JSON for .*Opaque"),
        (type[int], "there is no JSON for .*type"),
        (list[complex], "there is no JSON for .*complex"),
        (str | dt.date, r"nobody can tell apart .*str \| datetime.date"),
        (Payment, "'Money' is not defined; import it for the running program"),
        (Annotated[str, pydantic.Field(pattern="[")], "unterminated"),
        (Annotated[str, pydantic.Field(ge=1)], "numeric"),
        (Annotated[int, pydantic.AfterValidator(abs)], "AfterValidator .* in a model"),
        ("Nowhere", "'Nowhere' is not defined"),
        ("list[", "SyntaxError"),
        ("json.nothing_such", "nothing_such"),
    ],
)
def test_an_annotation_without_a_schema_is_refused_with_its_parameter_and_why(
    annotation: Any, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"tool tool: .*parameter value.*{says}") as caught:
        tool_of(annotation)
    assert "schema_hook" not in str(caught.value)  # nobody here can give one


def test_an_annotation_that_nobody_needs_need_not_be_resolved() -> None:
    async def tool(value: int) -> Money:
        raise NotImplementedError

    assert property_of(function_tool(tool)) == {"type": "integer"}


class Shop:
    def count(self, of: str) -> None:
        """Count."""

    def sell(self: Any, of: str) -> None:
        """Sell."""

    @classmethod
    def of_all(cls, of: str) -> None:
        """Of all."""


@pytest.mark.parametrize("function", [Shop.count, Shop.sell])
def test_self_is_not_for_the_model_to_give(function: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"self is not the model's .* bound method"):
        function_tool(function)


async def yields() -> Any:  # noqa: ASYNC900 - it is to be refused
    yield 1


def yields_in_a_thread() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("look_up", "no function"),
        (vars(Shop)["of_all"], "no function"),
        (tool_of(int), "no function"),
        (max, "its parameters cannot be known"),
        (yields, "tool yields: it yields"),
        (yields_in_a_thread, "it yields"),
    ],
    ids=["text", "classmethod", "tool", "builtin", "async generator", "generator"],
)
def test_what_is_no_function_with_one_answer_is_refused(function: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        function_tool(function)


@pytest.mark.parametrize("field", ["tools", "input_guardrails", "hosted_tools"])
def test_what_is_no_list_is_refused_by_the_agent(field: str) -> None:
    nothing: Any = {field: None}
    with pytest.raises(ConfigurationError, match="a list is expected, not NoneType"):
        RealtimeAgent(name="Assistant", **nothing)


def test_what_is_no_tool_is_refused_by_the_agent() -> None:
    def plain() -> None:
        """Undecorated."""

    with pytest.raises(ConfigurationError, match=r"plain.*@function_tool"):
        RealtimeAgent(name="Assistant", tools=[plain])


# --- results -----------------------------------------------------------------------------------


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
def test_the_model_is_told_results_as_text_or_json(result: Any, text: str | None) -> None:
    assert result_text(result) == text


def test_a_result_that_contains_itself_is_told_somehow() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert result_text(loop)
