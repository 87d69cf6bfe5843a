"""Settings of the session: what the service has accepted, and updates that are not accepted yet.

The service answers updates in order and does not say which one an answer belongs to, so one update is
sent at a time. Each update is sent as the difference to what the service has accepted by then: a
rejected update changes nothing, and does not affect the updates queued behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import attrs

from trio_realtime import events as ev
from trio_realtime.errors import PeerError, SettingsRejected
from trio_realtime.wire import (
    UNSET,
    AudioSettings,
    ErrorDetails,
    Session,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    Unset,
)

from .audio.playback import Playback
from .effects import Effect, ResolveRequest
from .error_events import peer_error
from .inputs import Disconnected, UpdateSettings


class SessionSettings:
    """The effective session, the current agent and its toolset.

    An agent becomes current when the settings that make it current are accepted. A response that
    began earlier belongs to the previous agent.

    Attributes:
        agent: the agent that the next response begins with.
        toolset: the tools that the service knows for that agent.
        session: the session as the service last reported it.
    """

    def __init__(
        self, agent: Any, toolset: Any, playback: Playback, token: Callable[[str], str]
    ) -> None:
        self.agent: Any = agent
        self.toolset: Any = toolset
        self.session: Session | None = None
        self._playback = playback
        self._token = token
        self._accepted: Session | None = None
        self._waiting: deque[UpdateSettings] = deque()
        self._sent: tuple[UpdateSettings, Session] | None = None

    def on_update_settings(self, update: UpdateSettings, _now: float) -> list[Effect]:
        """Queue an update and send it if none is outstanding."""
        self._waiting.append(update)
        return self._send_next()

    def on_session_created(self, event: SessionCreated, _now: float) -> list[Effect]:
        """Take the service's defaults."""
        self._set_session(event.session)
        return []

    def on_session_updated(self, event: SessionUpdated, _now: float) -> list[Effect]:
        """Take the effective session, and complete the update that caused it."""
        self._set_session(event.session)
        effects: list[Effect] = [ev.SettingsUpdated(session=event.session)]
        if self._sent is None:
            return effects
        (update, change), self._sent = self._sent, None
        known = self._accepted
        self._accepted = change if known is None else settings_after(known, change)
        return [
            *effects,
            *self._complete(update, event.session),
            *(self._send_next() if self._waiting else ()),
        ]

    def reject(self, details: ErrorDetails) -> tuple[PeerError, list[Effect]] | None:
        """Route an error to the update that it answers; ``None`` if it answers none."""
        if self._sent is None:
            return None
        update = self._sent[0]
        token = details.event_id
        if token is None and _concerns_settings(details):
            token = update.token
        if token != update.token:
            return None
        self._sent = None
        error = peer_error(details, SettingsRejected)
        return error, [ResolveRequest(token=update.token, outcome=error), *self._send_next()]

    def on_disconnected(self, _event: Disconnected, _now: float) -> list[Effect]:
        """Drop every update."""
        self._waiting.clear()
        self._sent = None
        return []

    def _set_session(self, session: Session) -> None:
        self.session = session
        output_format = session.output_format
        if output_format is not None:
            self._playback.bytes_per_ms = output_format.bytes_per_ms

    def _send_next(self) -> list[Effect]:
        """Send the next update, if none is outstanding. An update that changes nothing is complete."""
        effects: list[Effect] = []
        while self._waiting and self._sent is None:
            update = self._waiting.popleft()
            change = settings_change(self._accepted, update.settings)
            if change is not None:
                self._sent = (update, change)
                effects.append(SessionUpdate(event_id=update.token, session=change))
            else:
                effects += self._complete(update, self.session or update.settings)
        return effects

    def _complete(self, update: UpdateSettings, session: Session) -> list[Effect]:
        resolved = ResolveRequest(token=update.token, outcome=session)
        if update.toolset is not None:
            self.toolset = update.toolset
        if update.agent is None or update.agent is self.agent:
            return [resolved]
        previous, self.agent = self.agent, update.agent
        return [ev.Handoff(from_agent=previous, to_agent=update.agent), resolved]


def _concerns_settings(details: ErrorDetails) -> bool:
    """Return whether an error without an event id looks like an answer to a ``session.update``."""
    return (details.param or "").startswith("session") or "session.update" in details.message


# --- the difference between two sets of settings ---------------------------------------------------

_ALWAYS = ("type",)


def settings_change(known: Session | None, wanted: Session) -> Session | None:
    """Return the part of ``wanted`` that differs from ``known``; ``None`` if nothing does.

    A key that is ``UNSET`` in ``wanted`` stays as it is. The service rejects some keys later on (a
    voice, once it has spoken) even where they do not change, so equal keys are left out.
    """
    if known is None:
        return wanted
    changes = _differences(known, wanted, skip=("audio", *_ALWAYS))
    audio = None if wanted.audio is UNSET else _audio_change(known.audio, wanted.audio)
    if not changes and audio is None:
        return None
    return Session(type=wanted.type, audio=UNSET if audio is None else audio, **changes)


def settings_after(known: Session, change: Session) -> Session:
    """Return the settings after the service has accepted a change."""
    merged = _set_fields(change)
    if not isinstance(known.audio, Unset) and not isinstance(change.audio, Unset):
        merged["audio"] = AudioSettings(
            input=_merged_side(known.audio.input, change.audio.input),
            output=_merged_side(known.audio.output, change.audio.output),
        )
    return attrs.evolve(known, **merged)


def _audio_change(
    known: AudioSettings | Unset, wanted: AudioSettings | Unset
) -> AudioSettings | None:
    if isinstance(wanted, Unset):
        return None
    if isinstance(known, Unset):
        return wanted
    sides = {
        name: _side_change(getattr(known, name), getattr(wanted, name))
        for name in ("input", "output")
    }
    changed = {name: side for name, side in sides.items() if not isinstance(side, Unset)}
    return AudioSettings(**changed) if changed else None


def _side_change(known: Any, wanted: Any) -> Any:
    if isinstance(wanted, Unset) or isinstance(known, Unset):
        return wanted
    changes = _differences(known, wanted)
    return type(wanted)(**changes) if changes else UNSET


def _merged_side(known: Any, change: Any) -> Any:
    if isinstance(change, Unset):
        return known
    if isinstance(known, Unset):
        return change
    return attrs.evolve(known, **_set_fields(change))


def _differences(known: Any, wanted: Any, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    changes = _set_fields(wanted)
    for name, value in [*changes.items()]:
        if name in skip or getattr(known, name) == value:
            del changes[name]
    return changes


def _set_fields(value: Any) -> dict[str, Any]:
    """Return the fields of an object that are not ``UNSET``."""
    kind: type[Any] = value.__class__
    found: dict[str, Any] = {}
    for field in attrs.fields(kind):
        field_value = getattr(value, field.name)
        if field_value is not UNSET:
            found[field.name] = field_value
    return found
