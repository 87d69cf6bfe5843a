"""The items of a session as rows: their order, their text, and what was heard of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, Final, final

import attrs

from trio_realtime.server.rpc import RpcEvent

from .row_builders import id_of, mapping_of, sequence_of, upsert
from .rows import Row, as_float, as_int, as_text

__all__ = ["ItemRows", "heard_text", "is_in_progress", "item_of", "item_text", "without_media"]

_STEP: Final = 1 / 1024
_REMEMBERED: Final = 8
_ROOT: Final = "root"  # the protocol's name for the place before the first item


def item_text(item: Mapping[str, Any]) -> str | None:
    """Return the texts and transcripts of a message; ``None`` if it has none, or is no message."""
    if item.get("type") != "message":
        return None
    parts = sequence_of(item, "content")
    texts = [as_text(part.get("text")) or as_text(part.get("transcript")) for part in parts]
    return "".join(text for text in texts if text) or None


def is_in_progress(item: Mapping[str, Any]) -> bool:
    """Return whether the item still grows."""
    return item.get("status") == "in_progress"


def heard_text(text: str, played_ms: float, total_ms: float) -> str | None:
    """Estimate which whole words of a transcript were heard.

    Speech is assumed to have a constant speed, because no service says when each word is spoken.

    Args:
        text: the transcript.
        played_ms: milliseconds of the audio that were heard.
        total_ms: milliseconds of audio that belong to the transcript.

    Returns:
        The beginning of the text; ``None`` if nothing is known about its length.
    """
    if played_ms <= 0:
        return ""
    if total_ms <= 0:
        return None
    if played_ms >= total_ms:
        return text
    end = int(len(text) * played_ms / total_ms)
    if not text[end : end + 1].isspace():
        # Only a part of this word was heard.
        while end > 0 and not text[end - 1].isspace():
            end -= 1
    return text[:end].rstrip()


def without_media(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an item without the bytes of its audio and its images."""
    content = item.get("content")
    if not isinstance(content, list | tuple):
        return item
    parts = [_part_without_media(part) for part in content]  # pyright: ignore[reportUnknownVariableType]
    return {**item, "content": parts}


def _part_without_media(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    remaining: dict[str, Any] = {}
    for name, value in part.items():  # pyright: ignore[reportUnknownVariableType]
        if name == "audio" or (isinstance(value, str) and value.startswith("data:")):
            continue
        remaining[name] = value
    return remaining


@attrs.define(kw_only=True)
class _Spoken:
    """What is known about the audio of one of the latest items of the agent."""

    audio_ms: float = 0.0
    text: str = ""


@final
class ItemRows:
    """Makes the rows of ``items``. Methods return the rows that an event changes.

    Args:
        earlier: the ids of items of earlier runs that the model is given again, as far as they were heard. Their
            rows stay as they are.
    """

    def __init__(self, earlier: Iterable[str] = ()) -> None:
        self.agent: str | None = None
        self._earlier = frozenset(earlier)
        self._order: list[str] = []  # ids, sorted by their place
        self._places: dict[str, float] = {}
        self._linked: set[str] = set()  # items whose response is stored
        self._interrupted: dict[str, int] = {}
        self._spoken: dict[str, _Spoken] = {}

    # --- the order -----------------------------------------------------------------------------

    def _place(self, item_id: str, previous: str | None, seq: int) -> list[str]:
        """Give a new item its place. Return the items whose place changed."""
        index = self._index_after(previous)
        before = self._places[self._order[index - 1]] if index else None
        if index == len(self._order):
            # The numbers of events increase from run to run, so the items of a later run come later.
            place = max(float(seq), -float("inf") if before is None else before + _STEP)
            changed = [item_id]
        else:
            after = self._places[self._order[index]]
            changed = [item_id]
            place = after - 1.0 if before is None else (before + after) / 2
            if before is not None and not before < place < after:
                # There is no number between them.
                place = before + _STEP
                self._move(self._order[index:], place)
                changed += self._order[index:]
        self._order.insert(index, item_id)
        self._places[item_id] = place
        return changed

    def _move(self, item_ids: list[str], before: float) -> None:
        """Give items that follow one another later places, with space between them."""
        for item_id in item_ids:
            before = max(self._places[item_id] + _STEP, before + _STEP)
            self._places[item_id] = before

    def _index_after(self, previous: str | None) -> int:
        if previous == _ROOT:
            return 0
        if previous is None or previous not in self._places:
            return len(self._order)
        place = self._places[previous]
        index = bisect_left(self._order, place, key=self._places.__getitem__)
        return self._order.index(previous, index) + 1

    # --- items ---------------------------------------------------------------------------------

    def changed(self, event: RpcEvent, item: Mapping[str, Any]) -> list[Row]:
        """Return the rows of an item that was added or has changed."""
        item_id = id_of(item, "id")
        if item_id is None:
            return []
        moved: list[str] = []
        if item_id not in self._places:
            moved = self._place(item_id, id_of(event.data, "previous_item_id"), event.seq)
        moves = [
            upsert("items", self._key(event, other), {"ord": self._places[other]})
            for other in moved[1:]
            if other not in self._earlier
        ]
        if item_id in self._earlier:
            return moves
        role = as_text(item.get("role"))
        text = item_text(item)
        heard_ms = [as_int(part.get("heard_ms")) for part in sequence_of(item, "content")]
        for value in heard_ms:
            if value is not None:
                self._interrupted[item_id] = value
        values = {
            "ord": self._places[item_id],
            "role": role,
            "kind": as_text(item.get("type")),
            "status": as_text(item.get("status")),
            "text": text,
            **self._heard(item_id, text if role == "assistant" else None),
        }
        initial = {"created_at": event.time, "agent": self.agent if role == "assistant" else None}
        return [upsert("items", self._key(event, item_id), values, initial), *moves]

    def deleted(self, event: RpcEvent, item_id: str) -> list[Row]:
        """Return the rows of an item that was deleted."""
        if item_id in self._places:
            del self._places[item_id]
            self._order.remove(item_id)
        self._spoken.pop(item_id, None)
        self._interrupted.pop(item_id, None)
        return [self._row(event, item_id, {"deleted": True})]

    def of_response(self, event: RpcEvent) -> list[Row]:
        """Return the row that links an item to its response, once."""
        item_id, response_id = id_of(event.data, "item_id"), id_of(event.data, "response_id")
        if item_id is None or response_id is None or item_id in self._linked:
            return []
        self._linked.add(item_id)
        return [self._row(event, item_id, {"response_id": response_id})]

    def spoken_by_user(self, event: RpcEvent) -> list[Row]:
        """Return the row of speech that began or stopped."""
        item_id = id_of(event.data, "item_id")
        if item_id is None:
            return []
        values = {name: as_int(event.data.get(name)) for name in ("audio_start_ms", "audio_end_ms")}
        return [self._row(event, item_id, values, {"role": "user"})]

    def transcribed(self, event: RpcEvent) -> list[Row]:
        """Return the row of a transcript. A later change of the item has its complete text."""
        item_id = id_of(event.data, "item_id")
        if item_id is None:
            return []
        return [self._row(event, item_id, {}, {"text": as_text(event.data.get("transcript"))})]

    # --- audio of the agent --------------------------------------------------------------------

    def audio(self, event: RpcEvent) -> None:
        """Count the audio of an item."""
        item_id = id_of(event.data, "item_id")
        if item_id is not None:
            self._spoken_item(item_id).audio_ms += as_float(event.data.get("delta_ms")) or 0.0

    def interrupted(self, event: RpcEvent) -> list[Row]:
        """Return the row of an item that was interrupted."""
        item_id, played_ms = id_of(event.data, "item_id"), as_int(event.data.get("played_ms"))
        if item_id is None or played_ms is None:
            return []
        self._interrupted[item_id] = played_ms
        return [self._row(event, item_id, self._heard(item_id, None))]

    def _heard(self, item_id: str, text: str | None) -> dict[str, Any]:
        """Return what was heard of an item, and remember its text."""
        if text is not None:
            self._spoken_item(item_id).text = text
        played_ms = self._interrupted.get(item_id)
        if played_ms is None:
            return {}
        spoken = self._spoken.get(item_id)
        heard = None if spoken is None else heard_text(spoken.text, played_ms, spoken.audio_ms)
        return {"interrupted_at_ms": played_ms, "heard_text": heard}

    def _spoken_item(self, item_id: str) -> _Spoken:
        spoken = self._spoken.get(item_id)
        if spoken is None:
            spoken = self._spoken[item_id] = _Spoken()
            if len(self._spoken) > _REMEMBERED:
                del self._spoken[next(iter(self._spoken))]
        return spoken

    # --- rows ----------------------------------------------------------------------------------

    def _key(self, event: RpcEvent, item_id: str) -> dict[str, Any]:
        return {"session_id": event.session_id, "item_id": item_id}

    def _row(
        self,
        event: RpcEvent,
        item_id: str,
        values: Mapping[str, Any],
        initial: Mapping[str, Any] | None = None,
    ) -> Row:
        first = {"ord": self._places.get(item_id, float(event.seq)), **(initial or {})}
        return upsert("items", self._key(event, item_id), values, first)


def item_of(event: RpcEvent) -> Mapping[str, Any]:
    """Return the item of an event; an empty object if it has none."""
    return mapping_of(event.data, "item")
