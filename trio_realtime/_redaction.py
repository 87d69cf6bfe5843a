"""How a URL may be shown. Imports nothing of ours.

A key can sit in the user part or in the query of a URL, under any name. So nothing of them is shown
except what is known to be harmless.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

__all__ = ["MASK", "redact_url", "secret_values"]

MASK = "***"

_PRINTABLE = re.compile(r"[\x21-\x7e]+\Z")
# Query parameters that name what is asked for, never who asks.
_HARMLESS = frozenset({"api-version", "call_id", "deployment", "intent", "model"})


def redact_url(url: str) -> str:
    """Return ``url`` without its user part, with the values of its query masked.

    The values of ``model``, ``deployment``, ``api-version``, ``intent`` and ``call_id`` stay. What
    cannot be parsed is not shown at all.
    """
    try:
        parts = urlsplit(url)
        return _shown(parts) if _is_clear(url, parts) else MASK
    except ValueError:
        return MASK


def _is_clear(url: str, parts: SplitResult) -> bool:
    """A password with a slash or a question mark in it would pass for a host, a port or a path."""
    misread = "@" in url and "@" not in parts.netloc
    return bool(parts.hostname) and parts.port != 0 and not misread and bool(_PRINTABLE.match(url))


def secret_values(url: str) -> tuple[str, ...]:
    """Return what :func:`redact_url` hides of ``url``, as it stands there and decoded."""
    parts = urlsplit(url)
    pairs = [pair for pair in parts.query.split("&") if _shown_pair(pair) == MASK]
    raw = [part for pair in pairs for part in (pair, pair.partition("=")[2])]
    decoded = [value for name, value in parse_qsl(parts.query) if name not in _HARMLESS]
    users = [part for part in (parts.username, parts.password) if part]
    return tuple(filter(None, (*raw, *decoded, *users, *map(unquote, users))))


def _shown(parts: SplitResult) -> str:
    user, at, host = parts.netloc.rpartition("@")
    netloc = f"{MASK}@{host}" if user or at else host
    fragment = MASK if parts.fragment else ""
    return parts._replace(
        netloc=netloc, query=_shown_query(parts.query), fragment=fragment
    ).geturl()


def _shown_query(query: str) -> str:
    return "&".join(_shown_pair(pair) for pair in query.split("&")) if query else ""


def _shown_pair(pair: str) -> str:
    # The name goes too: a bare key that ends in "=" looks like one.
    return pair if pair.partition("=")[0] in _HARMLESS else MASK
