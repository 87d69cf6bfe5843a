"""One connection to an MCP server, by the MCP SDK. The only module that knows how the SDK speaks.

The SDK raises what happened inside of groups inside of groups, and crashes whole task groups when a
request cannot be sent; what leaves here is one :class:`McpConnectionError`, a :class:`McpCallFailed`, or a
cancellation. Imported only where the SDK is: see ``mcp``.
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

from .connection import MAX_MESSAGE, CallNotAccepted, McpConnection, McpConnectionError, RemoteTool
from .http import http_client
from .stdio import run_program

MAX_PAGES = 1000
"""Of a list of tools; a server that always says that there are more must end somewhere."""

_LISTEN_AGAIN = 5.0
"""Seconds until a dropped stream of notifications is opened again."""

_SAID_BY_SERVER = -32099
"""What becomes of ``CONNECTION_CLOSED`` in an answer of a server.

It is the first of the codes that JSON-RPC leaves to servers, so many use it for whatever goes wrong;
the SDK says the same when the connection is closed, and it alone shall be understood so.
"""

_NO_WORDS = "the tool failed, and does not say why"

_CUT_SHORT = ("SSE stream ", "Connection closed")
"""How the SDK begins where the stream with an answer has ended, and in a server that is ending."""


@asynccontextmanager
async def connected(server: McpServer, close_timeout: float) -> AsyncGenerator[McpConnection]:
    """Connect and introduce ourselves; disconnect when the block is left.

    Raises:
        LinkFailed: it could not be connected, or the connection broke in a way that ended the block.
    """
    link = SdkConnection(server)
    with _one_failure(link):
        async with AsyncExitStack() as stack:
            transport = await _transport(server, link, close_timeout, stack)
            client = Client(
                transport,
                cache=None,
                message_handler=link.take_notice,
                client_info=Implementation(name="trio-realtime", version=version("trio-realtime")),
            )
            link.client = await stack.enter_async_context(client)
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(link.listen)
            try:
                yield link
            finally:
                nursery.cancel_scope.cancel(reason="the connection is left")


async def _transport(
    server: McpServer, link: SdkConnection, close_timeout: float, stack: AsyncExitStack
) -> Any:
    match server:
        case McpServerStdio():
            return _watched(run_program(server, close_timeout, link.lose), link)
        case McpServerHttp():
            http = await stack.enter_async_context(http_client(server, link))
            streams = streamable_http_client(
                server.url, http_client=http, max_sse_event_size=MAX_MESSAGE
            )
            return _watched(streams, link)
        case McpServerCustom():
            given: Any = server.connect()
            local = isinstance(given, Server | MCPServer)
            return cast("Any", given) if local else _watched(given, link)
        case _:
            raise TypeError(f"{type(server).__name__} is no MCP server that can be connected")


# --- the end of a connection -------------------------------------------------------------------


@asynccontextmanager
async def _watched(transport: Any, link: SdkConnection) -> AsyncGenerator[tuple[Any, Any]]:
    async with transport as (incoming, outgoing):
        link.is_watched = True
        try:
            yield _Watched(incoming, link), outgoing
        finally:
            link.leave()


class _Watched:
    """A stream to read that tells when there is no more; the SDK would say so at the next call.

    And of what is read, nothing says that the connection is closed.
    """

    def __init__(self, stream: Any, link: McpConnection) -> None:
        self._stream = stream
        self._link = link

    @property
    def last_context(self) -> Any:
        """Of the sender of the last message, where the stream knows."""
        return getattr(self._stream, "last_context", None)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self._told(self._stream.__anext__)

    async def receive(self) -> Any:
        """The next message."""
        return await self._told(self._stream.receive)

    async def _told(self, receive: Callable[[], Any]) -> Any:
        try:
            return _said_by_server(await receive())
        except Exception:
            self._link.lose("the connection was closed")
            raise

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> bool | None:
        # How long it takes is the stream's own matter, as without us.
        return cast("bool | None", await self._stream.__aexit__(*exc_info))  # noqa: ASYNC102


def _said_by_server(item: Any) -> Any:
    message = item.message if isinstance(item, SessionMessage) else None
    if isinstance(message, JSONRPCError) and message.error.code == CONNECTION_CLOSED:
        message.error = message.error.model_copy(update={"code": _SAID_BY_SERVER})
    return item


@contextmanager
def _one_failure(link: McpConnection) -> Generator[None]:
    """Make one exception of what the SDK raises. Cancellations pass, and what is nobody's error."""
    try:
        yield
    except BaseExceptionGroup as group:
        errors, others = group.split(Exception)
        if others is not None:
            raise others from None
        assert errors is not None
        raise McpConnectionError(_words(min(leaves_of(errors), key=_is_closed), link)) from None
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is the end of this connection only
        raise McpConnectionError(_words(exc, link)) from None


def _words(exc: BaseException, link: McpConnection) -> str:
    """Why: what the server says itself; or else what was noticed first, for the rest follows."""
    if isinstance(exc, McpConnectionError):
        return str(exc)
    if link.lost is not None and (_is_closed(exc) or not isinstance(exc, MCPError)):
        return link.lost
    text = link.server.without_secrets(str(exc))
    said = text if isinstance(exc, MCPError) else f"{type(exc).__name__}: {text}"
    return f"{said} ({link.hint})" if link.hint else said


def _is_closed(exc: BaseException) -> bool:
    """Whether it says no more than that there is no connection."""
    return isinstance(exc, MCPError) and exc.code == CONNECTION_CLOSED


# --- one connection ----------------------------------------------------------------------------


class SdkConnection(McpConnection):
    """A connection by the SDK's client.

    Attributes:
        client: the client, once it is there.
        is_watched: whether there are streams between us and the server, which may be closed.
    """

    client: Client
    is_watched = False

    async def take_notice(self, message: Any) -> None:
        """The server tells something."""
        if isinstance(message, ToolListChangedNotification):
            self.look_again()

    async def listen(self) -> None:
        """Ask a server of the newer protocol to tell of changes; those before do so by themselves."""
        capabilities = self.client.server_capabilities.tools
        while capabilities is not None and capabilities.list_changed:
            try:
                async with self.client.listen(tools_list_changed=True) as notices:
                    async for _ in notices:
                        self.look_again()
            except ListenNotSupportedError:
                return
            except (MCPError, SubscriptionLost):
                self.look_again()  # whether it lives, and what was missed meanwhile
            await trio.sleep(_LISTEN_AGAIN)

    async def list_tools(self) -> tuple[RemoteTool, ...]:
        """All tools of the server.

        Raises:
            LinkFailed: it says no, or what it says is no list.
        """
        try:
            return await self._list_tools()
        except Exception as exc:
            if _is_closed(exc):  # follows from what ends the block that we are in
                raise
            raise McpConnectionError(_words(next(leaves_of(exc)), self)) from None

    async def _list_tools(self) -> tuple[RemoteTool, ...]:
        tools: list[RemoteTool] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self.client.list_tools(cursor=cursor)
            tools += map(_remote_tool, page.tools)
            cursor = page.next_cursor
            if not cursor:  # some write it always, empty on the last page
                return tuple(tools)
        raise McpConnectionError(f"its list of tools has more than {MAX_PAGES} pages")

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call a tool.

        Raises:
            McpCallFailed: the server says no, or the connection was lost.
            CallNotTaken: the server was started anew, or has forgotten us.
        """
        try:
            result = await self.client.call_tool(name, dict(arguments))
        except Exception as exc:  # noqa: BLE001 - the SDK raises what its libraries raise
            raise self._call_failed(exc) from None
        if result.is_error:
            text = result_text(_result(result)) or _NO_WORDS
            raise McpCallFailed(text, server=self.server.name)
        return _result(result)

    def _call_failed(self, exc: Exception) -> McpCallFailed | CallNotAccepted:
        leaf = next(leaves_of(exc))
        if _is_closed(leaf) and self.is_watched:
            self.lose("the connection was closed")
            return self.call_lost()
        if isinstance(leaf, MCPError) and leaf.code == INVALID_REQUEST and self.hint == "HTTP 404":
            self.lose("the server knows nothing of the connection any more")
            return CallNotAccepted(self.lost)
        self.look_again()  # if it has forgotten us, or has other tools now, then that will tell
        words = _words(leaf, self)
        if getattr(leaf, "code", None) == _SAID_BY_SERVER and words.startswith(_CUT_SHORT):
            return self.call_lost(words)
        return McpCallFailed(words, server=self.server.name)


def _remote_tool(tool: Tool) -> RemoteTool:
    return RemoteTool(
        name=tool.name, description=tool.description or tool.title, parameters=tool.input_schema
    )


# --- results -----------------------------------------------------------------------------------


def _result(result: CallToolResult) -> Any:
    """What the model is told: the texts, or where there are none the structured result."""
    if result.structured_content is not None and not any(
        isinstance(block, TextContent) for block in result.content
    ):
        return result.structured_content
    return "\n".join(map(_block_text, result.content))


def _block_text(block: ContentBlock) -> str:
    """Text as it is; of other content, what it is."""
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            size = len(block.data) * 3 // 4
            return result_text({"type": block.type, "mime_type": block.mime_type, "bytes": size})
        case ResourceLink():
            return _resource_text("resource_link", block.uri, block.mime_type, name=block.name)
        case EmbeddedResource(resource=resource):
            return _contents_text(resource)


def _contents_text(contents: TextResourceContents | BlobResourceContents) -> str:
    about: dict[str, Any] = (
        {"text": contents.text}
        if isinstance(contents, TextResourceContents)
        else {"bytes": len(contents.blob) * 3 // 4}
    )
    return _resource_text("resource", contents.uri, contents.mime_type, **about)


def _resource_text(kind: str, uri: Any, mime_type: str | None, **more: Any) -> str:
    known = {"type": kind, "uri": str(uri), "mime_type": mime_type, **more}
    return result_text({name: value for name, value in known.items() if value is not None})
