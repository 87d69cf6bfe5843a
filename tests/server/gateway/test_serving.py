"""The server of the gateway: no connection can end it or block it."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import trio
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from trio_websocket import open_websocket_url

from trio_realtime.errors import ConfigurationError
from trio_realtime.server.gateway import serve_app
from trio_realtime.server.gateway.serving import _Connection

pytestmark = pytest.mark.slow


async def hello(_request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    return PlainTextResponse("hello")


async def flood(socket: WebSocket) -> None:
    """Send until the client has gone. Hypercorn ignores what is sent after that."""
    await socket.accept()

    async def send() -> None:
        while True:
            await socket.send_bytes(bytes(100_000))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
        nursery.cancel_scope.cancel()


async def close(socket: WebSocket) -> None:
    await socket.accept()
    await socket.receive()
    await socket.send_text("bye")
    await socket.close()


APP = Starlette(
    routes=[
        Route("/hello", hello),
        WebSocketRoute("/flood", flood),
        WebSocketRoute("/close", close),
    ]
)


@asynccontextmanager
async def serving(app: Any = APP, **options: Any) -> AsyncGenerator[str]:
    """Serve an application during the block, and shut the server down in order."""
    stop = trio.Event()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            [url] = await nursery.start(
                partial(
                    serve_app,
                    app,
                    port=0,
                    graceful_timeout=0.1,
                    shutdown=stop.wait,
                    **options,
                )
            )
            yield url
            stop.set()


def websocket_url(url: str, path: str) -> str:
    return url.replace("http", "ws", 1) + path


async def test_requests_are_answered() -> None:
    async with serving() as url, httpx2.AsyncClient() as http:
        response = await http.get(f"{url}/hello")
        assert (response.text, "server" in response.headers) == ("hello", False)


async def test_tls(authority: trustme.CA, tmp_path: Path) -> None:
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(str(chain))
    certificate.private_key_pem.write_to_path(str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with (
        serving(certfile=chain, keyfile=key) as url,
        httpx2.AsyncClient(verify=context) as http,
    ):
        assert url.startswith("https://")
        assert (await http.get(f"{url}/hello")).text == "hello"
        # A client without TLS harms nobody.
        async with await trio.open_tcp_stream("127.0.0.1", urlsplit(url).port or 0) as stream:
            await stream.send_all(b"GET /hello HTTP/1.1\r\n\r\n")
            assert await stream.receive_some() == b""
        assert (await http.get(f"{url}/hello")).text == "hello"


async def test_a_certificate_without_its_key_is_refused(
    authority: trustme.CA, tmp_path: Path
) -> None:
    chain = tmp_path / "chain.pem"
    authority.issue_cert("127.0.0.1").cert_chain_pems[0].write_to_path(str(chain))
    with pytest.raises(
        ConfigurationError, match=r"chain\.pem .*: keyfile must name its private key"
    ):
        await serve_app(APP, port=0, certfile=chain)
    missing = tmp_path / "missing.pem"
    with pytest.raises(ConfigurationError, match=r"the key .*missing\.pem cannot be used"):
        await serve_app(APP, port=0, certfile=chain, keyfile=missing)


async def test_a_certificate_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used"):
        await serve_app(APP, port=0, certfile=tmp_path / "missing.pem")


async def test_clients_that_close_at_the_same_time_as_the_server_harm_nobody() -> None:
    """A client's close and the server's used to collide in Hypercorn, which ended the whole server."""

    async def visit(url: str) -> None:
        async with open_websocket_url(websocket_url(url, "/close")) as socket:
            await socket.send_message("close")
            await socket.get_message()

    async with serving() as url:
        for _ in range(10):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(visit, url)
        async with httpx2.AsyncClient() as http:
            assert (await http.get(f"{url}/hello")).text == "hello"


async def test_a_connection_that_fails_ends_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(_connection: _Connection) -> None:
        raise trio.BusyResourceError

    async with serving() as url, httpx2.AsyncClient() as http:
        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            patch.setattr(_Connection, "_read_data", crash)
            with pytest.raises(httpx2.TransportError):
                await http.get(f"{url}/hello")
        assert "a connection failed" in caplog.text
        assert (await http.get(f"{url}/hello")).text == "hello"


async def test_a_client_that_reads_nothing_is_closed_and_does_not_block_the_end() -> None:
    async with serving(send_timeout=0.2) as url:
        stream = await open_flood(url)
        await trio.testing.wait_all_tasks_blocked(0.3)
    # The server has closed the connection: what is buffered ends, or is lost.
    await check_closed(stream)


async def open_flood(url: str) -> trio.SocketStream:
    """Open a WebSocket, and read nothing."""
    stream = await trio.open_tcp_stream("127.0.0.1", urlsplit(url).port or 0)
    request = (
        "GET /flood HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await stream.send_all(request.encode())
    return stream


async def check_closed(stream: trio.SocketStream) -> None:
    with trio.fail_after(10):
        try:
            while await stream.receive_some(1_000_000):
                pass
        except trio.BrokenResourceError:
            pass
    await stream.aclose()


async def test_the_end_of_the_server_does_not_wait_for_a_client_that_reads_nothing() -> None:
    async with serving(send_timeout=70) as url:
        stream = await open_flood(url)
        await trio.testing.wait_all_tasks_blocked(0.3)
    await check_closed(stream)


async def test_a_cancelled_server_does_not_wait_for_a_client_that_reads_nothing() -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            [url] = await nursery.start(partial(serve_app, APP, port=0, send_timeout=70))
            stream = await open_flood(url)
            await trio.testing.wait_all_tasks_blocked(0.3)
            nursery.cancel_scope.cancel()
    await check_closed(stream)
