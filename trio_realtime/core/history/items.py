"""The conversation's items, in the service's order.

A doubly linked list with an index by id: placing, changing and finding an item costs the same in the
first minute and in the last. Only :meth:`History.snapshot` walks the list, and only when something
changed since the last one.

Rules:

* ``conversation.item.added`` places an item after ``previous_item_id``: ``null`` is the very first
  place, an absent or unknown id the end. An item that is known keeps its place.
* ``conversation.item.done`` places only what ``added`` did not: on the live service its
  ``previous_item_id`` is sometimes ``null`` where it should not be.
* An update replaces an item, except that what was heard stays: a transcript, text or image that the
  service leaves out is kept, the sum of the deltas stands in where there is no final transcript,
  and a final one is never replaced by deltas.
* A transcript may come before its item, or before the part that it belongs to. It waits for it.
  What comes late, after the final one, changes nothing.
* That the assistant's audio was cut, and the audio itself, may come before the part, too. The part
  is made then; its words stand in deltas, or are still to come.
* An image stays where it was sent: the service may leave out its URL, or the whole part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    UNSET,
    ContentPart,
    FunctionCallItem,
    InputAudio,
    InputImage,
    InputText,
    MessageItem,
    OutputAudio,
    OutputText,
    Unset,
)

MAX_WAITING = 256
"""How much is kept of what may never come (transcripts, images) and of what has gone (ids)."""


def _forget_oldest(waiting: dict[str, Any]) -> None:
    while len(waiting) > MAX_WAITING:
        del waiting[next(iter(waiting))]


class _Node:
    """An item, its neighbours, the deltas that are not yet in it, and the parts heard to the end."""

    __slots__ = ("deltas", "following", "heard", "item", "kinds", "previous")

    def __init__(self, item: HistoryItem | None) -> None:
        self.item = item
        self.previous: _Node = self
        self.following: _Node = self
        self.deltas: dict[int, list[str]] = {}
        self.kinds: dict[int, type[OutputText | OutputAudio]] = {}
        self.heard: set[int] = set()


class History:
    """See the module. All methods are synchronous and never raise for what a server sends."""

    def __init__(self) -> None:
        self._ring = _Node(
            None
        )  # a sentinel: its following is the first item, its previous the last
        self._nodes: dict[str, _Node] = {}
        self._waiting: dict[str, dict[int, _PendingTranscript]] = {}
        self._sent: dict[str, MessageItem] = {}
        self._deleted: dict[str, None] = {}
        self._snapshot: tuple[HistoryItem, ...] | None = ()

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._nodes

    def was_deleted(self, item_id: str) -> bool:
        """Whether an item of this id has left the conversation."""
        return item_id in self._deleted

    def get(self, item_id: str) -> HistoryItem | None:
        """The item with this id, with what has come of it so far."""
        node = self._nodes.get(item_id)
        return None if node is None else _current(node)

    def snapshot(self) -> tuple[HistoryItem, ...]:
        """All items in order. The same tuple as before if nothing has changed since."""
        if self._snapshot is None:
            self._snapshot = tuple(_current(node) for node in self._walk())
        return self._snapshot

    def _walk(self) -> Iterable[_Node]:
        node = self._ring.following
        while node is not self._ring:
            yield node
            node = node.following

    # --- items

    def remember_sent(self, item_id: str, item: MessageItem) -> None:
        """Keep what the service will not echo (images) for the item with this id of ours."""
        self._sent[item_id] = item
        _forget_oldest(self._sent)

    def remember_images(self, item: MessageItem, new_id: Callable[[], str]) -> MessageItem:
        """The item as it is to be sent: one with images has an id of ours, and is remembered."""
        if not any(isinstance(part, InputImage) for part in item.content):
            return item
        item_id = item.id or new_id()
        item = attrs.evolve(item, id=item_id)
        self.remember_sent(item_id, item)
        return item

    def add(self, item: HistoryItem, previous_item_id: str | Unset | None = UNSET) -> bool:
        """Place or update an item. Returns whether it is new; one without an id is not kept."""
        if not item.id:
            return False
        node = self._nodes.get(item.id)
        if node is not None:
            self._replace(node, item)
            return False
        self._deleted.pop(item.id, None)
        node = _Node(self._with_what_was_sent(item.id, item))
        self._link(node, self._place(previous_item_id))
        self._nodes[item.id] = node
        self._put_heard(node, item.id)
        return True

    def finish(self, item: HistoryItem, previous_item_id: str | Unset | None = UNSET) -> bool:
        """Take a final version. Returns whether the item is new (its ``added`` was missed)."""
        if item.id in self._deleted:
            return False  # told too late
        if previous_item_id is None:
            previous_item_id = UNSET
        return self.add(item, previous_item_id)

    def update(self, item: HistoryItem) -> bool:
        """Take another version of an item that is known. Returns whether it is."""
        node = self._nodes.get(item.id or "")
        if node is None:
            return False
        self._replace(node, item)
        return True

    def cut(self, item_id: str, index: int, heard_ms: int) -> HistoryItem | None:
        """The assistant's audio was cut. Returns the item, ``None`` if there is no such audio."""
        node = self._nodes.get(item_id)
        part = None if node is None else _audio_part(node, index)
        if node is None or not isinstance(part, OutputAudio):
            return None
        self._put_part(node, index, attrs.evolve(part, heard_ms=heard_ms))
        return _current(node)

    def put_audio(self, item_id: str, index: int, audio: bytes | None) -> bool:
        """Let a part of a message have this audio; ``None``: have it no more.

        Returns whether there is such a part.
        """
        node = self._nodes.get(item_id)
        part = None if node is None else _audio_part(node, index)
        if node is None or part is None:
            return False
        if part.audio is not audio:
            self._put_part(node, index, attrs.evolve(part, audio=audio))
        return True

    def _put_part(self, node: _Node, index: int, part: OutputAudio | InputAudio) -> None:
        item = node.item
        assert isinstance(item, MessageItem)
        # Parts before it that stand in deltas only are made without their words: more may come.
        between = [_part_from_deltas(node.kinds[n], "") for n in range(len(item.content), index)]
        content = (*item.content[:index], *between, part, *item.content[index + 1 :])
        node.item = attrs.evolve(item, content=content)
        self._snapshot = None

    def delete(self, item_id: str) -> bool:
        """Drop an item. Returns whether it was known."""
        node = self._nodes.pop(item_id, None)
        if node is None:
            return False
        self._deleted[item_id] = None
        _forget_oldest(self._deleted)
        node.previous.following = node.following
        node.following.previous = node.previous
        self._snapshot = None
        return True

    def _place(self, previous_item_id: str | Unset | None) -> _Node:
        if previous_item_id is None:
            return self._ring
        if isinstance(previous_item_id, Unset):
            return self._ring.previous
        return self._nodes.get(previous_item_id, self._ring.previous)

    def _link(self, node: _Node, after: _Node) -> None:
        node.previous, node.following = after, after.following
        after.following.previous = node
        after.following = node
        self._snapshot = None

    def _replace(self, node: _Node, item: HistoryItem) -> None:
        assert node.item is not None
        if _is_final(item):
            node.item = _merge(_current(node), item)
            node.deltas.clear()
        else:
            node.item = _merge(node.item, item)
        self._put_heard(node, item.id or "")
        self._snapshot = None

    def _with_what_was_sent(self, item_id: str, item: HistoryItem) -> HistoryItem:
        sent = self._sent.pop(item_id, None)
        return item if sent is None else _merge(sent, item)

    def _put_heard(self, node: _Node, item_id: str) -> bool:
        """Put the transcripts that wait into their parts. Returns whether there were any."""
        found = False
        for index, heard in [*self._waiting.get(item_id, {}).items()]:
            assert node.item is not None
            item = _with_transcript(node.item, index, heard.text)
            if item is None:
                continue
            node.item = item
            found = True
            if heard.final:
                node.heard.add(index)
                self.forget_heard(item_id, index)
        return found

    # --- deltas and transcripts

    def open_part(self, item_id: str, index: int, kind: type[OutputText | OutputAudio]) -> None:
        """The assistant's message got a part of this kind."""
        node = self._nodes.get(item_id)
        if node is not None:
            node.kinds[index] = kind

    def append_text(
        self, item_id: str, index: int, delta: str, kind: type[OutputText | OutputAudio]
    ) -> None:
        """More text or transcript of the assistant's message."""
        node = self._nodes.get(item_id)
        if node is None:
            return
        node.kinds[index] = kind
        node.deltas.setdefault(index, []).append(delta)
        self._snapshot = None

    def append_arguments(self, item_id: str, delta: str) -> None:
        """More of the arguments of a function call."""
        node = self._nodes.get(item_id)
        if node is not None and node.item is not None and not _is_final(node.item):
            node.deltas.setdefault(0, []).append(delta)
            self._snapshot = None

    def hear(self, item_id: str, index: int, text: str, *, final: bool) -> HistoryItem | None:
        """More of the user's transcript, or all of it. Returns the item, ``None`` if still to come."""
        node = self._nodes.get(item_id)
        if node is not None and index in node.heard and not final:
            return None  # late: it is in the final transcript
        heard = self._waiting.setdefault(item_id, {}).setdefault(index, _PendingTranscript())
        heard.take(text, final=final)
        _forget_oldest(self._waiting)
        if node is None or not self._put_heard(node, item_id):
            return None
        self._snapshot = None
        return node.item

    def forget_heard(self, item_id: str, index: int) -> None:
        """Nothing more will be heard of this part."""
        parts = self._waiting.get(item_id, {})
        parts.pop(index, None)
        if not parts:
            self._waiting.pop(item_id, None)


class _PendingTranscript:
    """What was heard of one part so far."""

    __slots__ = ("_pieces", "final")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.final = False

    def take(self, text: str, *, final: bool) -> None:
        if final:
            self._pieces, self.final = [text], True
        elif not self.final:
            self._pieces.append(text)

    @property
    def text(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""


# --- merging, as pure functions ----------------------------------------------------------------


def _current(node: _Node) -> HistoryItem:
    """The item with its open deltas in it."""
    item = node.item
    assert item is not None
    if not node.deltas:
        return item
    if isinstance(item, FunctionCallItem):
        return attrs.evolve(item, arguments=item.arguments + "".join(node.deltas.get(0, ())))
    if not isinstance(item, MessageItem):
        return item
    content = list(item.content)
    for index, pieces in sorted(node.deltas.items()):
        if len(pieces) > 1:
            pieces[:] = ["".join(pieces)]
        part = _part_from_deltas(node.kinds.get(index, OutputText), pieces[0])
        if 0 <= index < len(content):
            content[index] = _keep_known(part, content[index])
        else:
            content.append(part)
    return attrs.evolve(item, content=tuple(content))


def _audio_part(node: _Node, index: int) -> OutputAudio | InputAudio | None:
    """The audio that the service speaks of, without what stands in deltas.

    Of the assistant's it may speak before there is the part, or any words of it.
    """
    item = node.item
    if not isinstance(item, MessageItem) or index < 0:
        return None
    if index < len(item.content):
        part = item.content[index]
        return part if isinstance(part, OutputAudio | InputAudio) else None
    is_next = all(number in node.kinds for number in range(len(item.content), index))
    if item.role != "assistant" or not is_next or node.kinds.get(index) is OutputText:
        return None
    return OutputAudio()


def _part_from_deltas(kind: type[OutputText | OutputAudio], text: str) -> ContentPart:
    return OutputText(text=text) if kind is OutputText else OutputAudio(transcript=text)


def _is_final(item: HistoryItem) -> bool:
    if isinstance(item, FunctionCallItem) and item.arguments:
        return True
    return item_status(item) in ("completed", "incomplete")


def item_status(item: HistoryItem) -> str | None:
    """An item's status, ``None`` for the kinds that have none."""
    return getattr(item, "status", None)


def _merge(known: HistoryItem, incoming: HistoryItem) -> HistoryItem:
    if not isinstance(known, MessageItem) or not isinstance(incoming, MessageItem):
        return _merge_call(known, incoming)
    if known.role != incoming.role:
        return incoming
    parts = [
        _keep_known(known.content[index], part) if index < len(known.content) else part
        for index, part in enumerate(_with_images(known, incoming))
    ]
    parts.extend(known.content[len(parts) :])
    return attrs.evolve(incoming, content=tuple(parts))


def _with_images(known: MessageItem, incoming: MessageItem) -> list[ContentPart]:
    """The incoming parts, with the known images put back if there are none among them."""
    parts = list(incoming.content)
    if not any(isinstance(part, InputImage) for part in parts):
        for index, part in enumerate(known.content):
            if isinstance(part, InputImage):
                parts.insert(index, part)
    return parts


def _merge_call(known: HistoryItem, incoming: HistoryItem) -> HistoryItem:
    if isinstance(known, FunctionCallItem) and isinstance(incoming, FunctionCallItem):
        return attrs.evolve(
            incoming,
            arguments=incoming.arguments or known.arguments,
            name=incoming.name or known.name,
            call_id=incoming.call_id or known.call_id,
        )
    return incoming


def _keep_known(known: ContentPart, incoming: ContentPart) -> ContentPart:
    """The incoming part, with what it lacks taken from the known one."""
    match known, incoming:
        case OutputAudio(), OutputAudio():
            return _fill_audio(known, incoming)
        case InputAudio(), InputAudio():
            return _fill_audio(known, incoming)
        case (OutputText(text=text), OutputText(text="")) if text:
            return known
        case (InputText(text=text), InputText(text="")) if text:
            return known
        case InputImage(), InputImage(image_url=None):
            return attrs.evolve(incoming, image_url=known.image_url)
        case _:
            return incoming


def _fill_audio(
    known: OutputAudio | InputAudio, incoming: OutputAudio | InputAudio
) -> OutputAudio | InputAudio:
    kept: dict[str, Any] = {
        "transcript": incoming.transcript or known.transcript,
        "audio": incoming.audio if incoming.audio is not None else known.audio,
    }
    if isinstance(incoming, OutputAudio) and isinstance(known, OutputAudio):
        kept["heard_ms"] = incoming.heard_ms if incoming.heard_ms is not None else known.heard_ms
    return attrs.evolve(incoming, **kept)


def _with_transcript(item: HistoryItem, index: int, transcript: str) -> HistoryItem | None:
    if not isinstance(item, MessageItem) or not 0 <= index < len(item.content):
        return None
    part = item.content[index]
    if not isinstance(part, InputAudio):
        return None
    content = list(item.content)
    content[index] = attrs.evolve(part, transcript=transcript)
    return attrs.evolve(item, content=tuple(content))
