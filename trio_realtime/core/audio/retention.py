"""Retain the audio of items in the history, up to a number of bytes.

The agent's audio is collected from its deltas, and cut where its item was truncated. It counts
towards the limit as soon as it arrives. It appears in the history when its item is complete or
truncated, or when its response has ended. The user's audio is requested from the service when its
item is complete: that is what the model heard, after noise reduction and without silence. The
library makes this request itself, so its rejection is not reported.

Above the limit, the audio of the oldest items is dropped. A single item above the limit has no audio.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from trio_realtime import events as ev
from trio_realtime.core.effects import Effect
from trio_realtime.core.history.items import MAX_PARTS, History
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

_G711: Final = 8
"""Bytes per millisecond of G.711, which has samples of one byte."""

MAX_REQUESTED: Final = 256
"""The number of requests for audio that are remembered although the service does not answer."""


class _AudioClip:
    """The audio of one part, in the pieces in which it arrived, up to a limit.

    The limit is what was heard, for audio that was cut, and 0 for audio that was dropped.
    """

    __slots__ = ("_limit", "_pieces", "bytes_per_ms", "size")

    def __init__(self, bytes_per_ms: float) -> None:
        self.bytes_per_ms = bytes_per_ms
        self.size = 0
        self._limit = sys.maxsize
        self._pieces: list[bytes] = []

    def append(self, piece: bytes) -> int:
        """Add audio up to the limit. Returns how many bytes were added."""
        piece = piece[: self._limit - self.size]
        if piece:
            self._pieces.append(piece)
            self.size += len(piece)
        return len(piece)

    def cut(self, limit: int) -> int:
        """Limit the clip, now and later. Returns how many bytes were dropped."""
        before, self._limit = self.size, limit
        self._pieces = [self.data()[:limit]]
        self.size = len(self._pieces[0])
        return before - self.size

    def size_of(self, ms: int) -> int:
        """Return the number of bytes of this many milliseconds, in whole samples."""
        size = int(max(ms, 0) * self.bytes_per_ms)
        return size if self.bytes_per_ms == _G711 else size - size % 2

    def data(self) -> bytes:
        """Return the audio."""
        if len(self._pieces) != 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]


class RetainedAudio:
    """The audio of the history's items. Its handlers run after those of the history.

    Args:
        history: gets the audio.
        responses: know whose audio is still delivered.
        playback: knows the format of the agent's audio.
        token: makes event ids.
        max_bytes: the limit for all audio together; 0 to retain none.

    Attributes:
        enabled: whether any audio is retained.
    """

    def __init__(
        self,
        history: History,
        responses: RunningResponses,
        playback: Playback,
        token: Callable[[str], str],
        max_bytes: int,
    ) -> None:
        self.enabled: bool = max_bytes > 0
        self._history = history
        self._responses = responses
        self._playback = playback
        self._token = token
        self._max_bytes = max_bytes
        self._size = 0
        self._clips: dict[str, dict[int, _AudioClip]] = {}  # by item, in the order of arrival
        self._in_progress: dict[str, dict[ItemKey, _AudioClip]] = {}  # by response
        self._requested: dict[str, str] = {}

    # --- the agent's audio

    def on_audio_delta(self, event: ResponseOutputAudioDelta, _now: float) -> Sequence[Effect]:
        """Collect audio that is delivered and belongs to an item of the conversation."""
        response = self._responses.get(event.response_id)
        if response is None or response.audio_suppressed or event.item_id not in self._history:
            return ()
        if not 0 <= event.content_index < MAX_PARTS:
            return ()
        clip = self._clip_of(event)
        self._size += clip.append(event.delta)
        self._enforce_limit()
        return ()

    def _clip_of(self, event: ResponseOutputAudioDelta) -> _AudioClip:
        """Return the clip of a running response; kept even after its audio was dropped."""
        clips = self._in_progress.setdefault(event.response_id, {})
        key = (event.item_id, event.content_index)
        if key not in clips:
            clips[key] = self._new_clip(*key)
        return clips[key]

    def _new_clip(self, item_id: str, index: int) -> _AudioClip:
        clips = self._clips.setdefault(item_id, {})
        known = clips.get(index)
        bytes_per_ms = self._playback.bytes_per_ms
        if known is not None:
            bytes_per_ms = known.bytes_per_ms
            self._size -= known.cut(0)
        clips[index] = _AudioClip(bytes_per_ms)
        return clips[index]

    def on_output_item_done(self, event: ResponseOutputItemDone, _now: float) -> Sequence[Effect]:
        """Show the audio of a complete output item in the history."""
        return self._item_done(event.item.id)

    def on_item_done(self, event: ConversationItemDone, _now: float) -> Sequence[Effect]:
        """Show the agent's audio in the history, or request the user's."""
        return self._item_done(event.item.id)

    def _item_done(self, item_id: str | None) -> Sequence[Effect]:
        item = self._history.get(item_id or "")
        if not isinstance(item, MessageItem) or item.id is None:
            return ()
        if item.role == "user":
            return self._request(item.id, item)
        return self._write_to_history(item.id)

    def on_item_truncated(self, event: ConversationItemTruncated, _now: float) -> Sequence[Effect]:
        """Cut the audio of an item to what was heard."""
        return self._write_to_history(event.item_id)

    def on_response_done(self, event: ResponseDone, _now: float) -> Sequence[Effect]:
        """Show the audio of items that the response did not complete."""
        clips = self._in_progress.pop(event.response.id, {})
        items = dict.fromkeys(item_id for item_id, _ in clips)
        return [effect for item_id in items for effect in self._write_to_history(item_id)]

    def _write_to_history(self, item_id: str) -> Sequence[Effect]:
        clips = [*self._clips.get(item_id, {}).items()]
        written = [self._write_clip(item_id, index, clip) for index, clip in clips]
        item: HistoryItem | None = self._history.get(item_id)
        if item is None or not any(written):
            return ()
        return (ev.HistoryUpdated(item=item, read=self._history.snapshot),)

    def _write_clip(self, item_id: str, index: int, clip: _AudioClip) -> bool:
        """Write a clip to its part. Returns whether the part has other audio than before."""
        part = self._part(item_id, index)
        if isinstance(part, OutputAudio) and part.heard_ms is not None:
            self._size -= clip.cut(clip.size_of(part.heard_ms))
        if isinstance(part, InputAudio | OutputAudio) and part.audio == clip.data():
            return False
        if self._history.set_audio(item_id, index, clip.data()):
            return True
        self._size -= self._clips[item_id].pop(index).cut(0)  # there is no such part
        return False

    def _part(self, item_id: str, index: int) -> object:
        item = self._history.get(item_id)
        if not isinstance(item, MessageItem) or not 0 <= index < len(item.content):
            return None
        return item.content[index]

    # --- the user's audio

    def _request(self, item_id: str, item: MessageItem) -> Sequence[Effect]:
        has_none = any(isinstance(part, InputAudio) and part.audio is None for part in item.content)
        if not has_none or item_id in self._requested:
            return ()
        self._requested[item_id] = self._token("retrieve")
        if len(self._requested) > MAX_REQUESTED:
            del self._requested[next(iter(self._requested))]
        return (ConversationItemRetrieve(event_id=self._requested[item_id], item_id=item_id),)

    def rejected(self, event_id: str | None) -> bool:
        """Note that the service rejected this event. Returns whether it was a request for audio.

        The item then stays without its audio.
        """
        for item_id, requested in self._requested.items():
            if requested == event_id:
                del self._requested[item_id]
                return True
        return False

    def on_item_retrieved(self, event: ConversationItemRetrieved, _now: float) -> Sequence[Effect]:
        """Count audio that arrived with its item."""
        item = self._history.get(event.item.id or "")
        self._requested.pop(event.item.id or "", None)
        if isinstance(item, MessageItem) and item.id is not None:
            for index, part in enumerate(item.content):
                if isinstance(part, InputAudio | OutputAudio) and part.audio is not None:
                    self._account_for(item.id, index, part.audio)
            self._enforce_limit()
        return ()

    def _account_for(self, item_id: str, index: int, audio: bytes) -> None:
        known = self._clips.get(item_id, {}).get(index)
        if known is None or not self._is_in_progress(known):  # deltas replace it in the end
            clip = self._new_clip(item_id, index)
            self._size += clip.append(audio)

    def _is_in_progress(self, clip: _AudioClip) -> bool:
        return any(
            clip is other for clips in self._in_progress.values() for other in clips.values()
        )

    def connection_lost(self, responses: RunningResponses) -> None:
        """Forget the requests for audio that are not answered.

        Args:
            responses: the responses of the next connection.
        """
        self._responses = responses
        self._requested.clear()

    def rename_clips(self, new_ids: Mapping[str, str]) -> None:
        """Note that items have other ids on the next connection."""
        self._clips = {new_ids.get(item_id, item_id): c for item_id, c in self._clips.items()}

    # --- the limit

    def on_item_deleted(self, event: ConversationItemDeleted, _now: float) -> Sequence[Effect]:
        """Drop the audio of an item that left the conversation."""
        self._drop(event.item_id)
        return ()

    def _enforce_limit(self) -> None:
        while self._size > self._max_bytes:
            self._drop(next(iter(self._clips)))

    def _drop(self, item_id: str) -> None:
        for index, clip in self._clips.pop(item_id, {}).items():
            self._size -= clip.cut(0)
            self._history.set_audio(item_id, index, None)
