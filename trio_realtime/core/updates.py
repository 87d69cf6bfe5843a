"""Settings on their way, and who speaks.

One update at a time, each the difference to what the service has accepted.

The service answers updates in order and does not say which one it answers; so one is under way, and
the others wait. What is sent is worked out when its turn comes, from what was accepted by then: a
refused update changes nothing, for the ones behind it neither.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from trio_realtime import events as ev
from trio_realtime.errors import SettingsRejected
from trio_realtime.wire import (
    ErrorDetails,
    Session,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)

from .audio.playback import Playback
from .dispatch import Handlers
from .effects import Effect, ResolveRequest
from .error_events import peer_error
from .settings import settings_after, settings_change


@attrs.frozen(kw_only=True)
class SettingsUpdate:
    """Settings that are wanted; ``agent`` is who speaks once they hold, ``None`` for no change."""

    token: str
    wanted: Session
    agent: Any = None


class UpdateQueue:
    """See the module."""

    def __init__(self) -> None:
        self._accepted: Session | None = None
        self._waiting: deque[SettingsUpdate] = deque()
        self._sent: tuple[SettingsUpdate, Session] | None = None

    def ask(self, update: SettingsUpdate) -> None:
        """Put an update in line."""
        self._waiting.append(update)

    def take(self) -> tuple[SettingsUpdate, Session | None] | None:
        """The next update to carry out, if none is under way.

        Returns:
            The update and what to send for it; ``None`` instead of the latter if nothing has to be,
            and then the update is done.
        """
        if self._sent is not None or not self._waiting:
            return None
        update = self._waiting.popleft()
        change = settings_change(self._accepted, update.wanted)
        if change is not None:
            self._sent = (update, change)
        return update, change

    def accepted(self) -> SettingsUpdate | None:
        """The service has accepted an update. Returns which; ``None`` if none of ours."""
        if self._sent is None:
            return None
        (update, change), self._sent = self._sent, None
        known = self._accepted
        self._accepted = change if known is None else settings_after(known, change)
        return update

    def refused(self, token: str | None) -> SettingsUpdate | None:
        """The service has refused the update of this token. Returns it if it is under way."""
        if self._sent is None or self._sent[0].token != token:
            return None
        (update, _), self._sent = self._sent, None
        return update

    @property
    def under_way(self) -> str | None:
        """The token of the update that was sent and not yet answered."""
        return None if self._sent is None else self._sent[0].token

    def drop_all(self) -> None:
        """The connection is gone: forget what was on its way."""
        self._waiting.clear()
        self._sent = None


class SessionSettings:
    """Keeps the session as the service tells it, and changes it. ``handlers`` are by event class.

    An agent takes over when the settings that make it hold are accepted, so a response that began
    before still belongs to the one before.
    """

    def __init__(self, agent: Any, playback: Playback, token: Callable[[str], str]) -> None:
        self.agent: Any = agent
        self.session: Session | None = None
        self._playback = playback
        self._token = token
        self._updates = UpdateQueue()
        self.handlers: Handlers = {
            SessionCreated: self._on_created,
            SessionUpdated: self._on_updated,
        }

    def update(self, wanted: Session, agent: Any = None) -> tuple[str, list[Effect]]:
        """Ask for settings. Returns the token under which the answer is settled.

        Args:
            wanted: what is to hold; what is ``UNSET`` stays as it is.
            agent: who speaks once it holds; ``None`` for no change.
        """
        token = self._token("settings")
        self._updates.ask(SettingsUpdate(token=token, wanted=wanted, agent=agent))
        effects: list[Effect] = []
        self._send(effects)
        return token, effects

    def refuse(self, token: str | None, details: ErrorDetails) -> list[Effect]:
        """Carry a refusal to its update; no effects if it is none of ours."""
        if token is None and _concerns_settings(details):
            token = self._updates.under_way
        update = self._updates.refused(token)
        if update is None:
            return []
        refusal = peer_error(details, SettingsRejected)
        effects: list[Effect] = [ResolveRequest(token=update.token, outcome=refusal)]
        self._send(effects)
        return effects

    def disconnected(self) -> None:
        """The connection is gone: nothing that waited will be sent."""
        self._updates.drop_all()

    def _on_created(self, event: SessionCreated, _now: float) -> Sequence[Effect]:
        self._take(event.session)
        return ()

    def _on_updated(self, event: SessionUpdated, _now: float) -> Sequence[Effect]:
        self._take(event.session)
        effects: list[Effect] = [ev.SettingsUpdated(session=event.session)]
        update = self._updates.accepted()
        if update is not None:
            self._finish(update, event.session, effects)
            self._send(effects)
        return effects

    def _take(self, session: Session) -> None:
        self.session = session
        if session.output_format is not None:
            self._playback.bytes_per_ms = session.output_format.bytes_per_ms

    def _send(self, effects: list[Effect]) -> None:
        while (taken := self._updates.take()) is not None:
            update, change = taken
            if change is not None:
                effects.append(SessionUpdate(event_id=update.token, session=change))
                return
            self._finish(update, self.session or update.wanted, effects)

    def _finish(self, update: SettingsUpdate, session: Session, effects: list[Effect]) -> None:
        if update.agent is not None and update.agent is not self.agent:
            before, self.agent = self.agent, update.agent
            effects.append(ev.Handoff(from_agent=before, to_agent=update.agent))
        effects.append(ResolveRequest(token=update.token, outcome=session))


def _concerns_settings(details: ErrorDetails) -> bool:
    """Whether an error that names no event looks like one about a ``session.update``."""
    return (details.param or "").startswith("session") or "session.update" in details.message
