"""How much of the agent's audio was heard: a clock over the queue of audio items.

Audio arrives much faster than it plays. The clock keeps what was received as a queue. Each entry is
audio of one item and the moment at which it begins to play: when it arrives, or when the entry before
it has played. With two items queued, an interruption cuts the first where it is and the second at 0.

There are two ways to know what was heard:

* by default, audio plays in real time from its arrival, in the order of arrival;
* once the application reports what it has played, only its reports count.

Times are seconds of the caller's clock, positions are milliseconds of audio. Nothing here reads a
clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from typing import TypeAlias

import attrs

from trio_realtime.core.effects import Effect
from trio_realtime.core.inputs import ReportPlayed, StopPlaybackReports

ItemKey: TypeAlias = tuple[str, int]
"""Item id and content index."""


@attrs.frozen
class TruncatePoint:
    """How far an item was played when it was cut.

    ``received_ms`` is the length of the audio that was received.
    """

    item_id: str
    content_index: int
    response_id: str
    played_ms: int
    received_ms: float


@attrs.frozen
class PlaybackPosition:
    """How much of one item was heard.

    Attributes:
        item_id, content_index: the item and part, as in :class:`~trio_realtime.events.Audio`.
        played_ms: milliseconds that were heard.
        received_ms: milliseconds that were received.
    """

    item_id: str
    content_index: int
    played_ms: float
    received_ms: float


class _ItemAudio:
    """The audio of one item: how much was received, played and reported, in milliseconds.

    ``entries`` is the number of its entries in the queue.
    """

    __slots__ = ("arrived", "entries", "key", "played", "received", "reported", "response_id")

    def __init__(self, key: ItemKey, response_id: str, now: float) -> None:
        self.key = key
        self.response_id = response_id
        self.arrived = now
        self.received = 0.0
        self.played = 0.0
        self.entries = 0
        self.reported: float | None = None


class _QueuedAudio:
    """Audio of one item that plays without a gap from ``start`` (seconds) for ``ms``."""

    __slots__ = ("item", "ms", "start")

    def __init__(self, item: _ItemAudio, start: float) -> None:
        self.item = item
        self.start = start
        self.ms = 0.0

    @property
    def end(self) -> float:
        return self.start + self.ms / 1000


REPORT_SLACK_MS = 20
"""A report this close to the end counts as the end: players work in frames."""


def _is_reported_to_end(item: _ItemAudio) -> bool:
    if item.reported is None:
        return False
    return item.reported < 0 or item.reported + REPORT_SLACK_MS >= item.received


class Playback:
    """The playback clock.

    Attributes:
        bytes_per_ms: bytes of one millisecond of audio in the output format.
    """

    def __init__(self, bytes_per_ms: float = 48) -> None:
        self.bytes_per_ms: float = bytes_per_ms
        self._items: dict[ItemKey, _ItemAudio] = {}
        self._queue: deque[_QueuedAudio] = deque()
        self._by_reports = False

    def receive(self, key: ItemKey, response_id: str, size: int, now: float) -> bool:
        """Add ``size`` bytes of an item's audio that arrived. Returns whether the item is new."""
        if self.extend(key, size, now):
            return False
        self._items[key] = _ItemAudio(key, response_id, now)
        self.extend(key, size, now)
        return True

    def extend(self, key: ItemKey, size: int, now: float) -> bool:
        """Add audio of an item that has some already. Returns ``False`` for a new item, and adds nothing."""
        item = self._items.get(key)
        if item is None:
            return False
        ms = size / self.bytes_per_ms
        item.received += ms
        queue = self._queue
        if queue and queue[0].end <= now:
            self._play(now)
        last = queue[-1] if queue else None
        if last is None:
            last = self._append(item, now)
        elif last.item is not item:
            last = self._append(item, last.end)
        last.ms += ms
        return True

    def _append(self, item: _ItemAudio, start: float) -> _QueuedAudio:
        entry = _QueuedAudio(item, start)
        item.entries += 1
        self._queue.append(entry)
        return entry

    def on_report_played(self, report: ReportPlayed, now: float) -> Sequence[Effect]:
        """Record how much the application reports to have played."""
        self.freeze_heard(now)
        self.report(report.item_id, report.content_index, report.ms)
        return ()

    def report(self, item_id: str, content_index: int, ms: float) -> None:
        """Note that the application played this much of an item. From now on only reports count.

        An unknown item (played to its end, interrupted, or never received) is ignored: reports arrive
        late. Items that arrived before one that plays are over, even if their last reports are missing.
        """
        item = self._items.get((item_id, content_index))
        if item is None:
            return
        self._by_reports = True
        item.reported = ms
        if ms > 0:
            self._end_before(item)

    def _end_before(self, playing: _ItemAudio) -> None:
        for item in self._items.values():
            if item is playing:
                return
            if not _is_reported_to_end(item):
                item.reported = item.received

    def on_stop_reports(self, _command: StopPlaybackReports, _now: float) -> Sequence[Effect]:
        """Let audio play by the clock again."""
        self.resume_clock()
        return ()

    def resume_clock(self) -> None:
        """Drop what was not reported as played, and let the clock count for later audio."""
        self._by_reports = False
        self._items.clear()
        self._queue.clear()

    def freeze_heard(self, now: float) -> None:
        """Before the first report, count what has played by the clock to its end as reported."""
        if self._by_reports:
            return
        self._play(now)
        for item in self._items.values():
            if self._is_played_out(item):
                item.reported = item.received

    def advance(self, now: float, running: Container[str]) -> None:
        """Forget items that were heard to their end and whose response is not in ``running``.

        The cost is proportional to the number of forgotten items.
        """
        self._play(now)
        while self._items:
            item = next(iter(self._items.values()))
            if item.response_id in running or not self._is_played_out(item):
                return
            del self._items[item.key]

    def _play(self, now: float) -> None:
        while self._queue and self._queue[0].end <= now:
            entry = self._queue.popleft()
            entry.item.played += entry.ms
            entry.item.entries -= 1

    def _is_played_out(self, item: _ItemAudio) -> bool:
        if self._by_reports:
            return _is_reported_to_end(item)
        return not item.entries

    def played_ms(self, item_id: str, content_index: int, now: float) -> float:
        """Return how much of an item was heard; 0 for an item that is not in the queue."""
        item = self._items.get((item_id, content_index))
        return 0.0 if item is None else self._heard(item, now)

    def _heard(self, item: _ItemAudio, now: float) -> float:
        if self._by_reports:
            return min(max(item.reported or 0.0, 0.0), item.received)
        heard = item.played
        for entry in self._queue:
            if entry.item is item:
                heard += min(max((now - entry.start) * 1000, 0.0), entry.ms)
            elif entry.start > now:
                break
        return min(heard, item.received)

    def positions(self, now: float) -> tuple[PlaybackPosition, ...]:
        """Return the items of the queue in order. An item that was heard to its end may be missing."""
        return tuple(
            PlaybackPosition(*item.key, self._heard(item, now), item.received)
            for item in self._items.values()
        )

    def current(self, now: float) -> ItemKey | None:
        """Return the item that is playing, ``None`` in silence."""
        for item in self._items.values():
            if self._heard(item, now) < item.received:
                return item.key
        return None

    def finishes_at(self, now: float) -> float:
        """Return when all received audio will have played (seconds); ``now`` in silence."""
        if self._by_reports:
            left = sum(
                t.received - self._heard(t, now)
                for t in self._items.values()
                if not self._is_played_out(t)
            )
            return now + left / 1000
        return max(self._queue[-1].end, now) if self._queue else now

    def cut(
        self, now: float, running: Container[str], only: str | None = None
    ) -> list[TruncatePoint]:
        """Stop playing. Returns where each item was cut, in the order of the queue, and forgets them.

        An item that was heard to its end and whose response has ended is not cut: nothing of it is
        left. Nor is an item whose arrival is later than ``now`` because the clock went backwards.

        Args:
            running: ids of the responses that may still deliver audio.
            only: cut only what belongs to this response.
        """
        self.advance(now, running)
        cut = [
            item
            for item in self._items.values()
            if only in (None, item.response_id) and not self._is_exempt(item, now)
        ]
        positions = [self._position(item, now) for item in cut if self._is_left(item, now, running)]
        self._forget({item.key for item in cut}, now)
        return positions

    def _is_exempt(self, item: _ItemAudio, now: float) -> bool:
        """Return whether an item must not be cut."""
        negative = item.reported is not None and item.reported < 0
        return now < item.arrived or (self._by_reports and negative)

    def _is_left(self, item: _ItemAudio, now: float, running: Container[str]) -> bool:
        """Return whether something of an item was not heard yet, or may still arrive."""
        return item.response_id in running or self._heard(item, now) < item.received

    def _position(self, item: _ItemAudio, now: float) -> TruncatePoint:
        # Whole milliseconds, and never more than was received: the service rejects anything else.
        return TruncatePoint(
            item_id=item.key[0],
            content_index=item.key[1],
            response_id=item.response_id,
            played_ms=int(self._heard(item, now)),
            received_ms=item.received,
        )

    def _forget(self, keys: set[ItemKey], now: float) -> None:
        """Remove items from the queue. What comes after them moves up."""
        if not keys:
            return
        for key in keys:
            del self._items[key]
        rest: deque[_QueuedAudio] = deque()
        for entry in self._queue:
            if entry.item.key in keys:
                continue
            if rest:
                entry.start = min(entry.start, rest[-1].end)
            elif entry.start > now:
                entry.start = now
            rest.append(entry)
        self._queue = rest
