"""Responses whose events are repeated, late or missing.

Real services do this occasionally, compatible ones may always. Every request is still resolved.
"""

from __future__ import annotations

from support.core import OUT_OF_BAND, CoreScenario, effects_of, resolved_tokens
from trio_realtime.core import ResolveRequest, ResponseOutcome
from trio_realtime.wire import ResponseCreate

# --- repeated events ----------------------------------------------------------------------------


def test_a_repeated_created_event_keeps_the_waiters() -> None:
    scenario = CoreScenario()
    token, create = scenario.request()
    scenario.response_created("r1", create)

    assert scenario.response_created("r1", create) == []

    assert resolved_tokens(scenario.response_done("r1", create)) == [token]


def test_a_repeated_created_event_keeps_the_turn() -> None:
    scenario = CoreScenario()
    token, create = scenario.follow_up()
    scenario.response_created("r2", create)

    assert scenario.response_created("r2", create) == []

    assert resolved_tokens(scenario.response_done("r2", create)) == [token]


def test_a_repeated_created_event_of_an_out_of_band_response_does_not_take_the_slot() -> None:
    scenario = CoreScenario()
    token, create = scenario.request(OUT_OF_BAND)
    scenario.response_created("r1", create, conversation_id=None)
    scenario.response_created("r1", create, conversation_id=None)

    assert resolved_tokens(scenario.response_done("r1", create, conversation_id=None)) == [token]

    scenario.message_create()


def test_a_repeated_done_event_has_no_effects() -> None:
    scenario = CoreScenario()
    _, create = scenario.request()
    scenario.response_created("r1", create)
    scenario.response_done("r1", create)

    assert scenario.response_done("r1", create) == []
    assert scenario.response_created("r1", create) == []

    assert scenario.core.is_quiet


def test_a_repeated_done_event_does_not_end_the_next_response() -> None:
    scenario = CoreScenario()
    first = scenario.message_create()
    scenario.response_created("r1", first)
    scenario.send_message("And?")
    (second,) = effects_of(scenario.response_done("r1", first), ResponseCreate)
    scenario.response_created("r2", second)

    scenario.response_done("r1", first)

    assert effects_of(scenario.send_message("So?"), ResponseCreate) == []


# --- missing and late events --------------------------------------------------------------------


def test_a_done_event_without_a_created_event_resolves_the_request_and_frees_the_slot() -> None:
    scenario = CoreScenario()
    token, create = scenario.request()

    assert resolved_tokens(scenario.response_done("r1", create)) == [token]

    scenario.message_create()


def test_a_done_event_without_a_created_event_resolves_an_out_of_band_request() -> None:
    scenario = CoreScenario()
    token, create = scenario.request(OUT_OF_BAND)

    assert resolved_tokens(scenario.response_done("r1", create, conversation_id=None)) == [token]


def test_audio_before_the_created_event_keeps_the_turn() -> None:
    scenario = CoreScenario()
    token, create = scenario.follow_up()
    scenario.audio("r2", "item_2")
    scenario.response_created("r2", create)

    assert resolved_tokens(scenario.response_done("r2", create)) == [token]


def test_text_before_the_created_event_keeps_the_waiters_of_an_out_of_band_response() -> None:
    scenario = CoreScenario()
    token, create = scenario.request(OUT_OF_BAND)
    scenario.receive("response.output_text.delta", response_id="r1", item_id="item_1", delta="Hm")
    scenario.response_created("r1", create, conversation_id=None)

    assert resolved_tokens(scenario.response_done("r1", create, conversation_id=None)) == [token]

    scenario.message_create()


def test_a_cancelled_response_resolves_its_request_as_cancelled() -> None:
    """The done event is enough, even if no other event of the response arrived."""
    scenario = CoreScenario()
    token, create = scenario.request()

    (resolved,) = effects_of(
        scenario.response_done("r1", create, status="cancelled"), ResolveRequest
    )

    assert resolved.token == token
    assert isinstance(resolved.outcome, ResponseOutcome)
    assert resolved.outcome.status == "cancelled"


def test_an_out_of_band_response_without_a_beginning_is_resolved_while_another_one_runs() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    token, create = scenario.request(OUT_OF_BAND)
    done = scenario.response_done("r2", create, conversation_id=None)
    assert resolved_tokens(done) == [token]
    assert scenario.core._queue.running == "r1"
