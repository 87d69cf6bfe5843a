"""Edits of the conversation: the items to delete and to create to get from one history to another.

The service cannot change an item; it can only delete and create one. So an item that is changed or
moved is deleted and created again under its id, and every other item stays where it is. An item that
the service would reject is rejected before anything is sent, because half an edit is worse than none:

=============================================  ====================================================
item                                           may be created
=============================================  ====================================================
messages of the system and of the user         with text; the user's also with images and audio bytes
messages of the assistant                      with text only: the service accepts no assistant audio
function calls, and outputs after their call   yes
items that the service makes (MCP, unknown)    no; such an item can stay or be deleted
=============================================  ====================================================

An edit is complete when the service has reported every deletion and every creation, or has rejected
it. The history changes as the service reports it. One edit is sent at a time: what an edit needs is
computed when it is sent, from the history of that moment. An item that was sent before and is not yet
in the history is not part of the edit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

import attrs

from trio_realtime import events as ev
from trio_realtime.core.effects import Effect, HistoryEdited, ResolveRequest
from trio_realtime.core.error_events import peer_error
from trio_realtime.core.inputs import UpdateHistory
from trio_realtime.core.link import Link
from trio_realtime.core.request_timer import RequestTimer
from trio_realtime.errors import PeerError, UsageError
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    ClientEvent,
    ContentPart,
    ConversationItemAdded,
    ConversationItemCreate,
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

from .items import ROOT, History

_CreatableItem: TypeAlias = MessageItem | FunctionCallItem | FunctionCallOutputItem
_CREATABLE = (MessageItem, FunctionCallItem, FunctionCallOutputItem)
"""The kinds of items that a client may create."""

_ALLOWED_PARTS: dict[str, tuple[type, ...]] = {
    "system": (InputText,),
    "user": (InputText, InputImage, InputAudio),
    "assistant": (OutputText,),
}


_TIMER: Final = "edit"

WaitingEdit: TypeAlias = tuple[str, tuple[HistoryItem, ...], frozenset[str] | None]
"""The token of an edit, the items that the conversation is to contain, and the ids of the items that it
contained when the edit was begun; ``None`` if it was not begun."""


class _PendingEdit:
    """The edit that was sent.

    Attributes:
        token: the name of the request.
        wanted: the items that the conversation is to contain.
        known: the ids of the items that it contained when the edit was begun. An edit that is begun
            again on the next connection deletes no others.
        open: what the service has not reported yet, by the event id of the request for it.
        error: the first rejection.
    """

    __slots__ = ("error", "known", "open", "token", "wanted")

    def __init__(self, token: str, wanted: tuple[HistoryItem, ...], known: frozenset[str]) -> None:
        self.token = token
        self.wanted = wanted
        self.known = known
        self.open: dict[str, tuple[str, str]] = {}
        self.error: PeerError | None = None


class HistoryEdits:
    """Carries out edits of the conversation, one after the other.

    Args:
        history: the items of the conversation.
        link: whether anything can be sent now.
        timer: limits how long the service may be silent about an edit.
        token: makes event ids and item ids.
        waiting: the edits that were not begun. They outlive the connection.
        created: gets the ids of the items that were created and not reported.
    """

    def __init__(
        self,
        history: History,
        link: Link,
        timer: RequestTimer,
        token: Callable[[str], str],
        waiting: list[WaitingEdit],
        created: set[str],
    ) -> None:
        self._history = history
        self._link = link
        self._timer = timer
        self._token = token
        self._current: _PendingEdit | None = None
        self._waiting = waiting
        self._created = created
        created.clear()

    def on_update_history(self, command: UpdateHistory, _now: float) -> list[Effect]:
        """Queue an edit and begin it if none is outstanding.

        Raises:
            UsageError: the edit would create an item that cannot be created. Nothing has changed.
        """
        wanted = self._with_ids(command.items)
        check_order(wanted)
        self._plan(wanted)
        self._waiting.append((command.token, wanted, None))
        return self._begin_next()

    def _plan(
        self, wanted: tuple[HistoryItem, ...]
    ) -> tuple[list[str], list[ConversationItemCreate]]:
        """Return the ids to delete, and the items to create after that."""
        known = self._history.snapshot()
        unchanged = unchanged_ids(known, wanted)
        creations = list(_creations(wanted, unchanged))
        for creation in creations:
            check_creatable(creation.item)
        return [item.id for item in known if item.id and item.id not in unchanged], creations

    def _begin_next(self) -> list[Effect]:
        """Begin the next edit that changes anything, if none is outstanding."""
        effects: list[Effect] = []
        while self._link.is_open and self._current is None and self._waiting:
            token, wanted, begun_with = self._waiting.pop(0)
            try:
                effects += self._begin(token, wanted, begun_with)
            except UsageError as exc:  # the history has changed since the request
                effects.append(ResolveRequest(token=token, outcome=exc))
        return effects

    def _begin(
        self, token: str, wanted: tuple[HistoryItem, ...], begun_with: frozenset[str] | None = None
    ) -> list[Effect]:
        deletions, creations = self._plan(wanted)
        known = frozenset(item.id for item in self._history.snapshot() if item.id)
        if begun_with is not None:
            # What was reported since then is not part of the edit.
            known = begun_with | {item.id for item in wanted if item.id}
            deletions = [item_id for item_id in deletions if item_id in known]
        edit = _PendingEdit(token, wanted, known)
        effects: list[Effect] = [self._deletion(edit, item_id) for item_id in deletions]
        effects += [self._creation(edit, creation) for creation in creations]
        self._current = edit
        self._timer.start(_TIMER)
        return effects + self._finish()

    def _with_ids(self, wanted: Iterable[HistoryItem]) -> tuple[HistoryItem, ...]:
        """Return the items, each with an id, so that the next item can name it."""
        wanted = tuple(wanted)
        taken = {item.id for item in wanted}
        return tuple(
            self._with_id(item, taken) if isinstance(item, _CREATABLE) and not item.id else item
            for item in wanted
        )

    def _with_id(self, item: _CreatableItem, taken: set[str | None]) -> HistoryItem:
        item_id = self._token("item_edit")
        while item_id in taken or item_id in self._history:
            item_id = self._token("item_edit")
        return attrs.evolve(item, id=item_id)

    def _deletion(self, edit: _PendingEdit, item_id: str) -> Effect:
        if not self._history.is_on_connection(item_id):
            # The service does not have it: it belongs to an earlier connection.
            self._history.delete(item_id)
            return ev.HistoryUpdated(deleted_item_id=item_id, read=self._history.snapshot)
        event_id = self._token("delete")
        edit.open[event_id] = ("deleted", item_id)
        return ConversationItemDelete(event_id=event_id, item_id=item_id)

    def _creation(self, edit: _PendingEdit, creation: ConversationItemCreate) -> ClientEvent:
        event_id = self._token("item")
        previous = creation.previous_item_id or ROOT
        if previous in self._history and not self._history.is_on_connection(previous):
            previous = self._history.previous_on_connection(previous)
            creation = attrs.evolve(creation, previous_item_id=previous)
        self._history.note_sent(creation)
        edit.open[event_id] = ("added", creation.item.id or "")
        self._created.add(creation.item.id or "")
        return attrs.evolve(creation, event_id=event_id)

    def cut_replayed(self, item: MessageItem) -> list[Effect]:
        """Replace an item of which the service has the whole text by what was heard of it.

        Nothing is done while another edit is under way: its result contains the whole text too.

        Args:
            item: the item with what was heard.
        """
        if self._current is not None or self._waiting:
            return []
        known = self._history.snapshot()
        wanted = [item if other.id == item.id else other for other in known]
        if not item.content:
            wanted.remove(item)
        return self._begin(self._token("edit"), tuple(wanted))

    # --- reports of the service

    def on_item_added(self, event: ConversationItemAdded, _now: float) -> list[Effect]:
        """Note that an item was created."""
        if self._current is None:
            return []
        return self._confirm(("added", event.item.id or ""))

    def on_item_deleted(self, event: ConversationItemDeleted, _now: float) -> list[Effect]:
        """Note that an item was deleted."""
        return self._confirm(("deleted", event.item_id))

    def _confirm(self, change: tuple[str, str]) -> list[Effect]:
        edit = self._current
        if edit is None:
            return []
        event_id = next((id_ for id_, open_ in edit.open.items() if open_ == change), None)
        return [] if event_id is None else self._answered(edit, event_id)

    def reject(self, details: ErrorDetails) -> tuple[PeerError, list[Effect]] | None:
        """Route an error to the edit that it answers; ``None`` if it answers none."""
        edit = self._current
        if edit is None:
            return None
        event_id = details.event_id
        if event_id is None and _concerns_items(details):
            event_id = next(iter(edit.open))
        if event_id not in edit.open:
            return None
        error = peer_error(details)
        edit.error = edit.error or error
        return error, self._answered(edit, event_id)

    def _answered(self, edit: _PendingEdit, event_id: str) -> list[Effect]:
        _kind, item_id = edit.open.pop(event_id)
        self._created.discard(item_id)
        self._timer.start(_TIMER)
        return self._finish() + self._begin_next()

    def _finish(self) -> list[Effect]:
        edit = self._current
        if edit is None or edit.open:
            return []
        self._current = None
        self._timer.stop(_TIMER)
        outcome = edit.error or HistoryEdited(history=self._history.snapshot())
        return [ResolveRequest(token=edit.token, outcome=outcome)]

    def connection_lost(self) -> None:
        """Queue the edit that was begun again: it names the items to reach."""
        if self._current is not None:
            edit = self._current
            self._waiting.insert(0, (edit.token, edit.wanted, edit.known))

    def restored(self) -> list[Effect]:
        """Begin the next edit that waits."""
        return self._begin_next()

    def expire(self) -> list[Effect]:
        """Give up an edit of which the service has reported nothing for too long."""
        edit = self._current
        if edit is None or not self._timer.is_due(_TIMER):
            return []
        edit.error = edit.error or self._timer.error("an edit of the history")
        edit.open.clear()
        self._created.clear()
        return self._finish() + self._begin_next()


def _concerns_items(details: ErrorDetails) -> bool:
    """Return whether an error without an event id looks like an answer about an item."""
    return (details.param or "").startswith("item") or "item" in details.message


# --- from one history to another, as pure functions --------------------------------------------


def unchanged_ids(known: Sequence[HistoryItem], wanted: Sequence[HistoryItem]) -> set[str]:
    """Return the ids of as many items as possible that can stay where they are.

    Where one of two items has to move, an item that cannot be created stays.
    """
    places = {item.id: (place, item) for place, item in enumerate(known)}
    same: list[tuple[int, str, int]] = []
    for item in wanted:
        place, before = places.get(item.id, (-1, None))
        if item.id and before is not None and _is_same(before, item):
            same.append((place, item.id, _weight(item, len(known))))
    return set(_max_weight_increasing_subsequence(same))


def _weight(item: HistoryItem, many: int) -> int:
    try:
        check_creatable(item)
    except UsageError:
        return many + 1
    return 1


def _max_weight_increasing_subsequence(found: Sequence[tuple[int, str, int]]) -> list[str]:
    """Return the ids of the subsequence with increasing places and the greatest weight.

    Each entry of ``found`` is a place in the known history, an id and a weight, in the wanted order.
    """
    if all(one[0] < other[0] for one, other in pairwise(found)):
        return [item_id for _, item_id, _ in found]
    best: list[
        tuple[int, int]
    ] = []  # weight of the best sequence that ends here, and what is before
    for index, (place, _, weight) in enumerate(found):
        before = [i for i in range(index) if found[i][0] < place]
        last = max(before, key=lambda i: best[i][0], default=-1)
        best.append((weight + (best[last][0] if last >= 0 else 0), last))
    unchanged: list[str] = []
    at = max(range(len(best)), key=lambda i: best[i][0], default=-1)
    while at >= 0:
        unchanged.append(found[at][1])
        at = best[at][1]
    return unchanged


def _is_same(known: HistoryItem, wanted: HistoryItem) -> bool:
    return _without_volatile_fields(known) == _without_volatile_fields(wanted)


def _without_volatile_fields(item: HistoryItem) -> HistoryItem:
    """Return the item without its status and audio, which an edit does not change."""
    if isinstance(item, MessageItem):
        return attrs.evolve(
            item, status=None, content=tuple(map(_part_without_volatile_fields, item.content))
        )
    return attrs.evolve(item, status=None) if isinstance(item, _CREATABLE) else item


def _part_without_volatile_fields(part: ContentPart) -> ContentPart:
    if isinstance(part, OutputAudio):
        return attrs.evolve(part, audio=None, heard_ms=None)
    return attrs.evolve(part, audio=None) if isinstance(part, InputAudio) else part


def _creations(
    wanted: Iterable[HistoryItem], unchanged: set[str]
) -> Iterable[ConversationItemCreate]:
    previous = ROOT
    for item in wanted:
        if item.id not in unchanged:
            yield ConversationItemCreate(previous_item_id=previous, item=item)
        previous = item.id or previous


def check_order(wanted: Sequence[HistoryItem]) -> None:
    """Check that each id occurs once, and that each output follows its call.

    Raises:
        UsageError: an id occurs twice, or an output comes before its call.
    """
    ids: set[str | None] = set()
    calls: set[str | None] = set()
    for item in wanted:
        if item.id in ids:
            raise UsageError(f"item {item.id} occurs twice in the new history; leave one out")
        ids.add(item.id)
        if isinstance(item, FunctionCallItem):
            calls.add(item.call_id)
        if isinstance(item, FunctionCallOutputItem) and item.call_id not in calls:
            raise UsageError(
                f"item {item.id} is the output of call {item.call_id!r}, which is not before it: "
                "leave both out, or neither"
            )


def check_creatable(item: Item) -> None:
    """Check that the service lets a client create this item.

    Raises:
        UsageError: it does not. The message says what to use instead.
    """
    if not isinstance(item, _CREATABLE):
        raise UsageError(
            f"item {item.id} ({item.type}) cannot be created or changed; keep it or leave it out"
        )
    if not isinstance(item, MessageItem):
        return
    allowed = _ALLOWED_PARTS.get(item.role)
    if allowed is None:
        raise UsageError(
            f"item {item.id} has the role {item.role!r}; use {', '.join(_ALLOWED_PARTS)}"
        )
    for part in item.content:
        _check_part(item, part, allowed)


def _check_part(item: MessageItem, part: object, allowed: tuple[type, ...]) -> None:
    if isinstance(part, OutputAudio):
        raise UsageError(
            f"item {item.id} has audio of the assistant, which the service does not accept: "
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
