"""What has to be sent to get from one set of settings to another."""

from __future__ import annotations

from typing import Any

import attrs

from trio_realtime.wire import UNSET, AudioSettings, Session, Unset

_ALWAYS = ("type",)


def settings_change(known: Session | None, wanted: Session) -> Session | None:
    """The part of ``wanted`` that differs from ``known``; ``None`` if nothing does.

    A key that is ``UNSET`` in what is wanted stays as it is. The service refuses some keys after a
    while (a voice, once it has spoken) even where they do not change, so what is the same is left
    out.
    """
    if known is None:
        return wanted
    changes = _differences(known, wanted, skip=("audio", *_ALWAYS))
    audio = _audio_change(known.audio, wanted.audio)
    if not changes and audio is None:
        return None
    return Session(type=wanted.type, audio=UNSET if audio is None else audio, **changes)


def settings_after(known: Session, change: Session) -> Session:
    """The settings when the service has accepted a change."""
    merged = {**_set_fields(known), **_set_fields(change)}
    if not isinstance(known.audio, Unset) and not isinstance(change.audio, Unset):
        merged["audio"] = AudioSettings(
            input=_merged_side(known.audio.input, change.audio.input),
            output=_merged_side(known.audio.output, change.audio.output),
        )
    return Session(**merged)


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
    return {
        name: value
        for name, value in _set_fields(wanted).items()
        if name not in skip and getattr(known, name) != value
    }


def _set_fields(value: Any) -> dict[str, Any]:
    kind: type[Any] = value.__class__
    return {
        field.name: field_value
        for field in attrs.fields(kind)
        if not isinstance(field_value := getattr(value, field.name), Unset)
    }
