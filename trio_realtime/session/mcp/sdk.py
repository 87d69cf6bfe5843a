"""A connection to an MCP server through the MCP SDK. Everything that depends on the SDK lives here.

The SDK raises nested exception groups, and crashes whole task groups when a request cannot be sent.
This module raises only :class:`McpConnectionError`, :class:`McpCallFailed` and cancellations. It is
imported only if the SDK is installed: see ``manager``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import Any, Self, cast

import trio
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.server import Server
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_REQUEST,
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    Implementation,
    JSONRPCError,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
    ToolListChangedNotification,
)

from trio_realtime._nursery import leaves_of
from trio_realtime.agents import (
    McpServer,
    McpServerCustom,
    McpServerHttp,
    McpServerStdio,
    result_text,
)
from trio_realtime.errors import McpCallFailed

from .connection import (
    MAX_MESSAGE_SIZE,
    CallNotAccepted,
    McpConnection,
    McpConnectionError,
    RemoteTool,
)
from .http import open_http_client
from .stdio import open_stdio_transport

MAX_PAGES = 1000
"""Maximum number of pages of a tool list. It stops a server that always announces another page."""

_RELISTEN_DELAY = 5.0
"""Seconds before a dropped notification stream is opened again."""

_SERVER_SENT_CONNECTION_CLOSED = -32099
"""Replaces the code ``CONNECTION_CLOSED`` in error responses that a server sends.

``CONNECTION_CLOSED`` is the first code that JSON-RPC reserves for servers, so many servers use it for
any error. The SDK raises the same code when the connection is closed. After the replacement, the
code always means that the SDK found the connection closed.
"""

_NO_ERROR_TEXT = "the tool failed without an error message"

_STREAM_ENDED_PREFIXES = ("SSE stream ", "Connection closed")
"""Start of the SDK's error when the stream of a response ended early, here or in the server."""


@asynccontextmanager
async def open_connection(server: McpServer, close_timeout: float) -> AsyncGenerator[McpConnection]:
    """Connect and perform the MCP handshake; disconnect when the block is left.

    Args:
        server: the declaration of the server.
        close_timeout: seconds that ending a local program may take.

    Raises:
        McpConnectionError: the connection could not be established, or it broke in a way that ended
            the block.
    """
    connection = SdkConnection(server)
    with _single_failure(connection):
        async with AsyncExitStack() as stack:
            transport = await _make_transport(server, connection, close_timeout, stack)
            client = Client(
                transport,
                cache=None,
                message_handler=connection.handle_message,
                client_info=Implementation(name="trio-realtime", version=version("trio-realtime")),
            )
            connection.client = await stack.enter_async_context(client)
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(connection.listen_for_changes)
            try:
                yield connection
            finally:
                nursery.cancel_scope.cancel(reason="the MCP connection is being closed")


async def _make_transport(
    server: McpServer, connection: SdkConnection, close_timeout: float, stack: AsyncExitStack
) -> Any:
    match server:
        case McpServerStdio():
            streams = open_stdio_transport(server, close_timeout, connection.mark_lost)
            return _monitor_transport(streams, connection)
        case McpServerHttp():
            http = await stack.enter_async_context(open_http_client(server, connection))
            http_streams = streamable_http_client(
                server.url, http_client=http, max_sse_event_size=MAX_MESSAGE_SIZE
            )
            return _monitor_transport(http_streams, connection)
        case McpServerCustom():
            custom: Any = server.connect()
            if isinstance(custom, Server | MCPServer):
                return cast("Any", custom)  # a server object: the SDK calls it without streams
            return _monitor_transport(custom, connection)
        case _:
            raise TypeError(
                f"expected an McpServerStdio, McpServerHttp or McpServerCustom, "
                f"got {type(server).__name__}"
            )


# --- the end of a connection -------------------------------------------------------------------


@asynccontextmanager
async def _monitor_transport(
    transport: Any, connection: SdkConnection
) -> AsyncGenerator[tuple[Any, Any]]:
    async with transport as (incoming, outgoing):
        connection.is_monitored = True
        try:
            yield _MonitoredStream(incoming, connection), outgoing
        finally:
            connection.mark_closing()


class _MonitoredStream:
    """A receive stream that marks the connection as lost at the end of the stream.

    The SDK itself reports the end only at the next call. This class also replaces the error code
    ``CONNECTION_CLOSED`` in received messages.
    """

    def __init__(self, stream: Any, connection: McpConnection) -> None:
        self._stream = stream
        self._connection = connection

    @property
    def last_context(self) -> Any:
        """The context of the last message's sender, if the stream provides it."""
        return getattr(self._stream, "last_context", None)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self._monitor(self._stream.__anext__)

    async def receive(self) -> Any:
        """Receive the next message."""
        return await self._monitor(self._stream.receive)

    async def _monitor(self, receive: Callable[[], Any]) -> Any:
        try:
            return _replace_closed_code(await receive())
        except Exception:
            self._connection.mark_lost("the connection was closed")
            raise

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> bool | None:
        # The wrapped stream decides how long this takes, just as if it were not wrapped.
        return cast("bool | None", await self._stream.__aexit__(*exc_info))  # noqa: ASYNC102


def _replace_closed_code(item: Any) -> Any:
    message = item.message if isinstance(item, SessionMessage) else None
    if isinstance(message, JSONRPCError) and message.error.code == CONNECTION_CLOSED:
        message.error = message.error.model_copy(update={"code": _SERVER_SENT_CONNECTION_CLOSED})
    return item


@contextmanager
def _single_failure(connection: McpConnection) -> Generator[None]:
    """Convert what the SDK raises into one :class:`McpConnectionError`.

    Cancellations, and whatever else is not an :class:`Exception`, pass through unchanged.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        errors, others = group.split(Exception)
        if others is not None:
            raise others from None
        assert errors is not None
        cause = min(leaves_of(errors), key=_is_connection_closed)
        raise McpConnectionError(_describe_failure(cause, connection)) from None
    except Exception as exc:  # noqa: BLE001 - any error ends only this connection
        raise McpConnectionError(_describe_failure(exc, connection)) from None


def _describe_failure(exc: BaseException, connection: McpConnection) -> str:
    """Describe the root cause of a failure, without secrets.

    An error that the server reports is the cause. Any other error is a consequence of the loss of
    the connection, if that was noticed before.
    """
    if isinstance(exc, McpConnectionError):
        return str(exc)
    lost_reason = connection.lost_reason
    if lost_reason is not None and (_is_connection_closed(exc) or not isinstance(exc, MCPError)):
        return lost_reason
    text = connection.server.without_secrets(str(exc))
    description = text if isinstance(exc, MCPError) else f"{type(exc).__name__}: {text}"
    detail = connection.error_detail
    return f"{description} ({detail})" if detail else description


def _is_connection_closed(exc: BaseException) -> bool:
    """Whether an exception says only that the connection is closed."""
    return isinstance(exc, MCPError) and exc.code == CONNECTION_CLOSED


# --- one connection ----------------------------------------------------------------------------


class SdkConnection(McpConnection):
    """A connection through the SDK's client.

    Attributes:
        client: the client; set once it is connected.
        is_monitored: whether the server is reached over streams, whose end is noticed.
    """

    client: Client
    is_monitored = False

    async def handle_message(self, message: Any) -> None:
        """Handle a notification of the server."""
        if isinstance(message, ToolListChangedNotification):
            self.request_refresh()

    async def listen_for_changes(self) -> None:
        """Subscribe to changes of the tools.

        Servers of older protocol versions have no subscriptions; they send notifications unasked.
        """
        capabilities = self.client.server_capabilities.tools
        while capabilities is not None and capabilities.list_changed:
            try:
                async with self.client.listen(tools_list_changed=True) as notifications:
                    async for _ in notifications:
                        self.request_refresh()
            except ListenNotSupportedError:
                return
            except (MCPError, SubscriptionLost):
                # Finds out whether the server is alive, and which changes were missed.
                self.request_refresh()
            await trio.sleep(_RELISTEN_DELAY)

    async def list_tools(self) -> tuple[RemoteTool, ...]:
        """List all tools of the server.

        Raises:
            McpConnectionError: the server returned an error or an invalid list.
        """
        try:
            return await self._list_tools()
        except Exception as exc:
            if _is_connection_closed(exc):  # open_connection() knows the cause
                raise
            raise McpConnectionError(_describe_failure(next(leaves_of(exc)), self)) from None

    async def _list_tools(self) -> tuple[RemoteTool, ...]:
        tools: list[RemoteTool] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self.client.list_tools(cursor=cursor)
            tools += map(_remote_tool, page.tools)
            cursor = page.next_cursor
            if not cursor:  # some servers send an empty cursor on the last page
                return tuple(tools)
        raise McpConnectionError(f"its tool list has more than {MAX_PAGES} pages")

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call a tool and return its result.

        Raises:
            McpCallFailed: the server returned an error, or the connection was lost.
            CallNotAccepted: the server was restarted, or no longer knows this connection.
        """
        try:
            result = await self.client.call_tool(name, dict(arguments))
        except Exception as exc:  # noqa: BLE001 - the SDK passes on whatever its libraries raise
            raise self._call_error(exc) from None
        if result.is_error:
            text = result_text(_tool_output(result)) or _NO_ERROR_TEXT
            raise McpCallFailed(text, server=self.server.name)
        return _tool_output(result)

    def _call_error(self, exc: Exception) -> McpCallFailed | CallNotAccepted:
        leaf = next(leaves_of(exc))
        if _is_connection_closed(leaf) and self.is_monitored:
            self.mark_lost("the connection was closed")
            return self.call_lost_error()
        code = leaf.code if isinstance(leaf, MCPError) else None
        if code == INVALID_REQUEST and self.error_detail == "HTTP 404":
            self.mark_lost("the server no longer knows the connection")
            return CallNotAccepted(self.lost_reason)
        # Finds out whether the server still knows the connection, and still has the tool.
        self.request_refresh()
        text = _describe_failure(leaf, self)
        if code == _SERVER_SENT_CONNECTION_CLOSED and text.startswith(_STREAM_ENDED_PREFIXES):
            return self.call_lost_error(text)
        return McpCallFailed(text, server=self.server.name)


def _remote_tool(tool: Tool) -> RemoteTool:
    return RemoteTool(
        name=tool.name, description=tool.description or tool.title, parameters=tool.input_schema
    )


# --- results -----------------------------------------------------------------------------------


def _tool_output(result: CallToolResult) -> Any:
    """Return what the model receives: the text, or the structured result if there is no text."""
    if result.structured_content is not None and not any(
        isinstance(block, TextContent) for block in result.content
    ):
        return result.structured_content
    return "\n".join(map(_block_text, result.content))


def _block_text(block: ContentBlock) -> str:
    """Return text as it is; for other content, a JSON description of its type and size."""
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            size = len(block.data) * 3 // 4
            return result_text({"type": block.type, "mime_type": block.mime_type, "bytes": size})
        case ResourceLink():
            return _resource_text("resource_link", block.uri, block.mime_type, name=block.name)
        case EmbeddedResource(resource=resource):
            return _embedded_resource_text(resource)


def _embedded_resource_text(resource: TextResourceContents | BlobResourceContents) -> str:
    content: dict[str, Any] = (
        {"text": resource.text}
        if isinstance(resource, TextResourceContents)
        else {"bytes": len(resource.blob) * 3 // 4}
    )
    return _resource_text("resource", resource.uri, resource.mime_type, **content)


def _resource_text(kind: str, uri: Any, mime_type: str | None, **fields: Any) -> str:
    description = {"type": kind, "uri": str(uri), "mime_type": mime_type, **fields}
    return result_text({name: value for name, value in description.items() if value is not None})
