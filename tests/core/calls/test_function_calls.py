"""Function calls: repeated, reused, late and interrupted ones."""

from __future__ import annotations

from collections.abc import Sequence

from support.core import CoreScenario, answered_calls, effects_of, started_calls
from support.service import function_call_item
from trio_realtime import events as ev
from trio_realtime.core import CancelCalls, Effect

# --- repeated call ids --------------------------------------------------------------------------


def test_a_repeated_call_that_is_also_in_the_final_output_runs_once() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    assert started_calls(scenario.call("r1", "call_1")) == ["call_1"]

    assert started_calls(scenario.call("r1", "call_1")) == []

    assert (
        started_calls(
            scenario.response_done(
                "r1", output=[function_call_item("item_call_1", "call_1", "look_up")]
            )
        )
        == []
    )


def test_a_reused_call_id_runs_nothing_and_does_not_block_the_turn() -> None:
    scenario = CoreScenario()
    _, create = scenario.follow_up()
    scenario.response_created("r2", create)

    assert started_calls(scenario.call("r2", "call_1", "item_2")) == []

    assert len(effects_of(scenario.response_done("r2", create), ev.AgentEnd)) == 1
    assert scenario.core.is_quiet


def test_a_reused_call_id_with_another_name_or_arguments_is_an_error() -> None:
    scenario = CoreScenario()
    scenario.response_created("r")
    call = {
        "id": "item_3",
        "type": "function_call",
        "name": "pay",
        "call_id": "call_1",
        "arguments": '{"sum": 1}',
        "status": "completed",
    }
    done = "response.output_item.done"
    scenario.receive(done, response_id="r", item=call)
    assert not errors_in(scenario.receive(done, response_id="r", item=call))
    other_arguments = scenario.receive(
        done, response_id="r", item={**call, "arguments": '{"sum": 2}'}
    )
    other_name = scenario.receive(done, response_id="r", item={**call, "name": "refund"})

    assert ["call_1" in message for message in errors_in(other_arguments)] == [True]
    assert ["call_1" in message for message in errors_in(other_name)] == [True]


def errors_in(effects: Sequence[Effect]) -> list[str]:
    return [str(effect.error) for effect in effects if isinstance(effect, ev.Error)]


# --- calls of an interrupted response -----------------------------------------------------------


def test_a_call_found_only_in_a_cancelled_response_is_answered_without_running() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")

    effects = scenario.response_done(
        "r1", status="cancelled", output=[function_call_item("item_1", "call_1", "look_up")]
    )

    assert started_calls(effects) == []
    assert answered_calls(effects) == ["call_1"]
    assert scenario.core.is_quiet


def test_a_call_found_only_in_a_cancelled_response_does_not_block_the_other_call() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    scenario.call("r1", "call_1")
    listed = [
        function_call_item(f"item_{call_id}", call_id, "look_up")
        for call_id in ("call_1", "call_2")
    ]

    effects = scenario.response_done("r1", status="cancelled", output=listed)

    assert started_calls(effects) == []
    assert answered_calls(effects) == ["call_2"]
    assert [cancel.call_ids for cancel in effects_of(effects, CancelCalls)] == [("call_1",)]
    assert answered_calls(scenario.finish_call("call_1")) == ["call_1"]
    assert scenario.core.is_quiet


def test_a_call_after_the_interrupt_is_answered_at_once() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    scenario.call("r1", "call_1")
    scenario.interrupt()

    effects = scenario.call("r1", "call_2")

    assert started_calls(effects) == []
    assert answered_calls(effects) == ["call_2"]
