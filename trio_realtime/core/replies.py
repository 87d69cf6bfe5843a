"""What the agent says, on its way past the guardrails.

Text is checked as it grows and at its end (``guardrails``). Audio goes through at once, or, with the
gate, waits until its text has passed (``held``). This room keeps the two in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trio_realtime import events as ev

from .audio.guardrail_gate import GuardedAudio
from .audio.playback import ItemKey, Playback
from .effects import Effect
from .guardrails import GuardrailWindows


class ReplyGuard:
    """See the module.

    Args:
        playback: the clock that counts what goes through.
        debounce: characters between two checks of a reply; ``None`` for no checks.
        gated: whether audio waits for the checks.
    """

    def __init__(self, playback: Playback, debounce: int | None, *, gated: bool) -> None:
        self._playback = playback
        self._windows = None if debounce is None else GuardrailWindows(debounce)
        self._held = GuardedAudio(playback) if gated and debounce is not None else None

    @property
    def are_checked(self) -> bool:
        """Whether anything is checked at all."""
        return self._windows is not None

    @property
    def is_quiet(self) -> bool:
        """Whether no audio waits."""
        return self._held is None or self._held.is_empty

    def holds(self, response_id: str) -> bool:
        """Whether audio of this response waits."""
        return self._held is not None and response_id in self._held

    def audio(self, event: ev.Audio, now: float) -> Sequence[Effect]:
        """A response has more audio."""
        if self._held is None:
            key = (event.item_id, event.content_index)
            self._playback.receive(key, event.response_id, len(event.data), now)
            return (event,)
        return self._hold(self._held, event, now)

    def audio_end(self, event: ev.AudioEnd, now: float) -> Sequence[Effect]:
        """All audio of an item has come."""
        return (event,) if self._held is None else self._hold(self._held, event, now)

    def _hold(
        self, held: GuardedAudio, event: ev.Audio | ev.AudioEnd, now: float
    ) -> Sequence[Effect]:
        assert self._windows is not None
        length = self._windows.length(event.response_id)
        return [*held.hold(event, length, now), *self._check_what_waits(event.response_id)]

    def _check_what_waits(self, response_id: str) -> Sequence[Effect]:
        if self._windows is None or not self.holds(response_id):
            return ()
        check = self._windows.check_now(response_id)
        return () if check is None else (check,)

    def grow(self, response_id: str, agent: Any, delta: str) -> Sequence[Effect]:
        """A response has more text."""
        if self._windows is None:
            return ()
        check = self._windows.grow(response_id, agent, delta)
        return self._check_what_waits(response_id) if check is None else (check,)

    def end(self, response_id: str, agent: Any, text: str, now: float) -> Sequence[Effect]:
        """A response has ended; ``text`` as the service tells it."""
        if self._windows is None:
            return ()
        if self._windows.has_tripped(response_id):
            self.drop(response_id)
        check = self._windows.end(response_id, agent, text)
        return self._let_go(response_id, now) if check is None else (check,)

    def checked(
        self, response_id: str, length: int, now: float, *, tripped: bool
    ) -> tuple[bool, Sequence[Effect]]:
        """A check of so many characters is over.

        Returns:
            Whether it is the first to trip for this response, and what follows if none has.
        """
        if self._windows is None:
            return False, ()
        if self._windows.checked(response_id, tripped=tripped):
            return True, ()
        if self._held is None or tripped:
            return False, ()
        free = self._held.passed(response_id, length, now)
        after = self._let_go(response_id, now) or self._check_what_waits(response_id)
        return False, [*free, *after]

    def _let_go(self, response_id: str, now: float) -> Sequence[Effect]:
        """Let through what still waits, if nothing of the response is to be checked any more."""
        if self._held is None or self._windows is None or self._windows.is_open(response_id):
            return ()
        return self._held.all_passed(response_id, now)

    def drop(self, only: str | None = None) -> list[ItemKey]:
        """What waits is not to be heard. Returns the items of which nothing was."""
        return [] if self._held is None else self._held.drop(only)
