"""MCP servers for tests: real programs that an observer watches, and one in memory."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from mcp import MCPError
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
from trio.testing import wait_all_tasks_blocked

from support.wire import sent_outputs, sent_settings
from trio_realtime import McpServer, McpServerCustom, McpServerHttp, McpServerStdio, RealtimeAgent
from trio_realtime.testing import ScriptedPeer

PROGRAM = str(Path(__file__).with_name("mcp_program.py"))


# --- agents and calls --------------------------------------------------------------------------


def agent_with(*servers: McpServer, **settings: Any) -> RealtimeAgent[None]:
    """Return an agent that uses these servers."""
    return RealtimeAgent(name="Assistant", mcp_servers=servers, **settings)


def offered_names(peer: ScriptedPeer) -> list[str]:
    """Return the names of the tools in the last settings update that the peer has received."""
    return [tool["name"] for tool in sent_settings(peer)[-1]["tools"]]


def all_offered_names(peer: ScriptedPeer) -> list[list[str]]:
    """Return the names of the tools in each settings update that the peer has received."""
    return [[tool["name"] for tool in session["tools"]] for session in sent_settings(peer)]


def call_two_tools(peer: ScriptedPeer, first: str, second: str) -> None:
    """Send a response that calls two tools and is done."""
    peer.begin_response("resp_1")
    peer.call("resp_1", "item_1", "call_1", first)
    peer.call("resp_1", "item_2", "call_2", second)
    peer.end_response("resp_1")


async def only_output(peer: ScriptedPeer) -> str:
    """Return the output of the only answered call, once all tasks are blocked."""
    await wait_all_tasks_blocked()
    ((_, output),) = sent_outputs(peer)
    return output


async def wait_real_output(peer: ScriptedPeer, seconds: float = 5) -> str:
    """Wait in real time for the output of the only call, and return it."""
    with trio.fail_after(seconds):
        while not sent_outputs(peer):  # noqa: ASYNC110 - the peer has nothing to wait on
            await trio.sleep(0.01)
    ((_, output),) = sent_outputs(peer)
    return output


# --- programs ----------------------------------------------------------------------------------


class ServerLifetime:
    """One run of a server program: what it reports, until the last of its processes has exited."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = b""
        self.pid = 0

    async def next_report(self) -> str:
        """Wait for the next report; return ``""`` once all processes have exited."""
        while b"\n" not in self._buffer:
            try:
                chunk = await self._stream.receive_some()
            except trio.BrokenResourceError:  # killed
                chunk = b""
            if not chunk:
                return ""
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def kill(self) -> None:
        """Kill the program's first process."""
        os.kill(self.pid, signal.SIGKILL)

    async def wait_exited(self) -> None:
        """Wait until all processes have exited."""
        while await self.next_report():
            pass

    async def aclose(self) -> None:
        """Close the connection to the program."""
        await self._stream.aclose()


class ServerObserver:
    """Observes when server programs start, what they report, and when they exit.

    Attributes:
        env: environment variables for the programs.
        lifetimes: every run so far.
    """

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self.env = {"OBSERVER_PORT": str(listener.socket.getsockname()[1])}
        self.lifetimes: list[ServerLifetime] = []

    async def wait_started(self) -> ServerLifetime:
        """Wait until the next program starts."""
        lifetime = ServerLifetime(await self._listener.accept())
        word, pid = (await lifetime.next_report()).split()
        assert word == "pid"
        lifetime.pid = int(pid)
        self.lifetimes.append(lifetime)
        return lifetime

    async def wait_all_exited(self) -> None:
        """Wait until all processes of all programs have exited."""
        for lifetime in self.lifetimes:
            await lifetime.wait_exited()


@asynccontextmanager
async def observe_programs() -> AsyncIterator[ServerObserver]:
    """Open an observer; at the end of the block, wait until all programs have exited."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        observer = ServerObserver(listener)
        try:
            yield observer
            await observer.wait_all_exited()
        finally:
            with trio.move_on_after(5, shield=True):
                for lifetime in observer.lifetimes:
                    await lifetime.aclose()


def program_server(observer: ServerObserver, *args: str) -> McpServerStdio:
    """Return the declaration of the program as a local server.

    Args:
        observer: observes the program.
        args: further arguments of the program.
    """
    return McpServerStdio(
        name="local", command=sys.executable, args=[PROGRAM, "stdio", *args], env=observer.env
    )


class HttpProgram:
    """The program as an HTTP server, which a test starts and kills."""

    def __init__(self, observer: ServerObserver) -> None:
        self._observer = observer
        self._process: trio.Process | None = None
        self.port = 0

    async def start(self) -> ServerLifetime:
        """Start the program, or restart it on the same port."""
        await self.kill()
        self._process = await trio.lowlevel.open_process(
            [sys.executable, PROGRAM, "http", str(self.port)],
            env={**os.environ, **self._observer.env},
        )
        lifetime = await self._observer.wait_started()
        word, port = (await lifetime.next_report()).split()
        assert word == "port"
        self.port = int(port)
        return lifetime

    def declare(self, **settings: Any) -> McpServerHttp:
        """Return the declaration of this server."""
        return McpServerHttp(name="net", url=f"http://127.0.0.1:{self.port}/mcp", **settings)

    async def kill(self) -> None:
        """Kill the program, if it runs, and wait until it has exited."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()


# --- in memory ---------------------------------------------------------------------------------

Handler = Callable[[dict[str, Any]], Awaitable[Any]]


def return_text(text: str, *, after: float = 0) -> Handler:
    """Return a handler that returns a text, after some seconds."""

    async def handle(arguments: dict[str, Any]) -> str:
        await trio.sleep(after)
        return text

    return handle


def raise_mcp_error(code: int, message: str) -> Handler:
    """Return a handler whose calls get an error response."""

    async def handle(arguments: dict[str, Any]) -> Any:
        raise MCPError(code, message)

    return handle


class MemoryServer:
    """A server of the SDK in this process, over streams that a test can close.

    Attributes:
        handlers: the function of each tool; it gets the arguments, and returns a text, content
            blocks or a whole result.
        schemas: the parameters of each tool; by default those of a tool without parameters.
        attempts: the times at which connections were requested.
        refuse_connections: whether connections are refused.
        unresponsive: whether new connections are accepted but never read.
        page_size: number of tools on a page of the list.
        log: calls and cancellations of the tool ``hang``.
    """

    def __init__(self, **handlers: Handler) -> None:
        self.handlers: dict[str, Handler] = {"echo": _echo, "hang": self._hang, **handlers}
        self.schemas: dict[str, dict[str, Any]] = {}
        self.attempts: list[float] = []
        self.refuse_connections = False
        self.unresponsive = False
        self.page_size = 2
        self.log: list[str] = []
        self._outgoing: Any = None
        self._scope = trio.CancelScope()
        self._server = Server("memory", on_list_tools=self._list, on_call_tool=self._call)

    def declare(self, name: str = "memory", **settings: Any) -> McpServerCustom:
        """Return a declaration of this server."""
        return McpServerCustom(name=name, connect=self.connect, **settings)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[Any, Any]]:
        """Open a connection, as a transport of the SDK."""
        self.attempts.append(trio.current_time())
        if self.refuse_connections:
            raise ConnectionRefusedError("connection refused")
        async with (
            create_client_server_memory_streams() as (client_streams, server_streams),
            trio.open_nursery() as nursery,
        ):
            if not self.unresponsive:
                nursery.start_soon(self._serve, *server_streams)
            yield client_streams
            nursery.cancel_scope.cancel()

    async def _serve(self, incoming: Any, outgoing: Any) -> None:
        self._outgoing = outgoing
        with trio.CancelScope() as self._scope:
            await self._server.run(incoming, outgoing, self._server.create_initialization_options())
        with trio.CancelScope(shield=True):
            await incoming.aclose()
            await outgoing.aclose()

    def disconnect(self) -> None:
        """Close the connection."""
        self._scope.cancel()

    async def notify_tools_changed(self) -> None:
        """Notify the client that the tools changed, as servers of older protocol versions do."""
        changed = JSONRPCNotification(jsonrpc="2.0", method="notifications/tools/list_changed")
        await self._outgoing.send(SessionMessage(changed))

    async def _list(self, _context: Any, params: Any) -> ListToolsResult:
        names = list(self.handlers)
        start = int(params.cursor) if params is not None and params.cursor else 0
        end = start + self.page_size
        return ListToolsResult(
            tools=[
                Tool(name=name, description=f"{name}!", input_schema=self._schema(name))
                for name in names[start:end]
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
        self.log.append("called")
        try:
            await trio.sleep_forever()
        finally:
            self.log.append("cancelled")
        raise AssertionError


async def _echo(arguments: dict[str, Any]) -> str:
    text: str = arguments["text"]
    return text
