"""Interruptions: which responses are cancelled, and what stays unaffected."""

from __future__ import annotations

from typing import Any

import pytest

from support.core import (
    CoreDriver,
    CoreScenario,
    cancelled_responses,
    effects_of,
    interrupted_responses,
    resolved_tokens,
)
from trio_realtime import events as ev
from trio_realtime.core import Effect, ResolveRequest, ResponseOutcome
from trio_realtime.testing import response_object
from trio_realtime.wire import ResponseCancel, ResponseCreate, structure_server_event

# --- running responses --------------------------------------------------------------------------


@pytest.mark.parametrize("by_speech", [True, False])
def test_a_response_without_a_created_event_can_be_interrupted(by_speech: bool) -> None:
    scenario = CoreScenario()
    scenario.audio("r1", "item_1")
    scenario.now = 0.1

    effects = scenario.speech_started() if by_speech else scenario.interrupt()

    assert interrupted_responses(effects) == {"r1"}
    # No cancel is sent to a service that interrupts by itself.
    assert cancelled_responses(effects) == ([] if by_speech else ["r1"])
    assert effects_of(scenario.audio("r1", "item_1"), ev.Audio) == []


def test_an_interrupt_stops_overlapping_responses() -> None:
    scenario = CoreScenario()
    for response_id in ("r1", "r2"):
        scenario.response_created(response_id)
        scenario.audio(response_id, f"item_{response_id}")
    scenario.now = 0.1

    effects = scenario.interrupt()

    assert interrupted_responses(effects) == {"r1", "r2"}
    assert sorted(filter(None, cancelled_responses(effects))) == ["r1", "r2"]
    for response_id in ("r1", "r2"):
        assert effects_of(scenario.audio(response_id, f"item_{response_id}"), ev.Audio) == []


def test_an_interrupt_does_not_affect_queued_requests() -> None:
    """A queued request has no response yet, so there is nothing to stop."""
    scenario = CoreScenario()
    first = scenario.message_create()
    scenario.response_created("r1", first)
    scenario.audio("r1", "item_1")
    scenario.interrupt()
    scenario.send_message("Something else.")
    scenario.interrupt()
    (second,) = effects_of(scenario.response_done("r1", first, status="cancelled"), ResponseCreate)

    assert cancelled_responses(scenario.response_created("r2", second)) == []


# --- outstanding creates ------------------------------------------------------------------------


@pytest.mark.parametrize("echoes", [True, False])
def test_speech_while_a_create_is_outstanding_cancels_its_response(echoes: bool) -> None:
    """The service cannot interrupt a response that it has not created yet."""
    scenario = CoreScenario()
    create = scenario.message_create()
    assert cancelled_responses(scenario.speech_started()) == []

    assert cancelled_responses(scenario.response_created("r1", create if echoes else None)) == [
        "r1"
    ]


def test_without_echo_an_interrupt_before_the_created_event_cancels_by_response_id() -> None:
    scenario = CoreScenario()
    scenario.message_create()
    assert cancelled_responses(scenario.interrupt()) == []

    assert cancelled_responses(scenario.response_created("r1")) == ["r1"]


@pytest.mark.parametrize("runs", [True, False])
def test_without_echo_a_request_is_cancelled_by_response_id(runs: bool) -> None:
    scenario = CoreScenario()
    token, _ = scenario.request()
    effects = scenario.response_created("r1") if runs else []

    effects += scenario.core.cancel_response(token, scenario.now)
    effects += [] if runs else scenario.response_created("r1")

    assert cancelled_responses(effects) == ["r1"]
    assert resolved_tokens(scenario.response_done("r1", status="cancelled")) == [token]


def test_without_echo_interrupted_requests_are_forgotten_at_the_end() -> None:
    scenario = CoreScenario()
    for number in range(5):
        scenario.message_create()
        scenario.interrupt()
        scenario.response_created(f"r{number}")
        scenario.response_done(f"r{number}", status="cancelled")
    assert not scenario.core._components.interruption._cancelled_in_advance


def receive(core: CoreDriver, kind: str, **fields: Any) -> list[Effect]:
    frame = {"type": kind, "event_id": "event", **fields}
    return [*core.receive(structure_server_event(frame), 0.0)]


def test_an_interrupted_create_is_dropped_after_its_rejection_for_another_response() -> None:
    """Before the first echoed metadata, the owner of a new response is uncertain."""
    core = CoreDriver("agent")
    token, _ = core.create_response(None)
    core.interrupt(0.0)
    created = receive(core, "response.created", response=response_object("resp_other"))
    assert [effect.response_id for effect in created if isinstance(effect, ResponseCancel)] == [
        "resp_other"
    ]
    error = {
        "type": "invalid_request_error",
        "code": "conversation_already_has_active_response",
        "message": "Conversation already has an active response in progress: resp_other.",
        "event_id": token,
    }
    after = receive(core, "error", error=error)
    done = response_object("resp_other", status="cancelled")
    after += receive(core, "response.done", response=done)
    assert not [effect for effect in after if isinstance(effect, ResponseCreate)]
    (resolved,) = [effect for effect in after if isinstance(effect, ResolveRequest)]
    assert isinstance(resolved.outcome, ResponseOutcome)
    assert (resolved.token, resolved.outcome.status) == (token, "cancelled")


def test_interruptions_of_everything_are_counted() -> None:
    """Those of one response, by its handle or by a guardrail, are not."""
    scenario = CoreScenario()
    scenario.response_created("r1")
    scenario.core.interrupt(scenario.now)
    scenario.response_done("r1", status="cancelled")
    scenario.speech_started()
    assert scenario.core.interruptions == 2
    token, create = scenario.request()
    scenario.response_created("r2", create)
    scenario.core.cancel_response(token, scenario.now)
    assert scenario.core.interruptions == 2


# --- a response whose end was lost ----------------------------------------------------------------


def refuse_cancel(scenario: CoreScenario, cancel_id: str | None) -> list[Effect]:
    error = {"code": "response_cancel_not_active", "message": "no", "event_id": cancel_id}
    return scenario.receive("error", error=error)


@pytest.mark.parametrize("named", [True, False])
def test_a_refused_cancel_ends_a_response_whose_end_was_lost(named: bool) -> None:
    scenario = CoreScenario()
    token, create = scenario.request()
    scenario.response_created("r1", create)
    (cancel,) = effects_of(scenario.interrupt(), ResponseCancel)
    assert scenario.send_message() != []  # its create waits for the slot
    effects = refuse_cancel(scenario, cancel.event_id if named else None)

    (end,) = effects_of(effects, ev.ResponseEnd)
    assert (end.response_id, end.status) == ("r1", "cancelled")
    assert token in resolved_tokens(effects)
    assert len(effects_of(effects, ResponseCreate)) == 1
    assert effects_of(effects, ev.Error) == []
    assert scenario.response_done("r1", create) == []  # late


def test_a_refused_cancel_of_a_response_that_has_ended_changes_nothing() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    (cancel,) = effects_of(scenario.interrupt(), ResponseCancel)
    scenario.response_done("r1", status="completed")
    scenario.response_created("r2")
    assert refuse_cancel(scenario, cancel.event_id) == []
    assert len(effects_of(scenario.audio("r2", "item_2"), ev.Audio)) == 1


def test_a_refused_raw_cancel_ends_a_response_whose_end_was_lost() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    scenario.core.send_raw({"type": "response.cancel", "event_id": "mine"})
    assert len(effects_of(refuse_cancel(scenario, "mine"), ev.ResponseEnd)) == 1
    assert scenario.core.is_quiet
