"""Audio of items that is kept in the history, where that was asked for; so much of it and no more.

The agent's audio is put together from its deltas, and cut where the service was told that it was
cut, by the format in which it came. It counts as it comes, and stands in the history when its item
is complete, or was cut, or its response has ended without either. The user's comes from the
service, which is asked for it when the item is complete: it is what the model heard, after noise
reduction and without the silence. That nobody else asked for it is why a refusal is kept quiet.

What is over the limit goes, oldest item first; a single item that is over it is not kept.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from trio_realtime import events as ev
from trio_realtime.core.dispatch import Handlers
from trio_realtime.core.effects import Effect
from trio_realtime.core.history.items import History
from trio_realtime.core.responses.running import RunningResponses
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    ConversationItemDeleted,
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

from .playback import ItemKey, Playback


class _AudioClip:
    """Audio of one part, in the pieces in which it came, and no more of it than its limit.

    The limit is what was heard, where it was cut; nothing, where there was no room for it.
    """

    __slots__ = ("_limit", "_pieces", "bytes_per_ms", "size")

    def __init__(self, bytes_per_ms: int) -> None:
        self.bytes_per_ms = bytes_per_ms
        self.size = 0
        self._limit = sys.maxsize
        self._pieces: list[bytes] = []

    def take(self, piece: bytes) -> int:
        """There is more of it. Returns how many bytes of that are kept."""
        piece = piece[: self._limit - self.size]
        if piece:
            self._pieces.append(piece)
            self.size += len(piece)
        return len(piece)

    def cut(self, limit: int) -> int:
        """Keep this many bytes at most, also of what comes. Returns how many are dropped."""
        before, self._limit = self.size, limit
        self._pieces = [self.whole()[:limit]]
        self.size = len(self._pieces[0])
        return before - self.size

    def whole(self) -> bytes:
        """All that is kept of it."""
        if len(self._pieces) != 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]


class RetainedAudio:
    """See the module. ``handlers`` are by the class of the server event, and come after ``record``.

    Args:
        history: where it is put.
        responses: which run, and may be heard.
        playback: knows how many bytes a millisecond of the agent's audio has now.
        token: makes event ids.
        max_bytes: how much is kept in all.
    """

    def __init__(
        self,
        history: History,
        responses: RunningResponses,
        playback: Playback,
        token: Callable[[str], str],
        max_bytes: int,
    ) -> None:
        self._history = history
        self._responses = responses
        self._playback = playback
        self._token = token
        self._max = max_bytes
        self._size = 0
        self._clips: dict[
            str, dict[int, _AudioClip]
        ] = {}  # by item, in the order in which they came
        self._coming: dict[str, dict[ItemKey, _AudioClip]] = {}  # by response
        self._asked: dict[str, str] = {}
        self.handlers: Handlers = {
            ResponseOutputAudioDelta: self._on_delta,
            ResponseOutputItemDone: self._on_item_done,
            ConversationItemDone: self._on_item_done,
            ConversationItemRetrieved: self._on_retrieved,
            ConversationItemTruncated: self._on_truncated,
            ConversationItemDeleted: self._on_deleted,
            ResponseDone: self._on_response_done,
        }

    # --- the agent's

    def _on_delta(self, event: ResponseOutputAudioDelta, _now: float) -> Sequence[Effect]:
        # Nobody is given what comes late, or after an interrupt; what stands beside the conversation
        # has no item.
        state = self._responses.get(event.response_id)
        if state is not None and not state.silenced and event.item_id in self._history:
            clip = self._clip_of(event)
            self._size += clip.take(event.delta)
            self._make_room()
        return ()

    def _clip_of(self, event: ResponseOutputAudioDelta) -> _AudioClip:
        """Where the audio of a response that runs belongs; it stays there if it is kept no more."""
        coming = self._coming.setdefault(event.response_id, {})
        key = (event.item_id, event.content_index)
        if key not in coming:
            coming[key] = self._begin(*key)
        return coming[key]

    def _begin(self, item_id: str, index: int) -> _AudioClip:
        """A clip of its own for this part, in the format of now."""
        clips = self._clips.setdefault(item_id, {})
        known = clips.get(index)
        bytes_per_ms = self._playback.bytes_per_ms
        if known is not None:
            bytes_per_ms = known.bytes_per_ms
            self._size -= known.cut(0)
        clips[index] = _AudioClip(bytes_per_ms)
        return clips[index]

    def _on_item_done(
        self, event: ResponseOutputItemDone | ConversationItemDone, _now: float
    ) -> Sequence[Effect]:
        item = self._history.get(event.item.id or "")
        if not isinstance(item, MessageItem) or item.id is None:
            return ()
        if item.role == "user":
            return self._ask_for(item.id, item)
        return self._put(item.id)

    def _on_truncated(self, event: ConversationItemTruncated, _now: float) -> Sequence[Effect]:
        return self._put(event.item_id)

    def _on_response_done(self, event: ResponseDone, _now: float) -> Sequence[Effect]:
        """What was not completed will not be."""
        response_id = event.response.id
        items = dict.fromkeys(item_id for item_id, _ in self._coming.pop(response_id, {}))
        return [effect for item_id in items for effect in self._put(item_id)]

    def _put(self, item_id: str) -> Sequence[Effect]:
        """What has come of the item's audio, as far as it was heard, is put into it."""
        clips = [*self._clips.get(item_id, {}).items()]
        placed = [self._place(item_id, index, clip) for index, clip in clips]
        item: HistoryItem | None = self._history.get(item_id)
        if item is None or not any(placed):
            return ()
        return (ev.HistoryUpdated(item=item, read=self._history.snapshot),)

    def _place(self, item_id: str, index: int, clip: _AudioClip) -> bool:
        """Returns whether the part has other audio now than it had."""
        part = self._part(item_id, index)
        if isinstance(part, OutputAudio) and part.heard_ms is not None:
            self._size -= clip.cut(max(part.heard_ms, 0) * clip.bytes_per_ms)
        if isinstance(part, InputAudio | OutputAudio) and part.audio == clip.whole():
            return False
        if self._history.put_audio(item_id, index, clip.whole()):
            return True
        self._size -= self._clips[item_id].pop(index).cut(0)  # there is no place for it
        return False

    def _part(self, item_id: str, index: int) -> object:
        item = self._history.get(item_id)
        if not isinstance(item, MessageItem) or not 0 <= index < len(item.content):
            return None
        return item.content[index]

    # --- the user's

    def _ask_for(self, item_id: str, item: MessageItem) -> Sequence[Effect]:
        has_none = any(isinstance(part, InputAudio) and part.audio is None for part in item.content)
        if not has_none or item_id in self._asked:
            return ()
        self._asked[item_id] = self._token("retrieve")
        return (ConversationItemRetrieve(event_id=self._asked[item_id], item_id=item_id),)

    def refused(self, event_id: str | None) -> bool:
        """The service refuses what has this event id. Returns whether that was asked for here.

        Then nobody else need hear of it: the item stays without its audio.
        """
        for item_id, asked in self._asked.items():
            if asked == event_id:
                del self._asked[item_id]
                return True
        return False

    def _on_retrieved(self, event: ConversationItemRetrieved, _now: float) -> Sequence[Effect]:
        item = self._history.get(event.item.id or "")
        self._asked.pop(event.item.id or "", None)
        if isinstance(item, MessageItem) and item.id is not None:
            for index, part in enumerate(item.content):
                if isinstance(part, InputAudio | OutputAudio) and part.audio is not None:
                    self._count(item.id, index, part.audio)
            self._make_room()
        return ()

    def _count(self, item_id: str, index: int, audio: bytes) -> None:
        """This part has audio that did not come in deltas."""
        known = self._clips.get(item_id, {}).get(index)
        if known is None or not self._is_coming(known):  # in the end, what comes takes its place
            clip = self._begin(item_id, index)
            self._size += clip.take(audio)

    def _is_coming(self, clip: _AudioClip) -> bool:
        return any(clip is other for clips in self._coming.values() for other in clips.values())

    # --- the limit

    def _on_deleted(self, event: ConversationItemDeleted, _now: float) -> Sequence[Effect]:
        self._drop(event.item_id)
        return ()

    def _make_room(self) -> None:
        while self._size > self._max:
            self._drop(next(iter(self._clips)))

    def _drop(self, item_id: str) -> None:
        for index, clip in self._clips.pop(item_id, {}).items():
            self._size -= clip.cut(0)
            self._history.put_audio(item_id, index, None)
