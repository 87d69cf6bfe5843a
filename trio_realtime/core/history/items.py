"""The conversation's items, in the service's order.

An index by id, and the order in chunks (:mod:`.order`): placing, changing and finding an item, and a snapshot,
cost the same in the first minute and in the last.

* ``conversation.item.added`` places an item after ``previous_item_id``. An absent or unknown id means
  the end. ``null`` means the first place if this client asked for it (``"root"``), and otherwise the
  end: some services send ``null`` where they do not name a place. A known item keeps its place.
* ``conversation.item.done`` places an item only if ``added`` did not: on the live service its
  ``previous_item_id`` is unreliable.
* An update replaces an item but never loses what is known: a transcript, text or image that the service
  leaves out stays, the sum of the deltas replaces a missing final transcript, and deltas never replace
  a final transcript.
* An item that the current connection does not have (a call that is still open after a connection was
  lost) stays next to the item before it. What the service places there comes after it, because that is
  where the item is created once it has to be.
* A transcript of the user may arrive before its item or before its part. It waits for the part. A delta that
  arrives after the final transcript changes nothing.
* A truncation, or the audio itself, may arrive before its part. The part is then
  created. Its text is in the deltas or has yet to arrive.
* An image stays where it was sent: the service may leave out its URL, or the whole part.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final

import attrs

from trio_realtime.core.link import Link
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    UNSET,
    ConversationItemCreate,
    FunctionCallItem,
    InputAudio,
    InputImage,
    MessageItem,
    OutputAudio,
    OutputText,
    UnknownItem,
    Unset,
)

from .growing_text import GrowingText
from .merging import (
    evolve,
    grown,
    is_final,
    item_status as item_status,
    merge,
    part_from_deltas,
    with_transcript,
)
from .nodes import (
    Node,
    PendingTranscript,
    audio_part,
    current,
    has_user_audio,
    texts_until_now,
)
from .order import ItemOrder
from .snapshots import HistorySnapshot

ROOT: Final = "root"
"""The service's name for the place before the first item."""

MAX_PENDING = 256
"""The number of pending transcripts, local copies and ids of deleted items that are remembered."""

MAX_PENDING_PARTS = 16
"""The number of pending transcripts of one item that are remembered."""

MAX_PARTS: Final = 1024
"""The number of parts that an item may have. Deltas of a part with a higher index are not in the history."""


def _forget_oldest(waiting: dict[Any, Any], limit: int = MAX_PENDING) -> None:
    while len(waiting) > limit:
        del waiting[next(iter(waiting))]


class Change(enum.Enum):
    """What an event changed in the history."""

    NONE = "none"
    ADDED = "added"
    UPDATED = "updated"


class History:
    """The items of the conversation. No method raises because of what a server sends.

    Args:
        link: the connection on which items are reported now.
    """

    def __init__(self, link: Link | None = None) -> None:
        self._link = Link() if link is None else link
        self._order = ItemOrder()
        self._nodes: dict[str, Node] = {}
        self._pending: dict[str, dict[int, PendingTranscript]] = {}
        self._local_copies: dict[str, MessageItem] = {}
        self._deleted: dict[str, None] = {}
        self._requested_first: dict[str, None] = {}
        self._replay_ids: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._nodes

    def was_deleted(self, item_id: str) -> bool:
        """Return whether an item with this id was deleted."""
        return item_id in self._deleted

    def is_known(self, item_id: str) -> bool:
        """Return whether the service has reported an item with this id, even if it was deleted."""
        return item_id in self._nodes or item_id in self._deleted

    def get(self, item_id: str) -> HistoryItem | None:
        """Return the item with this id, with everything that has arrived of it so far."""
        node = self._nodes.get(item_id)
        if node is None:
            return None
        return current(node)

    def get_later(self, item_id: str) -> HistoryItem | Callable[[], HistoryItem] | None:
        """Return the item with this id, or a function that returns it as it is now.

        The function shares the text of a growing item, which it joins when it is called.
        """
        node = self._nodes.get(item_id)
        if node is None or not node.is_growing:
            return None if node is None else node.item
        deltas, transcripts = texts_until_now(node.deltas), texts_until_now(node.transcripts)
        return partial(grown, node.item, deltas, {**node.kinds}, transcripts)

    def snapshot(self) -> HistorySnapshot:
        """Return all items in order. Returns the same object until something changes."""
        return self._order.snapshot()

    # --- items

    def note_sent(self, create: ConversationItemCreate) -> None:
        """Note an item that is sent under an id.

        Its images are remembered, because the service does not echo them, and so is a request for the
        first place, because the echo of the service is ambiguous.
        """
        item = create.item
        if not item.id:
            return
        if create.previous_item_id == ROOT:
            self._requested_first[item.id] = None
            _forget_oldest(self._requested_first)
        if isinstance(item, MessageItem) and any(isinstance(p, InputImage) for p in item.content):
            self._local_copies[item.id] = item
            _forget_oldest(self._local_copies)

    def add(self, item: HistoryItem, previous_item_id: str | Unset | None = UNSET) -> Change:
        """Place a new item, or update a known one. An item without an id is ignored."""
        if not item.id:
            return Change.NONE
        node = self._nodes.get(item.id)
        if node is not None:
            return self._replace(node, item)
        self._deleted.pop(item.id, None)
        local = self._local_copies.pop(item.id, None)
        node = Node(item if local is None else merge(local, item), self._link.number)
        before = last = self._order.last
        if isinstance(previous_item_id, str):
            before = self._nodes.get(previous_item_id, last)
        elif previous_item_id is None and item.id in self._requested_first:
            before = None
        self._requested_first.pop(item.id, None)
        if before is not last:
            before = self._last_unreported(before)
        self._order.insert(node, before)
        self._nodes[item.id] = node
        if item.id in self._pending:
            self._apply_transcripts(node, item.id)
        return Change.ADDED

    def _last_unreported(self, node: Node | None) -> Node | None:
        """Return the last of the items right after this one that the connection has not reported."""
        following = self._order.following(node)
        while following is not None and following.reported != self._link.number:
            node, following = following, self._order.following(following)
        return node

    def finish(self, item: HistoryItem, previous_item_id: str | Unset | None = UNSET) -> Change:
        """Take a final version. It places the item only if its ``added`` event was missed."""
        node = self._nodes.get(item.id or "")
        if node is not None:
            return self._replace(node, item)
        if item.id in self._deleted:
            return Change.NONE  # it arrived too late
        return self.add(item, previous_item_id)

    def truncate(self, item_id: str, index: int, heard_ms: int) -> HistoryItem | None:
        """Note how much of a part was heard. Returns the item, ``None`` if there is no such part."""
        node = self._nodes.get(item_id)
        part = None if node is None else audio_part(node, index)
        if node is None or not isinstance(part, OutputAudio):
            return None
        self._replace_part(node, index, attrs.evolve(part, heard_ms=heard_ms))
        return current(node)

    def set_audio(self, item_id: str, index: int, audio: bytes | None) -> bool:
        """Set or remove the audio of a part. Returns whether there is such a part."""
        node = self._nodes.get(item_id)
        part = None if node is None else audio_part(node, index)
        if node is None or part is None:
            return False
        if part.audio is not audio:
            self._replace_part(node, index, attrs.evolve(part, audio=audio))
        return True

    def _replace_part(self, node: Node, index: int, part: OutputAudio | InputAudio) -> None:
        item = node.item
        assert isinstance(item, MessageItem)
        # Earlier parts that exist only as deltas are created without text: more may arrive.
        between = [part_from_deltas(node.kinds[n], "") for n in range(len(item.content), index)]
        content = (*item.content[:index], *between, part, *item.content[index + 1 :])
        node.item = attrs.evolve(item, content=content)
        self._order.note_changed(node)

    def delete(self, item_id: str) -> bool:
        """Remove an item. Returns whether it was known."""
        node = self._nodes.pop(item_id, None)
        if node is None:
            return False
        self._deleted[item_id] = None
        self._replay_ids.pop(item_id, None)
        _forget_oldest(self._deleted)
        self._order.remove(node)
        return True

    def _replace(self, node: Node, item: HistoryItem) -> Change:
        known = node.item
        node.reported = self._link.number
        if node.is_replayed:
            return Change.NONE
        if item == known and not node.deltas:
            return Change.NONE
        before = current(node)
        if is_final(item):
            node.item = merge(before, item)
            node.deltas.clear()
        else:
            node.item = merge(known, item)
        if item.id in self._pending:
            self._apply_transcripts(node, item.id)
        self._order.note_changed(node)
        after = current(node)
        return Change.NONE if after == before else Change.UPDATED

    def _apply_transcripts(self, node: Node, item_id: str) -> bool:
        """Move pending transcripts into their parts. Returns whether there were any."""
        found = False
        for index, heard in [*self._pending.get(item_id, {}).items()]:
            if not has_user_audio(node, index):
                continue
            found = True
            if heard.final is None:
                node.transcripts[index] = heard.growing
            else:
                node.item = with_transcript(node.item, index, heard.final)
                node.transcripts.pop(index, None)
                node.finished_transcripts.add(index)
            self._forget_pending(item_id, index)
        return found

    # --- several connections

    def is_on_connection(self, item_id: str) -> bool:
        """Return whether the conversation of the current connection has this item."""
        node = self._nodes.get(item_id)
        return node is not None and node.connection == self._link.number

    def note_on_connection(self, item_id: str) -> None:
        """Note that this item was created on the current connection, which may not have reported it yet."""
        node = self._nodes.get(item_id)
        if node is not None:
            node.connection = self._link.number
            node.is_replayed = True

    def note_reported(self, item_id: str) -> None:
        """Note that the current connection has reported this item, which was created on it."""
        node = self._nodes.get(item_id)
        if node is not None:
            self.note_on_connection(item_id)
            node.reported = self._link.number

    def previous_on_connection(self, item_id: str) -> str:
        """Return the nearest item before this one that the current connection has, or ``"root"``."""
        node = self._order.previous(self._nodes[item_id])
        while node is not None and node.connection != self._link.number:
            node = self._order.previous(node)
        return ROOT if node is None else node.item.id or ROOT

    def find_call(self, call_id: str) -> FunctionCallItem | None:
        """Return the latest function call with this call id."""
        calls = (item for item in reversed(self.snapshot()) if isinstance(item, FunctionCallItem))
        return next((call for call in calls if call.call_id == call_id), None)

    def note_heard(self, item_id: str, index: int, fraction: float) -> None:
        """Note which fraction of a part was heard before an interruption."""
        node = self._nodes.get(item_id)
        if node is not None:
            node.heard[index] = fraction

    def heard_fraction(self, item_id: str, index: int) -> float:
        """Return which fraction of a part was heard; 1 for a part that was not cut."""
        node = self._nodes.get(item_id)
        return 1.0 if node is None else node.heard.get(index, 1.0)

    def replay_id(self, item_id: str, token: Callable[[str], str]) -> str:
        """Return the id under which an item is replayed whose own id the service does not accept.

        The item keeps its own id until a connection that knows the new one is used.
        """
        if item_id not in self._replay_ids:
            self._replay_ids[item_id] = token("item_replay")
        return self._replay_ids[item_id]

    def take_replay_ids(self, acknowledged: Collection[str]) -> dict[str, str]:
        """Give items the ids under which the connection knows them. Returns the new ids by the old ones."""
        new_ids = {old: new for old, new in self._replay_ids.items() if new in acknowledged}
        for old, new in new_ids.items():
            del self._replay_ids[old]
            node = self._nodes.pop(old, None)
            if node is not None:
                node.item = evolve(node.item, id=new)
                self._nodes[new] = node
                self._order.note_changed(node)
        return new_ids

    def end_open_items(self) -> list[HistoryItem]:
        """End the items that are in progress: nothing more of them will arrive. Returns them."""
        ended: list[HistoryItem] = []
        for node in self._nodes.values():
            if node.deltas or item_status(node.item) == "in_progress":
                item = current(node)
                if item_status(item) == "in_progress" and not isinstance(item, UnknownItem):
                    item = evolve(item, status="incomplete")
                node.item = item
                node.deltas.clear()
                self._order.note_changed(node)
                ended.append(item)
        return ended

    # --- deltas and transcripts

    def open_part(self, item_id: str, index: int, kind: type[OutputText | OutputAudio]) -> None:
        """Note the kind of a part of the assistant's message."""
        node = self._nodes.get(item_id)
        if node is not None and 0 <= index < MAX_PARTS:
            node.kinds[index] = kind

    def append_text(
        self, item_id: str, index: int, delta: str, kind: type[OutputText | OutputAudio]
    ) -> None:
        """Add text or transcript to the assistant's message."""
        node = self._nodes.get(item_id)
        if node is None or not 0 <= index < MAX_PARTS:
            return
        node.kinds[index] = kind
        node.deltas.setdefault(index, GrowingText()).append(delta)
        self._order.note_changed(node)

    def append_arguments(self, item_id: str, delta: str) -> None:
        """Add to the arguments of a function call."""
        node = self._nodes.get(item_id)
        if node is not None and not is_final(node.item):
            node.deltas.setdefault(0, GrowingText()).append(delta)
            self._order.note_changed(node)

    def add_transcript(
        self, item_id: str, index: int, text: str, *, final: bool
    ) -> HistoryItem | None:
        """Add to the user's transcript, or set all of it. Returns the item if a final one is in its part."""
        node = self._nodes.get(item_id)
        if not final and node is not None:
            if index in node.finished_transcripts:
                return None  # the final transcript contains it
            if index in node.transcripts:
                node.transcripts[index].append(text)
                self._order.note_changed(node)
                return None
        parts = self._pending.setdefault(item_id, {})
        parts.setdefault(index, PendingTranscript()).take(text, final=final)
        _forget_oldest(parts, MAX_PENDING_PARTS)
        _forget_oldest(self._pending)
        if node is None or not self._apply_transcripts(node, item_id):
            return None
        self._order.note_changed(node)
        return current(node) if final else None

    def drop_transcript(self, item_id: str, index: int) -> None:
        """Expect no more of the transcript of a part. What its item has of it stays."""
        self._forget_pending(item_id, index)
        node = self._nodes.get(item_id)
        growing = None if node is None else node.transcripts.pop(index, None)
        if node is not None and growing is not None:
            node.item = with_transcript(node.item, index, growing.text())

    def _forget_pending(self, item_id: str, index: int) -> None:
        parts = self._pending.get(item_id, {})
        parts.pop(index, None)
        if not parts:
            self._pending.pop(item_id, None)
