"""Runs the MCP servers of a session's agents: one task for each, from its first agent to the end.

A server's task connects, lists the tools, and waits for the end of the connection; then it connects
again, a while later each time, and the session goes on. Calls run in their own tasks (see
``tools``); those under way when a connection ends are answered as failed, and those that come while
there is none wait for the next.

The MCP SDK is imported when the first agent with servers comes, by ``mcp_client``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence, Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import attrs
import msgspec
import trio

from trio_realtime.agents import (
    FunctionTool,
    InvalidArguments,
    McpServer,
    RealtimeAgent,
    ToolContext,
    describe_tools,
    disambiguate_names,
    own_names,
    tool_name,
)
from trio_realtime.errors import (
    ConfigurationError,
    McpCallFailed,
    McpServerFailed,
    RealtimeError,
)
from trio_realtime.events import Error, McpToolsChanged, SessionEvent
from trio_realtime.wire import Session

from .connection import CallNotAccepted, McpConnection, McpConnectionError, RemoteTool

if TYPE_CHECKING:
    from trio_realtime.session.runtime import SessionRuntime

logger: logging.Logger = logging.getLogger("trio_realtime.mcp")

FIRST_DELAY = 0.5
MAX_DELAY = 30.0
"""Seconds before a server is connected again: at once, then this long, doubled up to that."""

PACE = 1.0
"""Seconds from one look at a connected server's tools to the next, however often they change."""

STEADY = 10.0
"""Seconds after which a connection counts as good, so that its end is a first one again."""


class McpConnector(Protocol):
    """Opens a link, as ``mcp_client.connected`` does."""

    def __call__(
        self, server: McpServer, close_timeout: float, /
    ) -> AbstractAsyncContextManager[McpConnection]:
        """Connect; disconnect when the block is left. Raises ``McpConnectionError`` and nothing else."""
        ...


def _find_client() -> McpConnector:
    try:
        module = import_module(".sdk", __package__)
    except ImportError as exc:
        raise ConfigurationError(
            "MCP servers need the MCP SDK: pip install 'trio-realtime[mcp]'"
        ) from exc
    return cast("McpConnector", module.connected)


# --- one server --------------------------------------------------------------------------------


class McpServerTask:
    """One server and its task.

    Attributes:
        failure: why it did not come, or went.
        tools: its tools as they were listed last, by its own names for them; theirs are such as
            the service allows.
    """

    def __init__(
        self,
        server: McpServer,
        connect: McpConnector,
        close_timeout: float,
        tell: Callable[[SessionEvent], None],
    ) -> None:
        self.server = server
        self.failure: McpServerFailed | None = None
        self.tools: Mapping[str, FunctionTool] = {}
        self._connect = connect
        self._close_timeout = close_timeout
        self._tell = tell
        self._listing: tuple[RemoteTool, ...] = ()
        self._link: McpConnection | None = None
        self._tried = trio.Event()
        self._came = trio.lowlevel.ParkingLot()
        self._calls: set[trio.CancelScope] = set()
        self._looking = trio.CancelScope()
        self._leaving = trio.Event()
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    @property
    def has_given_up(self) -> bool:
        """Whether it was required, did not come, and is not tried any more."""
        return self._ended.is_set()

    async def wait_tried(self) -> None:
        """Wait until it has come, or has not."""
        await self._tried.wait()

    # --- its task

    async def run(self) -> None:
        """Keep it connected until :meth:`leave`. One that is required has to come at first."""
        try:
            with self._scope:
                delay = 0.0
                while not await self._leaves_within(delay):
                    lived = await self._live()
                    if self.server.required and not self._tried.is_set():
                        return
                    self._tried.set()
                    delay = 0.0 if lived >= STEADY else _next_delay(delay)
        finally:
            self._ended.set()
            self._tried.set()

    async def _leaves_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self._leaving.wait()
        return self._leaving.is_set()

    async def _live(self) -> float:
        """One connection, to its end. Returns for how many seconds it was there."""
        came = float("inf")
        why = f"no connection within {self.server.connect_timeout:g} s"
        try:
            with trio.move_on_after(self.server.connect_timeout) as coming:
                async with self._connect(self.server, self._close_timeout) as link:
                    self._take(await link.list_tools())
                    coming.deadline = float("inf")
                    came = trio.current_time()
                    await self._stay(link)
                    why = str(link.lost)
        except McpConnectionError as exc:
            why = str(exc)
        if not self._leaving.is_set():
            self._note(why, was_there=came < float("inf"))
        return trio.current_time() - came

    async def _stay(self, link: McpConnection) -> None:
        """Be there for calls until the link is lost, and see what tools there are when it is told."""
        self.failure, self._link = None, link
        self._tried.set()
        self._came.unpark_all()
        try:
            while await link.wait_stirred():
                await self._look(link)
                with trio.move_on_after(PACE):
                    await link.wait_lost()
        finally:
            self._link = None
            for scope in self._calls:
                scope.cancel(reason="the connection to the MCP server was lost")

    async def _look(self, link: McpConnection) -> None:
        """List the tools anew. What is wrong with the list costs no call that is under way."""
        with trio.CancelScope() as self._looking:
            self._give_time()
            try:
                self._take(await link.list_tools())
            except McpConnectionError as exc:
                if not self._calls:
                    raise
                logger.warning("MCP server %r does not list its tools: %s", self.server.name, exc)
        if self._looking.cancelled_caught:
            link.lose("it does not list its tools any more")

    def _give_time(self) -> None:
        """It may do one thing after the other: then its tools are listed when its calls are done."""
        limit = float("inf") if self._calls else self.server.connect_timeout
        self._looking.deadline = trio.current_time() + limit

    def _note(self, why: str, *, was_there: bool) -> None:
        """It failed. Told once; that it still fails when it is tried again is only logged."""
        name = self.server.name
        what = "was lost" if was_there else "did not start"
        self.failure = McpServerFailed(f"MCP server {name!r} {what}: {why}", server=name)
        logger.warning("%s", self.failure)
        if was_there or not (self.server.required or self._tried.is_set()):
            self._tell(Error(error=self.failure))

    def leave(self) -> None:
        """End it: in order if it is connected, but within ``close_timeout``."""
        self._leaving.set()
        if self._link is None:
            self._scope.cancel(reason="the session is over")
            return
        self._scope.deadline = trio.current_time() + self._close_timeout
        self._link.lose("the session is over")

    async def wait_ended(self) -> None:
        """Wait until its task has ended."""
        await self._ended.wait()

    # --- its tools

    def _take(self, listing: Sequence[RemoteTool]) -> None:
        allowed = self.server.allowed_tools
        each = {tool.name: tool for tool in reversed(listing)}
        offered = tuple(
            tool for tool in reversed(each.values()) if allowed is None or tool.name in allowed
        )
        if offered == self._listing:
            return
        self._listing = offered
        self.tools = {tool.name: self._function_tool(tool) for tool in offered}
        if self._tried.is_set():
            names = tuple(tool.name for tool in offered)
            self._tell(McpToolsChanged(server=self.server.name, tools=names))

    def _function_tool(self, tool: RemoteTool) -> FunctionTool:
        return FunctionTool(
            name=tool_name(tool.name),
            description=tool.description,
            parameters=tool.parameters,
            invoke=partial(self._call, tool.name),
            timeout=self.server.call_timeout,
            needs_approval=self.server.needs_approval,
            on_interrupt=self.server.on_interrupt,
            format_error=_told,
            # The object is made anew with each list, and its name may change then.
            approval_key=(self.server, tool.name),
        )

    async def _call(self, name: str, context: ToolContext[Any], arguments: str) -> Any:
        given = _object(context.tool_name, arguments)
        try:
            return await self._call_by(await self._connected(), name, given)
        except CallNotAccepted:
            link = await self._connected()
        try:
            return await self._call_by(link, name, given)
        except CallNotAccepted:
            raise link.call_lost() from None

    async def _call_by(self, link: McpConnection, name: str, given: dict[str, Any]) -> Any:
        with trio.CancelScope() as scope:
            self._calls.add(scope)
            self._give_time()
            try:
                return await link.call(name, given)
            finally:
                self._calls.remove(scope)
                self._give_time()
        raise link.call_lost()

    async def _connected(self) -> McpConnection:
        with trio.move_on_after(self.server.connect_timeout):
            while self._link is None or self._link.lost is not None:
                await self._came.park()
            return self._link
        name = self.server.name
        why = f": {self.failure}" if self.failure is not None else ""
        raise McpCallFailed(f"MCP server {name!r} is not connected{why}", server=name)


def _next_delay(delay: float) -> float:
    return min(max(2 * delay, FIRST_DELAY), MAX_DELAY)


def _told(_context: ToolContext[Any], exc: Exception) -> str:
    return str(exc)


def _object(name: str, arguments: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(arguments.strip() or "{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise InvalidArguments(f"Invalid arguments for {name}: {exc}") from None


# --- those of a session ------------------------------------------------------------------------


@attrs.frozen(kw_only=True, eq=False)
class _OfferedTools:
    """What an agent was offered, and of what it was made."""

    own: AbstractSet[str]
    there: Mapping[McpServer, Mapping[str, FunctionTool]]
    tools: tuple[FunctionTool, ...]


class McpServers:
    """The servers of a session.

    Args:
        nursery: where their tasks run.
        close_timeout: seconds that ending them may take.
        connect: opens a link; by default with the MCP SDK.
    """

    def __init__(
        self, nursery: trio.Nursery, close_timeout: float, connect: McpConnector | None = None
    ) -> None:
        self.turn: trio.Lock = trio.Lock()
        """Held by whoever tells the service of an agent's tools, to the service's answer."""
        self._nursery = nursery
        self._close_timeout = close_timeout
        self._connect = connect
        self._running: dict[McpServer, McpServerTask] = {}
        self._offered: dict[RealtimeAgent[Any], _OfferedTools] = {}
        self._early: list[SessionEvent] = []
        self._shell: SessionRuntime | None = None
        self._is_stale = False
        self._stirred = trio.lowlevel.ParkingLot()

    async def start(self, agent: RealtimeAgent[Any]) -> None:
        """See that an agent's servers are there.

        Raises:
            ConfigurationError: the MCP SDK is not installed.
            McpServerFailed: one that is required did not come. It is tried anew the next time.
        """
        running = [self._run(server) for server in agent.mcp_servers]
        for server in running:
            await server.wait_tried()
        for server in running:
            if server.has_given_up and self._running.get(server.server) is server:
                del self._running[server.server]
        for server in running:
            if server.has_given_up and server.failure is not None:
                raise server.failure.again()

    def _run(self, server: McpServer) -> McpServerTask:
        if server not in self._running:
            self._connect = self._connect or _find_client()
            running = McpServerTask(server, self._connect, self._close_timeout, self._tell)
            self._running[server] = running
            self._nursery.start_soon(running.run, name=f"MCP server {server.name}")
        return self._running[server]

    def offered(self, agent: RealtimeAgent[Any]) -> tuple[FunctionTool, ...]:
        """The tools that an agent has of its servers now."""
        if not agent.mcp_servers:
            return ()
        there = {
            server: self._running[server].tools
            for server in agent.mcp_servers
            if server in self._running
        }
        offered = self._offered.get(agent)
        own = own_names(agent)
        if offered is None or (offered.own, offered.there) != (own, there):
            offered = _OfferedTools(own=own, there=there, tools=disambiguate_names(own, there))
            self._offered[agent] = offered
        return offered.tools

    def last_offered(self, agent: RealtimeAgent[Any], name: str) -> FunctionTool | None:
        """The tool of this name as it was offered last. Asks nobody, so nothing can fail."""
        offered = self._offered.get(agent)
        tools = () if offered is None else offered.tools
        return next((tool for tool in tools if tool.name == name), None)

    # --- changes

    def _tell(self, event: SessionEvent) -> None:
        if isinstance(event, McpToolsChanged):
            self._is_stale = True
            self._stirred.unpark_all()
        if self._shell is None:
            self._early.append(event)
        else:
            self._shell.hub.emit(event)

    def follow(self, shell: SessionRuntime, context: Any) -> None:
        """The session stands: tell it what happens, and the service what tools there are."""
        self._shell = shell
        for event in self._early:
            shell.hub.emit(event)
        self._early.clear()
        self._nursery.start_soon(self._refresh, shell, context, name="MCP tools")

    async def _refresh(self, shell: SessionRuntime, context: Any) -> None:
        while True:
            while not self._is_stale:
                await self._stirred.park()
            self._is_stale = False
            try:
                async with self.turn:
                    await self._tell_tools(shell, context)
            except RealtimeError as exc:
                shell.hub.emit(Error(error=exc))
            except Exception as exc:  # noqa: BLE001 - what conditions of the user raise
                failed = f"the tools of agent {shell.core.agent.name!r} cannot be told: {exc!r}"
                shell.hub.emit(Error(error=ConfigurationError(failed)))

    async def _tell_tools(self, shell: SessionRuntime, context: Any) -> None:
        while True:
            agent = shell.core.agent
            tools = await describe_tools(agent, context, self.offered(agent))
            await shell.change_settings(Session(tools=tools))
            # An agent that was on its way before may have taken over meanwhile.
            if shell.core.agent is agent:
                return

    # --- the end

    def leave(self) -> None:
        """End them all; they have their ``close_timeout`` for it."""
        for server in self._running.values():
            server.leave()

    async def wait_ended(self) -> None:
        """Wait until none runs."""
        for server in tuple(self._running.values()):
            await server.wait_ended()
