"""Measure what an object holds: the size of every container that is reachable from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import attrs

_SCALARS: Final = (str, bytes, int, float, bool, type(None), type)
_CONTAINERS: Final = (dict, list, set, deque, tuple, frozenset)


def container_sizes(root: object) -> dict[str, int]:
    """Return the number of elements of all containers, by the attribute that holds them.

    Containers inside of containers count for the attribute of the outermost: ``History._pending``. Only
    objects of the library are entered, each once.
    """
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    open_values: list[tuple[str, Any]] = [("", root)]
    while open_values:
        name, value = open_values.pop()
        if isinstance(value, _SCALARS) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, _CONTAINERS):
            sizes[name] = sizes.get(name, 0) + len(value)
            elements = [*value, *value.values()] if isinstance(value, dict) else [*value]
            open_values += [(name, element) for element in elements]
        elif type(value).__module__.startswith("trio_realtime"):
            kind = type(value).__name__
            open_values += [(f"{kind}.{key}", inner) for key, inner in _attributes(value)]
    return sizes


def _attributes(value: object) -> Iterator[tuple[str, Any]]:
    names = {*vars(value)} if hasattr(value, "__dict__") else set()
    for base in type(value).__mro__:
        slots = getattr(base, "__slots__", ())
        names |= {slots} if isinstance(slots, str) else set(slots)
    kind: type[Any] = type(value)
    if attrs.has(kind):
        names |= {field.name for field in attrs.fields(kind)}
    for name in sorted(names):
        if hasattr(value, name) and not name.startswith("__"):
            yield name, getattr(value, name)
