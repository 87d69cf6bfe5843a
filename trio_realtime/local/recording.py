"""Records of connections: their latest messages, bounded in number and bytes.

Tests inspect these records, so the latest messages are available unchanged. A long run costs no more
memory than a short one: records of ended connections are cleared, oldest first.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

__all__ = ["Direction", "MessageRecord", "RecordArchive"]

Direction: TypeAlias = Literal["sent", "received"]

#: What the records of ended connections take together, in bytes, unless one record may take more.
_MAX_ARCHIVE_BYTES: Final = 32 * 1024 * 1024


class MessageRecord:
    """The latest messages of one connection, oldest first, and how many there were.

    Args:
        max_messages: number of messages that are recorded.
        max_bytes: memory that the recorded messages take. A larger message is only counted.

    Attributes:
        size: memory that the recorded messages take, in bytes.
        counts: number of all messages so far, by direction.
        is_cleared: whether messages were discarded because the connection ended long ago.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self.size: int = 0
        self.max_bytes: int = max_bytes
        self.counts: dict[Direction, int] = {"sent": 0, "received": 0}
        self.is_cleared: bool = False
        self._max_messages = max_messages
        self._messages: deque[tuple[Direction, str | bytes]] = deque()

    def __iter__(self) -> Iterator[tuple[Direction, str | bytes]]:
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def append(self, direction: Direction, message: str | bytes) -> None:
        """Record a message, and discard the oldest ones that no longer fit."""
        self.counts[direction] += 1
        size = sys.getsizeof(message)
        if size > self.max_bytes:
            return
        self._messages.append((direction, message))
        self.size += size
        while self.size > self.max_bytes or len(self._messages) > self._max_messages:
            _, oldest = self._messages.popleft()
            self.size -= sys.getsizeof(oldest)

    def clear(self) -> None:
        """Discard the messages. The counts remain."""
        self.is_cleared = True
        self._messages.clear()
        self.size = 0


class RecordArchive:
    """The records of ended connections. It clears the oldest if they take too much memory."""

    def __init__(self) -> None:
        self._records: deque[MessageRecord] = deque()

    def add(self, record: MessageRecord) -> None:
        """Add the record of a connection that has ended."""
        self._records.append(record)
        limit = max(_MAX_ARCHIVE_BYTES, record.max_bytes)
        total = sum(each.size for each in self._records)
        while total > limit:
            oldest = self._records.popleft()
            total -= oldest.size
            oldest.clear()
