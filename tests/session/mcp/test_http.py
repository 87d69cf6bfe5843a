"""MCP servers on the network: time and size limits of requests, and secrets in logs and errors."""

from __future__ import annotations

import functools
import gzip
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import httpx2
import pytest
import trio
from mcp.types import CallToolResult, TextContent

from support.events import drain_events
from support.mcp_servers import agent_with, wait_real_output
from support.service import send_call
from support.sessions import open_test_session
from support.wire import sent_outputs
from trio_realtime import McpServerHttp, errors, events
from trio_realtime.testing import ScriptedPeer

# --- a minimal HTTP server ---------------------------------------------------------------------

Handler = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def open_http_server(handler: Handler, path: str = "/mcp") -> AsyncGenerator[McpServerHttp]:
    """Run an HTTP server with this handler for each connection, and yield its declaration."""

    async def serve_quietly(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
            await handler(stream)

    async with trio.open_nursery() as nursery:
        start = functools.partial(trio.serve_tcp, serve_quietly, 0, host="127.0.0.1")
        (listener,) = await nursery.start(start)
        port = listener.socket.getsockname()[1]
        yield McpServerHttp(name="net", url=f"http://127.0.0.1:{port}{path}")
        nursery.cancel_scope.cancel()


def mcp_handler(handle_call: Handler | None = None) -> Handler:
    """Return the handler of an MCP server with one tool, ``echo``.

    ``handle_call`` handles the calls; by default they get an error response.
    """

    async def handle(stream: trio.SocketStream) -> None:
        while True:
            message = await read_request(stream)
            if message.get("method") == "tools/call" and handle_call is not None:
                await handle_call(stream)
            else:
                await send_reply(stream, message)

    return handle


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


async def read_request(stream: trio.SocketStream) -> dict[str, Any]:
    data = b""
    while True:
        chunk = await stream.receive_some()
        if not chunk:
            raise EOFError
        data += chunk
        head, end, body = data.partition(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if b"content-length:" in line]
        if end and len(body) >= (int(length[0].split(b":")[1]) if length else 0):
            message: dict[str, Any] = json.loads(body or b"{}")
            return message


async def send_reply(stream: trio.SocketStream, message: dict[str, Any]) -> None:
    results: dict[str, Any] = {
        "initialize": {
            "protocolVersion": message.get("params", {}).get("protocolVersion"),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "x", "version": "1"},
        },
        "tools/list": {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]},
    }
    result = results.get(message.get("method", ""))
    error = {"code": -32601, "message": "?"}
    outcome = {"error": error} if result is None else {"result": result}
    reply = {"jsonrpc": "2.0", "id": message.get("id"), **outcome}
    body = b"" if message.get("id") is None else json.dumps(reply).encode()
    head = HEAD if body else b"HTTP/1.1 202 Accepted\r\n"
    await stream.send_all(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))


async def reject_request(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    head = b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    await stream.send_all(head)
    async for _ in stream:
        pass


# --- failures and secrets ----------------------------------------------------------------------


async def test_a_rejected_request_is_reported_with_its_status_but_without_the_headers() -> None:
    async with open_http_server(reject_request) as declaration:
        server = attrs.evolve(declaration, headers={"Authorization": "Bearer hush-hush"})
        with pytest.raises(errors.McpServerFailed, match="HTTP 401") as caught:
            async with open_test_session(ScriptedPeer(), agent=agent_with(server)):
                pytest.fail("the session opened")
        assert "hush" not in str(caught.value)


async def test_a_key_in_the_url_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_http_server(reject_request, "/mcp?key=hush-hush") as server:
        with pytest.raises(errors.McpServerFailed) as caught:
            async with open_test_session(ScriptedPeer(), agent=agent_with(server)):
                pytest.fail("the session opened")
    assert "hush" not in str(caught.value)
    assert "hush" not in caplog.text
    assert "HTTP Request: POST http://127.0.0.1:" in caplog.text


async def test_logs_of_other_requests_are_unchanged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    logger = logging.getLogger("httpx2")
    before = list(logger.filters)
    async with (
        open_http_server(mcp_handler(), "/mcp?key=hush") as server,
        open_test_session(ScriptedPeer(), agent=agent_with(server)),
    ):
        logger.info("HTTP Request: %s", httpx2.URL("http://example.com/?q=mine"))
        assert "q=mine" in caplog.text
    assert logger.filters == before


# --- limits ------------------------------------------------------------------------------------


async def test_a_call_without_a_timeout_has_no_read_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trio_realtime.session.mcp.http._READ_TIMEOUT", 0.3)

    async def hang(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    peer = ScriptedPeer()
    async with (
        open_http_server(mcp_handler(hang)) as server,
        open_test_session(peer, agent=agent_with(server)) as session,
    ):
        send_call(peer, "echo")
        await trio.sleep(0.8)
        assert sent_outputs(peer) == []
        assert drain_events(session.events, events.Error) == []


async def test_an_endless_response_fails_only_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trio_realtime.session.mcp.http.MAX_MESSAGE_SIZE", 1_000_000)
    sent = 0

    async def flood(stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.send_all(HEAD + b"\r\n")
        while sent < 500:
            await stream.send_all(b" " * 100_000)
            sent += 1

    peer = ScriptedPeer()
    async with (
        open_http_server(mcp_handler(flood)) as server,
        open_test_session(peer, agent=agent_with(server)) as session,
    ):
        send_call(peer, "echo")
        assert "more than 1000000 bytes" in await wait_real_output(peer)
        assert sent < 500
        assert drain_events(session.events, events.Error) == []


async def test_a_compressed_response_is_not_decompressed() -> None:
    body = gzip.compress(b" " * 1_000_000)

    async def compress(stream: trio.SocketStream) -> None:
        fields = b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
        await stream.send_all(HEAD + fields + body)

    peer = ScriptedPeer()
    async with (
        open_http_server(mcp_handler(compress)) as server,
        open_test_session(peer, agent=agent_with(server)),
    ):
        send_call(peer, "echo")
        assert "compressed" in await wait_real_output(peer)


# The SDK stops reading before the end of the stream, and leaves its generators unclosed.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_large_event_is_accepted() -> None:
    """The SDK's own limit is 1 MB, which is less than a local program may send."""
    text = "x" * 3_000_000

    async def send_event(stream: trio.SocketStream) -> None:
        result = CallToolResult(content=[TextContent(text=text)]).model_dump(
            by_alias=True, exclude_none=True
        )
        event = b"data: %b\n\n" % json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
        await stream.send_all(head % len(event) + event)

    peer = ScriptedPeer()
    async with (
        open_http_server(mcp_handler(send_event)) as server,
        open_test_session(peer, agent=agent_with(server), max_tool_output=None),
    ):
        send_call(peer, "echo")
        assert await wait_real_output(peer) == text


async def test_a_redirect_on_the_same_host_is_followed() -> None:
    async def redirect(stream: trio.SocketStream) -> None:
        head = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n"
        await stream.send_all(head)
        await send_reply(stream, await read_request(stream))

    peer = ScriptedPeer()
    async with (
        open_http_server(mcp_handler(redirect)) as server,
        open_test_session(peer, agent=agent_with(server)),
    ):
        send_call(peer, "echo")
        assert await wait_real_output(peer) == "?"
