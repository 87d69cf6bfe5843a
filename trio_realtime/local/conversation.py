"""The conversation: items in order, with audio and images that events leave out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

import attrs
import msgspec
import pybase64

from . import errors
from .audio import FORMATS, AudioFormat
from .responders import TurnItem
from .types import Json

__all__ = ["Conversation", "Item"]

#: Audio that a conversation retains, in bytes. Older audio is discarded; its duration remains.
MAX_AUDIO_BYTES: Final = 16 * 1024 * 1024
#: Texts and images of a conversation, in bytes. A full conversation accepts no more items.
MAX_CONTENT_BYTES: Final = 16 * 1024 * 1024
#: Estimate of what an item without content takes, in bytes.
_ITEM_BYTES: Final = 2048


@attrs.define(eq=False)
class Item:
    """An item of the conversation.

    Args:
        data: the item as in events, without audio and images.
        audio_format: format of the audio.
        audio: audio bytes by content index.
        images: image URLs by content index.
        transcribed_text: words of the user's committed audio, empty if they are unknown; None for
            other items, and until the audio is transcribed.
        awaits_transcript: whether the audio is being transcribed.
        truncated_ms: duration of the audio after ``conversation.item.truncate``; None before.
        discarded: number of bytes at the start of the audio that were discarded, by content index.
    """

    data: Json
    audio_format: AudioFormat = FORMATS["audio/pcm"]
    audio: dict[int, bytearray] = attrs.field(factory=dict[int, bytearray])
    images: dict[int, str] = attrs.field(factory=dict[int, str])
    transcribed_text: str | None = None
    awaits_transcript: bool = False
    truncated_ms: int | None = None
    discarded: dict[int, int] = attrs.field(factory=dict[int, int])

    @property
    def id(self) -> str:
        """Id of the item."""
        return str(self.data["id"])

    @property
    def is_model_audio(self) -> bool:
        """Whether the item is speech of the model."""
        return self.data.get("role") == "assistant" and bool(self.audio)

    @property
    def audio_ms(self) -> float:
        """Duration of the audio of all content parts, in milliseconds."""
        size = self.audio_bytes + sum(self.discarded.values())
        return self.audio_format.duration_ms(size)

    @property
    def audio_bytes(self) -> int:
        """Size of the audio that was not discarded."""
        return sum(map(len, self.audio.values()))

    @property
    def content_bytes(self) -> int:
        """Size of everything except the audio."""
        images = sum(map(len, self.images.values()))
        return _ITEM_BYTES + len(msgspec.json.encode(self.data)) + images

    def view(self) -> Json:
        """Return a copy for an event, so that later changes do not affect emitted events."""
        return copy.deepcopy(self.data)

    def full_view(self) -> Json:
        """Return a copy with audio and images, for ``conversation.item.retrieved``."""
        view = self.view()
        # Speech that is still being generated has no content part yet.
        for index, data in self.audio.items():
            if index < len(view["content"]) and not self.discarded.get(index):
                view["content"][index]["audio"] = pybase64.b64encode(bytes(data)).decode()
        for index, url in self.images.items():
            view["content"][index]["image_url"] = url
        return view

    def append_audio(self, data: bytes) -> None:
        """Append speech of the model, unless the client has truncated the item."""
        if self.truncated_ms is None:
            self.audio.setdefault(0, bytearray()).extend(data)

    def truncate(self, end_ms: int) -> None:
        """Truncate the audio to ``end_ms``, and discard the transcript, which no longer matches.

        Raises:
            ProtocolError: the audio is shorter.
        """
        if end_ms > self.audio_ms:
            raise errors.audio_already_shorter(int(self.audio_ms), end_ms)
        self.truncated_ms = end_ms
        end = self.audio_format.size(end_ms)
        discarded = min(self.discarded.get(0, 0), end)
        self.discarded[0] = discarded
        del self.audio[0][end - discarded :]
        for part in self.data["content"]:
            part.pop("transcript", None)

    def discard_audio(self) -> None:
        """Discard the bytes of the audio. Its duration remains."""
        for index, data in self.audio.items():
            self.discarded[index] = self.discarded.get(index, 0) + len(data)
            self.audio[index] = bytearray()

    def turn_item(self) -> TurnItem:
        """Return the item as a responder sees it."""
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
        if self.transcribed_text is not None:
            return self.transcribed_text
        text = " ".join(filter(None, map(_part_text, self.data.get("content", []))))
        return text or self.data.get("reason") or ""

    def _output(self) -> str:
        if self._outcome() == "failed":
            return str(self.data["error"]["message"])
        return self.data.get("output") or ""

    def _outcome(self) -> Literal["completed", "failed"] | None:
        """Outcome of a hosted MCP call; None while it runs, and for other items."""
        if self.data["type"] != "mcp_call":
            return None
        if self.data["error"] is not None:
            return "failed"
        return None if self.data["output"] is None else "completed"


def _part_text(part: Json) -> str:
    return part.get("text") or part.get("transcript") or ""


def new_item(given: Json, audio_format: AudioFormat, new_id: Callable[[], str]) -> Item:
    """Create an item from the validated ``item`` of a client event.

    Audio and images are stored separately. Messages and calls are completed at once.

    Args:
        given: the validated ``item``.
        audio_format: format of its audio.
        new_id: called for an id if ``given`` has none.
    """
    parts: list[Json] = given.get("content", [])
    item = Item({}, audio_format)
    visible = [_visible_part(item, index, part) for index, part in enumerate(parts)]
    members = {
        key: value for key, value in given.items() if key not in _HEAD_KEYS and value is not None
    }
    head: Json = {"id": given.get("id") or new_id(), "type": given["type"]}
    if given["type"] in ("message", "function_call"):
        head["status"] = "completed"
    item.data = head | members
    if "content" in given:
        item.data["content"] = visible
    return item


_HEAD_KEYS = ("id", "object", "type", "status")


def _visible_part(item: Item, index: int, part: Json) -> Json:
    if part["type"] == "input_audio":
        item.audio[index] = bytearray(part["audio"])
        return {"type": "input_audio", "transcript": part.get("transcript")}
    if part["type"] == "input_image":
        item.images[index] = part["image_url"]
    return {key: value for key, value in part.items() if key != "image_url" and value is not None}


class Conversation:
    """The items of the conversation in order. Their ids are unique.

    Its memory is bounded: it discards the audio of the oldest items, and says when it
    :attr:`is_full`.
    """

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._audio_bytes = 0
        self._content_bytes = 0
        self._sizes: dict[str, int] = {}

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def last_id(self) -> str | None:
        """Id of the last item; None if there are no items."""
        return self._items[-1].id if self._items else None

    @property
    def is_full(self) -> bool:
        """Whether texts and images take so much memory that no more items may be added."""
        return self._content_bytes >= MAX_CONTENT_BYTES

    @property
    def has_model_audio(self) -> bool:
        """Whether the model has spoken. The voice cannot change after that."""
        return any(item.is_model_audio for item in self._items)

    def find(self, item_id: Any) -> Item | None:
        """Return the item with this id, or None."""
        return next((item for item in self._items if item.id == item_id), None)

    def has_call(self, call_id: str) -> bool:
        """Return whether the conversation has a function call with this id."""
        return any(
            item.data["type"] == "function_call" and item.data.get("call_id") == call_id
            for item in self._items
        )

    def index_after(self, previous_id: str | None) -> int:
        """Return the index of a new item with this ``previous_item_id``.

        Raises:
            ProtocolError: there is no such item.
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
        """Insert the item. Return the id of its predecessor."""
        self._items.insert(index, item)
        self.measure(item)
        self._add_audio_bytes(item.audio_bytes)
        return self._items[index - 1].id if index else None

    def append(self, item: Item) -> str | None:
        """Append the item. Return the id of its predecessor."""
        return self.insert(len(self._items), item)

    def remove(self, item: Item) -> None:
        """Remove the item."""
        self._items.remove(item)
        self._content_bytes -= self._sizes.pop(item.id)
        self._audio_bytes -= item.audio_bytes

    def measure(self, item: Item) -> None:
        """Account for the content of an item that was added or has changed."""
        size = item.content_bytes
        self._content_bytes += size - self._sizes.get(item.id, 0)
        self._sizes[item.id] = size

    def append_audio(self, item: Item, data: bytes) -> None:
        """Append speech of the model to an item of the conversation."""
        before = item.audio_bytes
        item.append_audio(data)
        self._add_audio_bytes(item.audio_bytes - before)

    def truncate(self, item: Item, end_ms: int) -> None:
        """Truncate the audio of an item.

        Raises:
            ProtocolError: the audio is shorter.
        """
        before = item.audio_bytes
        item.truncate(end_ms)
        self._audio_bytes += item.audio_bytes - before

    def _add_audio_bytes(self, size: int) -> None:
        self._audio_bytes += size
        for item in self._items:
            if self._audio_bytes <= MAX_AUDIO_BYTES:
                return
            self._audio_bytes -= item.audio_bytes
            item.discard_audio()

    def done_predecessor_id(self, item: Item) -> str | None:
        """Return the ``previous_item_id`` of ``conversation.item.done`` for a model's item.

        The live service sends null there if the predecessor is the first item, although
        ``conversation.item.added`` names it.
        """
        index = self._items.index(item)
        return self._items[index - 1].id if index > 1 else None
