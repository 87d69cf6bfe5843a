"""What users list in a declaration: tools, guardrails, servers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trio_realtime.errors import ConfigurationError


def as_tuple(given: Iterable[Any], what: str) -> tuple[Any, ...]:
    """All that is given.

    Raises:
        ConfigurationError: nothing can be listed there, such as ``None``.
    """
    try:
        return tuple(given)
    except TypeError:
        raise ConfigurationError(
            f"{what}: a list is expected, not {type(given).__name__}"
        ) from None
