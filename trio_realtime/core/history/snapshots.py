"""The items of a conversation at one moment, which share what has not changed with earlier moments.

A snapshot has a tuple of items for each chunk of the history (:mod:`.order`). The list of the tuples of all
chunks but the last is shared too. It grows at its end only, and each snapshot looks at the part that it knows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice
from typing import Any, TypeAlias, final, overload

from trio_realtime.items import HistoryItem

Items: TypeAlias = tuple[HistoryItem, ...]


@final
class HistorySnapshot(Sequence[HistoryItem]):
    """The items of a conversation at one moment. It never changes.

    It is equal to a tuple of the same items.

    Args:
        items: the items.
    """

    __slots__ = ("_chunks", "_count", "_ends", "_last", "_length")

    def __init__(self, items: Iterable[HistoryItem] = ()) -> None:
        self._chunks: list[Items] = []
        self._count = 0  # of the chunks that belong to this snapshot
        self._last: Items = tuple(items)
        self._length = len(self._last)
        self._ends: list[int] | None = None

    @classmethod
    def of_chunks(cls, chunks: list[Items], size: int, last: Items) -> HistorySnapshot:
        """Return a snapshot of chunks that have this many items together, and of the last chunk."""
        snapshot = cls(last)
        snapshot._chunks = chunks
        snapshot._count = len(chunks)
        snapshot._length += size
        return snapshot

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> HistoryItem: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[HistoryItem, ...]: ...

    def __getitem__(self, index: int | slice) -> HistoryItem | tuple[HistoryItem, ...]:
        if isinstance(index, slice):
            return self._slice(index)
        position = range(self._length)[index]
        in_last = position - (self._length - len(self._last))
        if in_last >= 0:
            return self._last[in_last]
        if self._ends is None:
            self._ends = [*accumulate(map(len, islice(self._chunks, self._count)))]
        number = bisect_right(self._ends, position)
        chunk = self._chunks[number]
        return chunk[position - self._ends[number] + len(chunk)]

    def _slice(self, index: slice) -> tuple[HistoryItem, ...]:
        start, stop, step = index.indices(self._length)
        first = self._length - len(self._last)
        if start >= first and step > 0:
            return self._last[start - first : max(stop - first, 0) : step]
        return tuple(self)[index]

    def __iter__(self) -> Iterator[HistoryItem]:
        return chain(chain.from_iterable(islice(self._chunks, self._count)), self._last)

    def __reversed__(self) -> Iterator[HistoryItem]:
        numbers = range(self._count - 1, -1, -1)
        others = chain.from_iterable(reversed(self._chunks[number]) for number in numbers)
        return chain(reversed(self._last), others)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, HistorySnapshot):
            return self._length == other._length and tuple(self) == tuple(other)
        # Calls the comparison of the tuple.
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"HistorySnapshot({list(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return HistorySnapshot, (tuple(self),)
