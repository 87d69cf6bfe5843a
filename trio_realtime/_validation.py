"""Checks that several modules share. Imports nothing of the package."""

from __future__ import annotations

import re
from typing import Any, TypeGuard

__all__ = ["HEADER_NAME", "is_number"]

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A field name of HTTP: RFC 9110, section 5.6.2."""


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether ``value`` is an int or a float. A bool is not a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)
