"""How much of the agent's audio has been heard: a clock over the queue of audio items.

Audio comes much faster than it plays. The clock holds what was received as a queue of stretches,
each one item's audio with the moment at which it begins to play: when it arrives, or when what is
before it in the queue has played. So with two items queued, an interrupt cuts the first where it is
and the second at nothing.

Two ways to know:

* by default, audio plays in real time from its arrival on, in the order of arrival;
* as soon as the application reports (:meth:`Playback.report`), only its reports count.

Times are seconds of the caller's clock, positions milliseconds of audio. Nothing here reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from typing import TypeAlias

import attrs

ItemKey: TypeAlias = tuple[str, int]
"""Item id and content index."""


@attrs.frozen
class TruncatePoint:
    """How far an item was played when it was cut. ``received_ms`` is what there was of it."""

    item_id: str
    content_index: int
    response_id: str
    played_ms: int
    received_ms: float


class _ItemAudio:
    """The audio of one item."""

    __slots__ = ("arrived", "key", "played", "received", "reported", "response_id")

    def __init__(self, key: ItemKey, response_id: str, now: float) -> None:
        self.key = key
        self.response_id = response_id
        self.arrived = now
        self.received = 0.0
        self.played = 0.0
        self.reported: float | None = None


class _QueuedAudio:
    """Audio of one track that plays without a gap from ``start`` (seconds) for ``ms``."""

    __slots__ = ("ms", "start", "track")

    def __init__(self, track: _ItemAudio, start: float) -> None:
        self.track = track
        self.start = start
        self.ms = 0.0

    @property
    def end(self) -> float:
        return self.start + self.ms / 1000


REPORT_SLACK_MS = 20
"""Reports may stop this short of the end: players work in frames."""


def _is_about_all(track: _ItemAudio) -> bool:
    if track.reported is None:
        return False
    return track.reported < 0 or track.reported + REPORT_SLACK_MS >= track.received


class Playback:
    """See the module."""

    def __init__(self, bytes_per_ms: int = 48) -> None:
        self.bytes_per_ms = bytes_per_ms
        self._tracks: dict[ItemKey, _ItemAudio] = {}
        self._queue: deque[_QueuedAudio] = deque()
        self._exact = False

    def receive(self, key: ItemKey, response_id: str, size: int, now: float) -> None:
        """``size`` bytes of an item's audio arrived."""
        ms = size / self.bytes_per_ms
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = _ItemAudio(key, response_id, now)
        track.received += ms
        self._play(now)
        last = self._queue[-1] if self._queue else None
        if last is None:
            last = self._append(track, now)
        elif last.track is not track:
            last = self._append(track, last.end)
        last.ms += ms

    def _append(self, track: _ItemAudio, start: float) -> _QueuedAudio:
        stretch = _QueuedAudio(track, start)
        self._queue.append(stretch)
        return stretch

    def report(self, item_id: str, content_index: int, ms: float) -> None:
        """The application played this much of an item. From now on only reports count.

        An item that is not known (played out, interrupted, or never there) is ignored: reports
        arrive late.
        """
        track = self._tracks.get((item_id, content_index))
        if track is not None:
            self._exact = True
            track.reported = ms

    def stop_reports(self) -> None:
        """The one who reported plays no more.

        What is left will not be heard, and the clock counts again for what comes.
        """
        self._exact = False
        self._tracks.clear()
        self._queue.clear()

    def before_report(self, now: float) -> None:
        """What the clock says was heard to its end, before the first report, stays heard."""
        if self._exact:
            return
        self._play(now)
        for track in self._tracks.values():
            if self._is_played_out(track):
                track.reported = track.received

    def advance(self, now: float, running: Container[str]) -> None:
        """Forget what has played out.

        That is: items that were heard to their end and whose response is no longer in ``running``.
        Costs as much as there is to forget.
        """
        self._play(now)
        while self._tracks:
            track = next(iter(self._tracks.values()))
            if track.response_id in running or not self._is_played_out(track):
                return
            del self._tracks[track.key]

    def _play(self, now: float) -> None:
        while self._queue and self._queue[0].end <= now:
            stretch = self._queue.popleft()
            stretch.track.played += stretch.ms

    def _is_played_out(self, track: _ItemAudio) -> bool:
        if self._exact:
            return _is_about_all(track)
        return not any(stretch.track is track for stretch in self._queue)

    def played_ms(self, item_id: str, content_index: int, now: float) -> float:
        """How much of an item has been heard; 0 for one that is not in the queue."""
        track = self._tracks.get((item_id, content_index))
        return 0.0 if track is None else self._heard(track, now)

    def _heard(self, track: _ItemAudio, now: float) -> float:
        if self._exact:
            return min(max(track.reported or 0.0, 0.0), track.received)
        heard = track.played
        for stretch in self._queue:
            if stretch.track is track:
                heard += min(max((now - stretch.start) * 1000, 0.0), stretch.ms)
            elif stretch.start > now:
                break
        return min(heard, track.received)

    def current(self, now: float) -> ItemKey | None:
        """The item that is playing, ``None`` in silence."""
        for track in self._tracks.values():
            if self._heard(track, now) < track.received:
                return track.key
        return None

    def ends_at(self, now: float) -> float:
        """When all that was received will have played (seconds); ``now`` in silence."""
        if self._exact:
            left = sum(
                t.received - self._heard(t, now)
                for t in self._tracks.values()
                if not self._is_played_out(t)
            )
            return now + left / 1000
        return max(self._queue[-1].end, now) if self._queue else now

    def cut(
        self, now: float, running: Container[str], only: str | None = None
    ) -> list[TruncatePoint]:
        """Stop playing: where each item was cut, in the order of the queue; then forget them.

        Items that were heard to their end and whose response has ended are not cut: there is
        nothing left of them to stop. An item whose audio has not begun to arrive, by a clock that
        went back, is left alone.

        Args:
            running: ids of the responses that have not ended.
            only: cut only what belongs to this response.
        """
        self.advance(now, running)
        positions: list[TruncatePoint] = []
        for track in [*self._tracks.values()]:
            if only is not None and track.response_id != only:
                continue
            position = self._cut_track(track, now, running)
            if position is not None:
                positions.append(position)
        return positions

    def _cut_track(
        self, track: _ItemAudio, now: float, running: Container[str]
    ) -> TruncatePoint | None:
        negative = track.reported is not None and track.reported < 0
        if now < track.arrived or (self._exact and negative):
            return None
        heard = self._heard(track, now)
        self._forget(track, now)
        if heard >= track.received and track.response_id not in running:
            return None
        # Whole milliseconds, never more than there is: the service refuses both.
        return TruncatePoint(
            item_id=track.key[0],
            content_index=track.key[1],
            response_id=track.response_id,
            played_ms=int(heard),
            received_ms=track.received,
        )

    def _forget(self, track: _ItemAudio, now: float) -> None:
        self._tracks.pop(track.key, None)
        kept: deque[_QueuedAudio] = deque()
        for stretch in self._queue:
            if stretch.track is track:
                continue
            # What stands behind the cut moves up.
            if kept:
                stretch.start = min(stretch.start, kept[-1].end)
            elif stretch.start > now:
                stretch.start = now
            kept.append(stretch)
        self._queue = kept
