"""Function calls: repeated, reused, late and interrupted ones."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from support.core import (
    CoreScenario,
    ToolDouble,
    ToolsetDouble,
    answered_calls,
    effects_of,
    started_calls,
)
from support.service import function_call_item
from trio_realtime import events as ev
from trio_realtime.core import CancelCalls, Effect
from trio_realtime.wire import ResponseCreate

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


def test_an_answered_call_id_in_a_later_response_is_answered_and_reported() -> None:
    scenario = CoreScenario()
    _, create = scenario.follow_up()
    scenario.response_created("r2", create)

    effects = scenario.call("r2", "call_1", "item_2")

    assert started_calls(effects) == []
    assert answered_calls(effects) == ["call_1"]
    assert len(errors_in(effects)) == 1
    assert scenario.call("r2", "call_1", "item_2") == []  # the same item again
    done = scenario.response_done("r2", create)
    (following,) = effects_of(done, ResponseCreate)  # the model goes on
    scenario.response_created("r3", following)
    assert len(effects_of(scenario.response_done("r3", following), ev.AgentEnd)) == 1
    assert scenario.core.is_quiet


def test_an_open_call_id_in_a_later_response_is_reported_and_answered_once() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    scenario.call("r1", "call_1")
    scenario.response_done("r1")
    scenario.response_created("r2")

    effects = scenario.call("r2", "call_1", "item_2")

    assert (started_calls(effects), answered_calls(effects)) == ([], [])
    assert len(errors_in(effects)) == 1
    scenario.response_done("r2")
    effects = scenario.finish_call("call_1")
    assert answered_calls(effects) == ["call_1"]
    assert len(effects_of(effects, ResponseCreate)) == 1


def test_responses_that_only_repeat_an_open_call_are_forgotten() -> None:
    scenario = CoreScenario()
    for response_id in ("r1", "r2", "r3"):
        scenario.response_created(response_id)
        scenario.call(response_id, "call_1")
        scenario.response_done(response_id)
    scenario.finish_call("call_1")
    assert scenario.core._ledger._responses == {}


def test_an_answered_call_id_in_an_interrupted_response_is_answered_without_a_response() -> None:
    scenario = CoreScenario()
    _, create = scenario.follow_up()
    scenario.response_created("r2", create)
    scenario.interrupt()

    assert answered_calls(scenario.call("r2", "call_1", "item_2")) == ["call_1"]

    done = scenario.response_done("r2", create, status="cancelled")
    assert effects_of(done, ResponseCreate) == []
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


# --- the policy of a tool for interruptions -----------------------------------------------------


@pytest.mark.parametrize(
    ("on_interrupt", "cancelled"), [("cancel", True), ("finish", False), ("background", False)]
)
@pytest.mark.parametrize("by_speech", [False, True])
def test_the_policy_of_a_tool_applies_before_any_other_input(
    on_interrupt: str, by_speech: bool, cancelled: bool
) -> None:
    scenario = CoreScenario(ToolsetDouble(ToolDouble("look_up", on_interrupt)))
    scenario.response_created("r1")
    scenario.call("r1", "call_1")

    effects = scenario.speech_started() if by_speech else scenario.interrupt()

    assert effects_of(effects, CancelCalls) == [CancelCalls(call_ids=("call_1",))] * cancelled
    assert scenario.core.was_cancelled("call_1") == cancelled


def test_an_interrupt_cancels_only_the_calls_without_a_policy() -> None:
    tools = (ToolDouble("book", "finish"), ToolDouble("play"), ToolDouble("note", "background"))
    scenario = CoreScenario(ToolsetDouble(*tools))
    scenario.response_created("r1")
    for name in ("book", "play", "note", "unknown"):
        item = function_call_item(f"item_{name}", f"call_{name}", name)
        scenario.receive("response.output_item.done", response_id="r1", item=item)

    effects = scenario.interrupt()

    (cancel,) = effects_of(effects, CancelCalls)
    assert set(cancel.call_ids) == {"call_play", "call_unknown"}


@pytest.mark.parametrize(("on_interrupt", "creates"), [("finish", 0), ("background", 1)])
def test_a_background_result_requests_a_response_despite_the_interruption(
    on_interrupt: str, creates: int
) -> None:
    scenario = CoreScenario(ToolsetDouble(ToolDouble("look_up", on_interrupt)))
    scenario.response_created("r1")
    scenario.call("r1", "call_1")
    scenario.interrupt()
    scenario.response_done("r1", status="cancelled")

    effects = scenario.finish_call("call_1")

    assert answered_calls(effects) == ["call_1"]
    assert len(effects_of(effects, ResponseCreate)) == creates
