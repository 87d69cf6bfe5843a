"""Annotations with names that are not at run time where the function is: which ones work, and what to do.

The programs are texts, so that each runs with ``from __future__ import annotations`` and, from Python 3.14,
with annotations that are evaluated when they are read.
"""

from __future__ import annotations

import sys
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest

from support.function_tools import call_tool
from trio_realtime import FunctionTool
from trio_realtime.errors import ConfigurationError

HEADER = """
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, Callable, Literal, Optional, Union
import trio_realtime
from trio_realtime import ToolContext, function_tool

if TYPE_CHECKING:
    from decimal import Decimal as Money
    from shop import Guest
"""

evaluations = pytest.mark.parametrize(
    "evaluation",
    [
        "strings",
        pytest.param(
            "deferred",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 14),
                reason="before Python 3.14, annotations are evaluated at once",
            ),
        ),
    ],
)


def run(program: str, evaluation: str) -> Any:
    """Run a program as a module and return its ``tool``."""
    future = "from __future__ import annotations\n" if evaluation == "strings" else ""
    code = compile(future + HEADER + dedent(program), "program", "exec", dont_inherit=True)
    module = ModuleType("program")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "program", module)
        exec(code, vars(module))
    return vars(module)["tool"]


WORKING = {
    "the return annotation": """
        @function_tool
        async def tool(of: str) -> Money:
            return of
    """,
    "the argument of the context": """
        @function_tool
        async def tool(of: str, context: ToolContext[Guest]) -> str:
            return of
    """,
    "an optional context": """
        @function_tool
        async def tool(of: str, context: Optional[ToolContext[Guest]] = None) -> str:
            return of
    """,
    "a union with the context": """
        @function_tool
        async def tool(of: str, context: "ToolContext[Guest] | None" = None) -> str:
            return of
    """,
    "a described context": """
        @function_tool
        async def tool(of: str, context: Annotated[ToolContext[Guest], "who calls"]) -> str:
            return of
    """,
    "the context, by its module": """
        @function_tool
        async def tool(of: str, context: trio_realtime.ToolContext[Guest]) -> str:
            return of
    """,
    "the context itself": """
        del ToolContext
        @function_tool
        async def tool(of: str, context: ToolContext[None]) -> str:
            return of
    """,
    "the context itself, without an argument": """
        del ToolContext
        @function_tool
        async def tool(of: str, context: ToolContext) -> str:
            return of
    """,
    "a bound method": """
        class Shop:
            async def count(self, of: str, context: ToolContext[Guest]) -> Money:
                return of
        tool = function_tool(Shop().count)
    """,
    "a static method": """
        class Shop:
            @staticmethod
            async def count(of: str, context: ToolContext[Guest]) -> Money:
                return of
        tool = function_tool(Shop.count)
    """,
    "a class method": """
        class Shop:
            @classmethod
            async def count(cls, of: str, context: ToolContext[Guest]) -> Money:
                return of
        tool = function_tool(Shop.count)
    """,
    "a partial": """
        async def count(shop: Guest, of: str, context: ToolContext[Guest]) -> Money:
            return of
        tool = function_tool(partial(count, None))
    """,
    "a decorated function": """
        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(function)
            async def call(*args: Any, **kwargs: Any) -> Any:
                return await function(*args, **kwargs)
            return call
        @function_tool
        @decorate
        async def tool(of: str, context: ToolContext[Guest]) -> Money:
            return of
    """,
    "a callable object": """
        class Count:
            async def __call__(self, of: str, context: ToolContext[Guest]) -> Money:
                return of
        tool = function_tool(name="count")(Count())
    """,
    "a lambda without parameters": """
        tool = function_tool(name="nothing")(lambda: "apples")
    """,
}


@evaluations
@pytest.mark.parametrize("program", WORKING.values(), ids=WORKING)
async def test_these_names_need_not_exist_at_run_time(program: str, evaluation: str) -> None:
    tool: FunctionTool = run(program, evaluation)
    assert list(tool.parameters["properties"]) in (["of"], [])
    arguments = '{"of": "apples"}' if tool.parameters["properties"] else "{}"
    assert await call_tool(tool, arguments) == "apples"


LOCAL = {
    "a class": """
        def make():
            @dataclass
            class Order:
                what: str
            @function_tool
            async def tool(order: Order) -> str:
                return order.what
            return tool
        tool = make()
    """,
    "a class with a field of another": """
        def make():
            @dataclass
            class Item:
                what: Literal["tea"]
            @dataclass
            class Order:
                items: list[Item]
                what: str = "tea"
            @function_tool
            async def tool(order: Order) -> str:
                return order.items[0].what if order.items else order.what
            return tool
        tool = make()
    """,
    "a class that contains itself": """
        def make():
            @dataclass
            class Order:
                what: str
                more: "list[Order] | None" = None
            @function_tool
            async def tool(order: Order) -> str:
                return order.what
            return tool
        tool = make()
    """,
    "a class of an outer function": """
        def make():
            @dataclass
            class Order:
                what: str
            def inner():
                @function_tool
                async def tool(order: Order) -> str:
                    return order.what
                return tool
            return inner()
        tool = make()
    """,
    "a class in the closure": """
        def make():
            @dataclass
            class Order:
                what: str
            async def tool(order: Order) -> str:
                assert isinstance(order, Order)
                return order.what
            return tool
        tool = function_tool(make())
    """,
    "a method of a local class": """
        def make():
            @dataclass
            class Order:
                what: str
            class Shop:
                async def sell(self, order: Order) -> str:
                    return order.what
            return function_tool(Shop().sell)
        tool = make()
    """,
    "a nested class": """
        class Shop:
            @dataclass
            class Order:
                what: str
            @function_tool
            async def sell(order: Order) -> str:
                return order.what
        tool = Shop.sell
    """,
}


@evaluations
@pytest.mark.parametrize("program", LOCAL.values(), ids=LOCAL)
async def test_local_classes_are_found_where_the_function_is_declared(
    program: str, evaluation: str
) -> None:
    tool: FunctionTool = run(program, evaluation)
    arguments = '{"order": {"what": "tea", "items": []}}'
    assert await call_tool(tool, arguments) == "tea"


WHAT_TO_DO = (
    r"import it at run time, not only for type checkers; move a class that is local to a function to the "
    r"module; or pass parameters= to function_tool$"
)
UNDEFINED = f"name 'Money' is not defined: {WHAT_TO_DO}"
REJECTED = {
    "a parameter": (
        """
        @function_tool
        async def tool(price: Money) -> None: ...
        """,
        f"^tool tool: the annotation of parameter price cannot be resolved: {UNDEFINED}",
    ),
    "inside a parameter": (
        """
        @function_tool
        async def tool(prices: dict[str, list[Money]]) -> None: ...
        """,
        f"parameter prices cannot be resolved: {UNDEFINED}",
    ),
    "a field": (
        """
        @dataclass
        class Payment:
            amount: Money
        @function_tool
        async def tool(payment: Payment) -> None: ...
        """,
        f"parameter payment: no JSON Schema can be made: {UNDEFINED}",
    ),
    "a list of contexts": (
        """
        @function_tool
        async def tool(contexts: list[ToolContext[Guest]]) -> None: ...
        """,
        f"parameter contexts cannot be resolved: {UNDEFINED}".replace("Money", "Guest"),
    ),
    "a lambda": (
        "tool = function_tool(lambda: None)",
        "^a lambda has no name: pass name= to function_tool$",
    ),
    "a lambda with parameters": (
        'tool = function_tool(name="add")(lambda a: a)',
        "tool add: parameter a has no annotation: add one, as in a: str$",
    ),
    "an unbound method": (
        """
        class Shop:
            async def count(self, of: str) -> None: ...
        tool = function_tool(Shop.count)
        """,
        "make the tool from the bound method, as in function_tool",
    ),
    "a decorator that hides the function": (
        """
        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            async def tool(*args: Any, **kwargs: Any) -> Any: ...
            return tool
        @function_tool
        @decorate
        async def tool(of: str) -> None: ...
        """,
        r"\*args is not supported: declare each parameter by name, or use functools.wraps if this is a",
    ),
}


@evaluations
@pytest.mark.parametrize(("program", "says"), REJECTED.values(), ids=REJECTED)
def test_a_name_that_is_needed_is_an_error_that_says_what_to_do(
    program: str, says: str, evaluation: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        run(program, evaluation)


@evaluations
def test_a_class_of_a_function_that_has_returned_is_an_error(evaluation: str) -> None:
    program = """
        def make():
            @dataclass
            class Order:
                what: str
            async def tool(order: Order) -> str: ...
            return tool
        tool = function_tool(make())
    """
    if evaluation == "deferred":  # the annotation keeps the variable
        assert run(program, evaluation).parameters["required"] == ["order"]
    else:
        with pytest.raises(ConfigurationError, match=f"name 'Order' is not defined: {WHAT_TO_DO}"):
            run(program, evaluation)


@evaluations
async def test_a_schema_replaces_annotations_that_cannot_be_resolved(evaluation: str) -> None:
    program = """
        schema = {
            "type": "object",
            "properties": {"amount": {"type": "string"}, "note": {"type": "string"}},
            "required": ["amount"],
        }
        @function_tool(parameters=schema)
        async def tool(amount: Money, context: ToolContext[Guest], note="none") -> Any:
            return amount, context.call_id, note
    """
    tool: FunctionTool = run(program, evaluation)
    assert tool.parameters["properties"]["amount"] == {"type": "string"}
    assert await call_tool(tool, '{"amount": 1}') == (1, "call_1", "none")
