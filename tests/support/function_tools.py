"""Tools made of single annotations, classes to annotate with, and calls without a session."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import attrs
import msgspec

from trio_realtime import FunctionTool, RealtimeAgent, ToolContext, function_tool


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


class Span(NamedTuple):
    first: int
    last: int


class Order(msgspec.Struct):
    what: str
    address: Address


AGENT: RealtimeAgent[None] = RealtimeAgent(name="Assistant")


def tool_with_parameter(annotation: Any, default: Any = ..., *, name: str = "tool") -> FunctionTool:
    """Make a tool with one parameter, ``value``, that returns its argument."""

    async def tool(value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return value

    tool.__annotations__ = {"value": annotation}
    if default is not ...:
        tool.__defaults__ = (default,)
    return function_tool(name=name)(tool)


async def call_tool(tool: FunctionTool, arguments: str) -> Any:
    """Call a tool with the model's JSON text, as call ``call_1``."""
    context: ToolContext[Any] = ToolContext(
        context=None,
        call_id="call_1",
        tool_name=tool.name,
        arguments=arguments,
        agent=AGENT,
        response_id="resp_1",
    )
    return await tool.invoke(context, arguments)
