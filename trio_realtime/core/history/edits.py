"""Edits of the conversation: what has to be deleted and created to get from one history to another.

The service cannot change an item; it can only delete one and create one. So an item that is changed
or moved is deleted and created anew under its id, and every other one stays where it is. What the
service would refuse is refused before anything is sent, because half an edit is worse than none:

============================================  ===================================================
what                                          may be created
============================================  ===================================================
messages of the system and of the user        text; the user's also images, and audio with bytes
messages of the assistant                     text only: the service takes no audio of its own back
function calls, and outputs after their call  yes
what the service makes itself (MCP, unknown)  no; such an item can stay or go
============================================  ===================================================

An edit is over when the service has told of every item that goes and of every one that comes, or
has refused. The history changes as the service tells, as ever. One edit is under way, the others
wait: what an edit takes is worked out when its turn comes, from the history that it finds. What was
sent before it and is not yet in the history is not part of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

import attrs

from trio_realtime.core.dispatch import Handlers
from trio_realtime.core.effects import Effect, HistoryEdited, ResolveRequest
from trio_realtime.core.error_events import peer_error
from trio_realtime.errors import PeerError, UsageError
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    ClientEvent,
    ContentPart,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ConversationItemDelete,
    ConversationItemDeleted,
    ErrorDetails,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudio,
    InputImage,
    InputText,
    Item,
    MessageItem,
    OutputAudio,
    OutputText,
)

from .items import History

ROOT = "root"
"""The service's name for the place before the first item."""

_Ours: TypeAlias = MessageItem | FunctionCallItem | FunctionCallOutputItem
_OURS = (MessageItem, FunctionCallItem, FunctionCallOutputItem)
"""Kinds of items that a client may create."""

_MAY_SAY: dict[str, tuple[type, ...]] = {
    "system": (InputText,),
    "user": (InputText, InputImage, InputAudio),
    "assistant": (OutputText,),
}


class _PendingEdit:
    """An edit under way: what the service has not yet told of, and its first refusal."""

    __slots__ = ("open", "refusal", "token")

    def __init__(self, token: str) -> None:
        self.token = token
        self.open: dict[str, tuple[str, str]] = {}
        self.refusal: PeerError | None = None


class HistoryEdits:
    """See the module. ``handlers`` are by the class of the server event."""

    def __init__(self, history: History, token: Callable[[str], str]) -> None:
        self._history = history
        self._token = token
        self._under_way: _PendingEdit | None = None
        self._waiting: deque[tuple[str, tuple[HistoryItem, ...]]] = deque()
        self.handlers: Handlers = {
            ConversationItemAdded: self._on_added,
            ConversationItemCreated: self._on_added,
            ConversationItemDeleted: self._on_deleted,
        }

    def update(self, wanted: Sequence[HistoryItem]) -> tuple[str, list[Effect]]:
        """Make the conversation this. Returns the token under which it is settled.

        Raises:
            UsageError: an item would have to be created that cannot be. Nothing has changed.
        """
        wanted = self._named(wanted)
        check_order(wanted)
        self._plan(wanted)
        token = self._token("edit")
        self._waiting.append((token, wanted))
        return token, self._go_on()

    def _plan(
        self, wanted: tuple[HistoryItem, ...]
    ) -> tuple[list[str], list[ConversationItemCreate]]:
        """Ids to be deleted, and what is to be created after that."""
        known = self._history.snapshot()
        kept = kept_ids(known, wanted)
        creations = list(_creations(wanted, kept))
        for creation in creations:
            check_creatable(creation.item)
        return [item.id for item in known if item.id and item.id not in kept], creations

    def _go_on(self) -> list[Effect]:
        """Begin the next edit that takes anything, if none is under way."""
        effects: list[Effect] = []
        while self._under_way is None and self._waiting:
            token, wanted = self._waiting.popleft()
            try:
                effects += self._begin(token, wanted)
            except UsageError as exc:  # since it was asked for, something has changed
                effects.append(ResolveRequest(token=token, outcome=exc))
        return effects

    def _begin(self, token: str, wanted: tuple[HistoryItem, ...]) -> list[Effect]:
        gone, creations = self._plan(wanted)
        edit = _PendingEdit(token)
        effects: list[Effect] = [self._deletion(edit, item_id) for item_id in gone]
        effects += [self._creation(edit, creation) for creation in creations]
        self._under_way = edit
        return effects + self._finish()

    def _named(self, wanted: Iterable[HistoryItem]) -> tuple[HistoryItem, ...]:
        """Each item with an id, so that the next one can be put after it."""
        wanted = tuple(wanted)
        taken = {item.id for item in wanted}
        return tuple(
            self._with_id(item, taken) if isinstance(item, _OURS) and not item.id else item
            for item in wanted
        )

    def _with_id(self, item: _Ours, taken: set[str | None]) -> HistoryItem:
        item_id = self._token("item_edit")
        while item_id in taken or item_id in self._history:
            item_id = self._token("item_edit")
        return attrs.evolve(item, id=item_id)

    def _deletion(self, edit: _PendingEdit, item_id: str) -> ClientEvent:
        event_id = self._token("delete")
        edit.open[event_id] = ("deleted", item_id)
        return ConversationItemDelete(event_id=event_id, item_id=item_id)

    def _creation(self, edit: _PendingEdit, creation: ConversationItemCreate) -> ClientEvent:
        event_id, item = self._token("item"), creation.item
        if isinstance(item, MessageItem):
            item = self._history.remember_images(item, lambda: self._token("item_image"))
        edit.open[event_id] = ("added", item.id or "")
        return attrs.evolve(creation, event_id=event_id, item=item)

    # --- answers

    def _on_added(
        self, event: ConversationItemAdded | ConversationItemCreated, _now: float
    ) -> list[Effect]:
        return self._told(("added", event.item.id or ""))

    def _on_deleted(self, event: ConversationItemDeleted, _now: float) -> list[Effect]:
        return self._told(("deleted", event.item_id))

    def _told(self, what: tuple[str, str]) -> list[Effect]:
        edit = self._under_way
        if edit is None:
            return []
        event_id = next((id_ for id_, open_ in edit.open.items() if open_ == what), None)
        return [] if event_id is None else self._answered(edit, event_id)

    def refuse(self, details: ErrorDetails) -> list[Effect] | None:
        """Carry a refusal to its edit; ``None`` if it is of none."""
        edit = self._under_way
        if edit is None:
            return None
        event_id = details.event_id
        if event_id is None and _concerns_items(details):
            event_id = next(iter(edit.open))
        if event_id not in edit.open:
            return None
        edit.refusal = edit.refusal or peer_error(details)
        return self._answered(edit, event_id)

    def _answered(self, edit: _PendingEdit, event_id: str) -> list[Effect]:
        del edit.open[event_id]
        return self._finish() + self._go_on()

    def _finish(self) -> list[Effect]:
        edit = self._under_way
        if edit is None or edit.open:
            return []
        self._under_way = None
        outcome = edit.refusal or HistoryEdited(history=self._history.snapshot())
        return [ResolveRequest(token=edit.token, outcome=outcome)]

    def disconnected(self) -> None:
        """The connection is gone: nothing will be answered."""
        self._under_way = None
        self._waiting.clear()


def _concerns_items(details: ErrorDetails) -> bool:
    """Whether an error that names no event looks like one about an item."""
    return (details.param or "").startswith("item") or "item" in details.message


# --- from one history to another, as pure functions --------------------------------------------


def kept_ids(known: Sequence[HistoryItem], wanted: Sequence[HistoryItem]) -> set[str]:
    """Ids of the items that can stay where they are: the most there can be.

    Where one of two has to move, it is not the one that cannot be created.
    """
    places = {item.id: (place, item) for place, item in enumerate(known)}
    same: list[tuple[int, str, int]] = []
    for item in wanted:
        place, before = places.get(item.id, (-1, None))
        if item.id and before is not None and _is_same(before, item):
            same.append((place, item.id, _weight(item, len(known))))
    return set(_heaviest_rising(same))


def _weight(item: HistoryItem, many: int) -> int:
    try:
        check_creatable(item)
    except UsageError:
        return many + 1
    return 1


def _heaviest_rising(found: Sequence[tuple[int, str, int]]) -> list[str]:
    """Ids of the heaviest rising sequence of places, of (place, id, weight) in the wanted order."""
    if all(one[0] < other[0] for one, other in pairwise(found)):
        return [item_id for _, item_id, _ in found]
    best: list[
        tuple[int, int]
    ] = []  # weight of the best sequence that ends here, and what is before
    for index, (place, _, weight) in enumerate(found):
        before = [i for i in range(index) if found[i][0] < place]
        last = max(before, key=lambda i: best[i][0], default=-1)
        best.append((weight + (best[last][0] if last >= 0 else 0), last))
    kept: list[str] = []
    at = max(range(len(best)), key=lambda i: best[i][0], default=-1)
    while at >= 0:
        kept.append(found[at][1])
        at = best[at][1]
    return kept


def _is_same(known: HistoryItem, wanted: HistoryItem) -> bool:
    return _plain(known) == _plain(wanted)


def _plain(item: HistoryItem) -> HistoryItem:
    """Without what nobody edits: the status, and audio, of which more or less may be known."""
    if isinstance(item, MessageItem):
        return attrs.evolve(item, status=None, content=tuple(map(_plain_part, item.content)))
    return attrs.evolve(item, status=None) if isinstance(item, _OURS) else item


def _plain_part(part: ContentPart) -> ContentPart:
    if isinstance(part, OutputAudio):
        return attrs.evolve(part, audio=None, heard_ms=None)
    return attrs.evolve(part, audio=None) if isinstance(part, InputAudio) else part


def _creations(wanted: Iterable[HistoryItem], kept: set[str]) -> Iterable[ConversationItemCreate]:
    previous = ROOT
    for item in wanted:
        if item.id not in kept:
            yield ConversationItemCreate(previous_item_id=previous, item=item)
        previous = item.id or previous


def check_order(wanted: Sequence[HistoryItem]) -> None:
    """See that each id stands once, and each output after its call.

    Raises:
        UsageError: not so.
    """
    ids: set[str | None] = set()
    calls: set[str | None] = set()
    for item in wanted:
        if item.id in ids:
            raise UsageError(f"item {item.id} stands twice in the new history")
        ids.add(item.id)
        if isinstance(item, FunctionCallItem):
            calls.add(item.call_id)
        if isinstance(item, FunctionCallOutputItem) and item.call_id not in calls:
            raise UsageError(
                f"item {item.id} is the output of call {item.call_id!r}, which is not before it: "
                "leave both out, or neither"
            )


def check_creatable(item: Item) -> None:
    """See that the service lets a client create this item.

    Raises:
        UsageError: it does not; the message says what to do instead.
    """
    if not isinstance(item, _OURS):
        raise UsageError(f"item {item.id} ({item.type}) can stay or go, but not be made or changed")
    if not isinstance(item, MessageItem):
        return
    allowed = _MAY_SAY.get(item.role)
    if allowed is None:
        raise UsageError(f"item {item.id} has the role {item.role!r}; use {', '.join(_MAY_SAY)}")
    for part in item.content:
        _check_part(item, part, allowed)


def _check_part(item: MessageItem, part: object, allowed: tuple[type, ...]) -> None:
    if isinstance(part, OutputAudio):
        raise UsageError(
            f"item {item.id} has audio of the assistant, which the service does not take back: "
            "use OutputText(text=transcript)"
        )
    if not isinstance(part, allowed):
        names = ", ".join(kind.__name__ for kind in allowed)
        raise UsageError(
            f"item {item.id}: a message of the {item.role} may have {names}, "
            f"not {type(part).__name__}"
        )
    if isinstance(part, InputAudio) and part.audio is None:
        raise UsageError(
            f"item {item.id} has audio of the user without its bytes: use "
            "InputText(text=transcript)"
        )
