"""Teach a new connection the conversation so far.

The replay has two steps: the accepted settings, then the items in order. At most :data:`WINDOW` items are
unacknowledged at a time, so that neither side has to buffer the whole conversation. Nothing else is sent to
the new connection before everything is acknowledged. An item that the service rejects is left out and
counted. If the service rejects the settings, there is nothing that the session could go on with.

The replay is an object of its own because the conversation goes on meanwhile: it belongs to the new
connection, while the conversation may still use the old one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from trio_realtime.errors import PeerError, SettingsRejected
from trio_realtime.wire import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDone,
    ErrorEvent,
    ServerEvent,
    Session,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)

from .error_events import peer_error

WINDOW: Final = 32
"""The number of items that may be unacknowledged at a time."""


class Replay:
    """The replay of a conversation on one connection.

    Args:
        settings: the settings to begin with; ``None`` if the service has accepted none yet.
        items: the items to create, each with an id.
        event_id: the event id of the settings.

    Attributes:
        session: the settings that the service reports.
        acknowledged: the ids of the items that the service has acknowledged, in order.
        rejected: the ids of the items that the service has rejected.
        sent: the number of items that were sent.
        last_error: the last error of the service.
        others: events that the replay has not used, in order.
    """

    def __init__(
        self,
        settings: Session | None,
        items: Iterable[ConversationItemCreate],
        event_id: str = "replay",
    ) -> None:
        self.session: Session | None = None
        self.acknowledged: list[str] = []
        self.rejected: list[str] = []
        self.sent: int = 0
        self.last_error: PeerError | None = None
        self.others: list[ServerEvent] = []
        self._event_id = event_id
        self._settings = settings
        self._has_settings = False
        self._items = deque(items)
        self._open: dict[str, str] = {}
        self._known: set[str | None] = set()

    @property
    def known(self) -> set[str | None]:
        """The ids of the items that were sent, whatever the service made of them."""
        return {*self._known, *self.rejected, *self._open.values()}

    @property
    def is_complete(self) -> bool:
        """Whether the connection knows everything."""
        return self._has_settings and not self._items and not self._open

    def begin(self) -> Sequence[ClientEvent]:
        """Return the first events to send, after the greeting of the service."""
        if self._settings is None:
            self._has_settings = True
            return self._next_items()
        return [SessionUpdate(event_id=self._event_id, session=self._settings)]

    def extend(self, items: Iterable[ConversationItemCreate]) -> Sequence[ClientEvent]:
        """Add items that joined the conversation meanwhile. Returns the events to send."""
        self._items.extend(items)
        return self._next_items()

    def handle(self, event: ServerEvent) -> Sequence[ClientEvent]:
        """Take an event of the new connection. Returns the events to send.

        Raises:
            SettingsRejected: the service rejected the settings.
        """
        match event:
            case SessionCreated(session=session):
                self.session = session
            case SessionUpdated(session=session) if not self._has_settings:
                self.session = session
                self._has_settings = True
                return self._next_items()
            case ConversationItemAdded(item=item) if item.id in self._open.values():
                return self._acknowledge(item.id or "")
            case ConversationItemDone(item=item) if item.id in self._open.values():
                return self._acknowledge(item.id or "")
            case ConversationItemDone(item=item) if item.id in self._known:
                pass
            case ErrorEvent():
                return self._reject(event)
            case _:
                self.others.append(event)
        return ()

    def _next_items(self) -> list[ClientEvent]:
        events: list[ClientEvent] = []
        while self._items and len(self._open) < WINDOW:
            create = self._items.popleft()
            self.sent += 1
            event_id = f"{self._event_id}_{self.sent}"
            self._open[event_id] = create.item.id or ""
            events.append(attrs.evolve(create, event_id=event_id))
        return events

    def _acknowledge(self, item_id: str) -> list[ClientEvent]:
        event_id = next(key for key, open_ in self._open.items() if open_ == item_id)
        del self._open[event_id]
        self.acknowledged.append(item_id)
        self._known.add(item_id)
        return self._next_items()

    def _concerns_settings(self, event: ErrorEvent) -> bool:
        param, message = event.error.param or "", event.error.message
        return not self._has_settings and ("session.update" in message or "session" in param)

    def _reject(self, event: ErrorEvent) -> Sequence[ClientEvent]:
        event_id = event.error.event_id
        self.last_error = peer_error(event.error)
        if event_id == self._event_id or (event_id is None and self._concerns_settings(event)):
            raise peer_error(event.error, SettingsRejected)
        if event_id is None and self._open and "item" in event.error.message:
            event_id = next(iter(self._open))
        if event_id not in self._open:
            self.others.append(event)
            return ()
        self.rejected.append(self._open.pop(event_id or ""))
        return self._next_items()
