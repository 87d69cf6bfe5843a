"""The HTTP client of an MCP server on the network: what bounds it, and what it may log.

The SDK's transport speaks MCP by it. Imported only where the SDK is: see ``mcp``.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

import httpx2
import msgspec

from trio_realtime.agents import McpServerHttp

from .connection import MAX_MESSAGE, McpConnection

_READ_TIMEOUT = 300.0
"""Seconds without a byte; not for calls, which may take as long as the declaration says."""

_LOGGERS = ("httpx2", "mcp.client.streamable_http")
"""Those that write URLs."""


@asynccontextmanager
async def http_client(
    server: McpServerHttp, link: McpConnection
) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client for requests to one server."""
    async with httpx2.AsyncClient(
        # Whatever a body is packed into, only what comes out of it would be bounded.
        headers={"Accept-Encoding": "identity", **server.headers},
        timeout=httpx2.Timeout(server.connect_timeout, read=_READ_TIMEOUT),
        event_hooks={
            "request": [_give_calls_time],
            "response": [partial(_note_status, link), _bound],
        },
    ) as client:
        with _quiet(server):
            yield client


async def _note_status(link: McpConnection, response: httpx2.Response) -> None:
    link.hint = f"HTTP {response.status_code}" if response.status_code >= 400 else None


# --- time --------------------------------------------------------------------------------------


class _Message(msgspec.Struct):
    method: str | None = None
    id: int | str | None = None


async def _give_calls_time(request: httpx2.Request) -> None:
    """A call, and a stream of notices, may be silent for long: who waits for it knows how long.

    Anything else is answered at once, and a server that does not would block those behind it.
    """
    if request.method == "GET" or _is_long(await request.aread()):
        request.extensions["timeout"] = {**request.extensions["timeout"], "read": None}


def _is_long(body: bytes) -> bool:
    try:
        message = msgspec.json.decode(body, type=_Message)
    except msgspec.DecodeError:
        return False
    return message.id is not None and message.method in ("tools/call", "subscriptions/listen")


# --- size --------------------------------------------------------------------------------------


async def _bound(response: httpx2.Response) -> None:
    """Streams of events have no end; of these the SDK bounds each event."""
    if "text/event-stream" not in response.headers.get("content-type", ""):
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        packed = response.headers.get("content-encoding", "identity") != "identity"
        response.stream = _Bounded(response.stream, packed=packed)


class _Bounded(httpx2.AsyncByteStream):
    """A body up to :data:`MAX_MESSAGE`. More is an error of the request alone."""

    def __init__(self, stream: httpx2.AsyncByteStream, *, packed: bool) -> None:
        self._stream = stream
        self._packed = packed

    async def __aiter__(self) -> AsyncIterator[bytes]:  # noqa: ASYNC900 - what httpx2 asks for
        if self._packed:
            raise httpx2.StreamError("it is compressed, which nobody has asked for")
        size = 0
        chunks = aiter(self._stream)
        async for chunk in chunks:
            size += len(chunk)
            if size > MAX_MESSAGE:
                await self._break_off(chunks)
                raise httpx2.StreamError(f"it has more than {MAX_MESSAGE} bytes")
            yield chunk

    async def _break_off(self, chunks: AsyncIterator[bytes]) -> None:
        """Close the connection, and let the generators within each other see that it is closed."""
        await self._stream.aclose()
        with suppress(httpx2.TransportError):
            async for _ in chunks:
                pass

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


# --- logs --------------------------------------------------------------------------------------


@contextmanager
def _quiet(server: McpServerHttp) -> Generator[None]:
    """Let nobody log the secrets of the URL. What is not about this server is left as it is."""
    hide = _Hide(server)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(hide)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(hide)


class _Hide(logging.Filter):
    """Rewrites the URL of a server in what is logged."""

    def __init__(self, server: McpServerHttp) -> None:
        super().__init__()
        self._server = server
        self._origin = _origin(httpx2.URL(server.url))

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without secrets."""
        if isinstance(record.msg, str):
            url = self._server.url
            record.msg = record.msg.replace(url, self._server.shown_url(url))
        if isinstance(record.args, tuple):
            record.args = tuple(map(self._shown, record.args))
        return True

    def _shown(self, given: Any) -> Any:
        ours = isinstance(given, httpx2.URL) and _origin(given) == self._origin
        return self._server.shown_url(str(given)) if ours else given


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
