"""Audio that is held back until the text that covers it has passed the guardrails.

The service's transcript runs ahead of its audio, so audio is covered by the text that had arrived
before it; audio that arrives before any text is covered by the first text. A check sees all text from
the beginning, so a check that passes releases everything that its text covers. While audio waits, the
text is checked again as soon as the previous check is done: the delay is one check, not one window.

Audio that was not released has not begun to play. If it is discarded, its item is truncated at 0.

The audio that waits is bounded in bytes. A response that exceeds the bound gets no more audio: what waits is
delivered once it has passed, and the rest is dropped, because audio that was not checked must not be heard
and audio with a gap is useless. One error event reports it. An event with hardly any audio counts as a minimum.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

import attrs

from trio_realtime import events as ev
from trio_realtime.errors import GuardrailFailed

from .playback import ItemKey, Playback
from .starts import AudioStarts

OutputEvent: TypeAlias = ev.Audio | ev.AudioEnd
ReleasedEvent: TypeAlias = ev.AudioStart | ev.Audio | ev.AudioEnd | ev.Error


EVENT_SIZE: Final = 64
"""The fewest bytes that an event counts for."""

MAX_ENDS: Final = 1024
"""The number of ends of audio that wait for one response."""


@attrs.frozen
class _PendingOutput:
    """An event, and the number of characters that must pass before it may be delivered."""

    covered_by: int
    event: OutputEvent


class GuardedAudio:
    """The audio gate between the responses' audio and the playback clock.

    Args:
        playback: the clock that counts the released audio.
        starts: announces the first audio of a response.
        max_size: bytes of audio that wait.

    Attributes:
        size: bytes of audio that wait now.
        dropped: bytes of audio that were dropped because too much waited.
    """

    def __init__(
        self, playback: Playback, starts: AudioStarts, max_size: int = sys.maxsize
    ) -> None:
        self.size: int = 0
        self.dropped: int = 0
        self._max_size = max_size
        self._count = 0
        self._ends: dict[str, set[ItemKey]] = {}
        self._cut: dict[str, dict[ItemKey, None]] = {}
        self._playback = playback
        self._starts = starts
        self._waiting: dict[str, deque[_PendingOutput]] = {}
        self._passed: dict[str, int] = {}
        self._released: dict[str, set[ItemKey]] = {}

    @property
    def holding(self) -> Sequence[str]:
        """The ids of the responses whose audio is held back."""
        return tuple(self._waiting)

    def hold(self, event: OutputEvent, text_length: int, now: float) -> Sequence[ReleasedEvent]:
        """Take audio, or the end of it. Returns what may be delivered at once.

        Args:
            event: the event to deliver.
            text_length: characters of the response's text that have arrived so far.
            now: seconds.
        """
        piece = _PendingOutput(max(text_length, 1), event)
        response_id = event.response_id
        if response_id in self._cut and isinstance(event, ev.Audio):
            return self._drop(event)
        if response_id not in self._waiting:
            if piece.covered_by <= self._passed.get(response_id, 0):
                return self._release(event, now)
            self._waiting[response_id] = deque()
        size = _size(event)
        if isinstance(event, ev.AudioEnd):
            ends = self._ends.setdefault(response_id, set())
            key = (event.item_id, event.content_index)
            if key in ends or len(ends) >= MAX_ENDS:
                return []
            ends.add(key)
        elif self._count and max(self.size + size, EVENT_SIZE * self._count) > self._max_size:
            self._cut[response_id] = {}
            return [_report(response_id, self.size), *self._drop(event)]
        self._waiting[response_id].append(piece)
        self._take(event)
        return []

    def _take(self, event: OutputEvent, count: int = 1) -> None:
        self.size += count * _size(event)
        self._count += count

    def _drop(self, event: OutputEvent) -> list[ReleasedEvent]:
        self._cut[event.response_id][event.item_id, event.content_index] = None
        self.dropped += _size(event)
        return []

    def passed(self, response_id: str, text_length: int, now: float) -> list[ReleasedEvent]:
        """Note that this many characters have passed. Returns the events that they cover."""
        known = self._passed[response_id] = max(text_length, self._passed.get(response_id, 0))
        pieces = self._waiting.get(response_id, deque())
        released: list[ReleasedEvent] = []
        while pieces and pieces[0].covered_by <= known:
            released += self._release_first(pieces, now)
        if not pieces:
            self._waiting.pop(response_id, None)
        return released

    def all_passed(self, response_id: str, now: float) -> list[ReleasedEvent]:
        """Release everything of a response that has ended and is completely checked."""
        released: list[ReleasedEvent] = []
        pieces = self._waiting.pop(response_id, None)
        while pieces:
            released += self._release_first(pieces, now)
        self._forget(response_id)
        return released

    def _release_first(self, pieces: deque[_PendingOutput], now: float) -> Sequence[ReleasedEvent]:
        event = pieces.popleft().event
        self._take(event, -1)
        return self._release(event, now)

    def _release(self, event: OutputEvent, now: float) -> Sequence[ReleasedEvent]:
        if not isinstance(event, ev.Audio):
            return (event,)
        key = (event.item_id, event.content_index)
        self._released.setdefault(event.response_id, set()).add(key)
        if self._playback.receive(key, event.response_id, len(event.data), now):
            return self._starts.announce(event)
        return (event,)

    def discard(self, only: str | None = None) -> list[ItemKey]:
        """Discard what is held back. Returns the items of which nothing was delivered.

        Args:
            only: discard only what belongs to this response.
        """
        unheard: dict[ItemKey, None] = {}
        for response_id in [only] if only is not None else [*(self._waiting | self._cut)]:
            released = self._released.get(response_id, set())
            for piece in self._waiting.pop(response_id, ()):
                self._take(piece.event, -1)
                key = (piece.event.item_id, piece.event.content_index)
                if isinstance(piece.event, ev.Audio) and key not in released:
                    unheard[key] = None
            cut = self._cut.get(response_id, {})
            unheard.update({key: None for key in cut if key not in released})
            self._forget(response_id)
        return [*unheard]

    def _forget(self, response_id: str) -> None:
        self._passed.pop(response_id, None)
        self._released.pop(response_id, None)
        self._cut.pop(response_id, None)
        self._ends.pop(response_id, None)
        self._starts.forget(response_id)


def _size(event: OutputEvent) -> int:
    return len(event.data) if isinstance(event, ev.Audio) else 0


def _report(response_id: str, size: int) -> ev.Error:
    return ev.Error(
        error=GuardrailFailed(
            f"the guardrails take too long for the audio gate: {size} bytes of audio wait for their "
            f"checks, which is the limit (max_buffered_audio), so the rest of the audio of response "
            f"{response_id} is dropped"
        )
    )
