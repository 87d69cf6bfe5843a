"""MCP servers for tests: real programs with a witness, and one in memory whose life a test rules."""

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
    """What one program tells, from its start to the end of the last process of it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._rest = b""
        self.pid = 0

    async def next(self) -> str:
        """What it tells next; ``""`` when no process of it is left."""
        while b"\n" not in self._rest:
            try:
                chunk = await self._stream.receive_some()
            except trio.BrokenResourceError:  # killed
                chunk = b""
            if not chunk:
                return ""
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def kill(self) -> None:
        """Kill its first process."""
        os.kill(self.pid, signal.SIGKILL)

    async def wait_gone(self) -> None:
        """Wait until no process of it is left."""
        while await self.next():
            pass

    async def forget(self) -> None:
        """Hear no more of it."""
        await self._stream.aclose()


class ServerObserver:
    """Sees programs come, act and go."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self.env = {"WITNESS": str(listener.socket.getsockname()[1])}
        self.lives: list[ServerLifetime] = []

    async def next_life(self) -> ServerLifetime:
        """The next program that starts."""
        life = ServerLifetime(await self._listener.accept())
        word, pid = (await life.next()).split()
        assert word == "pid"
        life.pid = int(pid)
        self.lives.append(life)
        return life

    async def wait_all_gone(self) -> None:
        """Wait until no process of any is left."""
        for life in self.lives:
            await life.wait_gone()


@asynccontextmanager
async def witnessed() -> AsyncIterator[ServerObserver]:
    """A witness, and at the end no process is left."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        witness = ServerObserver(listener)
        try:
            yield witness
            await witness.wait_all_gone()
        finally:
            with trio.move_on_after(5, shield=True):
                for life in witness.lives:
                    await life.forget()


class HttpProgram:
    """The program as a server on the network, which a test starts and kills."""

    def __init__(self, witness: ServerObserver) -> None:
        self._witness = witness
        self._process: trio.Process | None = None
        self.port = 0

    async def start(self) -> ServerLifetime:
        """Start it, the second time on the port that it had."""
        await self.end()
        self._process = await trio.lowlevel.open_process(
            [sys.executable, PROGRAM, "http", str(self.port)],
            env={**os.environ, **self._witness.env},
        )
        life = await self._witness.next_life()
        word, port = (await life.next()).split()
        assert word == "port"
        self.port = int(port)
        return life

    def declare(self, **settings: Any) -> McpServerHttp:
        """The server as an agent has it."""
        return McpServerHttp(name="net", url=f"http://127.0.0.1:{self.port}/mcp", **settings)

    async def end(self) -> None:
        """Kill it, and wait for that."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()


# --- in memory ---------------------------------------------------------------------------------

Handler = Callable[[dict[str, Any]], Awaitable[Any]]


class MemoryServer:
    """A server of the SDK in this process, behind a connection that a test can cut.

    Attributes:
        handlers: by name of tool; each gets the arguments, and returns a text, content, or a whole
            result.
        attempts: when it was asked for a connection.
        refusing: whether connections are refused.
        silent: whether it reads nothing.
        page_size: tools on a page of the list.
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
        self._cut = trio.CancelScope()
        self._server = Server("memory", on_list_tools=self._list, on_call_tool=self._call)

    def declare(self, name: str = "memory", **settings: Any) -> McpServerCustom:
        """The server as an agent has it."""
        return McpServerCustom(name=name, connect=self.connect, **settings)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[Any, Any]]:
        """A transport of the SDK."""
        self.attempts.append(trio.current_time())
        if self.refusing:
            raise ConnectionRefusedError("nobody listens")
        async with (
            create_client_server_memory_streams() as (ours, theirs),
            trio.open_nursery() as nursery,
        ):
            if not self.silent:
                nursery.start_soon(self._serve, *theirs)
            yield ours
            nursery.cancel_scope.cancel()

    async def _serve(self, incoming: Any, outgoing: Any) -> None:
        self._streams = outgoing
        with trio.CancelScope() as self._cut:
            await self._server.run(incoming, outgoing, self._server.create_initialization_options())
        with trio.CancelScope(shield=True):
            await incoming.aclose()
            await outgoing.aclose()

    def cut(self) -> None:
        """End the connection."""
        self._cut.cancel()

    async def tell_changed(self) -> None:
        """Notify of other tools, as servers did before the protocol had subscriptions for it."""
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
        found = await self.handlers[params.name](params.arguments or {})
        if isinstance(found, CallToolResult):
            return found
        content: list[ContentBlock] = (
            [TextContent(text=found)] if isinstance(found, str) else list(found)
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
