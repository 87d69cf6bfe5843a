"""Deltas of the output of responses."""

from __future__ import annotations

from typing import Any

import pytest

from support.core import CoreScenario
from trio_realtime import events as ev


def test_argument_deltas_name_their_call() -> None:
    scenario = CoreScenario()
    scenario.response_created("r")
    call = {"id": "item_3", "type": "function_call", "name": "look", "call_id": "call_1"}
    scenario.receive(
        "conversation.item.added", item={**call, "arguments": "", "status": "in_progress"}
    )
    kind = "response.function_call_arguments.delta"
    effects = scenario.receive(
        kind, response_id="r", item_id="item_3", call_id="call_1", delta='{"a"'
    )

    deltas = [effect for effect in effects if isinstance(effect, ev.ToolArgumentsDelta)]
    assert [(d.tool_name, d.call_id, d.delta, d.response_id) for d in deltas] == [
        ("look", "call_1", '{"a"', "r")
    ]


@pytest.mark.parametrize("known", [True, False])
def test_argument_deltas_of_out_of_band_and_unknown_responses_are_not_reported(
    known: bool,
) -> None:
    scenario = CoreScenario()
    scenario.response_created("r")
    if known:
        out_of_band: dict[str, Any] = {
            "id": "r2",
            "status": "in_progress",
            "output": [],
            "conversation_id": None,
        }
        scenario.receive("response.created", response={"id": "r3", "conversation_id": "c"})
        scenario.receive("response.created", response=out_of_band)
    else:
        scenario.receive(
            "response.done", response={"id": "r2", "status": "completed", "output": []}
        )
    kind = "response.function_call_arguments.delta"
    effects = scenario.receive(
        kind, response_id="r2", item_id="item_3", call_id="call_1", delta="{"
    )
    assert effects == []
