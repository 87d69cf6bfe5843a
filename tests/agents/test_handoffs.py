"""Declarations of handoffs: invalid ones are rejected at once."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from trio_realtime import RealtimeAgent, errors, function_tool, handoff
from trio_realtime.agents import AgentHandoff


@function_tool
async def refund() -> str:
    return "refunded"


BILLING = RealtimeAgent[None](name="Billing Team", instructions="Bill.", tools=[refund])


@attrs.frozen
class Reason:
    why: str
    urgent: bool = False


async def accept_input(_context: Any, _given: Any) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ({"on_handoff": lambda: None}, r"called with \(context\), but is declared with \(\)"),
        (
            {"on_handoff": lambda _c: None, "input_type": Reason},
            r"called with \(context, input\), but is declared with \(_c\)",
        ),
        ({"input_type": Reason}, "requires an on_handoff"),
    ],
)
def test_handoff_rejects_callbacks_that_do_not_match_its_input(
    arguments: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(errors.ConfigurationError, match=wrong):
        handoff(BILLING, **arguments)


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ({"name": "to the team!"}, "letters"),
        ({"name": "x" * 65}, "64"),
        ({"on_handoff": accept_input, "input_type": int}, "must be an object"),
        ({"on_handoff": accept_input, "input_type": list[str]}, "must be an object"),
        ({"on_handoff": accept_input, "input_type": Any}, "must be an object"),
        ({"on_handoff": accept_input, "input_type": type[int]}, "no JSON"),
    ],
)
def test_handoff_rejects_declarations_that_the_service_would_reject(
    arguments: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(errors.ConfigurationError, match=wrong):
        handoff(BILLING, **arguments)


def test_handoff_target_must_be_an_agent() -> None:
    reception: Any = "Billing Team"
    with pytest.raises(errors.ConfigurationError, match="expected a RealtimeAgent"):
        handoff(reception)
    nothing: Any = None
    with pytest.raises(errors.ConfigurationError, match="expected a RealtimeAgent"):
        AgentHandoff(agent=nothing, name="transfer", description="")


def test_long_agent_names_are_shortened_to_the_limit_of_the_service() -> None:
    long = handoff(RealtimeAgent[None](name="returns and refunds, " * 3))
    assert long.name == "transfer_to_returns_and_refunds_returns_and_refunds_returns_and"
    assert len(long.name) <= 64
