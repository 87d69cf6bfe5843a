"""Audio of items that is kept in the history, where that was asked for; so much of it and no more.

The agent's audio is put together from its deltas, and cut where the service was told that it was
cut. The user's comes from the service, which is asked for it when the item is complete: it is what
the model heard, after noise reduction and without the silence. What is over the limit goes, oldest
item first; a single item that is over it is not kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from trio_realtime import events as ev
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    ConversationItemDone,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    InputAudio,
    MessageItem,
    OutputAudio,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputItemDone,
)

from .effects import Effect
from .handlers import Handlers
from .history import History
from .playback import ItemKey, Playback


class KeptAudio:
    """See the module. ``handlers`` are by the class of the server event, and come after ``record``.

    Args:
        history: where it is put.
        playback: knows how many bytes a millisecond of the agent's audio has.
        token: makes event ids.
        max_bytes: how much is kept in all.
    """

    def __init__(
        self, history: History, playback: Playback, token: Callable[[str], str], max_bytes: int
    ) -> None:
        self._history = history
        self._playback = playback
        self._token = token
        self._max = max_bytes
        self._coming: dict[str, dict[int, list[bytes]]] = {}
        self._responses: dict[str, str] = {}
        self._kept: deque[tuple[ItemKey, int]] = deque()
        self._size = 0
        self.handlers: Handlers = {
            ResponseOutputAudioDelta: self._on_delta,
            ResponseOutputItemDone: self._on_item_done,
            ConversationItemDone: self._on_item_done,
            ConversationItemRetrieved: self._on_retrieved,
            ConversationItemTruncated: self._on_truncated,
            ResponseDone: self._on_response_done,
        }

    # --- the agent's

    def _on_delta(self, event: ResponseOutputAudioDelta, _now: float) -> Sequence[Effect]:
        if event.item_id in self._history:  # not so beside the conversation
            self._responses[event.item_id] = event.response_id
            parts = self._coming.setdefault(event.item_id, {})
            parts.setdefault(event.content_index, []).append(event.delta)
        return ()

    def _on_item_done(
        self, event: ResponseOutputItemDone | ConversationItemDone, _now: float
    ) -> Sequence[Effect]:
        item = self._history.get(event.item.id or "")
        if not isinstance(item, MessageItem) or item.id is None:
            return ()
        if item.role == "user":
            return self._ask_for(item)
        return self._put(item.id)

    def _put(self, item_id: str) -> Sequence[Effect]:
        """The item is complete: what has come of its audio is put into it."""
        placed = False
        self._responses.pop(item_id, None)
        for index, pieces in self._coming.pop(item_id, {}).items():
            part = self._part(item_id, index)
            if isinstance(part, OutputAudio):
                self._keep((item_id, index), self._heard(part, b"".join(pieces)))
                placed = True
        return self._told(item_id) if placed else ()

    def _heard(self, part: OutputAudio, audio: bytes) -> bytes:
        if part.heard_ms is None:
            return audio
        return audio[: part.heard_ms * self._playback.bytes_per_ms]

    def _on_truncated(self, event: ConversationItemTruncated, _now: float) -> Sequence[Effect]:
        part = self._part(event.item_id, event.content_index)
        if not isinstance(part, OutputAudio) or part.audio is None:
            return ()
        self._keep((event.item_id, event.content_index), self._heard(part, part.audio))
        return self._told(event.item_id)

    def _on_response_done(self, event: ResponseDone, _now: float) -> Sequence[Effect]:
        """What was not completed will not be; there may be a part to put it into."""
        ids = [item_id for item_id, id_ in self._responses.items() if id_ == event.response.id]
        return [effect for item_id in ids for effect in self._put(item_id)]

    # --- the user's

    def _ask_for(self, item: MessageItem) -> Sequence[Effect]:
        if not any(isinstance(p, InputAudio) and p.audio is None for p in item.content):
            return ()
        return (ConversationItemRetrieve(event_id=self._token("retrieve"), item_id=item.id or ""),)

    def _on_retrieved(self, event: ConversationItemRetrieved, _now: float) -> Sequence[Effect]:
        item = self._history.get(event.item.id or "")
        if isinstance(item, MessageItem) and item.id is not None:
            for index, part in enumerate(item.content):
                if isinstance(part, InputAudio | OutputAudio) and part.audio is not None:
                    self._keep((item.id, index), part.audio)
        return ()

    # --- the limit

    def _part(self, item_id: str, index: int) -> object:
        item = self._history.get(item_id)
        if not isinstance(item, MessageItem) or not 0 <= index < len(item.content):
            return None
        return item.content[index]

    def _keep(self, key: ItemKey, audio: bytes) -> None:
        self._forget(key)
        self._history.put_audio(*key, audio)
        self._kept.append((key, len(audio)))
        self._size += len(audio)
        while self._size > self._max:
            oldest, size = self._kept.popleft()
            self._size -= size
            self._history.put_audio(*oldest, None)

    def _forget(self, key: ItemKey) -> None:
        for entry in self._kept:
            if entry[0] == key:
                self._kept.remove(entry)
                self._size -= entry[1]
                return

    def _told(self, item_id: str) -> Sequence[Effect]:
        item: HistoryItem | None = self._history.get(item_id)
        if item is None:
            return ()
        return (ev.HistoryUpdated(item=item, read=self._history.snapshot),)
