"""Attribution of responses to requests by a server that echoes no metadata or names no conversation."""

from __future__ import annotations

from support.core import OUT_OF_BAND, CoreScenario, resolved_tokens


def test_responses_are_attributed_if_the_server_never_names_a_conversation() -> None:
    scenario = CoreScenario()
    for number in range(3):
        create = scenario.message_create()
        scenario.response_created(f"r{number}", create, conversation_id=None)
        scenario.response_done(f"r{number}", create, conversation_id=None)
    assert scenario.core.is_quiet


def test_a_done_event_without_conversation_and_metadata_resolves_the_request() -> None:
    scenario = CoreScenario()
    for number in range(3):
        token, create = scenario.request()
        scenario.response_created(f"r{number}", create)

        assert resolved_tokens(scenario.response_done(f"r{number}", conversation_id=None)) == [
            token
        ]


def test_without_echo_out_of_band_responses_are_attributed_in_order() -> None:
    scenario = CoreScenario()
    scenario.message_create()
    scenario.response_created("r1")
    scenario.response_done("r1")  # shows that the server names conversations
    first, _ = scenario.request(OUT_OF_BAND)
    second, _ = scenario.request(OUT_OF_BAND)
    scenario.response_created("r2", conversation_id=None)
    scenario.response_created("r3", conversation_id=None)

    assert resolved_tokens(scenario.response_done("r3", conversation_id=None)) == [second]
    assert resolved_tokens(scenario.response_done("r2", conversation_id=None)) == [first]


def test_without_echo_a_create_cancels_the_expectation_of_a_spontaneous_response() -> None:
    scenario = CoreScenario()
    scenario.receive("input_audio_buffer.speech_stopped", item_id="item_user", audio_end_ms=5)
    token, _ = scenario.request()  # the service starts no response to the noise
    scenario.response_created("r1")

    assert resolved_tokens(scenario.response_done("r1")) == [token]

    scenario.message_create()


def test_an_out_of_band_response_is_attributed_while_the_owner_of_the_running_one_is_uncertain() -> (
    None
):
    scenario = CoreScenario()
    token, create = scenario.request(OUT_OF_BAND)
    scenario.message_create()
    scenario.response_created("r1")  # not attributed yet: without echo the owner is uncertain
    scenario.response_created("r2", create, conversation_id=None)

    assert resolved_tokens(scenario.response_done("r2", create, conversation_id=None)) == [token]
