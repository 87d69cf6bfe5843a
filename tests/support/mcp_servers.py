"""MCP servers for tests: real programs with an observer, and a controllable in-memory server."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from mcp.server import Server
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp.types import (
    CallToolResult,
    ContentBlock,
    JSONRPCNotification,
    ListToolsResult,
    TextContent,
    Tool,
)

from trio_realtime import McpServerCustom, McpServerHttp

PROGRAM = str(Path(__file__).with_name("mcp_program.py"))


# --- programs ----------------------------------------------------------------------------------


class ServerLifetime:
    """The messages of one program, from its start to the end of its last process."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = b""
        self.pid = 0

    async def next(self) -> str:
        """Return the next message, or ``""`` if all its processes have ended."""
        while b"\n" not in self._buffer:
            try:
                chunk = await self._stream.receive_some()
            except trio.BrokenResourceError:  # the program was killed
                chunk = b""
            if not chunk:
                return ""
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def kill(self) -> None:
        """Kill the first process."""
        os.kill(self.pid, signal.SIGKILL)

    async def wait_gone(self) -> None:
        """Wait until all its processes have ended."""
        while await self.next():
            pass

    async def aclose(self) -> None:
        """Close the connection to the program."""
        await self._stream.aclose()


class ServerObserver:
    """Receives the messages of programs. Pass :attr:`env` to them as environment."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self.env = {"OBSERVER_PORT": str(listener.socket.getsockname()[1])}
        self.lifetimes: list[ServerLifetime] = []

    async def next_lifetime(self) -> ServerLifetime:
        """Wait for the next program to start."""
        lifetime = ServerLifetime(await self._listener.accept())
        word, pid = (await lifetime.next()).split()
        assert word == "pid"
        lifetime.pid = int(pid)
        self.lifetimes.append(lifetime)
        return lifetime

    async def wait_all_gone(self) -> None:
        """Wait until the processes of all programs have ended."""
        for lifetime in self.lifetimes:
            await lifetime.wait_gone()


@asynccontextmanager
async def observe_programs() -> AsyncIterator[ServerObserver]:
    """Create an observer. Leaving the block waits until all processes have ended."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        observer = ServerObserver(listener)
        try:
            yield observer
            await observer.wait_all_gone()
        finally:
            with trio.move_on_after(5, shield=True):
                for lifetime in observer.lifetimes:
                    await lifetime.aclose()


class HttpProgram:
    """The program as an HTTP server, which a test starts and kills."""

    def __init__(self, observer: ServerObserver) -> None:
        self._observer = observer
        self._process: trio.Process | None = None
        self.port = 0

    async def start(self) -> ServerLifetime:
        """Start the server. A restarted server uses the same port."""
        await self.end()
        self._process = await trio.lowlevel.open_process(
            [sys.executable, PROGRAM, "http", str(self.port)],
            env={**os.environ, **self._observer.env},
        )
        lifetime = await self._observer.next_lifetime()
        word, port = (await lifetime.next()).split()
        assert word == "port"
        self.port = int(port)
        return lifetime

    def declare(self, **settings: Any) -> McpServerHttp:
        """Return the server's declaration for an agent."""
        return McpServerHttp(name="net", url=f"http://127.0.0.1:{self.port}/mcp", **settings)

    async def end(self) -> None:
        """Kill the server and wait until it has ended."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()


# --- in memory ---------------------------------------------------------------------------------

Handler = Callable[[dict[str, Any]], Awaitable[Any]]


class MemoryServer:
    """An in-process server of the MCP SDK whose connection a test can cut.

    Attributes:
        handlers: The handlers by tool name. A handler takes the arguments and returns a text, a
            list of content, or a complete result.
        schemas: The input schemas by tool name. By default a tool has no arguments.
        attempts: The times at which a connection was requested.
        refusing: Whether connections are refused.
        silent: Whether the server reads nothing.
        page_size: The number of tools on each page of the tool list.
        log: What happened to calls of the tool ``hang``.
    """

    def __init__(self, **handlers: Handler) -> None:
        self.handlers: dict[str, Handler] = {"echo": _echo, "hang": self._hang, **handlers}
        self.schemas: dict[str, dict[str, Any]] = {}
        self.attempts: list[float] = []
        self.refusing = False
        self.silent = False
        self.page_size = 2
        self.log: list[str] = []
        self._streams: Any = None
        self._serving_scope = trio.CancelScope()
        self._server = Server("memory", on_list_tools=self._list, on_call_tool=self._call)

    def declare(self, name: str = "memory", **settings: Any) -> McpServerCustom:
        """Return the server's declaration for an agent."""
        return McpServerCustom(name=name, connect=self.connect, **settings)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[Any, Any]]:
        """Open a transport of the MCP SDK."""
        self.attempts.append(trio.current_time())
        if self.refusing:
            raise ConnectionRefusedError("connection refused")
        async with (
            create_client_server_memory_streams() as (client_streams, server_streams),
            trio.open_nursery() as nursery,
        ):
            if not self.silent:
                nursery.start_soon(self._serve, *server_streams)
            yield client_streams
            nursery.cancel_scope.cancel()

    async def _serve(self, incoming: Any, outgoing: Any) -> None:
        self._streams = outgoing
        with trio.CancelScope() as self._serving_scope:
            await self._server.run(incoming, outgoing, self._server.create_initialization_options())
        with trio.CancelScope(shield=True):
            await incoming.aclose()
            await outgoing.aclose()

    def cut(self) -> None:
        """End the connection."""
        self._serving_scope.cancel()

    async def notify_tools_changed(self) -> None:
        """Send ``tools/list_changed``, the notification that needs no subscription."""
        changed = JSONRPCNotification(jsonrpc="2.0", method="notifications/tools/list_changed")
        await self._streams.send(SessionMessage(changed))

    async def _list(self, _context: Any, params: Any) -> ListToolsResult:
        names = list(self.handlers)
        begin = int(params.cursor) if params is not None and params.cursor else 0
        end = begin + self.page_size
        return ListToolsResult(
            tools=[
                Tool(name=name, description=f"{name}!", input_schema=self._schema(name))
                for name in names[begin:end]
            ],
            next_cursor=str(end) if end < len(names) else None,
        )

    def _schema(self, name: str) -> dict[str, Any]:
        return self.schemas.get(name, {"type": "object", "properties": {}})

    async def _call(self, _context: Any, params: Any) -> CallToolResult:
        result = await self.handlers[params.name](params.arguments or {})
        if isinstance(result, CallToolResult):
            return result
        content: list[ContentBlock] = (
            [TextContent(text=result)] if isinstance(result, str) else list(result)
        )
        return CallToolResult(content=content)

    async def _hang(self, _arguments: dict[str, Any]) -> str:
        self.log.append("hangs")
        try:
            await trio.sleep_forever()
        finally:
            self.log.append("cancelled")
        raise AssertionError


async def _echo(arguments: dict[str, Any]) -> str:
    text: str = arguments["text"]
    return text
