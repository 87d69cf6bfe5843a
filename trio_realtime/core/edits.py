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
has refused. The history changes as the service tells, as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import attrs

from trio_realtime.errors import PeerError, UsageError
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    ClientEvent,
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

from .effects import Edited, Effect, Settle
from .handlers import Handlers
from .history import History
from .refusals import peer_error

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


class _Edit:
    """An edit under way: what the service has not yet told of, and its first refusal."""

    __slots__ = ("open", "refusal", "token")

    def __init__(self, token: str) -> None:
        self.token = token
        self.open: dict[str, tuple[str, str]] = {}
        self.refusal: PeerError | None = None


class Edits:
    """See the module. ``handlers`` are by the class of the server event."""

    def __init__(self, history: History, token: Callable[[str], str]) -> None:
        self._history = history
        self._token = token
        self._edits: list[_Edit] = []
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
        kept = kept_ids(self._history.snapshot(), wanted)
        gone = [item.id for item in self._history.snapshot() if item.id and item.id not in kept]
        creations = list(_creations(wanted, kept))
        for creation in creations:
            check_creatable(creation.item)
        edit = _Edit(self._token("edit"))
        effects: list[Effect] = [self._deletion(edit, item_id) for item_id in gone]
        effects += [self._creation(edit, creation) for creation in creations]
        self._edits.append(edit)
        self._settle(effects)
        return edit.token, effects

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

    def _deletion(self, edit: _Edit, item_id: str) -> ClientEvent:
        event_id = self._token("delete")
        edit.open[event_id] = ("deleted", item_id)
        return ConversationItemDelete(event_id=event_id, item_id=item_id)

    def _creation(self, edit: _Edit, creation: ConversationItemCreate) -> ClientEvent:
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
        for edit in self._edits:
            event_id = next((id_ for id_, open_ in edit.open.items() if open_ == what), None)
            if event_id is not None:
                return self._answered(edit, event_id)
        return []

    def refuse(self, details: ErrorDetails) -> list[Effect] | None:
        """Carry a refusal to its edit; ``None`` if it is of none."""
        event_id = details.event_id or ""
        for edit in self._edits:
            if event_id in edit.open:
                edit.refusal = edit.refusal or peer_error(details)
                return self._answered(edit, event_id)
        return None

    def _answered(self, edit: _Edit, event_id: str) -> list[Effect]:
        del edit.open[event_id]
        effects: list[Effect] = []
        self._settle(effects)
        return effects

    def _settle(self, effects: list[Effect]) -> None:
        for edit in [edit for edit in self._edits if not edit.open]:
            self._edits.remove(edit)
            outcome = edit.refusal or Edited(history=self._history.snapshot())
            effects.append(Settle(token=edit.token, outcome=outcome))

    def disconnected(self) -> None:
        """The connection is gone: nothing will be answered."""
        self._edits.clear()


# --- from one history to another, as pure functions --------------------------------------------


def kept_ids(known: Sequence[HistoryItem], wanted: Sequence[HistoryItem]) -> set[str]:
    """Ids of the items that can stay where they are."""
    places = {item.id: (place, item) for place, item in enumerate(known)}
    kept: set[str] = set()
    last = -1
    for item in wanted:
        place, before = places.get(item.id, (-1, None))
        if item.id and place > last and before is not None and _is_same(before, item):
            kept.add(item.id)
            last = place
    return kept


def _is_same(known: HistoryItem, wanted: HistoryItem) -> bool:
    return _plain(known) == _plain(wanted)


def _plain(item: HistoryItem) -> HistoryItem:
    """Without what nobody edits."""
    if isinstance(item, _OURS):
        return attrs.evolve(item, status=None)
    return item


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
