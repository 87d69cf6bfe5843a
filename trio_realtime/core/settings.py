"""Settings of the session: what the service has accepted, and updates that are not accepted yet.

The service answers updates in order and does not say which one an answer belongs to, so one update is
sent at a time. Each update is sent as the difference to what the service has accepted by then: a
rejected update changes nothing, and does not affect the updates queued behind it.

Some settings lock: the service changes no voice that has been heard. An agent becomes current without such
a setting of its own.
"""

from __future__ import annotations

import re
from typing import Any, Final

import attrs

from trio_realtime import events as ev
from trio_realtime.errors import PeerError, SettingsRejected
from trio_realtime.wire import (
    UNSET,
    ErrorDetails,
    Session,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)

from .audio.playback import Playback
from .effects import Effect, ResolveRequest
from .error_events import peer_error
from .inputs import UpdateSettings
from .link import Link
from .request_timer import RequestTimer
from .settings_change import (
    SettingPath,
    setting_paths,
    settings_after,
    settings_change,
    without_setting,
)
from .settings_state import SettingsState


class SessionSettings:
    """The effective session, the current agent and its toolset.

    An agent becomes current when the settings that make it current are accepted. A response that
    began earlier belongs to the previous agent.

    Args:
        state: what outlives the connection.
        link: whether anything can be sent now.
        playback: counts audio in the output format.
        timer: limits how long an update may be unanswered.
    """

    def __init__(
        self,
        state: SettingsState,
        link: Link,
        playback: Playback,
        timer: RequestTimer,
    ) -> None:
        self._state = state
        self._link = link
        self._playback = playback
        self._timer = timer
        self._locked: set[SettingPath] = set()
        self._sent: tuple[UpdateSettings, Session] | None = None

    @property
    def agent(self) -> Any:
        """The agent that the next response begins with."""
        return self._state.agent

    @property
    def toolset(self) -> Any:
        """The tools that the service knows for that agent."""
        return self._state.toolset

    @property
    def session(self) -> Session | None:
        """The session as the service last reported it."""
        return self._state.session

    def on_update_settings(self, update: UpdateSettings, _now: float) -> list[Effect]:
        """Queue an update and send it if none is outstanding."""
        self._state.waiting.append(update)
        return self._send_next()

    def on_session_created(self, event: SessionCreated, _now: float) -> list[Effect]:
        """Take the service's defaults. They do not replace what was accepted before a late greeting."""
        self._set_session(event.session)
        if self._state.accepted is not None:
            self._set_session(self._state.accepted)
        return []

    def on_session_updated(self, event: SessionUpdated, _now: float) -> list[Effect]:
        """Take the effective session, and complete the update that caused it."""
        if self._sent is None:
            return [ev.SettingsUpdated(session=self._set_session(event.session))]
        (update, change), self._sent = self._sent, None
        self._timer.stop(_TIMER)
        known = self._state.accepted
        self._state.accepted = change if known is None else settings_after(known, change)
        self._set_session(change)
        session = self._set_session(event.session)
        return [
            ev.SettingsUpdated(session=session),
            *self._complete(update, session),
            *(self._send_next() if self._state.waiting else ()),
        ]

    def reject(self, details: ErrorDetails) -> tuple[PeerError, list[Effect]] | None:
        """Route an error to the update that it answers; ``None`` if it answers none.

        An agent whose settings include one that the service cannot change any more becomes current
        without that setting.
        """
        if self._sent is None:
            return None
        update, change = self._sent
        token = details.event_id
        locked = locked_setting(details, change)
        if token is None and (locked is not None or _concerns_settings(details)):
            token = update.token
        if token != update.token:
            return None
        self._sent = None
        self._timer.stop(_TIMER)
        error = peer_error(details, SettingsRejected)
        if locked is not None and update.agent is not None:
            self._locked.add(locked)
            self._state.waiting.insert(0, update)
            return error, self._send_next()
        return error, [_failure(update, error), *self._send_next()]

    def connection_lost(self) -> None:
        """Queue the update that was sent again: it names the settings to reach."""
        if self._sent is not None:
            self._state.waiting.insert(0, self._sent[0])

    def restored(self, reported: Session | None) -> list[Effect]:
        """Take the settings that the next connection reports, and send what waits."""
        if reported is not None:
            self._set_session(reported)
        return self._send_next()

    def expire(self) -> list[Effect]:
        """Give up an update that the service has not answered in time."""
        if self._sent is None or not self._timer.is_due(_TIMER):
            return []
        update, self._sent = self._sent[0], None
        self._timer.stop(_TIMER)
        return [_failure(update, self._timer.error("session.update")), *self._send_next()]

    def _set_session(self, reported: Session) -> Session:
        """Merge what was reported into what is known. Some services report only a part."""
        known = self.session
        session = reported if known is None else settings_after(known, reported)
        self._state.session = session = attrs.evolve(session, extra=UNSET)
        output_format = session.output_format
        if output_format is not None:
            self._playback.bytes_per_ms = output_format.bytes_per_ms
        return session

    def _send_next(self) -> list[Effect]:
        """Send the next update, if none is outstanding. An update that changes nothing is complete."""
        effects: list[Effect] = []
        while self._link.is_open and self._state.waiting and self._sent is None:
            update = self._state.waiting.pop(0)
            change = settings_change(self._state.accepted, update.settings)
            if change is not None and update.agent is not None:
                change, warnings = self._without_locked(change)
                effects += warnings
            if change is None and update.extra:
                change = Session(type=update.settings.type)
            if change is not None:
                self._sent = (update, change)
                self._timer.start(_TIMER)
                effects.append(
                    SessionUpdate(event_id=update.token, session=change, extra=update.extra)
                )
            else:
                effects += self._complete(update, self.session or update.settings)
        return effects

    def _without_locked(self, change: Session) -> tuple[Session | None, list[Effect]]:
        """Leave out settings that the service cannot change any more."""
        warnings: list[Effect] = []
        for path in self._locked.intersection(setting_paths(change)):
            change = without_setting(change, path)
            name = ".".join(path)
            message = (
                f"the service cannot change {name} any more: the agent goes on without its own"
            )
            warnings.append(ev.SessionWarning(message=message, code="setting_locked", param=name))
        return (change if any(setting_paths(change)) else None), warnings

    def _complete(self, update: UpdateSettings, session: Session) -> list[Effect]:
        resolved = ResolveRequest(token=update.token, outcome=session)
        if update.toolset is not None:
            self._state.toolset = update.toolset
        if update.agent is None or update.agent is self.agent:
            return [resolved]
        previous, self._state.agent = self.agent, update.agent
        return [ev.Handoff(from_agent=previous, to_agent=update.agent), resolved]


_TIMER: Final = "settings"


def _failure(update: UpdateSettings, error: PeerError) -> Effect:
    if update.has_waiter:
        return ResolveRequest(token=update.token, outcome=error)
    return ev.Error(error=error)


_LOCKED = re.compile(
    r"\bcan(?:not| not|'t)\b.*\b(?:updat|chang|modif|alter)|\b(?:locked|immutable)\b", re.IGNORECASE
)
_ESSENTIAL = frozenset({("instructions",), ("tools",)})


def locked_setting(details: ErrorDetails, change: Session) -> SettingPath | None:
    """Return the setting that the service cannot change any more, if an error says so.

    The live service has the code ``cannot_update_voice`` for a voice that has been heard. An agent
    without its instructions or tools would be another agent, so these never count.
    """
    text = f"{details.message} {(details.code or '').replace('_', ' ')}"
    if not _LOCKED.search(text):
        return None
    paths = [path for path in setting_paths(change) if path not in _ESSENTIAL]
    for words in (details.param or "", text):
        named = set(re.findall(r"\w+", words))
        for path in paths:
            if path[-1] in named:
                return path
    return None


def _concerns_settings(details: ErrorDetails) -> bool:
    """Return whether an error without an event id looks like an answer to a ``session.update``."""
    return (details.param or "").startswith("session") or "session.update" in details.message
