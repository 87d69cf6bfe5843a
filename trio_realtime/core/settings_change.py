"""The difference between two sets of settings, as pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import attrs

from trio_realtime.wire import UNSET, AudioSettings, Session, Unset

SettingPath: TypeAlias = tuple[str, ...]
"""The place of a setting in the session object, such as ``("audio", "output", "voice")``."""

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
    """Return the settings after the service has accepted a change.

    The limits of settings that are sent do not apply to what a service reports.
    """
    with attrs.validators.disabled():
        return _settings_after(known, change)


def _settings_after(known: Session, change: Session) -> Session:
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


# --- single settings -------------------------------------------------------------------------------


def setting_paths(session: Session) -> Iterator[SettingPath]:
    """Yield the place of each setting that the session object contains."""
    for name, value in _set_fields(session).items():
        if name not in ("audio", *_ALWAYS):
            yield (name,)
        elif isinstance(value, AudioSettings):
            for side, settings in _set_fields(value).items():
                yield from ((name, side, setting) for setting in _set_fields(settings))


def without_setting(session: Session, path: SettingPath) -> Session:
    """Return the session object without one setting."""
    remaining: Session = _without(session, path)
    return remaining


def _without(value: Any, path: SettingPath) -> Any:
    name, *rest = path
    inner = getattr(value, name)
    if isinstance(inner, Unset):
        return value
    remaining = _without(inner, tuple(rest)) if rest else UNSET
    if remaining is not UNSET and not _set_fields(remaining):
        remaining = UNSET
    return attrs.evolve(value, **{name: remaining})
