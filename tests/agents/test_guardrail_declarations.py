"""Declarations of guardrails: names, and what is rejected."""

from __future__ import annotations

from typing import Any

import pytest

from support.tools import make_pay_tool
from trio_realtime import (
    RealtimeAgent,
    ToolContext,
    errors,
    tool_input_guardrail,
    tool_output_guardrail,
)


@tool_input_guardrail
def limit(_: ToolContext[Any], __: dict[str, Any]) -> bool:
    return False


@tool_output_guardrail(name="cards", fail_closed=True)
def find_cards(_: ToolContext[Any], __: Any) -> bool:
    return False


async def test_agent_rejects_other_objects_as_guardrails() -> None:
    with pytest.raises(errors.ConfigurationError, match="OutputGuardrail"):
        RealtimeAgent[None](name="A", output_guardrails=[print])


def test_guardrail_is_named_after_its_function() -> None:
    assert (limit.name, limit.fail_closed) == ("limit", False)
    assert (find_cards.name, find_cards.fail_closed) == ("cards", True)


@pytest.mark.parametrize(
    ("option", "wrong"), [("input_guardrails", find_cards), ("output_guardrails", limit)]
)
def test_tool_rejects_guardrails_of_the_other_kind(option: str, wrong: Any) -> None:
    for given in (wrong, len):
        with pytest.raises(errors.ConfigurationError, match="decorate it"):
            make_pay_tool([], **{option: [given]})
