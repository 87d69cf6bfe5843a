"""Checks shared by several modules. This module imports nothing from the package."""

from __future__ import annotations

import re
from typing import Any, TypeGuard
from urllib.parse import SplitResult, unquote

__all__ = ["HEADER_NAME", "PROXY_SCHEMES", "is_number", "is_socks_user"]

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""An HTTP field name (RFC 9110, section 5.1)."""

PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
"""The schemes of the URLs of supported proxies."""


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether ``value`` is an int or a float. A bool is not a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_socks_user(parts: SplitResult) -> bool:
    """Return whether the user of a proxy's URL is valid there (RFC 1929, section 2, for SOCKS)."""
    if not parts.scheme.startswith("socks") or parts.username is None:
        return True
    pair = unquote(parts.username), unquote(parts.password or "")
    return all(part.isascii() and 0 < len(part) < 256 for part in pair)
