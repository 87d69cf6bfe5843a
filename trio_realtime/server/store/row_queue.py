"""The rows that wait to be written, and what was lost of them. No I/O."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any, Final, final

import attrs

from .rows import Row

__all__ = ["GAP_TYPE", "Batch", "Losses", "RowQueue", "session_of"]

GAP_TYPE: Final = "history_gap"
"""The type of the stored event that says that rows of the session are missing."""

_ESSENTIAL: Final = frozenset({"sessions", "runs", "artifacts"})
_GENERAL_SHARE: Final = (
    0.9  # the rest is for rows that say how sessions ended, and where their files are
)


def session_of(row: Row) -> str | None:
    """Return the session that a row belongs to."""
    value = row.values.get("id" if row.table == "sessions" else "session_id")
    return value if isinstance(value, str) else None


@attrs.frozen(kw_only=True)
class _Entry:
    """A row in the queue, with its number and its size in bytes."""

    number: int
    row: Row
    size: int


@attrs.frozen(kw_only=True)
class Batch:
    """Rows that were taken from the queue. They occupy it until :meth:`RowQueue.done`."""

    rows: tuple[Row, ...]
    first: int
    size: int


@final
class RowQueue:
    """A queue that is bounded in rows and in bytes.

    A full queue drops the oldest ``audio_chunks`` first, and then the rows that do not fit. A tenth of it
    is for rows of ``sessions``, ``runs`` and ``artifacts``.

    Args:
        max_rows: the number of rows.
        max_bytes: about how many bytes of memory the rows may take.
    """

    def __init__(self, *, max_rows: int, max_bytes: int) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._entries: deque[_Entry] = deque()
        self._chunks: deque[_Entry] = deque()
        self._batch: Batch | None = None
        self.rows: int = 0
        self.bytes: int = 0
        self.last_number: int = 0

    def __len__(self) -> int:
        """Return the number of rows that wait, without those of the current batch."""
        return len(self._entries) + len(self._chunks)

    @property
    def is_half_empty(self) -> bool:
        """Whether less than half of the queue is in use."""
        return self.rows * 2 < self._max_rows and self.bytes * 2 < self._max_bytes

    def is_done(self, number: int) -> bool:
        """Return whether no row up to this number waits or is being written."""
        first = [queue[0].number for queue in (self._entries, self._chunks) if queue]
        if self._batch is not None:
            first.append(self._batch.first)
        return all(number < other for other in first)

    def put(self, rows: Iterable[Row]) -> list[Row]:
        """Add rows. Return the rows that were dropped, which may be earlier ones."""
        dropped: list[Row] = []
        for row in rows:
            self.last_number += 1
            entry = _Entry(number=self.last_number, row=row, size=row.size)
            while not self._has_space(entry):
                if row.table == "audio_chunks" or not self._chunks:
                    dropped.append(row)
                    break
                oldest = self._chunks.popleft()
                self._count(-1, -oldest.size)
                dropped.append(oldest.row)
            else:
                (self._chunks if row.table == "audio_chunks" else self._entries).append(entry)
                self._count(1, entry.size)
        return dropped

    def _has_space(self, entry: _Entry) -> bool:
        share = 1 if entry.row.table in _ESSENTIAL else _GENERAL_SHARE
        rows, size = self.rows + 1, self.bytes + entry.size
        return rows <= self._max_rows * share and size <= self._max_bytes * share

    def _count(self, rows: int, size: int) -> None:
        self.rows += rows
        self.bytes += size

    def take(self, max_rows: int) -> Batch:
        """Take the oldest rows. There must be some, and the previous batch must be done."""
        assert self._batch is None
        taken: list[_Entry] = []
        while len(taken) < max_rows and (self._entries or self._chunks):
            queues = [queue for queue in (self._entries, self._chunks) if queue]
            taken.append(min(queues, key=lambda queue: queue[0].number).popleft())
        self._batch = Batch(
            rows=tuple(entry.row for entry in taken),
            first=taken[0].number,
            size=sum(entry.size for entry in taken),
        )
        return self._batch

    def done(self) -> None:
        """Free the space of the current batch."""
        assert self._batch is not None
        self._count(-len(self._batch.rows), -self._batch.size)
        self._batch = None

    def close(self) -> list[Row]:
        """Drop and return all rows, also those of a batch that was not written. Accept no more."""
        batch = () if self._batch is None else self._batch.rows
        remaining = [*batch, *(entry.row for entry in (*self._entries, *self._chunks))]
        self._entries.clear()
        self._chunks.clear()
        self._batch = None
        self.rows = self.bytes = self._max_rows = self._max_bytes = 0
        return remaining


@attrs.define(kw_only=True)
class _Loss:
    """What was lost of one session."""

    run_id: str | None = None
    first_seq: int | None = None
    last_seq: int | None = None
    tables: Counter[str] = attrs.field(factory=Counter[str])


@final
class Losses:
    """What was lost of each session since the last markers."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Loss] = {}

    def __bool__(self) -> bool:
        return bool(self._sessions)

    def add(self, row: Row) -> None:
        """Note a row that was dropped."""
        session_id = session_of(row)
        if session_id is None:
            return
        loss = self._sessions.setdefault(session_id, _Loss())
        loss.tables[row.table] += 1
        loss.run_id = row.values.get("run_id") or loss.run_id
        if row.table == "events":
            seq = row.values["seq"]
            loss.first_seq = seq if loss.first_seq is None else min(loss.first_seq, seq)
            loss.last_seq = seq if loss.last_seq is None else max(loss.last_seq, seq)

    def take_markers(self, now: float) -> list[Row]:
        """Return one event for each session that says what is missing, and forget the losses.

        The event has the number of the first event that is missing. If only other rows are missing, its
        number is negative.

        Args:
            now: seconds since the Unix epoch.
        """
        sessions, self._sessions = self._sessions, {}
        return [_marker(session_id, loss, now) for session_id, loss in sessions.items()]


def _marker(session_id: str, loss: _Loss, now: float) -> Row:
    payload: Mapping[str, Any] = {
        "first_seq": loss.first_seq,
        "last_seq": loss.last_seq,
        "rows": dict(loss.tables),
    }
    return Row(
        table="events",
        mode="insert",
        values={
            "session_id": session_id,
            "seq": -int(now * 1_000_000) if loss.first_seq is None else loss.first_seq,
            "run_id": loss.run_id,
            "time": now,
            "type": GAP_TYPE,
            "payload": payload,
        },
    )
