"""Redaction of URLs and of foreign text for display. This module imports nothing from the package.

The user part and the query of a URL may contain a key, under any name. Therefore everything in them
is masked, except for parameters that are known to be harmless.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

__all__ = [
    "CREDENTIAL_HEADERS",
    "CREDENTIAL_PARAMETERS",
    "MASK",
    "SecretMask",
    "redact_url",
    "secret_values",
]

MASK = "***"

_PRINTABLE = re.compile(r"[\x21-\x7e]+\Z")
# Query parameters that select a resource and never contain credentials.
_HARMLESS = frozenset(
    {
        *("api-version", "call_id", "deployment", "intent", "model"),
        *("agent-name", "agent-id", "agent-project-name", "agent-version"),
    }
)
#: Headers that have credentials, in lower case.
CREDENTIAL_HEADERS = frozenset(
    {
        *("authorization", "proxy-authorization", "cookie"),
        *("api-key", "x-api-key", "ocp-apim-subscription-key"),
    }
)
#: Query parameters that have credentials, in lower case. Others may have some, too.
CREDENTIAL_PARAMETERS = frozenset(
    {
        *("api-key", "api_key", "apikey", "key", "subscription-key", "sig"),
        *("token", "access_token"),
    }
)
# Shorter values are no keys, and masking them would only garble the text.
_MIN_SECRET_LENGTH = 8


class SecretMask:
    """Replaces the credentials of a connection in what the peer sends.

    Only credentials are masked: what a service says may contain the value of another header by chance.

    Args:
        headers: the headers of the request. Those that may have credentials count.
        subprotocols: the subprotocols that were offered. A key follows the first dot.
        urls: URLs whose user part or query may have credentials.
    """

    def __init__(
        self,
        *,
        headers: Iterable[tuple[str, str]] = (),
        subprotocols: Iterable[str] = (),
        urls: Iterable[str] = (),
    ) -> None:
        keys = {key for url in urls for key in secret_values(url)}
        for name, value in headers:
            if name.lower() in CREDENTIAL_HEADERS:
                # "Bearer <key>" and "name=<key>" may be quoted without their first word.
                keys |= {value, *re.split(r"[ =;]+", value)}
        # "openai-insecure-api-key.<key>"
        keys |= {name.partition(".")[2] for name in subprotocols}
        # A service may write a slash as "\/".
        escaped = {json.dumps(key)[1:-1] for key in keys} | {k.replace("/", r"\/") for k in keys}
        texts = _longest_first(keys | escaped)
        # A text without these has none of the others: "Bearer <key>" contains "<key>".
        self._shortest = [key for key in texts if not any(k in key for k in texts if k != key)]
        self._shortest_bytes = [key.encode() for key in self._shortest]
        # Some JSON encoders escape characters such as "+" and "<" for the sake of HTML.
        patterns = [*map(_json_pattern, _longest_first(keys)), *map(re.escape, texts)]
        pattern = "|".join(patterns) or r"(?!)"
        self._pattern = re.compile(pattern)
        self._bytes_pattern = re.compile(pattern.encode())

    def frame(self, frame: str | bytes) -> str | bytes:
        """Return a frame with the credentials masked; the same object if it has none."""
        if isinstance(frame, str):
            return self.text(frame)
        for key in self._shortest_bytes:
            if key in frame:
                return self._bytes_pattern.sub(MASK.encode(), frame)
        is_escaped = b"\\" in frame and rb"\u00" in frame
        return self._bytes_pattern.sub(MASK.encode(), frame) if is_escaped else frame

    def is_clean(self, text: str) -> bool:
        """Return whether a text has no credentials."""
        return self.text(text) is text

    def text(self, text: str) -> str:
        """Return a text with the credentials masked; the same object if it has none."""
        for key in self._shortest:
            if key in text:
                return self._pattern.sub(MASK, text)
        # Audio has no backslash, and looking for one character is much faster.
        is_escaped = "\\" in text and r"\u00" in text
        return self._pattern.sub(MASK, text) if is_escaped else text


def _longest_first(keys: Iterable[str]) -> list[str]:
    """Return the keys in the order in which to mask them: a key may be part of another one."""
    return sorted((k for k in keys if len(k) >= _MIN_SECRET_LENGTH), key=len, reverse=True)


def _json_pattern(key: str) -> str:
    """Return a pattern that matches a key in JSON text, whichever of its characters are escaped."""
    return "".join(
        rf"(?:{re.escape(char)}|\\{re.escape(char)}|\\u(?i:{ord(char):04x}))" for char in key
    )


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
