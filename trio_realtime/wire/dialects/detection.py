"""Recognize the dialect that a server speaks from its events."""

from __future__ import annotations

from trio_realtime.wire.base import JsonObject, as_object

from .names import SERVER_EVENT_TYPES, SESSION_PATHS, VOICE_LIVE_SESSION_KEYS

_SESSION_EVENTS = frozenset({"session.created", "session.updated"})
_BETA_EVENTS = frozenset(
    {*SERVER_EVENT_TYPES, "conversation.item.created", "transcription_session.updated"}
)
_GA_EVENTS = frozenset(SERVER_EVENT_TYPES.values())
_GA, _BETA, _VOICE_LIVE = frozenset({"ga"}), frozenset({"beta"}), frozenset({"voice_live"})
_FLAT = _BETA | _VOICE_LIVE


def spoken_dialects(raw: JsonObject) -> frozenset[str] | None:
    """Return the dialects that have this event; ``None`` if it is the same in all dialects.

    A session that mixes flat and nested keys counts as GA: such a server accepts GA.
    """
    tag = raw.get("type")
    if not isinstance(tag, str):
        return None
    if tag in _GA_EVENTS:
        return _GA
    if tag in _BETA_EVENTS:
        return _FLAT
    session = as_object(raw.get("session"))
    if tag not in _SESSION_EVENTS or session is None:
        return None
    keys = session.keys()
    if keys & {"audio", "output_modalities"}:
        return _GA
    if keys & VOICE_LIVE_SESSION_KEYS:
        return _VOICE_LIVE
    return _BETA if keys & SESSION_PATHS.keys() else None
