"""Checks of JSON values that clients send."""

from __future__ import annotations

from typing import Any, TypeGuard

__all__ = ["is_object", "object_at"]


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value that was parsed from JSON is an object."""
    return isinstance(value, dict)


def object_at(value: object, key: str) -> dict[str, Any]:
    """Return the object at a key of an object; an empty one if there is none."""
    found: Any = value.get(key) if is_object(value) else None
    return found if is_object(found) else {}
