"""Settings: the update that reaches the wanted settings, and rejections of updates."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from support.core import SESSION, CoreScenario, effects_of
from trio_realtime import events as ev
from trio_realtime.core import Effect, ResolveRequest
from trio_realtime.core.settings_change import settings_after, settings_change
from trio_realtime.errors import SettingsRejected
from trio_realtime.wire import (
    PCM24K,
    UNSET,
    AudioFormat,
    AudioInput,
    AudioOutput,
    AudioSettings,
    SemanticVad,
    ServerVad,
    Session,
    SessionUpdate,
    Transcription,
    Unset,
    unstructure,
)


def unset_or(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from((UNSET, *values))


SIDES = st.builds(
    AudioSettings,
    input=st.just(UNSET)
    | st.builds(
        AudioInput,
        transcription=unset_or(None, Transcription(model="gpt-live-transcribe")),
        turn_detection=unset_or(None, ServerVad(), ServerVad(threshold=0.3), SemanticVad()),
    ),
    output=st.just(UNSET)
    | st.builds(AudioOutput, voice=unset_or("alloy", "marin"), speed=unset_or(1.0, 1.2)),
)
SESSIONS = st.builds(
    Session,
    instructions=unset_or("", "Be brief."),
    output_modalities=unset_or(("audio",), ("text",)),
    max_output_tokens=unset_or(10, "inf"),
    tools=unset_or(
        (),
    ),
    audio=st.just(UNSET) | SIDES,
)


@given(known=SESSIONS, wanted=SESSIONS)
def test_after_the_change_the_wanted_settings_are_reached(known: Session, wanted: Session) -> None:
    change = settings_change(known, wanted)
    after = known if change is None else settings_after(known, change)
    remaining = settings_change(after, wanted)
    assert remaining is None


@given(known=SESSIONS, wanted=SESSIONS)
def test_only_changed_keys_are_sent(known: Session, wanted: Session) -> None:
    change = settings_change(known, wanted)
    if change is None:
        return
    for key, value in unstructure(change).items():
        if key not in ("type", "audio"):
            assert getattr(known, key) != getattr(change, key), (key, value)
    for side in ("input", "output"):
        changed = getattr(change.audio, side, UNSET) if change.audio else UNSET
        before = getattr(known.audio, side, UNSET) if known.audio else UNSET
        if not isinstance(changed, Unset) and not isinstance(before, Unset):
            sent = unstructure(changed)
            assert all(getattr(before, key) != getattr(changed, key) for key in sent)


@given(known=SESSIONS, wanted=SESSIONS)
def test_unset_keys_stay_unchanged(known: Session, wanted: Session) -> None:
    change = settings_change(known, wanted)
    after = known if change is None else settings_after(known, change)
    for key in ("instructions", "output_modalities", "max_output_tokens", "tools"):
        if isinstance(getattr(wanted, key), Unset):
            assert getattr(after, key) == getattr(known, key)


def test_the_first_settings_are_sent_completely() -> None:
    wanted = Session(instructions="Be brief.", tools=())
    assert settings_change(None, wanted) is wanted


def test_an_unchanged_voice_is_not_sent_again() -> None:
    known = Session(audio=AudioSettings(output=AudioOutput(voice="marin")))
    wanted = Session(instructions="New.", audio=AudioSettings(output=AudioOutput(voice="marin")))
    assert settings_change(known, wanted) == Session(instructions="New.")


def test_a_rejection_of_settings_without_event_id_does_not_block_the_next_update() -> None:
    scenario = CoreScenario()
    first, effects = scenario.core.update_settings(Session(instructions="Be brief."))
    assert len(effects_of(effects, SessionUpdate)) == 1
    second, effects = scenario.core.update_settings(Session(instructions="Be kind."))
    assert effects_of(effects, SessionUpdate) == []

    effects = scenario.receive(
        "error",
        error={
            "code": "cannot_update_voice",
            "message": "Cannot update a conversation's voice if assistant audio is present.",
            "param": "session.audio.output.voice",
            "event_id": None,
        },
    )

    (rejected,) = effects_of(effects, ResolveRequest)
    assert rejected.token == first
    assert isinstance(rejected.outcome, SettingsRejected)
    assert [update.event_id for update in effects_of(effects, SessionUpdate)] == [second]


# --- settings that the service cannot change any more ---------------------------------------------

VOICE = AudioSettings(output=AudioOutput(voice="ash"))
AGENT_SETTINGS = Session(instructions="Bill.", tools=(), audio=VOICE, tracing="auto")


def reject_settings(scenario: CoreScenario, message: str, **details: Any) -> list[Effect]:
    return scenario.receive("error", error={"message": message, "event_id": "settings", **details})


def updates(effects: list[Effect]) -> list[SessionUpdate]:
    return effects_of(effects, SessionUpdate)


@pytest.mark.parametrize(
    ("message", "details", "locked", "remaining"),
    [
        (
            "Cannot update a conversation's voice if assistant audio is present.",
            {"code": "cannot_update_voice"},
            "audio.output.voice",
            Session(instructions="Bill.", tools=(), tracing="auto"),
        ),
        (
            "The setting can't be changed after the first response.",
            {"param": "session.voice"},
            "audio.output.voice",
            Session(instructions="Bill.", tools=(), tracing="auto"),
        ),
        (
            "Once tracing is enabled for a session, the configuration cannot be modified.",
            {},
            "tracing",
            Session(instructions="Bill.", tools=(), audio=VOICE),
        ),
    ],
)
def test_an_agent_becomes_current_without_a_locked_setting(
    message: str, details: dict[str, Any], locked: str, remaining: Session
) -> None:
    scenario = CoreScenario()
    token, effects = scenario.core.update_settings(AGENT_SETTINGS, agent="billing")
    assert [update.session for update in updates(effects)] == [AGENT_SETTINGS]

    effects = reject_settings(scenario, message, **{**details, "event_id": token})

    (warning,) = effects_of(effects, ev.SessionWarning)
    assert (warning.code, warning.param) == ("setting_locked", locked)
    assert [(u.event_id, u.session) for u in updates(effects)] == [(token, remaining)]
    assert effects_of(effects, ResolveRequest) == []
    effects = scenario.receive("session.updated", session={})
    assert [type(e) for e in effects] == [ev.SettingsUpdated, ev.Handoff, ResolveRequest]
    assert scenario.core.agent == "billing"


@pytest.mark.parametrize(
    "details",
    [
        {"message": "Cannot update a conversation's voice if assistant audio is present."},
        {"message": "Rejected.", "code": "cannot_update_voice"},
    ],
)
def test_a_locked_setting_is_recognized_without_an_event_id(details: dict[str, Any]) -> None:
    scenario = CoreScenario()
    scenario.core.update_settings(AGENT_SETTINGS, agent="billing")
    scenario.core.update_settings(Session(instructions="Sell."), agent="sales")

    effects = scenario.receive("error", error=details)

    (update,) = updates(effects)
    assert update.session == attrs.evolve(AGENT_SETTINGS, audio=UNSET)
    scenario.receive("session.updated", session={})
    assert scenario.core.agent == "billing"
    scenario.receive("session.updated", session={})
    assert scenario.core.agent == "sales"


def test_the_parameter_of_an_error_names_the_locked_setting_rather_than_its_message() -> None:
    scenario = CoreScenario()
    settings = attrs.evolve(AGENT_SETTINGS, model="other-model")
    scenario.core.update_settings(settings, agent="billing")

    effects = scenario.receive(
        "error",
        error={
            "message": "The model cannot update a voice if assistant audio is present.",
            "code": "cannot_update_voice",
            "param": "session.audio.output.voice",
        },
    )

    (update,) = updates(effects)
    assert update.session == attrs.evolve(settings, audio=UNSET)


def test_a_late_greeting_does_not_replace_what_was_accepted() -> None:
    """A service that greets late reports its defaults after it has accepted the settings."""
    scenario = CoreScenario()
    wanted = AudioSettings(
        input=AudioInput(turn_detection=None),
        output=AudioOutput(format=AudioFormat(type="audio/pcmu")),
    )
    scenario.core.update_settings(Session(audio=wanted))
    scenario.receive("session.updated", session={})

    scenario.receive("session.created", session=SESSION)

    session = scenario.core.session
    assert session is not None
    assert session.output_format == AudioFormat(type="audio/pcmu")
    assert not session.creates_response
    assert scenario.core.playback.bytes_per_ms == 8


def test_a_setting_that_is_known_to_be_locked_is_left_out_at_once() -> None:
    scenario = CoreScenario()
    voice = "Cannot update a conversation's voice if assistant audio is present."
    token, _ = scenario.core.update_settings(AGENT_SETTINGS, agent="billing")
    reject_settings(scenario, voice, event_id=token)
    scenario.receive("session.updated", session={})

    again = attrs.evolve(AGENT_SETTINGS, instructions="Sell.")
    _, effects = scenario.core.update_settings(again, agent="sales")

    assert [update.session for update in updates(effects)] == [Session(instructions="Sell.")]
    assert len(effects_of(effects, ev.SessionWarning)) == 1


def test_an_agent_that_differs_only_in_a_locked_setting_becomes_current_at_once() -> None:
    scenario = CoreScenario()
    voice = "Cannot update a conversation's voice if assistant audio is present."
    token, _ = scenario.core.update_settings(Session(audio=VOICE), agent="billing")

    effects = reject_settings(scenario, voice, event_id=token)

    assert updates(effects) == []
    assert [type(e) for e in effects] == [ev.SessionWarning, ev.Handoff, ResolveRequest]


@pytest.mark.parametrize(
    ("agent", "message", "param"),
    [
        (None, "Cannot update a conversation's voice if assistant audio is present.", None),
        ("billing", "Invalid value: 'ash'.", "session.audio.output.voice"),
        ("billing", "The instructions cannot be changed.", "session.instructions"),
        ("billing", "This session cannot be changed.", None),
    ],
)
def test_any_other_rejection_is_a_rejection(
    agent: str | None, message: str, param: str | None
) -> None:
    """Among them a voice that the user sets explicitly."""
    scenario = CoreScenario()
    token, _ = scenario.core.update_settings(AGENT_SETTINGS, agent=agent)

    effects = reject_settings(scenario, message, param=param, event_id=token)

    (resolved,) = effects_of(effects, ResolveRequest)
    assert isinstance(resolved.outcome, SettingsRejected)
    assert effects_of(effects, ev.SessionWarning) == []
    assert scenario.core.agent == "agent"


# --- what the service reports ---------------------------------------------------------------------


def test_a_partial_report_is_merged_into_what_is_known() -> None:
    scenario = CoreScenario()
    scenario.receive("session.updated", session={"audio": {"output": {"speed": 1.2}}})
    (event,) = effects_of(
        scenario.receive("session.updated", session={"instructions": "Be brief."}),
        ev.SettingsUpdated,
    )

    assert event.session is scenario.core.session
    assert event.session.instructions == "Be brief."
    assert event.session.interrupts_response
    assert event.session.output_format == PCM24K
    assert unstructure(event.session)["audio"]["output"]["speed"] == 1.2


def test_what_was_accepted_counts_where_the_report_leaves_it_out() -> None:
    scenario = CoreScenario()
    sixteen = AudioFormat(type="audio/pcm", rate=16_000)
    wanted = Session(
        audio=AudioSettings(
            input=AudioInput(turn_detection=None), output=AudioOutput(format=sixteen)
        ),
        extra={"temperature": 0.5},
    )
    scenario.core.update_settings(wanted)
    scenario.receive("session.updated", session={"instructions": "x"})

    session = scenario.core.session
    assert session is not None
    assert session.output_format == sixteen
    assert not session.creates_response
    assert session.extra is UNSET
    assert scenario.core.playback.bytes_per_ms == 32


def test_extra_settings_are_sent_once_and_again_when_they_change() -> None:
    scenario = CoreScenario()
    first = Session(instructions="a", extra={"temperature": 0.5})
    scenario.core.update_settings(first)
    scenario.receive("session.updated", session={})
    _, unchanged = scenario.core.update_settings(first)
    _, changed = scenario.core.update_settings(attrs.evolve(first, extra={"temperature": 0.7}))

    assert updates(unchanged) == []
    assert [u.session for u in updates(changed)] == [Session(extra={"temperature": 0.7})]
