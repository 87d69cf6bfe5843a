"""Values that are like those of JSON: subclasses of built-in types, and numbers and arrays of NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["plain_value"]


# Kinds of arrays of NumPy. Dates may have a unit that becomes a plain number.
_NUMBERS_AND_TEXT: Final = frozenset("biufUO")
_DATES: Final = frozenset("mM")


def plain_value(value: Any) -> Any:
    """Return the built-in value that a value is like.

    A tool may return a ``numpy.str_`` or a ``numpy.int64`` without knowing it, and JSON encoders refuse them.

    Raises:
        TypeError: JSON has no such value.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if kind in _DATES:
        return value.astype(str).tolist()
    if kind in _NUMBERS_AND_TEXT:
        return value.tolist()
    raise TypeError(f"JSON has no value for {type(value).__name__}")
