"""What the specs of the tests refer to."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import trio

from trio_realtime import (
    AgentHandoff,
    McpServerHttp,
    McpServerStdio,
    RealtimeAgent,
    function_tool,
    handoff,
    input_guardrail,
    output_guardrail,
)

CALLS: list[tuple[str, Any, Any]] = []
NOT_A_TOOL = 3
SECRET = "s3cr3t"


@function_tool
async def refund(order: str) -> str:
    """Refund an order."""
    await trio.lowlevel.checkpoint()
    return f"refunded {order}"


def opening_hours(day: str) -> str:
    """Return when the shop is open."""
    return f"open on {day}"


def without_annotations(day) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return str(day)


@output_guardrail
def no_prices(context: Any, text: str) -> bool:
    return "$" in text


@input_guardrail
def no_swearing(context: Any, text: str) -> bool:
    return "damn" in text


@dataclasses.dataclass
class Customer:
    name: str
    _secret: str = "hidden"


class Builders:
    """Names in a class can be imported, too."""

    @staticmethod
    def customer(variables: dict[str, Any], settings: Any) -> Customer:
        CALLS.append(("customer", variables, settings))
        assert threading.current_thread() is not threading.main_thread()
        return Customer(name=f"customer {variables.get('customer_id', 'unknown')}")


async def load_context(variables: dict[str, Any], settings: Any) -> dict[str, Any]:
    await trio.lowlevel.checkpoint()
    CALLS.append(("load_context", dict(variables), settings))
    variables["changed"] = True
    return {"customer_name": "Ada", "settings": settings}


def returns_nothing(variables: dict[str, Any], settings: Any) -> None:
    pass


def returns_a_number(variables: dict[str, Any], settings: Any) -> int:
    return 3


def fails(variables: dict[str, Any], settings: Any) -> None:
    raise RuntimeError("password=s3cr3t")


class ForeignCancellation(BaseException):
    """What another library raises: it is no ``Exception``, as that of asyncio."""


def is_cancelled(variables: dict[str, Any], settings: Any) -> None:
    raise ForeignCancellation("password=s3cr3t")


def takes_too_little(variables: dict[str, Any]) -> None:
    pass


def crm_server(settings: Any, spec: Any) -> McpServerHttp:
    CALLS.append(("crm_server", spec.name, settings))
    return McpServerHttp(name="crm", url="https://crm.test/mcp")


async def two_servers(settings: Any, spec: Any) -> list[Any]:
    await trio.lowlevel.checkpoint()
    return [
        McpServerStdio(name="one", command="one"),
        McpServerStdio(name="two", command="two"),
    ]


SHARED_SERVER = McpServerStdio(name="shared", command="shared")
EXPERT = RealtimeAgent[Any](name="Expert")


def build_expert(settings: Any, spec: Any) -> RealtimeAgent[Any]:
    return RealtimeAgent(name=f"Expert for {spec.name}", instructions=str(settings))


async def build_handoff(settings: Any, spec: Any) -> AgentHandoff[Any]:
    await trio.lowlevel.checkpoint()
    return handoff(EXPERT, name="call_expert")


def build_nonsense(settings: Any, spec: Any) -> int:
    return 3


def build_nothing(settings: Any, spec: Any) -> None:
    raise RuntimeError("password=s3cr3t")


def build_broken(settings: Any, spec: Any) -> RealtimeAgent[Any]:
    return RealtimeAgent(name="Broken", handoffs=lambda: build_nothing(settings, spec))  # type: ignore[arg-type,return-value]
