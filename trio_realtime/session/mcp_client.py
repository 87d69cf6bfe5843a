"""One connection to an MCP server, by the MCP SDK. The only module that knows how the SDK speaks.

The SDK raises what happened inside of groups inside of groups, and crashes whole task groups when a
request cannot be sent; what leaves here is one :class:`LinkFailed`, a :class:`McpCallFailed`, or a
cancellation. Imported only where the SDK is: see ``mcp``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from importlib.metadata import version
from typing import Any, Self, cast

import httpx2
import trio
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.server import Server
from mcp.server.mcpserver import MCPServer
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
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
    ToolListChangedNotification,
)

from trio_realtime.agents import (
    McpServer,
    McpServerCustom,
    McpServerHttp,
    McpServerStdio,
    result_text,
)
from trio_realtime.concurrency import leaves_of
from trio_realtime.errors import McpCallFailed

from .mcp_link import CallNotTaken, Link, LinkFailed, RemoteTool
from .mcp_process import run_program

MAX_PAGES = 1000
"""Of a list of tools; a server that always says that there are more must end somewhere."""

_LISTEN_AGAIN = 5.0
"""Seconds until a dropped stream of notifications is opened again."""

_READ_TIMEOUT = 300.0


@asynccontextmanager
async def connected(server: McpServer, close_timeout: float) -> AsyncGenerator[Link]:
    """Connect and introduce ourselves; disconnect when the block is left.

    Raises:
        LinkFailed: it could not be connected, or the connection broke in a way that ended the block.
    """
    link = SdkLink(server)
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
    server: McpServer, link: Link, close_timeout: float, stack: AsyncExitStack
) -> Any:
    match server:
        case McpServerStdio():
            return _watched(run_program(server, close_timeout, link.lose), link)
        case McpServerHttp():
            http = httpx2.AsyncClient(
                headers=dict(server.headers),
                timeout=httpx2.Timeout(
                    server.connect_timeout, read=max(_READ_TIMEOUT, server.call_timeout or 0)
                ),
                event_hooks={"response": [partial(_note_status, link)]},
            )
            await stack.enter_async_context(http)
            return streamable_http_client(server.url, http_client=http)
        case McpServerCustom():
            given: Any = server.connect()
            local = isinstance(given, Server | MCPServer)
            return cast("Any", given) if local else _watched(given, link)
        case _:
            raise TypeError(f"{type(server).__name__} is no MCP server that can be connected")


async def _note_status(link: Link, response: httpx2.Response) -> None:
    link.hint = f"HTTP {response.status_code}" if response.status_code >= 400 else None


# --- the end of a connection -------------------------------------------------------------------


@asynccontextmanager
async def _watched(transport: Any, link: Link) -> AsyncGenerator[tuple[Any, Any]]:
    async with transport as (incoming, outgoing):
        yield _Watched(incoming, link), outgoing


class _Watched:
    """A stream to read that tells when there is no more; the SDK would say so at the next call."""

    def __init__(self, stream: Any, link: Link) -> None:
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
            return await receive()
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


@contextmanager
def _one_failure(link: Link) -> Generator[None]:
    """Make one exception of what the SDK raises. Cancellations pass, and what is nobody's error."""
    try:
        yield
    except BaseExceptionGroup as group:
        errors, others = group.split(Exception)
        if others is not None:
            raise others from None
        assert errors is not None
        raise LinkFailed(_words(next(leaves_of(errors)), link)) from None
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is the end of this connection only
        raise LinkFailed(_words(exc, link)) from None


def _words(exc: BaseException, link: Link) -> str:
    """Why: what was noticed first is nearer to the cause than what followed from it."""
    if link.lost is not None or isinstance(exc, LinkFailed):
        return link.lost or str(exc)
    text = link.server.without_secrets(str(exc))
    said = text if isinstance(exc, MCPError) else f"{type(exc).__name__}: {text}"
    return f"{said} ({link.hint})" if link.hint else said


# --- one connection ----------------------------------------------------------------------------


class SdkLink(Link):
    """A connection by the SDK's client."""

    client: Client

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
        """All tools of the server."""
        tools: list[RemoteTool] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self.client.list_tools(cursor=cursor)
            tools += map(_remote_tool, page.tools)
            cursor = page.next_cursor
            if cursor is None:
                return tuple(tools)
        raise LinkFailed(f"its list of tools has more than {MAX_PAGES} pages")

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
            raise McpCallFailed(result_text(_result(result)), server=self.server.name)
        return _result(result)

    def _call_failed(self, exc: Exception) -> McpCallFailed | CallNotTaken:
        leaf = next(leaves_of(exc))
        if isinstance(leaf, MCPError) and leaf.code == CONNECTION_CLOSED:
            self.lose("the connection was closed")
            return self.call_lost()
        if isinstance(leaf, MCPError) and leaf.code == INVALID_REQUEST and self.hint == "HTTP 404":
            self.lose("the server knows nothing of the connection any more")
            return CallNotTaken(self.lost)
        self.look_again()  # if it has forgotten us, or has other tools now, then that will tell
        return McpCallFailed(_words(leaf, self), server=self.server.name)


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
