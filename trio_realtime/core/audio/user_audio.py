"""The user's audio that no item of the conversation contains yet, so that a lost connection loses no speech.

Audio is remembered from the beginning of the user's speech, or from the last commit where the user's turns
end by hand, until the service has made it an item. While nobody speaks, only the last second is remembered:
the service notices speech a little late. It has more time to notice it in audio that was sent again. The next
connection gets what is remembered, and what the user says while there is none. Both are bounded in seconds,
and the oldest audio is dropped first:

* an utterance by ``max_speech``;
* what is said while there is no connection by ``max_audio_while_away``. After a longer outage, what was said
  before it is stale and is dropped too.

A message of the user without a transcript is remembered as audio, within ``max_speech`` for all of them: a
new connection could not be told of it otherwise.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from trio_realtime import events as ev
from trio_realtime.core.effects import Effect
from trio_realtime.core.inputs import AppendAudio, ClearAudio, CommitAudio
from trio_realtime.core.link import Link
from trio_realtime.core.request_timer import RequestTimer
from trio_realtime.core.settings_state import SettingsState
from trio_realtime.wire import (
    ConversationItemAdded,
    InputAudioBufferAppend,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioTranscriptionCompleted,
    Session,
)

LISTENING_MS: Final = 1000
"""Milliseconds of audio that are remembered while nobody speaks."""

REPORT_TIMEOUT: Final = 5.0
"""Seconds in which a service notices speech in audio that was sent again."""

MAX_APPEND: Final = 256 * 1024
"""Bytes of audio that are sent again in one event."""

_TIMER: Final = "commit"
_BYTES_PER_MS: Final = 48.0


_Piece: TypeAlias = tuple[bytes | None, float, bool]
"""Audio that was sent or waits (``None`` for a commit), when it was said, and whether there was no connection.

Plain tuples of such values are no work for the garbage collector. A session makes 50 of them per second, and
they live for a second or more, so objects of a class would cause most of the full collections.
"""


class UserAudio:
    """Sends the user's audio, and remembers what no item contains.

    Args:
        link: whether anything can be sent now.
        settings: the input format, and whether the service detects speech.
        timer: limits how long a commit may be unanswered.
        max_speech: seconds of an utterance that are remembered; 0 to remember nothing.
        max_away: seconds of what is said while there is no connection.

    Attributes:
        is_speaking: whether the user speaks, as far as the service said.
        is_in_turn: whether the user has begun a turn that is no item yet.
        dropped_ms: milliseconds of audio that were dropped because there was no connection.
    """

    def __init__(
        self,
        link: Link,
        settings: SettingsState,
        timer: RequestTimer,
        *,
        max_speech: float = 0.0,
        max_away: float = 0.0,
    ) -> None:
        self.enabled: bool = max_speech > 0
        self.is_speaking: bool = False
        self.is_in_turn: bool = False
        self.dropped_ms: float = 0.0
        self._link = link
        self._settings = settings
        self._timer = timer
        self._max_speech = max_speech
        self._max_away = max_away
        self._pieces: deque[_Piece] = deque()
        self._size = 0
        self._clips: dict[str, bytes] = {}
        self._committed: set[str] = set()
        self._speech_item = ""
        self._needed_until = -math.inf
        # Of the settings below, because they are needed for each chunk.
        self._known_session: Session | None = None
        self._known_bytes_per_ms = _BYTES_PER_MS
        self._known_detects_speech = settings.detects_speech

    @property
    def size(self) -> int:
        """Bytes of audio that are remembered."""
        return self._size + sum(map(len, self._clips.values()))

    def _read_settings(self) -> None:
        session = self._settings.session
        if session is not self._known_session:
            known = session.input_format if session is not None else None
            self._known_session = session
            self._known_bytes_per_ms = _BYTES_PER_MS if known is None else known.bytes_per_ms
            self._known_detects_speech = self._settings.detects_speech

    @property
    def _bytes_per_ms(self) -> float:
        self._read_settings()
        return self._known_bytes_per_ms

    # --- commands

    def on_append(self, command: AppendAudio, now: float) -> Sequence[Effect]:
        """Send audio, and remember it."""
        return (command.event,) if self.append(command.event.audio, now) else ()

    def append(self, audio: bytes, now: float) -> bool:
        """Remember audio. Returns whether it can be sent now."""
        if self.enabled:
            self._remember(audio, now)
        return self._link.is_open

    def on_commit(self, command: CommitAudio, now: float) -> Sequence[Effect]:
        """End the user's turn by hand."""
        self._pieces.append((None, now, not self._link.is_open))
        if not self._link.is_open:
            return ()
        if not self._timer.is_running(_TIMER):
            self._timer.start(_TIMER)
        return (command.event,)

    def on_clear(self, command: ClearAudio, _now: float) -> Sequence[Effect]:
        """Drop the audio that is not part of a turn."""
        self._forget_all()
        return (command.event,) if self._link.is_open else ()

    def _remember(self, audio: bytes, now: float) -> None:
        self._read_settings()
        away = not self._link.is_open
        self._pieces.append((audio, now, away))
        self._size += len(audio)
        seconds = self._max_speech
        if away:
            seconds += self._max_away
        elif not (self.is_in_turn or now < self._needed_until) and self._known_detects_speech:
            seconds = min(LISTENING_MS / 1000, seconds)
        limit = seconds * 1000 * self._known_bytes_per_ms
        while self._size > limit and len(self._pieces) > 1:
            self._drop_oldest(is_lost=away)
        if away:
            self._drop_stale(now)

    def _drop_stale(self, now: float) -> None:
        """Drop what was said too long ago, while there is no connection."""
        oldest_away = next((piece for piece in self._pieces if piece[2]), None)
        while oldest_away is not None and now - oldest_away[1] > self._max_away:
            while self._pieces and self._pieces[0] is not oldest_away:
                self._drop_oldest()
            self._drop_oldest()
            oldest_away = self._pieces[0] if self._pieces else None

    def _drop_oldest(self, *, is_lost: bool = True) -> None:
        audio, _, _ = self._pieces.popleft()
        if audio is not None:
            self._size -= len(audio)
            if is_lost:
                self.dropped_ms += len(audio) / self._bytes_per_ms

    def _forget_all(self) -> None:
        self._pieces.clear()
        self._size = 0
        self._timer.stop(_TIMER)

    # --- what the service reports

    def on_speech_started(
        self, event: InputAudioBufferSpeechStarted, _now: float
    ) -> Sequence[Effect]:
        """Remember audio from now on."""
        self.is_speaking = self.is_in_turn = True
        self._speech_item = event.item_id
        return ()

    def on_speech_stopped(
        self, _event: InputAudioBufferSpeechStopped, _now: float
    ) -> Sequence[Effect]:
        """Note that the user has stopped. The audio becomes an item next."""
        self.is_speaking = False
        return ()

    def on_committed(self, event: InputAudioBufferCommitted, _now: float) -> Sequence[Effect]:
        """Forget the audio that became an item; keep it as the item's until there is a transcript."""
        self._became_item(event.item_id)
        return ()

    def on_item_added(self, event: ConversationItemAdded, _now: float) -> Sequence[Effect]:
        """Do the same for a service that does not report commits."""
        if self.is_in_turn and event.item.id == self._speech_item:
            self._became_item(self._speech_item)
        return ()

    def _became_item(self, item_id: str) -> None:
        self._end_turn()
        by_hand = self._has_commit
        spoken: list[bytes] = []
        while self._pieces:
            audio, _, _ = self._pieces.popleft()
            if audio is None:
                break
            spoken.append(audio)
            self._size -= len(audio)
        if self.enabled and item_id and spoken:
            self._clips[item_id] = b"".join(spoken)
            self._limit_clips()
            self._committed = {*self._committed, item_id} & self._clips.keys()
        if by_hand:
            self._commit_answered()

    def _limit_clips(self) -> None:
        limit = self._max_speech * 1000 * self._bytes_per_ms
        while sum(map(len, self._clips.values())) > limit:
            del self._clips[next(iter(self._clips))]

    def _commit_answered(self) -> None:
        if self._has_commit:
            self._timer.start(_TIMER)
        else:
            self._timer.stop(_TIMER)

    @property
    def _has_commit(self) -> bool:
        return any(audio is None for audio, _, _ in self._pieces)

    def on_cleared(self, _event: InputAudioBufferCleared, _now: float) -> Sequence[Effect]:
        """Note that the service's buffer is empty."""
        self._end_turn()
        return ()

    def _end_turn(self) -> None:
        self.is_speaking = self.is_in_turn = False
        self._needed_until = -math.inf

    def on_transcribed(
        self, event: InputAudioTranscriptionCompleted, _now: float
    ) -> Sequence[Effect]:
        """Forget the audio of a message that has a transcript."""
        if event.transcript:
            self._clips.pop(event.item_id, None)
        return ()

    def commit_rejected(self) -> None:
        """Note that the service rejected the oldest commit: there was nothing to commit."""
        for piece in self._pieces:
            if piece[0] is None:
                self._pieces.remove(piece)
                break
        self._commit_answered()

    def expire(self) -> None:
        """Give up a commit that was not answered in time."""
        if self._timer.is_due(_TIMER):
            self.commit_rejected()

    # --- the next connection

    def clip(self, item_id: str) -> bytes | None:
        """Return the audio of a message that has no transcript, if it is remembered."""
        return self._clips.get(item_id) or None

    def rename_clips(self, new_ids: Mapping[str, str]) -> None:
        """Note that items have other ids on the next connection."""
        self._clips = {new_ids.get(item_id, item_id): c for item_id, c in self._clips.items()}

    def send_again(self, now: float, lost_at: float) -> list[Effect]:
        """Return the events that tell a new connection what the user has said.

        Args:
            now: seconds.
            lost_at: when the previous connection ended.
        """
        if now - lost_at > self._max_away:
            while self._pieces and now - self._pieces[0][1] > self._max_away:
                self._drop_oldest()
        self._drop_empty_commits()
        effects: list[Effect] = []
        unsent = bytearray()
        self._pieces = deque((audio, at, False) for audio, at, _ in self._pieces)
        for audio, _, _ in self._pieces:
            unsent += audio or b""
            if unsent and (audio is None or len(unsent) >= MAX_APPEND):
                effects.append(InputAudioBufferAppend(audio=bytes(unsent)))
                unsent.clear()
            if audio is None:
                effects.append(InputAudioBufferCommit())
                self._timer.start(_TIMER)
        if unsent:
            effects.append(InputAudioBufferAppend(audio=bytes(unsent)))
        self._needed_until = now + REPORT_TIMEOUT
        return effects

    def _drop_empty_commits(self) -> None:
        """Drop the commits whose audio was dropped: the service would reject them."""
        pieces: deque[_Piece] = deque()
        for piece in self._pieces:
            if piece[0] is not None or (pieces and pieces[-1][0] is not None):
                pieces.append(piece)
        self._pieces = pieces

    def take_dropped_ms(self) -> float:
        """Return the milliseconds of audio that were dropped since the last call."""
        dropped, self.dropped_ms = self.dropped_ms, 0.0
        return dropped

    def take_unreported(self, is_known: Callable[[str], bool]) -> list[tuple[str, bytes]]:
        """Return the audio that became items of which the history knows nothing, with their ids.

        The connection was lost between the report of the commit and that of the item. Each item is
        returned once.
        """
        committed, self._committed = self._committed, set()
        clips = [(item_id, clip) for item_id, clip in self._clips.items() if item_id in committed]
        return [(item_id, clip) for item_id, clip in clips if clip and not is_known(item_id)]

    def connection_lost(self) -> list[Effect]:
        """End the user's speech: the next connection reports its own."""
        was_speaking = self.is_speaking
        self._end_turn()
        if not was_speaking:
            return []
        return [ev.SpeechStopped(item_id=self._speech_item, audio_end_ms=0)]
