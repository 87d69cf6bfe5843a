"""Errors about one key of a spec: they name its path, as in ``agents.support.realtime.speed``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeGuard

from trio_realtime.errors import ConfigurationError

__all__ = ["SpecError", "describe", "is_list", "is_mapping", "join", "nearest", "under"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_MAX_SHOWN = 60


class SpecError(ConfigurationError):
    """A key of a spec cannot work.

    Attributes:
        path: the path of the key.
        problem: what is wrong, and what to change.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


def join(path: str, key: object) -> str:
    """Return the path of a key in the table at a path. A key with other characters is quoted."""
    name = str(key)
    shown = name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    return f"{path}.{shown}" if path else shown


def under(prefix: str, path: str) -> str:
    """Return a path in the table that has this prefix, which may end with the name of a file."""
    if not path:
        return prefix.removesuffix(": ")
    return f"{prefix}{path}" if not prefix or prefix.endswith(": ") else f"{prefix}.{path}"


def describe(value: object) -> str:
    """Return a value as an error message quotes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}..."
        return json.dumps(shown, ensure_ascii=False)
    if isinstance(value, int | float):
        return repr(value)
    return describe_type(value)


def describe_type(value: object) -> str:
    """Return what kind of value it is, for a value that may be secret."""
    if value is None:
        return "nothing"
    if is_mapping(value):
        return "a table"
    if is_list(value):
        return "a list"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return {"str": "a string", "bool": "a boolean"}.get(type(value).__name__, type(value).__name__)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether a value is a table."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Return whether a value is a list."""
    return isinstance(value, list | tuple)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a suggestion: the known name that is meant, or all of them."""
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"there is {', '.join(names)}" if names else "there is none"
