"""The HTTP client for an MCP server on the network: its time and size limits, and log redaction.

The SDK's streamable HTTP transport sends its requests with this client. This module is imported
only if the SDK is installed: see ``manager``.
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

from .connection import MAX_MESSAGE_SIZE, McpConnection

_READ_TIMEOUT = 300.0
"""Seconds without data after which a request fails. Calls and notification streams are exempt."""

_LOGGERS = ("httpx2", "mcp.client.streamable_http")
"""The loggers that log URLs."""


@asynccontextmanager
async def open_http_client(
    server: McpServerHttp, connection: McpConnection
) -> AsyncGenerator[httpx2.AsyncClient]:
    """Open a client for requests to one server.

    While it is open, the secrets of the server's URL are removed from log records.

    Args:
        server: the declaration of the server.
        connection: its ``error_detail`` is set to the status of a failed request.
    """
    async with httpx2.AsyncClient(
        # The size limit applies after decompression, so compressed responses are not accepted.
        headers={"Accept-Encoding": "identity", **server.headers},
        timeout=httpx2.Timeout(server.connect_timeout, read=_READ_TIMEOUT),
        event_hooks={
            "request": [_adjust_read_timeout],
            "response": [partial(_record_status, connection), _limit_size],
        },
    ) as client:
        with _redacted_logs(server):
            yield client


async def _record_status(connection: McpConnection, response: httpx2.Response) -> None:
    status = response.status_code
    connection.error_detail = f"HTTP {status}" if status >= 400 else None


# --- time --------------------------------------------------------------------------------------


class _Message(msgspec.Struct):
    """The part of a JSON-RPC message that names its method."""

    method: str | None = None
    id: int | str | None = None


async def _adjust_read_timeout(request: httpx2.Request) -> None:
    """Remove the read timeout of requests that may legitimately take long.

    Tool calls have their own timeout, and notification streams may be silent for as long as nothing
    changes. Any other request must be answered soon, or it would block the requests behind it.
    """
    if request.method == "GET" or _may_take_long(await request.aread()):
        request.extensions["timeout"] = {**request.extensions["timeout"], "read": None}


def _may_take_long(body: bytes) -> bool:
    try:
        message = msgspec.json.decode(body, type=_Message)
    except msgspec.DecodeError:
        return False
    return message.id is not None and message.method in ("tools/call", "subscriptions/listen")


# --- size --------------------------------------------------------------------------------------


async def _limit_size(response: httpx2.Response) -> None:
    """Limit the size of a response body.

    An event stream has no total limit; the SDK limits each of its events.
    """
    if "text/event-stream" not in response.headers.get("content-type", ""):
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        compressed = response.headers.get("content-encoding", "identity") != "identity"
        response.stream = _LimitedStream(response.stream, compressed=compressed)


class _LimitedStream(httpx2.AsyncByteStream):
    """A response body of at most :data:`MAX_MESSAGE_SIZE` bytes.

    A larger or compressed body is an error of its request only, not of the connection.
    """

    def __init__(self, stream: httpx2.AsyncByteStream, *, compressed: bool) -> None:
        self._stream = stream
        self._compressed = compressed

    async def __aiter__(self) -> AsyncIterator[bytes]:  # noqa: ASYNC900 - httpx2's interface
        if self._compressed:
            raise httpx2.StreamError("the response is compressed, but compression was not accepted")
        size = 0
        chunks = aiter(self._stream)
        async for chunk in chunks:
            size += len(chunk)
            if size > MAX_MESSAGE_SIZE:
                await self._abort(chunks)
                raise httpx2.StreamError(f"the response has more than {MAX_MESSAGE_SIZE} bytes")
            yield chunk

    async def _abort(self, chunks: AsyncIterator[bytes]) -> None:
        """Close the connection, and run the nested generators to their end so that they clean up."""
        await self._stream.aclose()
        with suppress(httpx2.TransportError):
            async for _ in chunks:
                pass

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


# --- logs --------------------------------------------------------------------------------------


@contextmanager
def _redacted_logs(server: McpServerHttp) -> Generator[None]:
    """Redact the server's URL in log records. Records about other hosts are left unchanged."""
    redaction = _UrlRedaction(server)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(redaction)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(redaction)


class _UrlRedaction(logging.Filter):
    """A logging filter that redacts the URL of one server and drops no records."""

    def __init__(self, server: McpServerHttp) -> None:
        super().__init__()
        self._server = server
        self._origin = _origin(httpx2.URL(server.url))

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record in place."""
        if isinstance(record.msg, str):
            url = self._server.url
            record.msg = record.msg.replace(url, self._server.shown_url(url))
        if isinstance(record.args, tuple):
            record.args = tuple(map(self._redact, record.args))
        return True

    def _redact(self, arg: Any) -> Any:
        is_server_url = isinstance(arg, httpx2.URL) and _origin(arg) == self._origin
        return self._server.shown_url(str(arg)) if is_server_url else arg


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
