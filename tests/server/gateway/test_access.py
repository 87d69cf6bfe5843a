"""Keys of tenants, and origins of web pages."""

from __future__ import annotations

import hashlib

import pytest

from trio_realtime.errors import ConfigurationError
from trio_realtime.server.gateway.access import (
    AccessDenied,
    OriginPolicy,
    TenantKeys,
    origin_of,
)


def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


KEYS = {hash_of("acme-key"): "acme", hash_of("other-key"): "other"}


def test_a_key_belongs_to_a_tenant() -> None:
    keys = TenantKeys(KEYS, allow_anonymous=False)
    assert keys.tenant_of("Bearer acme-key") == "acme"
    assert keys.tenant_of("bearer  other-key ") == "other"


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer wrong", "Basic acme-key", "acme-key", "Bearer \ud800"],
)
def test_any_other_header_is_refused_even_where_no_key_is_needed(header: str) -> None:
    is_bearer = header.startswith("Bearer")
    message = "the key is not valid" if is_bearer else "send the key .*: Authorization: Bearer KEY"
    for allow_anonymous in (True, False):
        with pytest.raises(AccessDenied, match=message) as caught:
            TenantKeys(KEYS, allow_anonymous=allow_anonymous).tenant_of(header)
        assert caught.value.status == 401


def test_a_request_without_a_key_is_anonymous_only_where_that_is_allowed() -> None:
    assert TenantKeys({}, allow_anonymous=True).tenant_of(None) == "default"
    with pytest.raises(AccessDenied, match="send the key of a tenant"):
        TenantKeys(KEYS, allow_anonymous=False).tenant_of(None)


def test_a_gateway_that_nobody_could_use_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nobody may use the gateway"):
        TenantKeys({}, allow_anonymous=False)


@pytest.mark.parametrize("digest", ["", "acme-key", hash_of("x").upper(), hash_of("x")[:-1]])
def test_a_key_instead_of_its_hash_is_refused(digest: str) -> None:
    with pytest.raises(ConfigurationError, match="64 lower-case hexadecimal digits"):
        TenantKeys({digest: "acme"}, allow_anonymous=False)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "gateway.example"),
        (None, None),
        ("https://gateway.example", "gateway.example"),
        ("https://gateway.example:8443", "Gateway.example:8443"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("https://app.example", "gateway.example"),
        ("https://app.example:443", "gateway.example"),
        ("HTTPS://APP.example", "gateway.example"),
    ],
)
def test_allowed_pages(origin: str | None, host: str | None) -> None:
    OriginPolicy(["https://app.example/"]).check(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "gateway.example"),
        ("http://app.example", "gateway.example"),
        ("https://app.example:8443", "gateway.example"),
        ("https://app.example.evil.example", "gateway.example"),
        ("https://gateway.example:8443", "gateway.example"),
        ("null", "gateway.example"),
        ("", "gateway.example"),
        ("https://", None),
        ("https://[", "gateway.example"),
        ("file://", "gateway.example"),
    ],
)
def test_foreign_pages(origin: str, host: str | None) -> None:
    with pytest.raises(AccessDenied, match="this origin") as caught:
        OriginPolicy(["https://app.example"]).check(origin, host)
    assert caught.value.status == 403


def test_every_page_can_be_allowed() -> None:
    OriginPolicy(["*"]).check("https://evil.example", "gateway.example")


@pytest.mark.parametrize(
    "origin", ["app.example", "https://app.example/path", "ws://app.example", "", "https://h:x"]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="an origin is a scheme"):
        OriginPolicy([origin])


def test_an_origin_is_written_as_browsers_write_it() -> None:
    assert origin_of("HTTPS://App.Example:443/") == "https://app.example"
    assert origin_of("http://[::1]:8080") == "http://[::1]:8080"


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("evil.example:8080", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("[", False),
        ("", False),
        (None, False),
    ],
)
def test_the_hosts_of_requests_may_be_limited(host: str | None, is_allowed: bool) -> None:
    """The name of a page may point to this machine, and then the page is one of the gateway itself."""
    policy = OriginPolicy(hosts=["localhost", "127.0.0.1", "::1"])
    for origin in (None, f"http://{host}"):
        if is_allowed:
            policy.check(origin, host)
        else:
            with pytest.raises(AccessDenied) as info:
                policy.check(origin, host)
            assert info.value.status == 403
