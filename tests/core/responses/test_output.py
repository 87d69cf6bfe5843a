"""Deltas of the output of responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from support.core import OUT_OF_BAND, CoreScenario
from trio_realtime import events as ev
from trio_realtime.core import Effect, StopPlaybackReports


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


# --- the start of the audio ----------------------------------------------------------------------


def audio_kinds(effects: Sequence[Effect]) -> list[str]:
    """Return the types of the audio events among these effects."""
    audio = (ev.AudioStart, ev.Audio, ev.AudioInterrupted)
    return [effect.type for effect in effects if isinstance(effect, audio)]


def test_first_audio_of_each_response_is_announced_once() -> None:
    scenario = CoreScenario()
    for number in (1, 2):
        scenario.response_created(f"r{number}")
        start, audio = scenario.audio(f"r{number}", f"item_{number}")
        assert start == ev.AudioStart(
            response_id=f"r{number}", item_id=f"item_{number}", content_index=0
        )
        assert isinstance(audio, ev.Audio)
        assert audio_kinds(scenario.audio(f"r{number}", f"item_{number}")) == ["audio"]
        assert audio_kinds(scenario.audio(f"r{number}", f"another_{number}")) == ["audio"]
        scenario.response_done(f"r{number}")


def test_audio_is_not_announced_again_after_playback_reports_end() -> None:
    scenario = CoreScenario()
    scenario.response_created("r")
    scenario.audio("r", "item_1")
    scenario.core.handle(StopPlaybackReports(), scenario.now)
    assert audio_kinds(scenario.audio("r", "item_1")) == ["audio"]


def test_audio_of_a_response_without_its_beginning_is_announced() -> None:
    scenario = CoreScenario()
    assert audio_kinds(scenario.audio("r", "item_1")) == ["audio_start", "audio"]


def test_audio_that_nobody_gets_is_not_announced() -> None:
    scenario = CoreScenario()
    _, create = scenario.request(OUT_OF_BAND)
    scenario.response_created("r1", create, conversation_id=None)
    assert audio_kinds(scenario.audio("r1", "item_1")) == []
    scenario.response_created("r2")
    scenario.speech_started()
    assert audio_kinds(scenario.audio("r2", "item_2")) == []
    scenario.response_done("r2", status="cancelled")
    assert audio_kinds(scenario.audio("r2", "item_2")) == []
