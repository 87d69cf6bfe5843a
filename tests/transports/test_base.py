"""The options of a connection, and the texts of its errors."""

from __future__ import annotations

import pytest

from trio_realtime.transports import ConnectOptions, HandshakeRejected

SECRET = "sk-proj-do-not-show-0123456789"


@pytest.mark.parametrize(
    "proxy",
    [
        "http://proxy.test",
        "HTTP://proxy.test:3128/",
        "https://me:pass%20word@proxy.test:3128",
        "socks5://[::1]:1080",
        "socks5h://me:password@proxy.test",
    ],
)
def test_a_proxy_may_have_these_urls(proxy: str) -> None:
    assert ConnectOptions("wss://host.test", proxy=proxy).proxy == proxy


@pytest.mark.parametrize(
    "proxy",
    [
        "",
        "proxy.test:3128",
        f"me:{SECRET}@proxy.test:3128",
        f"ftp://me:{SECRET}@proxy.test",
        f"socks4://me:{SECRET}@proxy.test",
        f"http://me:{SECRET}@",
        f"http://me:{SECRET}@proxy.test:0",
        f"http://me:{SECRET}@proxy.test:port",
        f"http://me:{SECRET}/x@proxy.test",
        f"http://me:{SECRET}@proxy.test/path",
        f"http://me:{SECRET}@proxy.test?a=b",
        f"http://me:{SECRET}@proxy.test/\r\nX: 1",
        f"http://me:{SECRET}\N{SNOWMAN}@proxy.test",
        f"socks5://{SECRET}@proxy.test",
        f"socks5://{SECRET}:@proxy.test",
        f"socks5://:{SECRET}@proxy.test",
        f"socks5://me:{SECRET}{'x' * 255}@proxy.test",
        f"socks5://me:{SECRET}%E2%98%83@proxy.test",
    ],
)
def test_an_invalid_proxy_raises_without_showing_its_password(proxy: str) -> None:
    with pytest.raises(ValueError, match="proxy") as caught:
        ConnectOptions("wss://host.test", proxy=proxy)
    assert SECRET not in str(caught.value)


def test_the_repr_masks_the_credentials_of_the_proxy() -> None:
    options = ConnectOptions("wss://host.test", proxy=f"http://me:{SECRET}@proxy.test:3128")
    assert "proxy='http://***@proxy.test:3128'" in repr(options)
    assert SECRET not in repr(options)


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (401, (), "rejected the connection with HTTP status 401"),
        (200, (), "HTTP status 200 instead of opening a WebSocket"),
        (304, (), "rejected the connection with HTTP status 304"),
        (401, (("Location", "https://other.test/"),), "rejected the connection"),
        (301, (("Location", "https://other.test/"),), "redirects to https://other.test/ "),
        (
            302,
            (("location", f"https://a:{SECRET}@b/?{SECRET}"),),
            "redirects to https://***@b/?***",
        ),
        (308, (("Location", f"/{SECRET}"),), "redirects to *** "),
    ],
)
def test_a_rejected_handshake_says_what_the_status_means(
    status: int, headers: tuple[tuple[str, str], ...], says: str
) -> None:
    rejected = HandshakeRejected(status, "", headers)
    assert says in str(rejected)
    assert SECRET not in str(rejected)
    assert (rejected.location is None) is ("redirects" not in says)


def test_a_rejected_handshake_has_the_seconds_of_retry_after() -> None:
    assert HandshakeRejected(503, "", (("Retry-After", "3"),)).retry_after == 3.0
    assert HandshakeRejected(503).retry_after is None
