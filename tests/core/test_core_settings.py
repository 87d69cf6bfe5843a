"""Settings: the update that reaches the wanted settings, and rejections of updates."""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st

from support.core import CoreScenario, effects_of
from trio_realtime.core import ResolveRequest
from trio_realtime.core.settings import settings_after, settings_change
from trio_realtime.errors import SettingsRejected
from trio_realtime.wire import (
    UNSET,
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
