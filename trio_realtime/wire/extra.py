"""Keys that the library does not know: merge them into what is sent, and find them in a raw event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from .base import UNSET, ClientEvent, JsonObject, Unset, WireObject, as_object


def merge_extra(target: JsonObject, extra: Mapping[str, Any]) -> JsonObject:
    """Return ``target`` with the keys of ``extra``. Objects are merged deeply; ``extra`` wins."""
    merged = dict(target)
    for key, value in extra.items():
        known, inner = as_object(merged.get(key)), as_object(value)
        merged[key] = value if known is None or inner is None else merge_extra(known, inner)
    return merged


def with_extra(event: ClientEvent, encoded: JsonObject) -> JsonObject:
    """Return the JSON object of an event with the extra keys of the event and of its object."""
    for name in ("session", "response"):
        inner = getattr(event, name, None)
        extra: Mapping[str, Any] | Unset = getattr(inner, "extra", UNSET)
        if extra:
            encoded = merge_extra(encoded, {name: extra})
    return merge_extra(encoded, event.extra) if event.extra else encoded


def missing_keys(raw: Mapping[str, Any], known: Mapping[str, Any]) -> JsonObject:
    """Return what has to be merged into ``known`` to get ``raw``, for keys that ``raw`` has."""
    missing: JsonObject = {}
    for key, value in raw.items():
        other = known.get(key, UNSET)
        inner, known_inner = as_object(value), as_object(other)
        if inner is not None and known_inner is not None:
            found = missing_keys(inner, known_inner)
            if found:
                missing[key] = found
        elif value != other or type(value) is not type(other):
            missing[key] = value
    return missing


def add_extra(event: ClientEvent, extra: JsonObject) -> ClientEvent:
    """Return the event with extra keys, those of its session or response in that object.

    The extra keys of an object stay with it when the library changes the object.
    """
    remaining = dict(extra)
    changes: dict[str, Any] = {}
    for name in ("session", "response"):
        inner: Any = getattr(event, name, None)
        keys = as_object(remaining.get(name))
        if isinstance(inner, WireObject) and keys is not None:
            changes[name] = attrs.evolve(inner, extra=keys)  # type: ignore[call-arg]
            del remaining[name]
    if remaining:
        changes["extra"] = remaining
    return attrs.evolve(event, **changes) if changes else event
