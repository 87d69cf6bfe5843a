"""Docstrings and annotations describe a tool and its parameters to the model."""

from __future__ import annotations

import functools
import json
from typing import Annotated, Any

import msgspec
import pydantic
import pytest

from support.function_tools import call_tool
from trio_realtime import FunctionTool, function_tool
from trio_realtime.agents import InvalidArguments

GOOGLE = """Look up a train.

Only trains of today.

Args:
    to (str): Where it goes,
        in full.
    seats: How many.

Returns:
    Its time.

Raises:
    LookupError: There is none.
"""
NUMPY = """Look up a train.

Only trains of today.

Parameters
----------
to : str
    Where it goes,
    in full.
seats
    How many.

Returns
-------
str
    Its time.
"""
REST = """Look up a train.

Only trains of today.

:param to: Where it goes,
    in full.
:param int seats: How many.
:returns: Its time.
"""


def tool_with(docstring: str | None) -> FunctionTool:
    async def look_up(to: str, seats: int = 1) -> str:
        return to * seats

    look_up.__doc__ = docstring
    return function_tool(look_up)


def described(tool: FunctionTool) -> dict[str, str | None]:
    properties: dict[str, Any] = tool.parameters["properties"]
    return {name: schema.get("description") for name, schema in properties.items()}


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"])
def test_a_docstring_describes_the_tool_and_each_parameter(docstring: str) -> None:
    tool = tool_with(docstring)
    assert tool.description == "Look up a train.\n\nOnly trains of today."
    assert described(tool) == {"to": "Where it goes,\nin full.", "seats": "How many."}
    assert tool.parameters["properties"]["seats"]["default"] == 1


@pytest.mark.parametrize("docstring", [None, "", "   "])
def test_a_tool_without_a_docstring_has_no_descriptions(docstring: str | None) -> None:
    tool = tool_with(docstring)
    assert tool.description is None
    assert described(tool) == {"to": None, "seats": None}


def test_a_docstring_with_parameters_only_does_not_describe_the_tool() -> None:
    tool = tool_with("\n    Args:\n        to: Where.\n        other: Is not a parameter.\n")
    assert tool.description is None
    assert described(tool) == {"to": "Where.", "seats": None}


def test_parameters_may_share_a_description() -> None:
    tool = tool_with("Do.\n\nParameters\n----------\nto, seats : int\n    Both.\n")
    assert described(tool) == {"to": "Both.", "seats": "Both."}


def test_a_docstring_without_sections_is_used_unchanged() -> None:
    text = "Look up: a train.\n\nUse it:\n\n* by day\n* by night"
    assert tool_with(text).description == text


def test_a_docstring_that_the_parser_rejects_is_used_unchanged() -> None:
    text = "Convert.\n\n: : nothing follows"
    assert tool_with(text).description == text


def test_a_description_from_the_decorator_does_not_affect_the_parameters() -> None:
    @function_tool(description="Trains.")
    async def look_up(to: str) -> str:
        """Look up a train.

        Args:
            to: Where it goes.
        """
        return to

    assert look_up.description == "Trains."
    assert described(look_up) == {"to": "Where it goes."}


def test_a_description_in_an_annotation_precedes_the_docstring() -> None:
    @function_tool
    async def look_up(
        to: Annotated[str, msgspec.Meta(description="from Meta")],
        by: Annotated[str, "from a plain text"],
        at: Annotated[int, pydantic.Field(description="from a Field", ge=0)],
        seats: int,
    ) -> None:
        """Look up.

        Args:
            to: from the docstring
            by: from the docstring
            at: from the docstring
            seats: from the docstring
        """

    assert described(look_up) == {
        "to": "from Meta",
        "by": "from a plain text",
        "at": "from a Field",
        "seats": "from the docstring",
    }


async def test_constraints_of_msgspec_and_pydantic_are_both_enforced() -> None:
    @function_tool
    async def order(
        amount: Annotated[int, pydantic.Field(ge=1, lt=10)],
        code: Annotated[str, msgspec.Meta(pattern="^[a-z]+$")],
    ) -> str:
        """Order."""
        return code * amount

    schema = order.parameters["properties"]
    assert (schema["amount"]["minimum"], schema["amount"]["exclusiveMaximum"]) == (1, 10)
    assert schema["code"]["pattern"] == "^[a-z]+$"
    assert await call_tool(order, '{"amount": 2, "code": "ab"}') == "abab"
    for wrong in ('{"amount": 10, "code": "ab"}', '{"amount": 2, "code": "A"}'):
        with pytest.raises(InvalidArguments):
            await call_tool(order, wrong)


async def test_a_pydantic_field_as_default_is_a_declaration() -> None:
    @function_tool
    async def order(
        what: str = pydantic.Field(description="of the menu", min_length=2),
        amount: int = pydantic.Field(default=1, ge=1),
        extras: list[str] = pydantic.Field(default_factory=list),  # noqa: B008
    ) -> list[Any]:
        """Order."""
        extras.append("a smile")
        return [what, amount, extras]

    assert order.parameters["required"] == ["what"]
    assert described(order)["what"] == "of the menu"
    assert order.parameters["properties"]["amount"] == {
        "type": "integer",
        "minimum": 1,
        "default": 1,
    }
    for _ in range(2):
        assert await call_tool(order, '{"what": "tea"}') == ["tea", 1, ["a smile"]]
    with pytest.raises(InvalidArguments):
        await call_tool(order, '{"what": "t"}')


async def test_a_callable_object_is_described_by_its_class() -> None:
    class Adder:
        """Add to the stock.

        Args:
            number: What to add.
        """

        stock = 1

        async def __call__(self, number: int) -> int:
            return self.stock + number

    tool = function_tool(Adder())
    assert (tool.name, tool.description) == ("Adder", "Add to the stock.")
    assert described(tool) == {"number": "What to add."}
    assert await call_tool(tool, '{"number": 2}') == 3


async def test_a_partial_is_described_by_its_function() -> None:
    def add(a: int, b: int) -> int:
        """Add.

        Args:
            b: The second.
        """
        return a + b

    tool = function_tool(functools.partial(add, 40))
    assert (tool.name, tool.description) == ("add", "Add.")
    assert described(tool) == {"b": "The second."}
    assert await call_tool(tool, '{"b": 2}') == 42


async def test_arguments_bound_by_a_partial_are_hidden_from_the_model() -> None:
    async def pay(account: str, amount: int, currency: str = "SEK") -> str:
        return f"{amount} {currency} from {account}"

    inner = functools.partial(pay, account="mine-secret")

    @functools.wraps(inner)
    async def wrapped(**kwargs: Any) -> str:
        return await inner(**kwargs)

    wrapped.__annotations__ = pay.__annotations__
    tools: list[Any] = [inner, functools.partial(inner, currency="EUR"), wrapped]
    for tool in [function_tool(name="pay")(one) for one in tools]:
        assert "mine-secret" not in json.dumps(tool.parameters)
        assert tool.parameters["required"] == ["amount"]
        assert (await call_tool(tool, '{"amount": 1}')).endswith("from mine-secret")
        with pytest.raises(InvalidArguments):
            await call_tool(tool, '{"amount": 1, "account": "somebody else"}')


async def test_invalid_arguments_are_reported_with_the_name_that_the_model_knows() -> None:
    @function_tool(name="find")
    async def look_up(to: str) -> str:
        """Look up."""
        return to

    with pytest.raises(InvalidArguments, match="Invalid arguments for find"):
        await call_tool(look_up, "{}")
