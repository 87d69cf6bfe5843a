"""What is sent to get from one set of settings to another, and what then holds."""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st

from trio_realtime.core.settings import settings_after, settings_change
from trio_realtime.wire import (
    UNSET,
    AudioInput,
    AudioOutput,
    AudioSettings,
    SemanticVad,
    ServerVad,
    Session,
    Transcription,
    Unset,
    unstructure,
)


def maybe(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from((UNSET, *values))


SIDES = st.builds(
    AudioSettings,
    input=st.just(UNSET)
    | st.builds(
        AudioInput,
        transcription=maybe(None, Transcription(model="whisper-1")),
        turn_detection=maybe(None, ServerVad(), ServerVad(threshold=0.3), SemanticVad()),
    ),
    output=st.just(UNSET)
    | st.builds(AudioOutput, voice=maybe("alloy", "marin"), speed=maybe(1.0, 1.2)),
)
SESSIONS = st.builds(
    Session,
    instructions=maybe("", "Be brief."),
    output_modalities=maybe(("audio",), ("text",)),
    max_output_tokens=maybe(10, "inf"),
    tools=maybe(
        (),
    ),
    audio=st.just(UNSET) | SIDES,
)


@given(known=SESSIONS, wanted=SESSIONS)
def test_after_the_change_what_was_wanted_holds(known: Session, wanted: Session) -> None:
    change = settings_change(known, wanted)
    after = known if change is None else settings_after(known, change)
    left = settings_change(after, wanted)
    assert left is None


@given(known=SESSIONS, wanted=SESSIONS)
def test_only_what_differs_is_sent(known: Session, wanted: Session) -> None:
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
def test_what_nobody_named_stays(known: Session, wanted: Session) -> None:
    change = settings_change(known, wanted)
    after = known if change is None else settings_after(known, change)
    for key in ("instructions", "output_modalities", "max_output_tokens", "tools"):
        if isinstance(getattr(wanted, key), Unset):
            assert getattr(after, key) == getattr(known, key)


def test_the_first_settings_are_sent_whole() -> None:
    wanted = Session(instructions="Be brief.", tools=())
    assert settings_change(None, wanted) is wanted


def test_the_same_voice_is_not_sent_again() -> None:
    known = Session(audio=AudioSettings(output=AudioOutput(voice="marin")))
    wanted = Session(instructions="New.", audio=AudioSettings(output=AudioOutput(voice="marin")))
    assert settings_change(known, wanted) == Session(instructions="New.")
