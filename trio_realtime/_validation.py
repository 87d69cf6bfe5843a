"""Checks shared by several modules. This module imports nothing from the package."""

from __future__ import annotations

import re
from typing import Any, TypeGuard

__all__ = ["HEADER_NAME", "is_number"]

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""An HTTP field name (RFC 9110, section 5.1)."""


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether ``value`` is an int or a float. A bool is not a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)
