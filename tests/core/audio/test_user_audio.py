"""What the user says, and what of it the next connection gets."""

from __future__ import annotations

from typing import Any

import pytest

from support.core import SESSION
from trio_realtime import events as ev
from trio_realtime.core.audio.user_audio import MAX_APPEND, UserAudio
from trio_realtime.core.effects import Effect
from trio_realtime.core.inputs import AppendAudio, ClearAudio, CommitAudio
from trio_realtime.core.link import Link
from trio_realtime.core.request_timer import RequestTimer
from trio_realtime.core.settings_state import SettingsState
from trio_realtime.wire import (
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioTranscriptionCompleted,
    Session,
    SessionUpdated,
    structure_server_event,
)

SECOND = 48_000


def session_of(**audio_input: Any) -> Session:
    event = structure_server_event(
        {
            "type": "session.updated",
            "event_id": "event",
            "session": {"type": "realtime", "audio": {"input": audio_input}},
        }
    )
    assert isinstance(event, SessionUpdated)
    return event.session


class Microphone:
    """The user's audio, and the service's reports."""

    def __init__(self, session: Any = SESSION, **options: Any) -> None:
        options.setdefault("max_speech", 10.0)
        options.setdefault("max_away", 3.0)
        self.link = Link()
        self.timer = RequestTimer(4.0)
        state = SettingsState(None, None)
        if session is SESSION:
            session = session_of(**SESSION["audio"]["input"])
        state.session = session
        self.audio = UserAudio(self.link, state, self.timer, **options)
        self.now = 0.0
        self.lost_at = 0.0

    def say(self, mark: str, seconds: float = 1.0) -> list[Effect]:
        """Send audio that consists of one character, and let this time pass."""
        event = InputAudioBufferAppend(audio=mark.encode() * int(seconds * SECOND))
        effects = [*self.audio.on_append(AppendAudio(event), self.now)]
        self.now += seconds
        self.timer.now = self.now
        return effects

    def commit(self) -> list[Effect]:
        return [*self.audio.on_commit(CommitAudio(InputAudioBufferCommit()), self.now)]

    def clear(self) -> list[Effect]:
        return [*self.audio.on_clear(ClearAudio(InputAudioBufferClear()), self.now)]

    def speech_started(self) -> None:
        event = InputAudioBufferSpeechStarted(item_id="item", audio_start_ms=0)
        self.audio.on_speech_started(event, self.now)

    def speech_stopped(self) -> None:
        event = InputAudioBufferSpeechStopped(item_id="item", audio_end_ms=0)
        self.audio.on_speech_stopped(event, self.now)

    def committed(self, item_id: str = "item") -> None:
        self.audio.on_committed(InputAudioBufferCommitted(item_id=item_id), self.now)

    def transcribed(self, transcript: str, item_id: str = "item") -> None:
        event = InputAudioTranscriptionCompleted(
            item_id=item_id, content_index=0, transcript=transcript
        )
        self.audio.on_transcribed(event, self.now)

    def lose(self) -> list[Effect]:
        self.link.close(self.now)
        self.lost_at = self.now
        self.timer.clear()
        return self.audio.connection_lost()

    def restore(self) -> str:
        """Return what the next connection gets: the marks, and ``|`` for each commit."""
        self.link.open()
        return heard(self.audio.send_again(self.now, self.lost_at))


def heard(effects: list[Effect]) -> str:
    """Return the audio of appends, one character for each second, and ``|`` for each commit."""
    text = b""
    for effect in effects:
        if isinstance(effect, InputAudioBufferAppend):
            text += effect.audio[::SECOND]
        elif isinstance(effect, InputAudioBufferCommit):
            text += b"|"
    return text.decode()


HAND = session_of(turn_detection=None)


def test_speech_is_sent_again() -> None:
    mic = Microphone()
    mic.say("a")
    mic.speech_started()
    mic.say("b")
    (stopped,) = mic.lose()
    assert isinstance(stopped, ev.SpeechStopped)
    assert stopped.item_id == "item"
    assert mic.say("c") == []
    assert mic.restore() == "abc"


def test_silence_is_forgotten_after_a_second() -> None:
    mic = Microphone()
    for mark in "abc":
        mic.say(mark)
    assert mic.lose() == []
    assert mic.restore() == "c"
    assert mic.audio.take_dropped_ms() == 0


def test_an_utterance_is_limited_and_the_oldest_audio_goes_first() -> None:
    mic = Microphone(max_speech=2.0)
    mic.speech_started()
    for mark in "abcd":
        mic.say(mark)
    mic.lose()
    assert mic.restore() == "cd"


def test_what_is_said_while_away_is_limited() -> None:
    mic = Microphone()
    mic.speech_started()
    mic.say("a")
    mic.lose()
    for mark in "bcdefg":
        mic.say(mark)
    assert mic.restore() == "efg"
    assert mic.audio.take_dropped_ms() == 4000
    assert mic.audio.take_dropped_ms() == 0


def test_after_a_long_outage_everything_is_stale() -> None:
    mic = Microphone()
    mic.speech_started()
    mic.say("a")
    mic.lose()
    mic.say("b")
    mic.now += 10
    assert mic.restore() == ""
    assert mic.audio.take_dropped_ms() == 2000


def test_a_size_limit_while_away_counts_what_is_lost() -> None:
    mic = Microphone(max_speech=1.0, max_away=1.0)
    mic.speech_started()
    mic.say("a")
    mic.lose()
    mic.now -= 1  # said at once
    for mark in "bcd":
        mic.say(mark, seconds=1.0)
        mic.now -= 1
    assert mic.restore() == "cd"
    assert mic.audio.take_dropped_ms() == 2000


def test_a_second_loss_before_the_service_reports_the_speech_loses_nothing() -> None:
    """The microphone goes on between the two losses, which must not shorten what is remembered."""
    mic = Microphone()
    mic.speech_started()
    for mark in "abc":
        mic.say(mark)
    mic.lose()
    assert mic.restore() == "abc"
    mic.say("d")
    mic.lose()
    assert mic.restore() == "abcd"
    mic.say("e")
    mic.speech_started()
    mic.say("f")
    mic.lose()
    assert mic.restore() == "abcdef"


def test_audio_in_which_the_next_service_hears_nothing_is_forgotten() -> None:
    mic = Microphone()
    mic.speech_started()
    for mark in "abc":
        mic.say(mark)
    mic.lose()
    mic.restore()
    for mark in "defghi":
        mic.say(mark)
    mic.lose()
    assert mic.restore() == "i"


def test_a_commit_is_sent_again_with_its_audio() -> None:
    mic = Microphone(HAND)
    mic.say("a")
    assert [type(effect) for effect in mic.commit()] == [InputAudioBufferCommit]
    mic.say("b")
    mic.lose()
    assert mic.commit() == []
    assert mic.restore() == "a|b|"
    assert mic.timer.is_running("commit")
    mic.committed("item_a")
    assert mic.timer.is_running("commit")
    mic.committed("item_b")
    assert not mic.timer.is_running("commit")
    mic.lose()
    assert mic.restore() == ""


def test_a_commit_without_audio_is_not_sent_again() -> None:
    mic = Microphone(HAND)
    mic.say("a")
    mic.commit()
    mic.lose()
    mic.now += 10
    assert mic.restore() == ""
    # It is not taken for the next one either.
    mic.say("b")
    mic.commit()
    mic.committed("item_b")
    assert not mic.timer.is_running("commit")
    mic.lose()
    assert mic.restore() == ""


def test_a_commit_after_dropped_audio_is_not_sent() -> None:
    mic = Microphone(HAND, max_speech=1.0, max_away=1.0)
    mic.lose()
    mic.say("a")
    mic.commit()
    mic.say("b")
    mic.say("c")
    assert mic.restore() == "c"
    mic.commit()
    mic.committed()
    assert not mic.timer.is_running("commit")


def test_much_audio_is_sent_again_in_several_events() -> None:
    mic = Microphone(HAND, max_speech=60.0)
    for _ in range(12):
        mic.say("a")
    mic.commit()
    mic.lose()
    mic.link.open()
    effects = mic.audio.send_again(mic.now, mic.lost_at)
    appends = [effect for effect in effects if isinstance(effect, InputAudioBufferAppend)]
    assert len(appends) > 1
    assert all(len(append.audio) < MAX_APPEND + SECOND for append in appends)
    assert heard(effects) == "a" * 12 + "|"


def test_a_rejected_commit_is_not_sent_again() -> None:
    mic = Microphone(HAND)
    mic.commit()
    mic.say("a")
    mic.commit()
    mic.audio.commit_rejected()
    assert mic.timer.is_running("commit")
    mic.lose()
    assert mic.restore() == "a|"
    mic.audio.commit_rejected()
    mic.audio.commit_rejected()  # there is none
    assert not mic.timer.is_running("commit")


def test_a_commit_that_is_not_answered_in_time_is_given_up() -> None:
    mic = Microphone(HAND)
    mic.say("a")
    mic.commit()
    mic.audio.expire()
    assert mic.timer.is_running("commit")
    mic.timer.now += 10
    mic.audio.expire()
    assert not mic.timer.is_running("commit")
    mic.lose()
    assert mic.restore() == "a"


def test_cleared_audio_is_not_sent_again() -> None:
    mic = Microphone()
    mic.speech_started()
    mic.say("a")
    assert [type(effect) for effect in mic.clear()] == [InputAudioBufferClear]
    mic.audio.on_cleared(InputAudioBufferCleared(), mic.now)
    assert not mic.audio.is_speaking
    mic.lose()
    mic.say("b")
    assert mic.clear() == []
    assert mic.restore() == ""
    assert mic.audio.size == 0


def test_the_clip_of_a_message_is_remembered_until_its_transcript() -> None:
    mic = Microphone()
    mic.speech_started()
    mic.say("a")
    mic.speech_stopped()
    mic.committed()
    assert mic.audio.clip("item") == b"a" * SECOND
    assert mic.audio.clip("other") is None
    mic.transcribed("")
    assert mic.audio.clip("item") is not None
    mic.transcribed("Hello")
    assert mic.audio.clip("item") is None
    assert mic.audio.size == 0


def test_clips_are_limited_together() -> None:
    mic = Microphone(HAND, max_speech=2.0)
    for number in range(3):
        mic.say(str(number))
        mic.commit()
        mic.committed(f"item_{number}")
    assert mic.audio.clip("item_0") is None
    assert mic.audio.clip("item_1") is not None
    assert mic.audio.size == 2 * SECOND


def test_nothing_is_remembered_where_no_connection_follows() -> None:
    mic = Microphone(max_speech=0.0)
    mic.speech_started()
    assert len(mic.say("a")) == 1
    mic.committed()
    assert mic.audio.size == 0
    assert mic.audio.clip("item") is None


@pytest.mark.parametrize(
    ("session", "detects"),
    [
        (None, True),
        (Session(type="realtime"), True),
        (session_of(), True),
        (session_of(turn_detection=None), False),
        (session_of(turn_detection={"type": "server_vad"}), True),
    ],
)
def test_whether_silence_is_forgotten_depends_on_the_settings(
    session: Session | None, detects: bool
) -> None:
    mic = Microphone(session)
    mic.say("a")
    mic.say("b")
    mic.lose()
    assert mic.restore() == ("b" if detects else "ab")


def test_other_formats_have_other_sizes() -> None:
    mic = Microphone(session_of(format={"type": "audio/pcmu"}))
    mic.say("a", seconds=1.0)  # six seconds of this format
    mic.say("b", seconds=1.0)
    mic.lose()
    assert mic.restore() == "b"
