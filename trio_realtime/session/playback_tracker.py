"""How much of the agent's audio was heard, for the user of a session."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, final

import trio

from trio_realtime.core import PlaybackPosition, ReportPlayed, StopPlaybackReports
from trio_realtime.errors import UsageError

from .runtime import SessionRuntime


@final
class PlaybackTracker:
    """How much of the agent's audio was heard.

    By default, audio plays in real time from its arrival. An application that knows better, because it
    plays the audio itself, reports with :meth:`played`.
    """

    def __init__(self, runtime: SessionRuntime) -> None:
        self._runtime = runtime

    def played(self, item_id: str, content_index: int, ms: float) -> None:
        """Report how much of an item has been played.

        From the first report on, only reports count. An item without a report was not heard, unless a
        later item plays: items before that one are over. ``drain`` waits until everything is reported. A
        report about an item that is not in the queue
        (played to its end, interrupted, or never received) has no effect.

        Args:
            item_id, content_index: the item and part, as in :class:`~trio_realtime.events.Audio`.
            ms: milliseconds from the beginning of the item. A negative value means that an interruption
                must not truncate the item.

        Raises:
            UsageError: ``ms`` is no number.
        """
        self._runtime.guard.check()
        given: Any = ms
        if not isinstance(given, Real) or math.isnan(given):
            raise UsageError(f"ms must be a number of milliseconds, got {given!r:.80}")
        ms = float(given)
        self._runtime.feed(ReportPlayed(item_id=item_id, content_index=content_index, ms=ms))

    def stop_reports(self) -> None:
        """Let audio play in real time from its arrival again. What was not reported is dropped."""
        self._runtime.guard.check()
        self._runtime.feed(StopPlaybackReports())

    def position(self, item_id: str, content_index: int = 0) -> float:
        """Return how many milliseconds of an item were heard; 0 for an item that is not in the queue."""
        playback = self._runtime.core.playback
        return playback.played_ms(item_id, content_index, trio.current_time())

    def positions(self) -> tuple[PlaybackPosition, ...]:
        """Return how much was heard of each item that was not heard to its end, in order of arrival.

        An item that is missing was heard to its end, or interrupted: an ``audio_interrupted`` event says
        how much of it was heard.
        """
        return self._runtime.core.playback.positions(trio.current_time())

    @property
    def remaining(self) -> float:
        """Seconds until all received audio has been heard."""
        now = trio.current_time()
        return self._runtime.core.playback.finishes_at(now) - now
