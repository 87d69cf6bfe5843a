"""Events about items and about what the user was heard to say: into the history, and out as events.

An item that grows is told of now and then, not with each delta: a ``history_updated`` for an item
follows the one before it by an interval, or with the end of the item. What was last is always told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from trio_realtime import events as ev
from trio_realtime.core.dispatch import Handlers
from trio_realtime.core.effects import Effect
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    UNSET,
    ConversationItemAdded,
    ConversationItemCreated,
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

from .items import History, item_status


class HistoryUpdater:
    """Keeps the history up to date. ``handlers`` are by the class of the server event.

    Args:
        history: what is kept.
        interval: seconds between two events of an item that grows.
    """

    def __init__(self, history: History, interval: float) -> None:
        self._history = history
        self._interval = interval
        self._told_at: dict[str, float] = {}
        self._untold: set[str] = set()
        self.handlers: Handlers = {
            ConversationItemAdded: self._on_item_added,
            ConversationItemCreated: self._on_item_added,
            ConversationItemDone: self._on_item_done,
            ConversationItemRetrieved: self._on_item_retrieved,
            ConversationItemDeleted: self._on_item_deleted,
            ConversationItemTruncated: self._on_item_truncated,
            InputAudioTranscriptionDelta: self._on_transcription_delta,
            InputAudioTranscriptionCompleted: self._on_transcription_completed,
            InputAudioTranscriptionFailed: self._on_transcription_failed,
        }

    def finish_item(self, item: Item) -> Sequence[Effect]:
        """Take the final version of an item whose place in the conversation is not told with it."""
        return self._take_item(item, UNSET, self._history.finish)

    def grew(self, item_id: str, now: float) -> Sequence[Effect]:
        """An item has more text than before. Tells of it if the interval is over."""
        if now - self._told_at.get(item_id, -inf) < self._interval:
            self._untold.add(item_id)
            return ()
        item = self._history.get(item_id)
        if item is None:
            return ()
        told = self._updated(item)
        self._told_at[item_id] = now
        return (told,)

    def _on_item_added(
        self, event: ConversationItemAdded | ConversationItemCreated, _now: float
    ) -> Sequence[Effect]:
        return self._take_item(event.item, event.previous_item_id, self._history.add)

    def _on_item_done(self, event: ConversationItemDone, _now: float) -> Sequence[Effect]:
        return self._take_item(event.item, event.previous_item_id, self._history.finish)

    def _take_item(
        self,
        item: Item,
        previous: str | Unset | None,
        place: Callable[[HistoryItem, str | Unset | None], bool],
    ) -> Sequence[Effect]:
        before = self._history.get(item.id) if item.id else None
        new = place(item, previous)
        after = self._history.get(item.id) if item.id else None
        if item.id is None or after is None:
            return ()
        if new:
            named = previous if isinstance(previous, str) else None
            return (ev.HistoryAdded(item=after, previous_item_id=named),)
        return (self._updated(after),) if after != before or item.id in self._untold else ()

    def _on_item_retrieved(self, event: ConversationItemRetrieved, _now: float) -> Sequence[Effect]:
        if not event.item.id or event.item.id not in self._history:
            return ()
        return self._take_item(event.item, UNSET, self._history.add)

    def _on_item_deleted(self, event: ConversationItemDeleted, _now: float) -> Sequence[Effect]:
        if not self._history.delete(event.item_id):
            return ()
        self._forget(event.item_id)
        return (ev.HistoryUpdated(deleted_item_id=event.item_id, read=self._history.snapshot),)

    def _on_item_truncated(self, event: ConversationItemTruncated, _now: float) -> Sequence[Effect]:
        item = self._history.cut(event.item_id, event.content_index, event.audio_end_ms)
        return () if item is None else (self._updated(item),)

    def _updated(self, item: HistoryItem) -> ev.HistoryUpdated:
        self._untold.discard(item.id or "")
        if item_status(item) != "in_progress":
            self._told_at.pop(item.id or "", None)
        return ev.HistoryUpdated(item=item, read=self._history.snapshot)

    def response_ended(self) -> Sequence[Effect]:
        """A response has ended: whatever has grown and was not told of is told of now."""
        grown = [self._history.get(item_id) for item_id in sorted(self._untold)]
        self._untold.clear()
        return [self._updated(item) for item in grown if item is not None]

    def _forget(self, item_id: str) -> None:
        self._told_at.pop(item_id, None)
        self._untold.discard(item_id)

    def _on_transcription_delta(
        self, event: InputAudioTranscriptionDelta, now: float
    ) -> Sequence[Effect]:
        self._history.hear(event.item_id, event.content_index, event.delta, final=False)
        delta = ev.UserTranscriptDelta(
            delta=event.delta, item_id=event.item_id, content_index=event.content_index
        )
        return (delta, *self.grew(event.item_id, now))

    def _on_transcription_completed(
        self, event: InputAudioTranscriptionCompleted, _now: float
    ) -> Sequence[Effect]:
        heard = self._history.hear(event.item_id, event.content_index, event.transcript, final=True)
        effects: list[Effect] = [
            ev.UserTranscript(
                transcript=event.transcript,
                item_id=event.item_id,
                content_index=event.content_index,
            )
        ]
        if heard is not None:
            effects.append(self._updated(heard))
        return effects

    def _on_transcription_failed(
        self, event: InputAudioTranscriptionFailed, _now: float
    ) -> Sequence[Effect]:
        self._history.forget_heard(event.item_id, event.content_index)
        failed = ev.UserTranscriptFailed(
            item_id=event.item_id,
            content_index=event.content_index,
            code=event.error.code,
            message=event.error.message,
        )
        item = self._history.get(event.item_id) if event.item_id in self._untold else None
        self._forget(event.item_id)
        return (failed,) if item is None else (failed, self._updated(item))
