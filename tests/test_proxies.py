"""The proxy of a connection, as the environment configures it."""

from __future__ import annotations

from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import pytest
from hypothesis import given, strategies as st

from trio_realtime._proxies import check_proxy, proxy_for, proxy_variable
from trio_realtime.errors import ConfigurationError

WSS = "wss://api.example.com/v1/realtime"
WS = "ws://api.example.com/v1/realtime"


@pytest.mark.parametrize(
    ("environ", "for_wss", "for_ws"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": "http://s:1"}, "http://s:1", None),
        ({"HTTP_PROXY": "http://h:1"}, None, "http://h:1"),
        ({"ALL_PROXY": "http://a:1"}, "http://a:1", "http://a:1"),
        ({"HTTPS_PROXY": "http://s:1", "ALL_PROXY": "http://a:1"}, "http://s:1", "http://a:1"),
        ({"HTTP_PROXY": "http://h:1", "ALL_PROXY": "http://a:1"}, "http://a:1", "http://h:1"),
        ({"https_proxy": "http://l:1", "HTTPS_PROXY": "http://s:1"}, "http://l:1", None),
        ({"https_proxy": "", "HTTPS_PROXY": "http://s:1"}, None, None),
        ({"https_proxy": "", "all_proxy": "http://a:1"}, "http://a:1", "http://a:1"),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "http://a:1"}, "http://a:1", "http://a:1"),
        ({"WSS_PROXY": "http://x:1", "PROXY": "http://x:1"}, None, None),
    ],
)
def test_the_scheme_selects_the_variable(
    environ: dict[str, str], for_wss: str | None, for_ws: str | None
) -> None:
    assert proxy_for(WSS, environ) == proxy_for(WSS.replace("wss", "https"), environ) == for_wss
    assert proxy_for(WS, environ) == proxy_for(WS.replace("ws", "http"), environ) == for_ws


def test_a_cgi_script_ignores_the_variable_that_clients_can_set() -> None:
    cgi = {"REQUEST_METHOD": "GET"}
    assert proxy_for(WS, {"HTTP_PROXY": "http://h:1", **cgi}) is None
    assert proxy_for(WS, {"http_proxy": "http://h:1", **cgi}) == "http://h:1"
    assert proxy_for(WSS, {"HTTPS_PROXY": "http://s:1", **cgi}) == "http://s:1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://proxy.test:8080", "http://proxy.test:8080"),
        ("http://proxy.test:8080/", "http://proxy.test:8080"),
        ("HTTP://proxy.test", "http://proxy.test"),
        ("https://user:p%40ss@proxy.test", "https://user:p%40ss@proxy.test"),
        ("socks5://me:pw@[::1]:1080", "socks5://me:pw@[::1]:1080"),
        ("socks5h://proxy.test", "socks5h://proxy.test"),
        ("proxy.test:3128", "http://proxy.test:3128"),
        ("me:pw@proxy.test:3128", "http://me:pw@proxy.test:3128"),
        (" http://proxy.test \n", "http://proxy.test"),
    ],
)
def test_valid_proxies(value: str, expected: str) -> None:
    assert proxy_for(WSS, {"HTTPS_PROXY": value}) == check_proxy(value, "proxy=") == expected


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("socks://user:S3cret@proxy.test", "unsupported kind, use http, https, socks5 or socks5h"),
        ("socks4://user:S3cret@proxy.test", "unsupported kind"),
        ("ftp://user:S3cret@proxy.test", "unsupported kind"),
        ("://user:S3cret@proxy.test", "is not the URL of a proxy"),
        ("socks://user:S3cret/x@proxy.test", "percent-encoded"),
        ("http://user:S3cret/x@proxy.test", "percent-encoded"),
        ("http://user:S3cret#x@proxy.test", "percent-encoded"),
        ("http://user:S3cret x@proxy.test", "percent-encoded"),
        ("http://user:S3cret@proxy.test:0", "is not the URL of a proxy"),
        ("http://user:S3cret@proxy.test:99999", "is not the URL of a proxy"),
        ("http://user:S3cret@", "is not the URL of a proxy"),
        ("http://[S3cret", "is not the URL of a proxy"),
        ("http://proxy.test/path", "is not the URL of a proxy"),
        ("http://proxy.test?S3cret", "is not the URL of a proxy"),
        (f"socks5://{'u' * 256}:S3cret@proxy.test", "1 to 255 ASCII characters"),
        (f"socks5h://user:S3cret{'x' * 250}@proxy.test", "1 to 255 ASCII characters"),
        ("socks5h://user:S3cret%C3%A9@proxy.test", "1 to 255 ASCII characters"),
        ("socks5://:S3cret@proxy.test", "1 to 255 ASCII characters"),
    ],
)
def test_invalid_proxies_are_refused_without_their_password(value: str, advice: str) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        with pytest.raises(ConfigurationError, match=advice) as caught:
            proxy_for(WSS, {variable: value})
        assert str(caught.value).startswith(f"{variable} ")
        assert "S3cret" not in str(caught.value)
        assert caught.value.__cause__ is None
    with pytest.raises(ConfigurationError, match=f"^proxy= .*{advice}"):
        check_proxy(value, "proxy=")


def test_an_invalid_variable_that_does_not_apply_is_ignored() -> None:
    assert proxy_for(WS, {"HTTPS_PROXY": "socks://x"}) is None
    assert proxy_for(WSS, {"ALL_PROXY": "socks://x", "HTTPS_PROXY": "http://s"}) == "http://s"
    assert proxy_for(WSS, {"HTTPS_PROXY": "socks://x", "NO_PROXY": "*"}) is None


# --- NO_PROXY -----------------------------------------------------------------------------------


def is_direct(url: str, no_proxy: str) -> bool:
    return proxy_for(url, {"ALL_PROXY": "http://proxy.test", "NO_PROXY": no_proxy}) is None


@pytest.mark.parametrize(
    "no_proxy",
    [
        "*",
        "example.com",
        ".example.com",
        "*.example.com",
        "api.example.com",
        "API.Example.COM",
        "api.example.com.",
        "other.test,example.com",
        "other.test, example.com",
        "other.test example.com",
        "other.test,*",
        "api.example.com:443",
        "example.com:443",
    ],
)
def test_exempt_hosts(no_proxy: str) -> None:
    assert is_direct(WSS, no_proxy)


@pytest.mark.parametrize(
    "no_proxy",
    [
        "",
        ",",
        "com.example",
        "ple.com",
        "pi.example.com",
        "www.api.example.com",
        "api.example.com:8443",
        "api.example.com:https",
        ".",
        "*:8443",
        "10.0.0.0/8",
        "nonsense/8",
    ],
)
def test_hosts_that_are_not_exempt(no_proxy: str) -> None:
    assert not is_direct(WSS, no_proxy)


def test_a_port_of_an_exempt_host_may_be_the_default_port_of_the_scheme() -> None:
    assert is_direct("ws://api.example.com/", "api.example.com:80")
    assert is_direct("wss://api.example.com:8443/", "api.example.com:8443")
    assert not is_direct("ws://api.example.com/", "api.example.com:443")


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.99/24", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:9000", "10.1.2.3:9000", True),
        ("10.1.2.3:9000", "10.1.2.3:9001", False),
        ("10.1.2.3", "2.3", False),
        ("10.1.2.3", "fd00::/8", False),
        ("[fd00::1]", "fd00::/8", True),
        ("[fd00::1]", "[fd00::]/8", True),
        ("[::1]", "::1", True),
        ("[::1]", "[::1]", True),
        ("[::1]:9000", "[::1]:9000", True),
        ("[::1]:9000", "[::1]:9001", False),
        ("[0:0:0:0:0:0:0:1]", "::1", True),
        ("[::2]", "::1", False),
        ("localhost", "localhost", True),
        ("localhost", "127.0.0.1", False),
    ],
)
def test_exempt_addresses(host: str, no_proxy: str, direct: bool) -> None:
    assert is_direct(f"wss://{host}/", no_proxy) is direct


def test_hosts_of_this_machine_are_not_exempt_by_default() -> None:
    assert not is_direct("ws://localhost:8000/", "")
    assert not is_direct("ws://127.0.0.1:8000/", "other.test")


LABELS = st.sampled_from(["a", "b", "api", "com"])
NAMES = st.lists(LABELS, min_size=1, max_size=3).map(".".join)


@given(host=NAMES, entries=st.lists(st.tuples(st.sampled_from(["", "."]), NAMES).map("".join)))
def test_names_are_exempt_as_in_the_standard_library(host: str, entries: list[str]) -> None:
    no_proxy = ",".join(entries)
    expected = bool(proxy_bypass_environment(host, {"no": no_proxy}))
    assert is_direct(f"wss://{host}/", no_proxy) is expected


def test_the_variable_with_the_proxy_is_found_by_its_spelling() -> None:
    environ = {"https_proxy": "", "HTTPS_PROXY": "http://upper", "ALL_PROXY": "http://all"}
    assert proxy_variable(WSS, environ) == "ALL_PROXY"
    assert proxy_variable(WSS, {**environ, "https_proxy": "http://lower"}) == "https_proxy"
    assert proxy_variable(WS, {"HTTPS_PROXY": "http://upper"}) is None
    assert proxy_variable(WSS, {"HTTPS_PROXY": "http://h", "NO_PROXY": "*"}) == "HTTPS_PROXY"
