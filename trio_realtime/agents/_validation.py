"""Validation shared by the declarations of agents and tools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trio_realtime.errors import ConfigurationError


def as_tuple(values: Iterable[Any], what: str) -> tuple[Any, ...]:
    """Return ``values`` as a tuple.

    Args:
        values: what the user passed.
        what: the name of the parameter, for the error message.

    Raises:
        ConfigurationError: if ``values`` is not iterable, such as ``None``.
    """
    try:
        return tuple(values)
    except TypeError:
        raise ConfigurationError(f"{what}: expected a list, got {type(values).__name__}") from None
