"""The agent's audio that was received and not heard yet, bounded in bytes."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import attrs

from .tracks import TrackFormat

ItemKey: TypeAlias = tuple[str, int]
"""Item id and content index."""

MAX_ENDED: int = 1024
"""Items that are over and remembered as such. Audio that arrives for them is dropped."""


class _Item:
    """The audio of one item. Positions are samples from the beginning of the item.

    ``pieces`` has the audio between ``heard`` and ``received``, with the position of each piece. Audio
    that was dropped is missing in it.
    """

    __slots__ = ("heard", "partial", "pieces", "received")

    def __init__(self) -> None:
        self.received = 0
        self.heard = 0
        self.pieces: deque[tuple[int, bytes]] = deque()
        self.partial = b""


@attrs.frozen
class Heard:
    """Audio that was heard: its position in the item, and its bytes."""

    first: int
    data: bytes = attrs.field(repr=False)


class UnheardAudio:
    """Keeps the agent's audio until it is heard, is over or exceeds a limit.

    Args:
        track_format: the format of the audio.
        max_bytes: the limit. The oldest audio is dropped first. When its time comes, it is silence.

    Attributes:
        size: bytes that are waiting.
        dropped: bytes that were dropped because of the limit.
    """

    def __init__(self, track_format: TrackFormat, *, max_bytes: int) -> None:
        self._format = track_format
        self._max_bytes = max_bytes
        self._items: dict[ItemKey, _Item] = {}
        self._ended: dict[ItemKey, None] = {}
        self.size: int = 0
        self.dropped: int = 0

    def add(self, key: ItemKey, data: bytes) -> None:
        """Add audio of an item. A sample that is divided between two deltas is joined."""
        if key in self._ended:
            return
        item = self._items.setdefault(key, _Item())
        if item.partial or len(data) % self._format.sample_size:
            data = item.partial + data
            whole = len(data) // self._format.sample_size * self._format.sample_size
            data, item.partial = data[:whole], data[whole:]
        if not data:
            return
        item.pieces.append((item.received, data))
        item.received += self._format.count(data)
        self.size += len(data)
        while self.size > self._max_bytes:
            self._drop_oldest()

    def hear(self, key: ItemKey, played_ms: float) -> Heard | None:
        """Take what was heard since the last time.

        Returns:
            ``None`` if that is nothing: the item is unknown or over, or there is no progress.
        """
        item = self._items.get(key)
        if item is None or not played_ms > 0:
            return None
        end = min(self._format.samples_in(played_ms), item.received)
        if end <= item.heard:
            return None
        self._end_items_before(key)
        first = item.heard
        return Heard(first, self._take(item, end))

    def end(self, key: ItemKey) -> None:
        """Drop what was not heard of an item, and what follows of it."""
        item = self._items.pop(key, None)
        if item is not None:
            self.size -= sum(len(data) for _, data in item.pieces)
        self._ended[key] = None
        while len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def _end_items_before(self, key: ItemKey) -> None:
        """End the items that arrived before one that is heard: they are over."""
        while (oldest := next(iter(self._items))) != key:
            self.end(oldest)

    def _take(self, item: _Item, end: int) -> bytes:
        """Remove the audio up to ``end``. What was dropped is silence."""
        taken = bytearray()
        position = item.heard
        while item.pieces and item.pieces[0][0] < end:
            start, data = item.pieces.popleft()
            self.size -= len(data)
            taken += self._format.silence(start - position)
            used = data[: (end - start) * self._format.sample_size]
            taken += used
            position = start + self._format.count(used)
            if len(used) < len(data):
                item.pieces.appendleft((position, data[len(used) :]))
                self.size += len(data) - len(used)
        taken += self._format.silence(end - position)
        item.heard = end
        return bytes(taken)

    def _drop_oldest(self) -> None:
        item = next(item for item in self._items.values() if item.pieces)
        _, data = item.pieces.popleft()
        self.size -= len(data)
        self.dropped += len(data)
