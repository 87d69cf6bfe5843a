"""Time limits and budgets: when each is reached, and what counts as idle."""

from __future__ import annotations

import math
from typing import Any

import pytest

from support.core import ONE_SECOND, SESSION, CoreScenario, effects_of, started_calls
from support.service import message_item
from trio_realtime import UsageLimits, events as ev, wire
from trio_realtime.core import (
    AppendAudio,
    CallFinished,
    CommitAudio,
    ConnectionLost,
    ConnectionRestored,
    CreateResponse,
    Effect,
    EndSession,
    LimitSettings,
    SendItem,
)
from trio_realtime.core.dispatch import dispatch_table
from trio_realtime.wire import ConversationItemCreate, InputText, MessageItem, ResponseCreate

USAGE = {"total_tokens": 10, "input_tokens": 6, "output_tokens": 4}


def open_scenario(**limits: Any) -> CoreScenario:
    """Return a scenario whose session opened at 0 seconds."""
    scenario = CoreScenario(limits=LimitSettings(**limits))
    scenario.receive("session.updated", session=SESSION)
    return scenario


def ended_by(effects: list[Effect]) -> list[str]:
    return [end.limit for end in effects_of(effects, EndSession)]


def pass_deadline(scenario: CoreScenario) -> list[str]:
    """Let the time of the next deadline come. Return the limit that was reached, if one was."""
    scenario.now = scenario.core.next_deadline
    assert scenario.now < math.inf
    return ended_by(scenario.core.deadline_passed(scenario.now))


# --- time ---------------------------------------------------------------------------------------


def test_nothing_is_limited_by_default() -> None:
    scenario = open_scenario()
    assert scenario.core.next_deadline == math.inf
    table = dispatch_table(scenario.core._components)
    assert len(table[wire.ResponseCreated]) == 1
    scenario.response_created("r1")
    assert ended_by(scenario.response_done("r1", usage=USAGE)) == []


def test_maximum_duration_counts_from_the_first_settings() -> None:
    scenario = CoreScenario(limits=LimitSettings(max_duration=60, grace=5))
    assert scenario.core.next_deadline == math.inf
    scenario.now = 2
    scenario.receive("session.updated", session=SESSION)
    scenario.now = 30
    scenario.receive("session.updated", session=SESSION)
    assert scenario.core.next_deadline == 62
    assert scenario.core.deadline_passed(61.9) == []
    effects = scenario.core.deadline_passed(62)
    assert effects == [
        ev.LimitReached(limit="max_duration", grace=5),
        EndSession(limit="max_duration"),
    ]
    assert scenario.core.next_deadline == math.inf
    assert scenario.core.deadline_passed(99) == []


def test_maximum_duration_is_reached_while_the_agent_speaks() -> None:
    scenario = open_scenario(max_duration=60)
    scenario.response_created("r1")
    assert pass_deadline(scenario) == ["max_duration"]


def test_idle_session_ends() -> None:
    scenario = open_scenario(idle_timeout=10)
    assert scenario.core.next_deadline == 10
    assert pass_deadline(scenario) == ["idle_timeout"]


def send_message(scenario: CoreScenario, *, respond: bool = False) -> None:
    item = MessageItem(role="user", content=(InputText(text="Hello"),))
    command = SendItem(item=ConversationItemCreate(item=item), respond=respond)
    scenario.core.handle(command, scenario.now)


def stop_speech(scenario: CoreScenario) -> None:
    scenario.receive("input_audio_buffer.speech_stopped", item_id="item_user", audio_end_ms=900)


ACTIVITIES: dict[str, Any] = {
    "message": send_message,
    "item": lambda s: s.receive("conversation.item.added", item=message_item("item_1", "Hello")),
    "key": lambda s: s.receive("input_audio_buffer.dtmf_event_received", event="1", received_at=1),
    "end of speech": stop_speech,
    "commit": lambda s: s.core.handle(CommitAudio(event=wire.InputAudioBufferCommit()), s.now),
    "end of response": lambda s: s.response_done("r1"),
    "interruption": lambda s: s.interrupt(),
}


@pytest.mark.parametrize("act", ACTIVITIES.values(), ids=ACTIVITIES)
def test_activity_begins_the_idle_time_again(act: Any) -> None:
    scenario = open_scenario(idle_timeout=10)
    scenario.now = 7
    act(scenario)
    assert scenario.core.next_deadline == 17
    assert pass_deadline(scenario) == ["idle_timeout"]


def append_audio(scenario: CoreScenario) -> None:
    event = wire.InputAudioBufferAppend(audio=b"\0\0")
    scenario.core.handle(AppendAudio(event=event), scenario.now)


def test_microphone_and_settings_are_no_activity() -> None:
    scenario = open_scenario(idle_timeout=10)
    scenario.now = 7
    scenario.receive("session.updated", session=SESSION)
    append_audio(scenario)
    assert scenario.core.next_deadline == 10


def test_audio_is_speech_where_turns_end_by_hand() -> None:
    scenario = open_scenario(idle_timeout=10)
    by_hand = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    scenario.receive("session.updated", session=by_hand)
    scenario.now = 7
    append_audio(scenario)
    assert scenario.core.next_deadline == 17
    assert pass_deadline(scenario) == ["idle_timeout"]


def restore(scenario: CoreScenario) -> None:
    """Connect again."""
    restored = ConnectionRestored(replay=scenario.core.replay(), attempts=1)
    scenario.core.handle(restored, scenario.now)


def test_session_without_a_connection_is_not_idle() -> None:
    scenario = open_scenario(idle_timeout=10)
    scenario.speech_started()  # the end of the speech is lost
    scenario.core.handle(ConnectionLost(message="gone"), 5)
    for _ in range(3):
        assert pass_deadline(scenario) == []
    scenario.now += 1
    restored = scenario.now
    restore(scenario)
    assert scenario.core.next_deadline == restored + 10
    assert pass_deadline(scenario) == ["idle_timeout"]


def test_limits_outlive_a_connection() -> None:
    scenario = open_scenario(max_duration=60, usage=UsageLimits(total_tokens=20))
    scenario.response_created("r1")
    assert ended_by(scenario.response_done("r1", usage=USAGE)) == []
    scenario.core.handle(ConnectionLost(message="gone"), scenario.now)
    restore(scenario)
    assert scenario.core.next_deadline == 60
    scenario.response_created("r2")
    assert ended_by(scenario.response_done("r2", usage=USAGE)) == ["total_tokens"]


def test_long_speech_of_the_user_is_not_idle() -> None:
    scenario = open_scenario(idle_timeout=10)
    scenario.speech_started()
    for _ in range(3):
        assert pass_deadline(scenario) == []
    stop_speech(scenario)
    assert pass_deadline(scenario) == ["idle_timeout"]


def test_lost_end_of_speech_does_not_count_for_ever() -> None:
    scenario = open_scenario(idle_timeout=10)
    scenario.speech_started()
    scenario.response_created("r1")
    scenario.response_done("r1")
    assert pass_deadline(scenario) == ["idle_timeout"]


@pytest.mark.parametrize("what", ["response", "call", "request"])
def test_running_work_is_not_idle(what: str) -> None:
    scenario = open_scenario(idle_timeout=10)
    if what == "request":
        send_message(scenario, respond=True)
    else:
        scenario.response_created("r1")
    if what == "call":
        scenario.call("r1", "call_1")
        scenario.response_done("r1")
    for _ in range(3):
        assert pass_deadline(scenario) == []
    if what == "call":
        scenario.core.handle(
            CallFinished(call_id="call_1", output="", wants_response=False), scenario.now
        )
    else:
        scenario.response_created("r2" if what == "request" else "r1")
        scenario.response_done("r2" if what == "request" else "r1")
    ended = scenario.now
    if what != "request":
        assert pass_deadline(scenario) == ["idle_timeout"]
        assert scenario.now == ended + 10


def test_idle_time_counts_from_the_end_of_the_audio() -> None:
    scenario = open_scenario(idle_timeout=10)
    scenario.response_created("r1")
    scenario.audio("r1", "item_1", 60 * ONE_SECOND)
    scenario.now = 1
    scenario.response_done("r1")
    assert scenario.core.next_deadline == 70
    assert pass_deadline(scenario) == ["idle_timeout"]


def test_audio_that_is_played_late_is_not_idle() -> None:
    scenario = open_scenario(idle_timeout=10)
    scenario.response_created("r1")
    scenario.audio("r1", "item_1", 5 * ONE_SECOND)
    scenario.response_done("r1")
    scenario.core.report_played("item_1", 0, 1, 0)
    scenario.now = scenario.core.next_deadline
    scenario.core.report_played("item_1", 0, 2000, scenario.now)
    assert pass_deadline(scenario) == []
    assert scenario.core.next_deadline == pytest.approx(scenario.now + 3 + 10)


# --- budgets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "limit"), [("total_tokens", 20), ("input_tokens", 12), ("output_tokens", 8)]
)
def test_tokens_are_limited(name: str, limit: int) -> None:
    scenario = open_scenario(usage=UsageLimits(**{name: limit}), grace=3)
    reached: list[list[str]] = []
    for number in range(3):
        scenario.response_created(f"r{number}")
        reached.append(ended_by(scenario.response_done(f"r{number}", usage=USAGE)))
    assert reached == [[], [name], []]


def test_calls_are_limited_and_the_last_one_runs() -> None:
    scenario = open_scenario(usage=UsageLimits(tool_calls=2))
    scenario.response_created("r1")
    assert ended_by(scenario.call("r1", "call_1")) == []
    effects = scenario.call("r1", "call_2")
    assert started_calls(effects) == ["call_2"]
    assert ended_by(effects) == ["tool_calls"]
    assert ended_by(scenario.call("r1", "call_3")) == []


def make_round(scenario: CoreScenario, number: int, create: Any, text: str = "") -> list[Effect]:
    """Run a response with one call, and perhaps text, up to the create that follows."""
    response_id = f"r{number}"
    scenario.response_created(response_id, create)
    if text:
        item = message_item(f"message_{number}", text)
        scenario.receive("response.output_item.done", response_id=response_id, item=item)
    scenario.call(response_id, f"call_{number}")
    scenario.response_done(response_id, create)
    return scenario.finish_call(f"call_{number}")


def test_tool_rounds_are_stopped_with_tool_choice_none() -> None:
    scenario = open_scenario(usage=UsageLimits(tool_rounds=2))
    create = scenario.message_create()
    choices: list[object] = []
    for number in range(1, 3):
        effects = make_round(scenario, number, create)
        (create,) = effects_of(effects, ResponseCreate)
        assert create.response is not None
        choices.append(create.response.tool_choice)
    assert choices == [wire.UNSET, "none"]
    assert effects_of(effects, ev.LimitReached) == [ev.LimitReached(limit="tool_rounds")]
    assert ended_by(effects) == []
    # A model that calls functions nevertheless ends the session.
    assert ended_by(make_round(scenario, 3, create)) == ["tool_rounds"]


def test_text_between_calls_begins_the_rounds_again() -> None:
    scenario = open_scenario(usage=UsageLimits(tool_rounds=2))
    create = scenario.message_create()
    for number in range(1, 7):
        effects = make_round(scenario, number, create, text="Just a moment." if number % 2 else "")
        assert effects_of(effects, ev.LimitReached) == []
        (create,) = effects_of(effects, ResponseCreate)
        assert create.response is not None
        assert create.response.tool_choice == wire.UNSET


def test_user_turn_begins_the_rounds_again() -> None:
    scenario = open_scenario(usage=UsageLimits(tool_rounds=2))
    (create,) = effects_of(make_round(scenario, 1, scenario.message_create()), ResponseCreate)
    scenario.response_created("r_said", create)
    scenario.response_done("r_said", create)
    effects = make_round(scenario, 2, scenario.message_create())
    assert effects_of(effects, ev.LimitReached) == []


def test_first_limit_counts() -> None:
    scenario = open_scenario(max_duration=60, usage=UsageLimits(total_tokens=1))
    scenario.response_created("r1")
    assert ended_by(scenario.response_done("r1", usage=USAGE)) == ["total_tokens"]
    assert scenario.core.deadline_passed(60) == []


def test_out_of_band_responses_count() -> None:
    scenario = open_scenario(usage=UsageLimits(total_tokens=1))
    command = CreateResponse(token="t", params=wire.ResponseParams(conversation="none"))
    (create,) = effects_of([*scenario.core.handle(command, 0)], ResponseCreate)
    scenario.response_created("r1", create, conversation_id=None)
    effects = scenario.response_done("r1", create, conversation_id=None, usage=USAGE)
    assert ended_by(effects) == ["total_tokens"]
