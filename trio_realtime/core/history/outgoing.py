"""The items that this side adds to the conversation, until the service has acknowledged them.

An item enters the history when the service reports it. Until then it is remembered here, so that an item
that was on its way when a connection was lost is sent again on the next one. Items that are created
between two connections wait here too.

The service reports items in the order in which they were created. An item with an id is recognized by it,
an output by the id of its call, and any other message by its role and the kind of its first part, unless it is
an item of an edit. Some services
report no items. So there is a time limit only for a service that has reported one before; the oldest item
is then overdue: nothing waits for its report, but no history contains it, so it is sent again on the next
connection.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Final, TypeAlias

import attrs

from trio_realtime.core.effects import Effect, SendEncoded
from trio_realtime.core.link import Link
from trio_realtime.core.request_timer import RequestTimer
from trio_realtime.wire import (
    ConversationItemAdded,
    ConversationItemCreate,
    FunctionCallOutputItem,
    Item,
    McpApprovalResponseItem,
    MessageItem,
)

from .items import ROOT, History

NewItem: TypeAlias = ConversationItemCreate | SendEncoded

MAX_UNACKNOWLEDGED: Final = 4096
"""The number of items that are remembered although the service has not reported them."""

_TIMER: Final = "item"


class OutgoingItems:
    """Sends items, and sends them again on the next connection if they were not acknowledged.

    Args:
        history: remembers what the service does not echo.
        link: whether anything can be sent now.
        timer: limits how long an item may be unacknowledged.
        token: makes event ids.

    Attributes:
        waiting_size: characters of the items that wait for a connection.
        edited: the ids of the items that an edit has created and the service has not reported.
    """

    def __init__(
        self, history: History, link: Link, timer: RequestTimer, token: Callable[[str], str]
    ) -> None:
        self._history = history
        self._link = link
        self._timer = timer
        self._token = token
        self._unacknowledged: dict[str, NewItem] = {}
        self._overdue: dict[str, NewItem] = {}
        self._service_reports = False
        self.waiting_size: int = 0
        self.edited: set[str] = set()

    def __len__(self) -> int:
        return len(self._unacknowledged)

    @property
    def answered_calls(self) -> set[str]:
        """The ids of the calls whose outputs are not acknowledged yet."""
        return {
            item.call_id
            for item in map(_item_of, chain(self._overdue.values(), self._unacknowledged.values()))
            if isinstance(item, FunctionCallOutputItem)
        }

    def send(self, new: NewItem) -> list[Effect]:
        """Return the effects of adding an item; none while there is no connection."""
        create = _create_of(new)
        if create.event_id is None and isinstance(new, ConversationItemCreate):
            new = create = attrs.evolve(create, event_id=self._token("item"))
        self._unacknowledged[create.event_id or ""] = new
        if self._link.is_open:
            return self._send(new)
        self.waiting_size += _size_of(new)
        return []

    def _send(self, new: NewItem) -> list[Effect]:
        create = _create_of(new)
        if self._service_reports and not self._timer.is_running(_TIMER):
            self._timer.start(_TIMER)
        _forget_oldest(self._unacknowledged)
        if self._link.number == 1:
            self._history.note_sent(create)
            return [new]
        if self._is_stale(create.previous_item_id):
            # The item that it follows is not part of the new connection's conversation.
            new = create = attrs.evolve(create, previous_item_id=None)
        self._history.note_sent(create)
        return [*self._missing_call(create), new]

    def _is_stale(self, previous: str | None) -> bool:
        return previous not in (None, ROOT) and not self._history.is_on_connection(previous or "")

    def _missing_call(self, output: ConversationItemCreate) -> list[Effect]:
        """Return the creation of the call that an output answers, if the service does not know it."""
        item = output.item
        if not isinstance(item, FunctionCallOutputItem):
            return []
        call = self._history.find_call(item.call_id)
        if call is None or self._history.is_on_connection(call.id or ""):
            return []
        previous = self._history.previous_on_connection(call.id or "")
        self._history.note_on_connection(call.id or "")
        return [
            ConversationItemCreate(
                event_id=self._token("item"),
                previous_item_id=previous,
                item=attrs.evolve(call, status=None),
            )
        ]

    def send_again(self) -> list[Effect]:
        """Return the creation of every item that no connection has acknowledged, in order."""
        self.waiting_size = 0
        self._unacknowledged = self._overdue | self._unacknowledged
        self._overdue = {}
        return [effect for new in [*self._unacknowledged.values()] for effect in self._send(new)]

    # --- what the service reports

    def on_item_added(self, event: ConversationItemAdded, _now: float) -> list[Effect]:
        """Note that an item was acknowledged."""
        if event.item.id not in self.edited:
            waiting = chain(self._unacknowledged.items(), self._overdue.items())
            found = next((key for key, new in waiting if _is_echo(new, event.item)), None)
            if found is not None:
                self._service_reports = True
                self._acknowledged(found)
        return []

    def rejected(self, event_id: str | None) -> None:
        """Note that the service rejected the event with this id, if it created an item."""
        if event_id in self._unacknowledged or event_id in self._overdue:
            self._acknowledged(event_id or "")

    def _acknowledged(self, event_id: str) -> None:
        if self._overdue.pop(event_id, None) is not None:
            return
        del self._unacknowledged[event_id]
        if self._unacknowledged and self._service_reports:
            self._timer.start(_TIMER)
        else:
            self._timer.stop(_TIMER)

    def expire(self) -> None:
        """Wait no longer for the report of the oldest item."""
        if self._timer.is_due(_TIMER) and self._unacknowledged:
            event_id, item = next(iter(self._unacknowledged.items()))
            self._acknowledged(event_id)
            self._overdue[event_id] = item
            _forget_oldest(self._overdue)


def _forget_oldest(items: dict[str, NewItem]) -> None:
    while len(items) > MAX_UNACKNOWLEDGED:
        del items[next(iter(items))]


def _size_of(new: NewItem) -> int:
    message: object = new.message if isinstance(new, SendEncoded) else None
    if isinstance(message, str | bytes):
        return len(message)
    item = _create_of(new).item
    return len(item.output) if isinstance(item, FunctionCallOutputItem) else 0


def _create_of(new: NewItem) -> ConversationItemCreate:
    return new.event if isinstance(new, SendEncoded) else new


def _item_of(new: NewItem) -> Item:
    return _create_of(new).item


def _is_echo(new: NewItem, reported: Item) -> bool:
    """Return whether the service reports the item that was created."""
    sent = _item_of(new)
    if sent.id:
        return sent.id == reported.id
    match sent, reported:
        case FunctionCallOutputItem(), FunctionCallOutputItem():
            return sent.call_id == reported.call_id
        case McpApprovalResponseItem(), McpApprovalResponseItem():
            return sent.approval_request_id == reported.approval_request_id
        case MessageItem(), MessageItem():
            kinds = [type(item.content[0]) if item.content else None for item in (sent, reported)]
            return sent.role == reported.role and kinds[0] is kinds[1]
        case _:
            return type(sent) is type(reported)
