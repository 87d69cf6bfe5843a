"""Events about items and about what the user was heard to say: into the history, and out as events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trio_realtime import events as ev
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
    ResponseFunctionCallArgumentsDelta,
    ServerEvent,
    Unset,
)

from .effects import Effect
from .history import History


class Record:
    """Keeps the history up to date. ``handlers`` are by the class of the server event."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.handlers: dict[type[ServerEvent], Callable[[Any, float], Sequence[Effect]]] = {
            ConversationItemAdded: self._on_item_added,
            ConversationItemCreated: self._on_item_added,
            ConversationItemDone: self._on_item_done,
            ConversationItemRetrieved: self._on_item_retrieved,
            ConversationItemDeleted: self._on_item_deleted,
            ConversationItemTruncated: self._on_item_truncated,
            ResponseFunctionCallArgumentsDelta: self._on_arguments,
            InputAudioTranscriptionDelta: self._on_transcription_delta,
            InputAudioTranscriptionCompleted: self._on_transcription_completed,
            InputAudioTranscriptionFailed: self._on_transcription_failed,
        }

    def finish_item(self, item: Item) -> Sequence[Effect]:
        """Take the final version of an item whose place in the conversation is not told with it."""
        return self._take_item(item, UNSET, self._history.finish)

    def _on_arguments(
        self, event: ResponseFunctionCallArgumentsDelta, _now: float
    ) -> Sequence[Effect]:
        self._history.append_arguments(event.item_id, event.delta)
        return ()

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
        if after is None:
            return ()
        if new:
            named = previous if isinstance(previous, str) else None
            return (ev.HistoryAdded(item=after, previous_item_id=named),)
        return (self._updated(after),) if after != before else ()

    def _on_item_retrieved(self, event: ConversationItemRetrieved, _now: float) -> Sequence[Effect]:
        if not event.item.id or event.item.id not in self._history:
            return ()
        return self._take_item(event.item, UNSET, self._history.add)

    def _on_item_deleted(self, event: ConversationItemDeleted, _now: float) -> Sequence[Effect]:
        if not self._history.delete(event.item_id):
            return ()
        return (ev.HistoryUpdated(deleted_item_id=event.item_id, read=self._history.snapshot),)

    def _on_item_truncated(self, event: ConversationItemTruncated, _now: float) -> Sequence[Effect]:
        item = self._history.cut(event.item_id, event.content_index, event.audio_end_ms)
        return () if item is None else (self._updated(item),)

    def _updated(self, item: HistoryItem) -> ev.HistoryUpdated:
        return ev.HistoryUpdated(item=item, read=self._history.snapshot)

    def _on_transcription_delta(
        self, event: InputAudioTranscriptionDelta, _now: float
    ) -> Sequence[Effect]:
        self._history.hear(event.item_id, event.content_index, event.delta, final=False)
        return (
            ev.UserTranscriptDelta(
                delta=event.delta, item_id=event.item_id, content_index=event.content_index
            ),
        )

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
        return (
            ev.UserTranscriptFailed(
                item_id=event.item_id,
                content_index=event.content_index,
                code=event.error.code,
                message=event.error.message,
            ),
        )
