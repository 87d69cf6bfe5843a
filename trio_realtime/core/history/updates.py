"""Bring events about items and transcripts into the history, and report the changes.

A growing item is reported at intervals, not with each delta: the ``history_updated`` events of one
item are an interval apart, and one comes with the end of the item. The last change is always
reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from trio_realtime import events as ev
from trio_realtime.core.effects import Effect
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    UNSET,
    ConversationItemAdded,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    InputAudioTranscriptionCompleted,
    InputAudioTranscriptionDelta,
    InputAudioTranscriptionFailed,
    Item,
    Unset,
)

from .items import Change, History


class HistoryUpdater:
    """Updates the history from server events.

    Args:
        history: the items.
        interval: seconds between two events of a growing item.
    """

    def __init__(self, history: History, interval: float) -> None:
        self._history = history
        self._interval = interval
        self._reported_at: dict[str, float] = {}
        self._unreported: set[str] = set()

    # --- items

    def on_item_added(self, event: ConversationItemAdded, _now: float) -> Sequence[Effect]:
        """Place a new item."""
        change = self._history.add(event.item, event.previous_item_id)
        return self._report(event.item, change, event.previous_item_id)

    def on_item_done(self, event: ConversationItemDone, _now: float) -> Sequence[Effect]:
        """Take the final version of an item."""
        change = self._history.finish(event.item, event.previous_item_id)
        return self._report(event.item, change, event.previous_item_id)

    def finish_item(self, item: Item) -> Sequence[Effect]:
        """Take the final version of an output item, which does not name its place."""
        change = self._history.finish(item)
        if change is Change.NONE and item.id not in self._unreported:
            return ()
        return self._report(item, change)

    def on_item_retrieved(self, event: ConversationItemRetrieved, _now: float) -> Sequence[Effect]:
        """Take an item that was asked for, if it is still in the conversation."""
        if not event.item.id or event.item.id not in self._history:
            return ()
        return self._report(event.item, self._history.add(event.item))

    def _report(
        self, item: Item, change: Change, previous: str | Unset | None = UNSET
    ) -> Sequence[Effect]:
        if change is Change.NONE and item.id not in self._unreported:
            return ()
        current = self._history.get(item.id or "")
        if current is None:
            return ()
        if change is Change.ADDED:
            named = previous if isinstance(previous, str) else None
            return (ev.HistoryAdded(item=current, previous_item_id=named),)
        return (self._updated(current),)

    def on_item_deleted(self, event: ConversationItemDeleted, _now: float) -> Sequence[Effect]:
        """Remove an item."""
        if not self._history.delete(event.item_id):
            return ()
        self._forget(event.item_id)
        return (ev.HistoryUpdated(deleted_item_id=event.item_id, read=self._history.snapshot),)

    def on_item_truncated(self, event: ConversationItemTruncated, _now: float) -> Sequence[Effect]:
        """Note how much of an item was heard."""
        item = self._history.truncate(event.item_id, event.content_index, event.audio_end_ms)
        return () if item is None else (self._updated(item),)

    # --- growth

    def note_growth(self, item_id: str, now: float) -> Sequence[Effect]:
        """Note that an item has more text than before. Reports it if the interval has passed."""
        if now - self._reported_at.get(item_id, -inf) < self._interval:
            self._unreported.add(item_id)
            return ()
        grown = self._grown(item_id)
        if grown:
            self._reported_at[item_id] = now
        return grown

    def flush_growth(self) -> Sequence[Effect]:
        """Report every growth that was not reported yet: a response has ended."""
        effects: list[Effect] = []
        for item_id in sorted(self._unreported):
            effects += self._grown(item_id)
            self._forget(item_id)
        return effects

    def _grown(self, item_id: str) -> Sequence[Effect]:
        item = self._history.get_later(item_id)
        if item is None or not callable(item):
            return () if item is None else (self._updated(item),)
        self._unreported.discard(item_id)
        return (ev.HistoryUpdated(item=item, read=self._history.snapshot),)

    def _updated(self, item: HistoryItem) -> ev.HistoryUpdated:
        self._unreported.discard(item.id or "")
        if getattr(item, "status", None) != "in_progress":
            self._reported_at.pop(item.id or "", None)
        return ev.HistoryUpdated(item=item, read=self._history.snapshot)

    def _forget(self, item_id: str) -> None:
        self._reported_at.pop(item_id, None)
        self._unreported.discard(item_id)

    # --- the user's transcripts

    def on_transcription_delta(
        self, event: InputAudioTranscriptionDelta, now: float
    ) -> Sequence[Effect]:
        """Add to the transcript of the user's audio."""
        self._history.add_transcript(event.item_id, event.content_index, event.delta, final=False)
        delta = ev.UserTranscriptDelta(
            delta=event.delta, item_id=event.item_id, content_index=event.content_index
        )
        return (delta, *self.note_growth(event.item_id, now))

    def on_transcription_completed(
        self, event: InputAudioTranscriptionCompleted, _now: float
    ) -> Sequence[Effect]:
        """Set the transcript of the user's audio."""
        item = self._history.add_transcript(
            event.item_id, event.content_index, event.transcript, final=True
        )
        transcript = ev.UserTranscript(
            transcript=event.transcript,
            item_id=event.item_id,
            content_index=event.content_index,
            usage=event.usage,
        )
        return (transcript,) if item is None else (transcript, self._updated(item))

    def on_transcription_failed(
        self, event: InputAudioTranscriptionFailed, _now: float
    ) -> Sequence[Effect]:
        """Report that the user's audio has no transcript."""
        self._history.drop_transcript(event.item_id, event.content_index)
        failed = ev.UserTranscriptFailed(
            item_id=event.item_id,
            content_index=event.content_index,
            code=event.error.code,
            message=event.error.message,
        )
        item = self._history.get(event.item_id) if event.item_id in self._unreported else None
        self._forget(event.item_id)
        return (failed,) if item is None else (failed, self._updated(item))
