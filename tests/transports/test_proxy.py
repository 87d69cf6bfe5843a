"""Connections through a proxy: the tunnel, its credentials, and what can go wrong."""

from __future__ import annotations

import socket
import ssl
import sys
import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trustme

from support.proxies import Proxy, handle_connect, handle_socks, serve_proxy
from trio_realtime.local import LocalServer, serve_local
from trio_realtime.transports import (
    ConnectOptions,
    MissingPackage,
    TransportConnectError,
    TransportConnectTimeout,
    TransportError,
    connect_trio_websocket,
)

pytestmark = pytest.mark.slow

KEY = "sk-proj-do-not-show-0123456789"
USER, PASSWORD = "me@work", "p:ss/w0rd#2026"
ENCODED = "me%40work:p%3Ass%2Fw0rd%232026"


@pytest.fixture
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def options_for(server: LocalServer, proxy: str, context: ssl.SSLContext) -> ConnectOptions:
    headers = (("Authorization", f"Bearer {KEY}"),)
    url = server.url.replace("127.0.0.1", "localhost") + "?model=m"
    return ConnectOptions(url, headers, ssl_context=context, proxy=proxy)


async def check_connection(server: LocalServer, options: ConnectOptions) -> None:
    async with connect_trio_websocket(options) as transport:
        assert "session.created" in str(await transport.receive())
    headers = {name.lower() for name, _ in server.connections[-1].request.headers}
    assert "authorization" in headers
    assert "proxy-authorization" not in headers


async def connect_error(options: ConnectOptions) -> TransportError:
    with pytest.raises(TransportError) as caught:
        async with connect_trio_websocket(options):
            raise AssertionError("connected")
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    for secret in (KEY, PASSWORD, ENCODED, "p%3Ass%2Fw0rd%232026"):
        assert secret not in shown
    return caught.value


@pytest.mark.parametrize("tls_to_server", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_connection_through_an_http_proxy_with_a_password(
    scheme: str,
    tls_to_server: bool,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    async with (
        serve_local(ssl_context=server_context if tls_to_server else None) as server,
        serve_proxy(
            handle_connect,
            credentials=(USER, PASSWORD),
            ssl_context=server_context if scheme == "https" else None,
        ) as proxy,
    ):
        url = f"{scheme}://{ENCODED}@localhost:{proxy.port}"
        await check_connection(server, options_for(server, url, client_context))
    [request] = proxy.requests
    assert request.startswith(f"CONNECT localhost:{server.port} HTTP/1.1\r\n")
    assert f"\r\nHost: localhost:{server.port}\r\n" in request
    assert KEY not in request
    assert (KEY.encode() in proxy.sent) is not tls_to_server


@pytest.mark.parametrize(
    ("scheme", "requested"), [("socks5", "127.0.0.1"), ("socks5h", "localhost")]
)
@pytest.mark.parametrize("credentials", [None, (USER, PASSWORD)], ids=["open", "password"])
async def test_a_connection_through_a_socks_proxy(
    scheme: str,
    requested: str,
    credentials: tuple[str, str] | None,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_only_ipv4(monkeypatch)
    async with (
        serve_local(ssl_context=server_context) as server,
        serve_proxy(handle_socks, credentials=credentials) as proxy,
    ):
        user = f"{ENCODED}@" if credentials else ""
        url = f"{scheme}://{user}127.0.0.1:{proxy.port}"
        await check_connection(server, options_for(server, url, client_context))
    assert proxy.requests == [f"{requested}:{server.port}"]
    assert KEY.encode() not in proxy.sent


def resolve_only_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``localhost`` an IPv4 address also where it is ``::1`` first."""
    lookup = socket.getaddrinfo

    def only_ipv4(host: str, port: int, family: int = 0, *args: int, **kwargs: int) -> object:
        return lookup(host, port, socket.AF_INET, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", only_ipv4)


@asynccontextmanager
async def serve_answer(answer: bytes) -> AsyncGenerator[Proxy]:
    """Run a proxy that gives this answer to each request and then closes."""

    async def handle(proxy: Proxy, stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)

    async with serve_proxy(handle) as proxy:
        yield proxy


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="a"\r\n\r\n',
            "rejected the user name and the password of its URL (HTTP status 407 No)",
        ),
        (
            'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="a"\r\n\r\n',
            "rejected the user name and the password of its URL (HTTP status 401 No)",
        ),
        (
            "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n",
            "requires authentication with Negotiate or NTLM, but only Basic is supported",
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "to api.test:443 (HTTP status 403 Forbidden)"),
        (f"HTTP/1.1 502 {KEY} {PASSWORD}\r\n\r\n", "to api.test:443 (HTTP status 502 *** ***)"),
        ("HTTP/1.1 500\r\n\r\n", "to api.test:443 (HTTP status 500)"),
        ("HTTP/1.1 200 OK\r\n\r\nhello", "sent data of its own"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        ("", "does not speak HTTP, or closed the connection"),
        ("HTTP/1.1 200 OK\r\nA: " + "x" * 70_000, "does not speak HTTP"),
    ],
)
async def test_a_refusal_of_an_http_proxy_is_described(answer: str, says: str) -> None:
    async with serve_answer(answer.encode()) as proxy:
        url = f"http://{ENCODED}@127.0.0.1:{proxy.port}"
        options = ConnectOptions("wss://api.test", (("Authorization", KEY),), proxy=url)
        failure = await connect_error(options)
    assert isinstance(failure, TransportConnectError)
    assert f"the proxy http://***@127.0.0.1:{proxy.port}" in str(failure)
    assert says in str(failure)


async def test_a_proxy_that_requires_a_password_says_how_to_give_it() -> None:
    async with serve_proxy(handle_connect, credentials=(USER, PASSWORD)) as proxy:
        options = ConnectOptions("wss://api.test", proxy=f"http://127.0.0.1:{proxy.port}")
        failure = await connect_error(options)
    assert isinstance(failure, TransportConnectError)
    assert "requires a user name and a password" in str(failure)
    assert "http://user:password@host:port" in str(failure)


async def test_a_refusal_has_the_status_and_the_seconds_of_retry_after() -> None:
    async with serve_answer(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n") as proxy:
        options = ConnectOptions("wss://api.test", proxy=f"http://127.0.0.1:{proxy.port}")
        failure = await connect_error(options)
    assert isinstance(failure, TransportConnectError)
    assert (failure.status, failure.retry_after) == (503, 7.0)


async def test_the_address_of_an_ipv6_server_has_brackets() -> None:
    async with serve_answer(b"HTTP/1.1 403 No\r\n\r\n") as proxy:
        options = ConnectOptions("ws://[::1]", proxy=f"http://127.0.0.1:{proxy.port}")
        failure = await connect_error(options)
    assert "to [::1]:80 " in str(failure)


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
async def test_an_unreachable_proxy_is_named(scheme: str) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    options = ConnectOptions("wss://api.test", proxy=f"{scheme}://{ENCODED}@127.0.0.1:{port}")
    failure = await connect_error(options)
    assert type(failure) is TransportConnectError
    assert f"could not connect to the proxy {scheme}://***@127.0.0.1:{port}" in str(failure)
    assert "refused" in str(failure).lower()


@pytest.mark.parametrize(
    ("credentials", "says"),
    [(None, "No acceptable authentication"), ("me:wrong-password", "authentication failure")],
)
async def test_a_refusal_of_a_socks_proxy_is_described(credentials: str | None, says: str) -> None:
    async with serve_proxy(handle_socks, credentials=(USER, PASSWORD)) as proxy:
        user = f"{credentials}@" if credentials else ""
        url = f"socks5h://{user}127.0.0.1:{proxy.port}"
        failure = await connect_error(ConnectOptions("wss://api.test", proxy=url))
    assert type(failure) is TransportConnectError
    assert "the proxy socks5h://" in str(failure)
    assert "did not connect to api.test:443" in str(failure)
    assert says in str(failure)
    assert "wrong-password" not in str(failure)


async def test_a_socks_proxy_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    failure = await connect_error(ConnectOptions("wss://api.test", proxy="socks5://127.0.0.1"))
    assert isinstance(failure, MissingPackage)
    assert "pip install 'trio-realtime[socks]'" in str(failure)


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_a_proxy_that_does_not_answer_ends_with_connect_timeout(scheme: str) -> None:
    closed = trio.Event()

    async def receive_only(_: Proxy, stream: trio.abc.Stream) -> None:
        async for _data in stream:
            pass
        closed.set()

    async with serve_proxy(receive_only) as proxy:
        options = ConnectOptions(
            "wss://api.test", proxy=f"{scheme}://127.0.0.1:{proxy.port}", connect_timeout=0.05
        )
        failure = await connect_error(options)
        with trio.fail_after(5):
            await closed.wait()
    assert type(failure) is TransportConnectTimeout
    assert "0.05" in str(failure)


async def test_an_untrusted_certificate_of_a_proxy_is_named(server_context: ssl.SSLContext) -> None:
    async with serve_proxy(handle_connect, ssl_context=server_context) as proxy:
        options = ConnectOptions("wss://api.test", proxy=f"https://localhost:{proxy.port}")
        failure = await connect_error(options)
    assert type(failure) is TransportConnectError
    assert f"certificate of the proxy https://localhost:{proxy.port} was rejected" in str(failure)


async def test_credentials_of_the_server_are_not_sent_to_the_proxy(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async with (
        serve_local(ssl_context=server_context) as server,
        serve_proxy(handle_connect) as proxy,
    ):
        options = options_for(server, f"http://127.0.0.1:{proxy.port}", client_context)
        url = options.url.replace("wss://", f"wss://user:{KEY}@")
        await check_connection(server, attrs.evolve(options, url=url))
    assert "authorization" not in proxy.requests[0].lower()
    assert KEY.encode() not in proxy.sent
