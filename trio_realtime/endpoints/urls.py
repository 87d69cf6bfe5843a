"""URLs of realtime services: validation, and editing of their queries."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from trio_realtime._redaction import redact_url
from trio_realtime.errors import ConfigurationError

from .credentials import PRINTABLE

__all__ = [
    "MODEL_PARAMETERS",
    "add_query_pair",
    "parse_url",
    "query_names",
    "query_value",
    "realtime_url",
    "remove_query_parameters",
]

#: The query parameters that select the model.
MODEL_PARAMETERS = frozenset({"model", "deployment"})

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def parse_url(url: str) -> SplitResult:
    """Split and validate a URL, with ``http(s)`` replaced by ``ws(s)``.

    Raises:
        ConfigurationError: It is not the URL of a service. The message masks its secrets.
    """
    redacted = redact_url(url)
    try:
        parts = urlsplit(url)
        has_valid_port = parts.port != 0
    except ValueError:
        raise ConfigurationError(f"the URL cannot be parsed: {redacted}") from None
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError(f"the URL must begin with https, http, wss or ws: {redacted}")
    if not parts.hostname or not has_valid_port:
        raise ConfigurationError(f"the URL has no host or an invalid port: {redacted}")
    if not PRINTABLE.fullmatch(url) or parts.fragment:
        raise ConfigurationError(
            f"the URL has a fragment or characters that must be percent-encoded: {redacted}"
        )
    return parts._replace(scheme=_SCHEMES[parts.scheme])


def realtime_url(base: str) -> str:
    """Return the realtime URL of a base URL, without a model."""
    parts = parse_url(base)
    path = parts.path.rstrip("/") or "/v1"
    return parts._replace(path=path if path.endswith("/realtime") else f"{path}/realtime").geturl()


def add_query_pair(url: str, name: str, value: str) -> str:
    """Append a pair to the query. The rest of the query keeps its spelling."""
    parts = urlsplit(url)
    pair = f"{quote(name, safe='')}={quote(value, safe='')}"
    return parts._replace(query=f"{parts.query}&{pair}" if parts.query else pair).geturl()


def remove_query_parameters(url: str, names: AbstractSet[str]) -> str:
    """Remove all pairs with these names from the query."""
    parts = urlsplit(url)
    remaining = (pair for pair in parts.query.split("&") if pair.partition("=")[0] not in names)
    return parts._replace(query="&".join(remaining)).geturl()


def query_value(url: str, *names: str) -> str | None:
    """Return the value of the first of these parameters that the query has, decoded."""
    values = dict(reversed(parse_qsl(urlsplit(url).query)))
    return next((values[name] for name in names if name in values), None)


def query_names(url: str) -> set[str]:
    """Return the names of the parameters in the query."""
    return {pair.partition("=")[0] for pair in urlsplit(url).query.split("&")}
