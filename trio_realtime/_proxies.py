"""The proxy of a connection, as the environment configures it.

The rules are those of curl and ``urllib``: ``HTTPS_PROXY`` is for ``wss`` and ``https`` URLs,
``HTTP_PROXY`` for ``ws`` and ``http`` URLs, ``ALL_PROXY`` for both, and ``NO_PROXY`` lists the
hosts to connect to directly. A name in lower case takes precedence over one in upper case, even if
its value is empty. This module does no I/O. System settings of macOS and Windows are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from ._redaction import redact_url
from ._validation import PROXY_SCHEMES, is_socks_user
from .errors import ConfigurationError

__all__ = ["check_proxy", "proxy_for", "proxy_variable"]

_VARIABLES = {
    "ws": ("http_proxy", "all_proxy"),
    "http": ("http_proxy", "all_proxy"),
    "wss": ("https_proxy", "all_proxy"),
    "https": ("https_proxy", "all_proxy"),
}
_DEFAULT_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_SEPARATORS = re.compile(r"[,\s]+")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^]]*\]|[^:]*)(?::(?P<port>[0-9]+))?")


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy to use for ``url``, or ``None`` for a direct connection.

    Raises:
        ConfigurationError: The variable that applies is not the URL of a supported proxy.
    """
    variable = proxy_variable(url, environ)
    if variable is None or _is_exempt(urlsplit(url), environ):
        return None
    return check_proxy(environ[variable], variable)


def proxy_variable(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable with the proxy for ``url``, also if ``NO_PROXY`` has the host."""
    names = (_name_in(environ, name) for name in _VARIABLES[urlsplit(url).scheme])
    return next(filter(None, names), None)


def _name_in(environ: Mapping[str, str], name: str) -> str | None:
    """Return the spelling of a variable that applies, or ``None`` if the variable is not set."""
    if name in environ:
        return name if environ[name] else None
    upper = name.upper()
    if upper == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
        # In a CGI script, the client sets this variable, with a header named "Proxy".
        return None
    return upper if environ.get(upper) else None


def check_proxy(proxy: str, source: str) -> str:
    """Return a proxy URL, with ``http://`` in front of a value that has no scheme.

    Args:
        proxy: The URL.
        source: Where it is from: the name of the variable or of the argument, for the message.

    Raises:
        ConfigurationError: It is not the URL of a supported proxy. The message has no password.
    """
    url = proxy.strip()
    if "://" not in url:
        url = f"http://{url}"
    parts = _split(url)
    if parts is None:
        raise ConfigurationError(
            f"{source} is not the URL of a proxy, such as http://user:password@host:8080. Special "
            f"characters of the password must be percent-encoded: {redact_url(url)}"
        )
    if parts.scheme not in PROXY_SCHEMES:
        raise ConfigurationError(
            f"{source} names a proxy of an unsupported kind, use {', '.join(PROXY_SCHEMES[:-1])} or "
            f"{PROXY_SCHEMES[-1]}: {redact_url(url)}"
        )
    if not is_socks_user(parts):
        raise ConfigurationError(
            f"{source} has a user name or a password that SOCKS has no place for: both must be 1 to "
            f"255 ASCII characters: {redact_url(url)}"
        )
    return parts._replace(path="").geturl()


def _split(url: str) -> SplitResult | None:
    """Split a URL that has only a scheme, credentials, a host and a port."""
    try:
        parts = urlsplit(url)
        has_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    has_more = parts.path not in ("", "/") or parts.query or parts.fragment
    return parts if has_address and not has_more and _PRINTABLE.fullmatch(url) else None


def _is_exempt(parts: SplitResult, environ: Mapping[str, str]) -> bool:
    variable = _name_in(environ, "no_proxy")
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return variable is not None and any(
        _matches(entry, host, port) for entry in _entries(environ[variable])
    )


def _entries(no_proxy: str) -> Iterator[str]:
    return (entry.lower() for entry in _SEPARATORS.split(no_proxy) if entry)


def _matches(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of ``NO_PROXY`` covers a host. Entries that make no sense do not."""
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        return address is not None and _network_contains(entry, address)
    name, own_port = _split_port(entry)
    if own_port not in (None, port):
        return False
    if address is not None:
        return _address(name) == address
    domain = name.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    match = _HOST_AND_PORT.fullmatch(entry)
    if match is None:
        return entry, None  # an IPv6 address without brackets
    return match["host"].strip("[]"), int(match["port"]) if match["port"] else None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _network_contains(entry: str, address: IPv4Address | IPv6Address) -> bool:
    try:
        return address in ip_network(entry.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False
