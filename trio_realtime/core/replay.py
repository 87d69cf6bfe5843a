"""Teach a new connection the conversation so far.

The replay has two steps: the accepted settings, then the items in order. At most :data:`WINDOW` items are
unacknowledged at a time, so that neither side has to buffer the whole conversation. Nothing else is sent to
the new connection before everything is acknowledged. An item that the service rejects, or that cannot be
sent to it, is left out and counted. If the service rejects the settings, there is nothing that the session could go on with.

The conversation may have changed by the time at which everything is acknowledged: items were added, changed,
moved or deleted, or settings were accepted. Then :meth:`Replay.update` brings the connection up to date.
From the first item that differs on, the items are deleted and created again.

The replay is an object of its own because the conversation goes on meanwhile: it belongs to the new
connection, while the conversation may still use the old one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Final

import attrs

from trio_realtime.errors import PeerError, SettingsRejected
from trio_realtime.wire import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemDone,
    ErrorEvent,
    Item,
    ServerEvent,
    Session,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)

from .error_events import peer_error

WINDOW: Final = 32
"""The number of items that may be unacknowledged at a time."""

MAX_OTHERS: Final = 1000
"""The number of events that are remembered until the connection is used. Later ones are dropped."""


class Replay:
    """The replay of a conversation on one connection.

    Args:
        settings: the settings to begin with; ``None`` if the service has accepted none yet.
        items: the items to create, each with an id.
        event_id: the event id of the settings.

    Attributes:
        session: the settings that the service reports.
        expires_at: when the service ends the connection, as Unix time; ``None`` if it does not say so.
        rejected: the ids of the items that the service has rejected or that it cannot be sent, in order.
        last_error: the last error of the service.
        others: events that the replay has not used, in order.
        answers: the number of answers of the service.
    """

    def __init__(
        self,
        settings: Session | None,
        items: Iterable[ConversationItemCreate],
        event_id: str = "replay",
    ) -> None:
        self.session: Session | None = None
        self.expires_at: int | None = None
        self.rejected: list[str] = []
        self.last_error: PeerError | None = None
        self.others: list[ServerEvent] = []
        self.answers: int = 0
        self._event_id = event_id
        self._settings: Session | None = settings
        self._has_settings = False
        self._waiting: deque[ConversationItemCreate | ConversationItemDelete] = deque(items)
        self._open: dict[str, ConversationItemCreate | ConversationItemDelete] = {}
        self._known: dict[str, Item] = {}
        self._numbers = count(1)
        self._service_reports_added = False

    @property
    def acknowledged(self) -> list[str]:
        """The ids of the items that the service has acknowledged, in order."""
        return [*self._known]

    @property
    def is_complete(self) -> bool:
        """Whether the connection knows everything."""
        return self._has_settings and not self._waiting and not self._open

    def begin(self) -> Sequence[ClientEvent]:
        """Return the first events to send, after the greeting of the service."""
        if self._settings is None:
            self._has_settings = True
            return self._send_next()
        return [SessionUpdate(event_id=self._event_id, session=self._settings)]

    def update(
        self, settings: Session | None, items: Iterable[ConversationItemCreate]
    ) -> Sequence[ClientEvent]:
        """Bring the connection up to date with a conversation that has gone on.

        Args:
            settings: the settings that the service has accepted by now.
            items: the items that the connection is to know, each with an id.

        Returns:
            The events to send; none if nothing has changed. The replay is not complete until they are
            answered.
        """
        wanted = [create for create in items if create.item.id not in self.rejected]
        known = [*self._known.items()]
        same = 0
        for create, (_, item) in zip(wanted, known, strict=False):
            if create.item != item:
                break
            same += 1
        self._waiting.extend(ConversationItemDelete(item_id=item_id) for item_id, _ in known[same:])
        self._waiting.extend(wanted[same:])
        if settings != self._settings and settings is not None:
            self._settings, self._has_settings = settings, False
            return self.begin()
        return self._send_next()

    def handle(self, event: ServerEvent) -> Sequence[ClientEvent]:
        """Take an event of the new connection. Returns the events to send.

        Raises:
            SettingsRejected: the service rejected the settings.
        """
        match event:
            case SessionCreated(session=session):
                self._take_session(session)
            case SessionUpdated(session=session) if not self._has_settings:
                self._take_session(session)
                self._has_settings = True
                return self._send_next()
            case ConversationItemAdded(item=item) if key := self._open_create(item.id):
                self._service_reports_added = True
                return self._created(key)
            case ConversationItemDone(item=item) if key := self._open_create(item.id):
                # It may also belong to an item that was deleted and is created again under its id.
                return () if self._service_reports_added else self._created(key)
            case ConversationItemDone(item=item) if item.id in self._known:
                pass
            case ConversationItemDeleted(item_id=item_id) if key := self._open_deletion(item_id):
                return self._deleted(key)
            case ErrorEvent():
                return self._reject(event)
            case _:
                self._remember(event)
        return ()

    def leave_out(self, event: ClientEvent) -> Sequence[ClientEvent]:
        """Go on without an item that cannot be sent. Returns the events to send."""
        return self._left_out(event.event_id or "")

    def _left_out(self, event_id: str) -> list[ClientEvent]:
        create = self._open.pop(event_id)
        assert isinstance(create, ConversationItemCreate)
        self.rejected.append(create.item.id or "")
        return self._send_next()

    def _remember(self, event: ServerEvent) -> None:
        if len(self.others) < MAX_OTHERS:
            self.others.append(event)

    def _take_session(self, session: Session) -> None:
        self.answers += 1
        self.session = session
        if isinstance(session.expires_at, int) and session.expires_at:
            self.expires_at = session.expires_at

    def _send_next(self) -> list[ClientEvent]:
        events: list[ClientEvent] = []
        while self._waiting and len(self._open) < WINDOW:
            event = self._waiting.popleft()
            event_id = f"{self._event_id}_{next(self._numbers)}"
            self._open[event_id] = event
            events.append(attrs.evolve(event, event_id=event_id))
        return events

    def _open_create(self, item_id: str | None) -> str | None:
        return next(
            (
                key
                for key, event in self._open.items()
                if isinstance(event, ConversationItemCreate) and event.item.id == item_id
            ),
            None,
        )

    def _open_deletion(self, item_id: str) -> str | None:
        return next(
            (
                key
                for key, event in self._open.items()
                if isinstance(event, ConversationItemDelete) and event.item_id == item_id
            ),
            None,
        )

    def _created(self, event_id: str) -> list[ClientEvent]:
        create = self._open.pop(event_id)
        assert isinstance(create, ConversationItemCreate)
        self.answers += 1
        self._known[create.item.id or ""] = create.item
        return self._send_next()

    def _deleted(self, event_id: str) -> list[ClientEvent]:
        deletion = self._open.pop(event_id)
        assert isinstance(deletion, ConversationItemDelete)
        self.answers += 1
        self._known.pop(deletion.item_id, None)
        return self._send_next()

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
        rejected = self._open.get(event_id or "")
        if rejected is None:
            self._remember(event)
            return ()
        if isinstance(rejected, ConversationItemDelete):
            return self._deleted(event_id or "")  # the service does not have it
        self.answers += 1
        return self._left_out(event_id or "")
