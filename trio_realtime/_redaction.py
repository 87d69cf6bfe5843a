"""Redaction of URLs and of foreign text for display. This module imports nothing from the package.

The user part and the query of a URL may contain a key, under any name. Therefore everything in them
is masked, except for parameters that are known to be harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

__all__ = ["MASK", "mask_secrets", "redact_url", "secret_values"]

MASK = "***"

_PRINTABLE = re.compile(r"[\x21-\x7e]+\Z")
# Query parameters that select a resource and never contain credentials.
_HARMLESS = frozenset(
    {
        *("api-version", "call_id", "deployment", "intent", "model"),
        *("agent-name", "agent-id", "agent-project-name", "agent-version"),
    }
)
# Shorter values are no keys, and masking them would only garble the text.
_MIN_SECRET_LENGTH = 8


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with every secret masked. Secrets of fewer than 8 characters are skipped.

    ``text`` is scanned once per secret, and copied only if it contains one.
    """
    long_enough = (secret for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH)
    # The longest first: a secret may be part of another one.
    for secret in sorted(long_enough, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def redact_url(url: str) -> str:
    """Return ``url`` with its user part, its fragment and the pairs of its query masked.

    The pairs of ``model``, ``deployment``, ``api-version``, ``intent`` and ``call_id`` are not
    masked. A URL that cannot be parsed is masked completely.
    """
    try:
        parts = urlsplit(url)
        return _mask_parts(parts) if _is_unambiguous(url, parts) else MASK
    except ValueError:
        return MASK


def _is_unambiguous(url: str, parts: SplitResult) -> bool:
    # A password that contains a slash or a question mark would be parsed as host, port or path.
    misparsed = "@" in url and "@" not in parts.netloc
    is_printable = bool(_PRINTABLE.match(url))
    return bool(parts.hostname) and parts.port != 0 and not misparsed and is_printable


def secret_values(url: str) -> tuple[str, ...]:
    """Return the parts of ``url`` that :func:`redact_url` masks, both encoded and decoded."""
    parts = urlsplit(url)
    pairs = [pair for pair in parts.query.split("&") if _mask_pair(pair) == MASK]
    raw = [part for pair in pairs for part in (pair, pair.partition("=")[2])]
    decoded = [value for name, value in parse_qsl(parts.query) if name not in _HARMLESS]
    users = [part for part in (parts.username, parts.password) if part]
    return tuple(filter(None, (*raw, *decoded, *users, *map(unquote, users))))


def _mask_parts(parts: SplitResult) -> str:
    user, at, host = parts.netloc.rpartition("@")
    netloc = f"{MASK}@{host}" if user or at else host
    fragment = MASK if parts.fragment else ""
    return parts._replace(netloc=netloc, query=_mask_query(parts.query), fragment=fragment).geturl()


def _mask_query(query: str) -> str:
    return "&".join(_mask_pair(pair) for pair in query.split("&")) if query else ""


def _mask_pair(pair: str) -> str:
    # The name is masked too: a key without a name may end in "=" and look like a name.
    return pair if pair.partition("=")[0] in _HARMLESS else MASK
