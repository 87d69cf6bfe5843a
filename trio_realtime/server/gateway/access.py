"""Who may use the gateway: keys of tenants, and origins of web pages."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import final
from urllib.parse import urlsplit

from trio_realtime.errors import ConfigurationError

__all__ = ["AccessDenied", "OriginPolicy", "TenantKeys", "check_public_url", "origin_of"]

ANONYMOUS = "default"
"""The tenant of requests without a key, where these are allowed."""


class AccessDenied(Exception):
    """A request has no valid key, or comes from a page that may not use the gateway.

    Attributes:
        status: the HTTP status: 401 without a valid key, 403 for a foreign page.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status: int = status


@final
class TenantKeys:
    """The keys of the tenants. Only their SHA-256 hashes are in memory.

    Args:
        hashes: the tenant of each hash, which is in hexadecimal digits.
        allow_anonymous: whether a request without a key belongs to the tenant ``default``.

    Raises:
        ConfigurationError: a hash is not one, or nobody could use the gateway.
    """

    def __init__(self, hashes: Mapping[str, str], *, allow_anonymous: bool) -> None:
        if not hashes and not allow_anonymous:
            raise ConfigurationError(
                "nobody may use the gateway: configure the key of a tenant, or allow_anonymous = true"
            )
        for digest in hashes:
            if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
                raise ConfigurationError(
                    "key_sha256 must be the SHA-256 hash of a key, as 64 lower-case hexadecimal digits"
                )
        self._hashes = dict(hashes)
        self._allow_anonymous = allow_anonymous

    def tenant_of(self, authorization: str | None) -> str:
        """Return the tenant of a request.

        Args:
            authorization: the header ``Authorization`` of the request.

        Raises:
            AccessDenied: there is no key, or it is not valid.
        """
        if authorization is None and self._allow_anonymous:
            return ANONYMOUS
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise AccessDenied("send the key of a tenant: Authorization: Bearer KEY", 401)
        digest = hashlib.sha256(key.strip().encode("utf-8", "surrogatepass")).hexdigest()
        for known, tenant in self._hashes.items():
            if hmac.compare_digest(known, digest):
                return tenant
        raise AccessDenied("the key is not valid", 401)


@final
class OriginPolicy:
    """Which web pages may open WebSockets. Browsers send the origin of the page, other clients none.

    Pages of the gateway itself are allowed: their origin has the host of the request.

    Args:
        allowed: origins of other pages, such as ``https://app.example.com``; ``"*"`` for every page.
        hosts: the names and addresses that the ``Host`` of a request may have, without a port; any by default.
            Limit them where requests need no key: a page of another name, which its owner lets point to this
            machine (DNS rebinding), would be a page of the gateway itself.

    Raises:
        ConfigurationError: an origin is not one.
    """

    def __init__(self, allowed: Iterable[str] = (), *, hosts: Iterable[str] | None = None) -> None:
        self._allowed = {origin if origin == "*" else origin_of(origin) for origin in allowed}
        self._hosts = None if hosts is None else {host.lower() for host in hosts}

    @property
    def allowed(self) -> frozenset[str]:
        """The origins of other pages."""
        return frozenset(self._allowed)

    def check(self, origin: str | None, host: str | None) -> None:
        """Check a request.

        Args:
            origin: the header ``Origin``.
            host: the header ``Host``.

        Raises:
            AccessDenied: the page may not use the gateway.
        """
        if self._hosts is not None and _name_of(host) not in self._hosts:
            raise AccessDenied("the gateway may not be used by this name", 403)
        if origin is None or "*" in self._allowed:
            return
        try:
            if host is not None and urlsplit(origin).netloc.lower() == host.lower():
                return
            if origin_of(origin) in self._allowed:
                return
        except ValueError:  # a ConfigurationError is one, too
            pass
        raise AccessDenied("pages of this origin may not use the gateway", 403)


def _name_of(host: str | None) -> str | None:
    """Return the name in the header ``Host``; ``None`` if it has none."""
    try:
        return urlsplit(f"//{host or ''}").hostname
    except ValueError:
        return None


def origin_of(url: str) -> str:
    """Return an origin as browsers write it.

    Raises:
        ConfigurationError: the URL is not an origin: it has no scheme and host, or has a path.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme not in ("http", "https") or not host or parts.path not in ("", "/") or parts.query:
        raise ConfigurationError(
            f"an origin is a scheme, a host and perhaps a port, such as https://app.example.com, got {url!r:.80}"
        )
    if ":" in host:
        host = f"[{host}]"
    is_default = port is None or (scheme, port) in (("http", 80), ("https", 443))
    return f"{scheme}://{host}" if is_default else f"{scheme}://{host}:{port}"


def check_public_url(url: str) -> None:
    """Check the URL at which clients reach the gateway.

    Raises:
        ConfigurationError: it has no scheme and host, or has more than a path after them.
    """
    try:
        parts = urlsplit(url)
        is_valid = parts.port != 0 and bool(parts.hostname)
    except ValueError:
        parts, is_valid = urlsplit(""), False
    has_more = "@" in parts.netloc or "?" in url or "#" in url or any(map(str.isspace, url))
    if parts.scheme not in ("http", "https") or not is_valid or has_more:
        raise ConfigurationError(
            "expected a scheme, a host and perhaps a port and a path, such as https://voice.example.com"
        )
