"""Running responses: ended ones are forgotten except for a bounded number of ids."""

from __future__ import annotations

from support.core import CoreScenario
from trio_realtime.core.responses.running import MAX_ENDED, RunningResponses


def test_ids_of_ended_responses_are_bounded() -> None:
    responses = RunningResponses()
    for number in range(MAX_ENDED + 1):
        responses.begin(f"r{number}", "agent")
        responses.end(f"r{number}")

    assert not responses.running
    assert not responses.has_ended("r0")
    assert all(responses.has_ended(f"r{number}") for number in range(1, MAX_ENDED + 1))
    assert len(responses._ended) == MAX_ENDED


def test_late_events_of_the_last_responses_are_dropped() -> None:
    scenario = CoreScenario()
    for number in range(MAX_ENDED):
        scenario.response_created(f"r{number}")
        scenario.response_done(f"r{number}")

    for response_id in ("r0", f"r{MAX_ENDED - 1}"):
        assert scenario.response_created(response_id) == []
        assert scenario.audio(response_id, "item_1") == []
        assert scenario.call(response_id, f"call_{response_id}") == []
        assert scenario.response_done(response_id) == []
    assert scenario.core.is_quiet


def test_only_responses_of_the_conversation_count_as_the_latest() -> None:
    responses = RunningResponses()
    first = responses.begin("r1", "agent")
    responses.begin("r2", "agent", out_of_band=True)

    assert responses.latest == "r1"
    assert responses.in_conversation() == [first]
