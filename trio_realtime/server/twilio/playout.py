"""What is sent to Twilio and when, and how much of it was heard.

Twilio plays what it gets and returns each mark once everything before the mark was played. Audio is cut
at the marks: one follows every ``mark_ms`` of an item, and one its end. So the last mark that came back
says exactly how much of which item was heard.

After a ``clear``, Twilio drops what it has not played and returns all outstanding marks. These say nothing
about what was heard, so the marks that are outstanding at a ``clear`` are forgotten.

Audio is sent ahead of time, at most ``max_ahead`` seconds. How far ahead the audio is follows from the
clock, as if each piece played in real time from its arrival. A mark that comes back corrects the clock.

Times are seconds of the caller's clock. Nothing here reads a clock.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TypeAlias

import attrs

from .caller_audio import BYTES_PER_MS

__all__ = ["Heard", "MarkMessage", "MediaMessage", "Playout"]


@attrs.frozen
class MediaMessage:
    """Audio to send."""

    audio: bytes = attrs.field(repr=False)


@attrs.frozen
class MarkMessage:
    """A mark to send."""

    name: str


@attrs.frozen
class Heard:
    """How much of an item was heard, in milliseconds from its beginning."""

    item_id: str
    content_index: int
    ms: float


class _Item:
    """How much of an item was sent and heard, in bytes.

    Attributes:
        sent: bytes that were sent.
        heard: bytes before the last mark that came back.
    """

    __slots__ = ("content_index", "heard", "item_id", "response_id", "sent")

    def __init__(self, item_id: str, content_index: int, response_id: str) -> None:
        self.item_id = item_id
        self.content_index = content_index
        self.response_id = response_id
        self.sent = 0
        self.heard = 0


class _Run:
    """Audio of one item that was not sent yet, without audio of another item in between.

    A mark follows its end, which is known once ``is_complete`` is true.
    """

    __slots__ = ("is_complete", "item", "waiting")

    def __init__(self, item: _Item, audio: bytes, *, is_complete: bool = False) -> None:
        self.item = item
        self.waiting = bytearray(audio)
        self.is_complete = is_complete


@attrs.frozen
class _Mark:
    """An outstanding mark.

    Attributes:
        item: the item whose audio is before the mark.
        position: bytes of the item before the mark.
        audio: the audio between the mark before and this one.
        total: bytes of all audio before the mark.
    """

    name: str
    item: _Item
    position: int
    audio: bytes
    total: int


Message: TypeAlias = MediaMessage | MarkMessage


class Playout:
    """The agent's audio on its way to the caller.

    Args:
        max_ahead: seconds of audio that may be sent before it is played.
        mark_ms: milliseconds of audio between two marks.

    Attributes:
        sent_ms: milliseconds of audio that were sent.
        heard_ms: milliseconds of audio that were heard, by the marks.
        clears: how often Twilio's buffer was cleared.
        unknown_marks: marks that came back and were not outstanding, those after a ``clear`` included.
    """

    def __init__(self, *, max_ahead: float, mark_ms: int) -> None:
        self.sent_ms: float = 0.0
        self.heard_ms: float = 0.0
        self.clears: int = 0
        self.unknown_marks: int = 0
        self._max_ahead = max_ahead
        self._mark_size = mark_ms * BYTES_PER_MS
        self._items: dict[tuple[str, int], _Item] = {}  # of responses that have not ended
        self._runs: deque[_Run] = deque()
        self._marks: deque[_Mark] = deque()
        self._unmarked = bytearray()  # what was sent of the first run after the last mark
        self._names = 0
        self._total = 0
        self._plays_until = -math.inf

    # --- from the session

    def add(self, item_id: str, content_index: int, response_id: str, audio: bytes) -> Heard | None:
        """Add audio of an item. Returns a report of 0 ms for the first audio of an item."""
        key = (item_id, content_index)
        known = self._items.get(key)
        item = known if known is not None else _Item(item_id, content_index, response_id)
        last = self._runs[-1] if self._runs else None
        if last is not None and last.item is item and not last.is_complete:
            last.waiting += audio
            return None
        self.end_all()
        self._runs.append(_Run(item, audio))
        self._items[key] = item
        return Heard(item_id, content_index, 0.0) if known is None else None

    def end_item(self, item_id: str, content_index: int) -> None:
        """Note that no more audio of an item will arrive."""
        for run in self._runs:
            if (run.item.item_id, run.item.content_index) == (item_id, content_index):
                run.is_complete = True

    def end_response(self, response_id: str) -> None:
        """Note that no more audio of a response will arrive."""
        self._forget(response_id)
        for run in self._runs:
            if run.item.response_id == response_id:
                run.is_complete = True

    def end_all(self) -> None:
        """Note that what was added is complete."""
        for run in self._runs:
            run.is_complete = True

    def _forget(self, response_id: str) -> None:
        items = self._items.items()
        self._items = {key: item for key, item in items if item.response_id != response_id}

    def interrupt(self, response_id: str, now: float) -> bool:
        """Drop the audio of an interrupted response.

        Audio of other responses that the ``clear`` drops is sent again, from the last mark that came back.

        Returns:
            bool: whether a ``clear`` must be sent.
        """
        self._forget(response_id)
        unheard = [(mark.item, mark.audio) for mark in self._marks]
        if self._unmarked:
            unheard.append((self._runs[0].item, bytes(self._unmarked)))
        if all(item.response_id != response_id for item, _ in unheard):
            self._runs = deque(run for run in self._runs if run.item.response_id != response_id)
            return False
        self.clears += 1
        self._marks.clear()
        self._unmarked.clear()
        self._plays_until = now
        for item, audio in reversed(unheard):
            self._send_again(item, audio)
        self._runs = deque(run for run in self._runs if run.item.response_id != response_id)
        return True

    def _send_again(self, item: _Item, audio: bytes) -> None:
        item.sent -= len(audio)
        if self._runs and self._runs[0].item is item:
            self._runs[0].waiting[:0] = audio
        else:
            self._runs.appendleft(_Run(item, audio, is_complete=True))

    # --- to Twilio

    def next_at(self, now: float) -> float:
        """Return when :meth:`next_message` has something to send: ``now`` or later, or ``inf``."""
        self._drop_sent_runs()
        if not self._runs:
            return math.inf
        run = self._runs[0]
        if self._needs_mark(run):
            return now
        if not run.waiting:
            return math.inf
        return max(now, self._plays_until - self._max_ahead)

    def next_message(self, now: float) -> Message | None:
        """Return the next message to send; ``None`` if it is not time yet."""
        if self.next_at(now) > now:
            return None
        run = self._runs[0]
        if self._needs_mark(run):
            return self._mark(run.item)
        audio = bytes(run.waiting[: self._mark_size - len(self._unmarked)])
        del run.waiting[: len(audio)]
        self._unmarked += audio
        run.item.sent += len(audio)
        self._total += len(audio)
        self.sent_ms += len(audio) / BYTES_PER_MS
        self._plays_until = max(self._plays_until, now) + len(audio) / BYTES_PER_MS / 1000
        return MediaMessage(audio)

    def _needs_mark(self, run: _Run) -> bool:
        is_sent = run.is_complete and not run.waiting
        return len(self._unmarked) >= (1 if is_sent else self._mark_size)

    def _mark(self, item: _Item) -> MarkMessage:
        self._names += 1
        name = str(self._names)
        self._marks.append(_Mark(name, item, item.sent, bytes(self._unmarked), self._total))
        self._unmarked.clear()
        return MarkMessage(name)

    def _drop_sent_runs(self) -> None:
        while self._runs:
            run = self._runs[0]
            if run.waiting or not run.is_complete or self._unmarked:
                return
            self._runs.popleft()

    # --- from Twilio

    def on_mark(self, name: str, now: float) -> Heard | None:
        """Note that a mark came back. Returns what was heard; ``None`` for a mark that says nothing.

        Marks before it that did not come back were lost: their audio was heard too.
        """
        if all(mark.name != name for mark in self._marks):
            self.unknown_marks += 1
            return None
        while True:
            mark = self._marks.popleft()
            self.heard_ms += (mark.position - mark.item.heard) / BYTES_PER_MS
            mark.item.heard = mark.position
            if mark.name == name:
                break
        self._plays_until = now + (self._total - mark.total) / BYTES_PER_MS / 1000
        return Heard(mark.item.item_id, mark.item.content_index, mark.position / BYTES_PER_MS)

    @property
    def is_finished(self) -> bool:
        """Whether everything was sent, and every mark came back."""
        self._drop_sent_runs()
        return not self._runs and not self._marks

    @property
    def outstanding_ms(self) -> float:
        """Milliseconds of audio that were not sent, or whose marks have not come back."""
        waiting = sum(len(run.waiting) for run in self._runs)
        sent = sum(len(mark.audio) for mark in self._marks)
        return (waiting + sent + len(self._unmarked)) / BYTES_PER_MS
