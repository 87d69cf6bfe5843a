"""Audio that is held back until the text that covers it has passed the guardrails.

The service's transcript runs ahead of its audio, so a piece of audio is covered by the text that had
come by then; what comes before any text, by the first that does. A check sees all text from the
beginning, so one that passes lets through whatever its text covers. While audio waits, the text is
checked as soon as the check before it is done: the wait is as long as a check, not as a window.

What was not let through has not begun to play. If it is stopped, the service is told that none of it
was heard.
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import attrs

from trio_realtime import events as ev

from .playback import ItemKey, Playback

OutputStream: TypeAlias = ev.Audio | ev.AudioEnd


@attrs.frozen
class _Piece:
    covered_by: int
    event: OutputStream


class GuardedAudio:
    """See the module. Goes between the responses' audio and the playback clock."""

    def __init__(self, playback: Playback) -> None:
        self._playback = playback
        self._waiting: dict[str, deque[_Piece]] = {}
        self._passed: dict[str, int] = {}
        self._begun: dict[str, set[ItemKey]] = {}

    def __contains__(self, response_id: str) -> bool:
        return response_id in self._waiting

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def hold(self, event: OutputStream, text_length: int, now: float) -> list[OutputStream]:
        """Take audio, or the end of it. Returns it if it needs not wait.

        Args:
            event: what is to be delivered.
            text_length: characters of the response's text that have come by now.
            now: seconds.
        """
        piece = _Piece(max(text_length, 1), event)
        response_id = event.response_id
        if response_id not in self._waiting:
            if piece.covered_by <= self._passed.get(response_id, 0):
                return [self._let_go(event, now)]
            self._waiting[response_id] = deque()
        self._waiting[response_id].append(piece)
        return []

    def passed(self, response_id: str, text_length: int, now: float) -> list[OutputStream]:
        """So many characters of a response have passed. Returns what they cover."""
        known = self._passed[response_id] = max(text_length, self._passed.get(response_id, 0))
        pieces = self._waiting.get(response_id, deque())
        free: list[OutputStream] = []
        while pieces and pieces[0].covered_by <= known:
            free.append(self._let_go(pieces.popleft().event, now))
        if not pieces:
            self._waiting.pop(response_id, None)
        return free

    def all_passed(self, response_id: str, now: float) -> list[OutputStream]:
        """Nothing of an ended response is to be checked any more. Returns what waited."""
        free = [self._let_go(p.event, now) for p in self._waiting.pop(response_id, ())]
        self._forget(response_id)
        return free

    def _let_go(self, event: OutputStream, now: float) -> OutputStream:
        if isinstance(event, ev.Audio):
            key = (event.item_id, event.content_index)
            self._begun.setdefault(event.response_id, set()).add(key)
            self._playback.receive(key, event.response_id, len(event.data), now)
        return event

    def drop(self, only: str | None = None) -> list[ItemKey]:
        """What waits will not be delivered. Returns the items of which nothing was.

        Args:
            only: drop only what belongs to this response.
        """
        unheard: dict[ItemKey, None] = {}
        for response_id in [only] if only is not None else [*self._waiting]:
            begun = self._begun.get(response_id, set())
            for piece in self._waiting.pop(response_id, ()):
                key = (piece.event.item_id, piece.event.content_index)
                if isinstance(piece.event, ev.Audio) and key not in begun:
                    unheard[key] = None
            self._forget(response_id)
        return [*unheard]

    def _forget(self, response_id: str) -> None:
        self._passed.pop(response_id, None)
        self._begun.pop(response_id, None)
