"""The conversation: items in order, each with the audio that its events never show."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Literal

import attrs
import pybase64

from . import errors
from .audio import FORMATS, AudioFormat
from .responders import TurnItem
from .transcriber import describe_audio
from .types import Json

__all__ = ["Conversation", "Item"]


@attrs.define(eq=False)
class Item:
    """One item: what everybody sees of it, and what only ``retrieve`` shows.

    Args:
        data: the item as events show it.
        form: format of its audio.
        audio: bytes of audio by content index.
        images: image URLs by content index.
        heard: what the ears understood; None when nobody can tell.
    """

    data: Json
    form: AudioFormat = FORMATS["audio/pcm"]
    audio: dict[int, bytearray] = attrs.field(factory=dict[int, bytearray])
    images: dict[int, str] = attrs.field(factory=dict[int, str])
    heard: str | None = None
    cut_ms: int | None = None

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.data["id"])

    @property
    def is_model_audio(self) -> bool:
        """Whether it is speech of the model."""
        return self.data.get("role") == "assistant" and bool(self.audio)

    @property
    def audio_ms(self) -> float:
        """Milliseconds of audio in all its parts."""
        return sum(self.form.duration_ms(len(part)) for part in self.audio.values())

    def view(self) -> Json:
        """A copy for an event: later changes do not reach frames that were put out."""
        return copy.deepcopy(self.data)

    def full_view(self) -> Json:
        """The same with audio and images."""
        view = self.view()
        # Speech that is still being generated has no content part yet.
        for index, data in self.audio.items():
            if index < len(view["content"]):
                view["content"][index]["audio"] = pybase64.b64encode(bytes(data)).decode()
        for index, url in self.images.items():
            view["content"][index]["image_url"] = url
        return view

    def hear_more(self, data: bytes) -> None:
        """Add speech of the model, unless the client has cut the item off."""
        if self.cut_ms is None:
            self.audio.setdefault(0, bytearray()).extend(data)

    def truncate(self, end_ms: int) -> None:
        """Keep the audio before ``end_ms``; the transcript no longer fits and is dropped.

        Raises:
            Refusal: there is less audio than that.
        """
        if end_ms > self.audio_ms:
            raise errors.audio_already_shorter(int(self.audio_ms), end_ms)
        self.cut_ms = end_ms
        del self.audio[0][self.form.size(end_ms) :]
        for part in self.data["content"]:
            part.pop("transcript", None)

    def turn_item(self) -> TurnItem:
        """What a brain is told of it."""
        return TurnItem(
            id=self.id,
            kind=self.data["type"],
            role=self.data.get("role"),
            text=self._text(),
            audio_ms=self.audio_ms,
            name=self.data.get("name"),
            call_id=self.data.get("call_id"),
            arguments=self.data.get("arguments", ""),
            output=self._output(),
            server_label=self.data.get("server_label"),
            outcome=self._outcome(),
            approval_request_id=self.data.get("approval_request_id"),
            approve=self.data.get("approve"),
        )

    def _text(self) -> str:
        said = " ".join(filter(None, map(_words, self.data.get("content", []))))
        return self.heard or said or self.data.get("reason") or ""

    def _output(self) -> str:
        if self._outcome() == "failed":
            return str(self.data["error"]["message"])
        return self.data.get("output") or ""

    def _outcome(self) -> Literal["completed", "failed"] | None:
        """How a hosted call ended."""
        if self.data["type"] != "mcp_call":
            return None
        if self.data["error"] is not None:
            return "failed"
        return None if self.data["output"] is None else "completed"

    @property
    def transcript(self) -> str:
        """What a transcription of it says."""
        return describe_audio(self.audio_ms) if self.heard is None else self.heard


def _words(part: Json) -> str:
    return part.get("text") or part.get("transcript") or ""


def new_item(given: Json, form: AudioFormat, new_id: Callable[[], str]) -> Item:
    """An item from a checked ``item`` of a client, shown the way the service shows it.

    Audio bytes and images are put aside; messages and calls count as completed at once.
    """
    parts: list[Json] = given.get("content", [])
    item = Item({}, form)
    shown = [_shown_part(item, index, part) for index, part in enumerate(parts)]
    kept = {key: value for key, value in given.items() if key not in _HEAD and value is not None}
    head: Json = {"id": given.get("id") or new_id(), "type": given["type"]}
    if given["type"] in ("message", "function_call"):
        head["status"] = "completed"
    item.data = head | kept
    if "content" in given:
        item.data["content"] = shown
    return item


_HEAD = ("id", "object", "type", "status")


def _shown_part(item: Item, index: int, part: Json) -> Json:
    if part["type"] == "input_audio":
        item.audio[index] = bytearray(part["audio"])
        return {"type": "input_audio", "transcript": part.get("transcript")}
    if part["type"] == "input_image":
        item.images[index] = part["image_url"]
    return {key: value for key, value in part.items() if key != "image_url" and value is not None}


class Conversation:
    """Items in order. Ids are unique; every item but the first has a predecessor."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def last_id(self) -> str | None:
        """Id of the last item."""
        return self._items[-1].id if self._items else None

    @property
    def has_model_audio(self) -> bool:
        """Whether the model has spoken: then the voice can no longer change."""
        return any(item.is_model_audio for item in self._items)

    def find(self, item_id: Any) -> Item | None:
        """The item with this id."""
        return next((item for item in self._items if item.id == item_id), None)

    def has_call(self, call_id: str) -> bool:
        """Whether a function call with this id is there."""
        return any(
            item.data["type"] == "function_call" and item.data.get("call_id") == call_id
            for item in self._items
        )

    def place(self, previous_id: str | None) -> int:
        """The index that ``previous_item_id`` of a create means.

        Raises:
            Refusal: no such item.
        """
        if not previous_id:
            return len(self._items)
        if previous_id == "root":
            return 0
        for index, item in enumerate(self._items):
            if item.id == previous_id:
                return index + 1
        raise errors.no_such_previous_item(previous_id)

    def insert(self, index: int, item: Item) -> str | None:
        """Put the item there; returns the id of its predecessor."""
        self._items.insert(index, item)
        return self._items[index - 1].id if index else None

    def append(self, item: Item) -> str | None:
        """Put the item last; returns the id of its predecessor."""
        return self.insert(len(self._items), item)

    def remove(self, item: Item) -> None:
        """Take it out; its successor's predecessor is now its own."""
        self._items.remove(item)

    def shown_predecessor(self, item: Item) -> str | None:
        """What ``conversation.item.done`` of a model's item names as its predecessor.

        The live service says null when that is the very first item, although ``added`` had it.
        """
        index = self._items.index(item)
        return self._items[index - 1].id if index > 1 else None
