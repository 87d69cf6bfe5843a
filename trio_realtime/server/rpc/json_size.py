"""How much memory JSON values take, for queues that are bounded in bytes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["json_size"]

_MAX_DEPTH: Final = 64


def json_size(value: Any, depth: int = 0) -> int:
    """Return about how many bytes of memory a JSON value takes. What is nested deeper than 64 levels is not counted."""
    match value:
        case str() | bytes():
            return sys.getsizeof(value)
        case Mapping() if depth < _MAX_DEPTH:
            return 8 + sum(json_size(k) + json_size(v, depth + 1) for k, v in value.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case list() | tuple() if depth < _MAX_DEPTH:
            return 8 + sum(json_size(v, depth + 1) for v in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _:
            return 8
