"""``function_tool``: names, descriptions, limits, and what can be a tool."""

from __future__ import annotations

from typing import Any

import pytest

from support.function_tools import call_tool, tool_with_parameter
from trio_realtime import function_tool
from trio_realtime.errors import ConfigurationError


def test_name_and_description_come_from_the_function_or_the_decorator() -> None:
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
def test_a_name_that_the_service_does_not_accept_is_rejected(name: str) -> None:
    async def tool() -> None:
        """A tool."""

    with pytest.raises(ConfigurationError, match="tool name"):
        function_tool(name=name)(tool)


@pytest.mark.parametrize("option", ["timeout", "finish_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_timeout_has_to_be_positive(option: str, seconds: float) -> None:
    options: Any = {option: seconds}

    async def tool() -> None:
        """A tool."""

    with pytest.raises(ConfigurationError, match=f": {option} must be a positive number"):
        function_tool(**options)(tool)


async def test_a_plain_function_can_be_a_tool() -> None:
    @function_tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    assert await call_tool(add, '{"a": 1, "b": 2}') == 3


async def test_a_bound_method_can_be_a_tool() -> None:
    class Shop:
        stock = 3

        async def count(self, of: str) -> str:
            """Count the stock."""
            return f"{self.stock} {of}"

    tool = function_tool(Shop().count)
    assert set(tool.parameters["properties"]) == {"of"}
    assert await call_tool(tool, '{"of": "apples"}') == "3 apples"


class Shop:
    @classmethod
    def of_all(cls, of: str) -> None:
        """Of all."""


async def yields() -> Any:  # noqa: ASYNC900 - must be rejected
    yield 1


def yields_in_a_thread() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("look_up", "expected a function, got str"),
        (vars(Shop)["of_all"], "expected a function, got classmethod"),
        (tool_with_parameter(int), "expected a function, got FunctionTool"),
        (max, "its signature cannot be determined"),
        (yields, "tool yields: a generator function cannot be a tool"),
        (yields_in_a_thread, "a generator function cannot be a tool"),
    ],
    ids=["text", "classmethod", "tool", "builtin", "async generator", "generator"],
)
def test_only_functions_with_one_result_can_be_tools(function: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        function_tool(function)
