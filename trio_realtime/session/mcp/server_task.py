"""The task that runs one MCP server of a session: connect, list the tools, reconnect.

The task connects, lists the tools and waits for the connection to be lost. Then it connects again,
at first immediately and later with growing delays. Each call runs in its own task (see
``session.tools``). Calls in progress fail when the connection is lost; calls that arrive while there
is no connection wait for the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import trio

from trio_realtime.agents import (
    FunctionTool,
    McpServer,
    ToolContext,
    decode_arguments,
    tool_name,
)
from trio_realtime.errors import McpCallFailed, McpServerFailed
from trio_realtime.events import Error, McpToolsChanged, SessionEvent

from .connection import (
    CallNotAccepted,
    McpConnection,
    McpConnectionError,
    McpConnector,
    RemoteTool,
)

logger: logging.Logger = logging.getLogger("trio_realtime.mcp")

FIRST_RECONNECT_DELAY = 0.5
MAX_RECONNECT_DELAY = 30.0
"""Seconds between attempts to connect. The delay doubles with each attempt, up to the maximum."""

REFRESH_INTERVAL = 1.0
"""Minimum seconds between two refreshes of the tools, however often the server announces changes."""

STABLE_AFTER = 10.0
"""Seconds after which a connection counts as stable: when it is lost, the delay starts at 0."""


class McpServerTask:
    """Runs one MCP server: keeps it connected and turns its tools into :class:`FunctionTool` objects.

    Args:
        server: the declaration of the server.
        connect: opens connections.
        close_timeout: seconds that closing the connection may take.
        emit: called with each ``error`` and ``mcp_tools_changed`` event of the server.

    Attributes:
        failure: why the server did not start or was lost; ``None`` while it is connected.
        tools: the tools of the last listing, by the name that the server uses. The tools themselves
            carry names that the realtime service accepts.
    """

    def __init__(
        self,
        server: McpServer,
        connect: McpConnector,
        close_timeout: float,
        emit: Callable[[SessionEvent], None],
    ) -> None:
        self.server = server
        self.failure: McpServerFailed | None = None
        self.tools: Mapping[str, FunctionTool] = {}
        self._connect = connect
        self._close_timeout = close_timeout
        self._emit = emit
        self._listed_tools: tuple[RemoteTool, ...] = ()
        self._connection: McpConnection | None = None
        self._first_attempt_done = trio.Event()
        self._connected = trio.lowlevel.ParkingLot()
        self._calls: set[trio.CancelScope] = set()
        self._refresh_scope = trio.CancelScope()
        self._stop_requested = trio.Event()
        self._scope = trio.CancelScope()
        self._stopped = trio.Event()

    @property
    def has_stopped(self) -> bool:
        """Whether the task has ended: on request, or because a required server did not start."""
        return self._stopped.is_set()

    async def wait_first_attempt(self) -> None:
        """Wait until the first attempt to connect has succeeded or failed."""
        await self._first_attempt_done.wait()

    # --- the task

    async def run(self) -> None:
        """Keep the server connected until :meth:`stop`.

        A required server that fails to start at the first attempt is not tried again.
        """
        try:
            with self._scope:
                delay = 0.0
                while not await self._stops_within(delay):
                    seconds = await self._connect_once()
                    if self.server.required and not self._first_attempt_done.is_set():
                        return
                    self._first_attempt_done.set()
                    delay = 0.0 if seconds >= STABLE_AFTER else _next_delay(delay)
        finally:
            self._stopped.set()
            self._first_attempt_done.set()

    async def _stops_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self._stop_requested.wait()
        return self._stop_requested.is_set()

    async def _connect_once(self) -> float:
        """Connect and serve calls until the connection is lost.

        Returns:
            For how many seconds the connection was up; ``-inf`` if it was never established.
        """
        connected_at = float("inf")
        reason = f"no connection within {self.server.connect_timeout:g} s"
        try:
            with trio.move_on_after(self.server.connect_timeout) as connecting:
                async with self._connect(self.server, self._close_timeout) as connection:
                    self._update_tools(await connection.list_tools())
                    connecting.deadline = float("inf")
                    connected_at = trio.current_time()
                    await self._serve(connection)
                    reason = str(connection.lost_reason)
        except McpConnectionError as exc:
            reason = str(exc)
        if not self._stop_requested.is_set():
            self._report_failure(reason, was_connected=connected_at < float("inf"))
        return trio.current_time() - connected_at

    async def _serve(self, connection: McpConnection) -> None:
        """Accept calls, and refresh the tools on request, until the connection is lost."""
        self.failure, self._connection = None, connection
        self._first_attempt_done.set()
        self._connected.unpark_all()
        try:
            while await connection.wait_refresh_or_lost():
                await self._refresh_tools(connection)
                with trio.move_on_after(REFRESH_INTERVAL):
                    await connection.wait_lost()
        finally:
            self._connection = None
            for scope in self._calls:
                scope.cancel(reason="the connection to the MCP server was lost")

    async def _refresh_tools(self, connection: McpConnection) -> None:
        """List the tools again. A failure to do so never aborts a call in progress."""
        with trio.CancelScope() as self._refresh_scope:
            self._extend_deadline()
            try:
                self._update_tools(await connection.list_tools())
            except McpConnectionError as exc:
                if not self._calls:
                    raise
                logger.warning("MCP server %r failed to list its tools: %s", self.server.name, exc)
        if self._refresh_scope.cancelled_caught:
            connection.mark_lost("listing its tools timed out")

    def _extend_deadline(self) -> None:
        """Set the deadline of a refresh: none while there are calls, else ``connect_timeout``.

        A server that handles one request at a time lists its tools only after its calls.
        """
        limit = float("inf") if self._calls else self.server.connect_timeout
        self._refresh_scope.deadline = trio.current_time() + limit

    def _report_failure(self, reason: str, *, was_connected: bool) -> None:
        """Record and log a failure. Only the first of several failed attempts emits an event."""
        name = self.server.name
        what = "disconnected" if was_connected else "did not start"
        self.failure = McpServerFailed(f"MCP server {name!r} {what}: {reason}", server=name)
        logger.warning("%s", self.failure)
        if was_connected or not (self.server.required or self._first_attempt_done.is_set()):
            self._emit(Error(error=self.failure))

    def stop(self) -> None:
        """Request the task to end, and return at once.

        An open connection is closed properly if that takes no longer than ``close_timeout``.
        """
        self._stop_requested.set()
        if self._connection is None:
            self._scope.cancel(reason="the session ended")
            return
        self._scope.deadline = trio.current_time() + self._close_timeout
        self._connection.mark_lost("the session ended")

    async def wait_stopped(self) -> None:
        """Wait until the task has ended."""
        await self._stopped.wait()

    # --- the tools

    def _update_tools(self, listing: Sequence[RemoteTool]) -> None:
        allowed = self.server.allowed_tools
        # Of tools with the same name, the first one counts.
        by_name = {tool.name: tool for tool in reversed(listing)}
        listed = tuple(
            tool for tool in reversed(by_name.values()) if allowed is None or tool.name in allowed
        )
        if listed == self._listed_tools:
            return
        self._listed_tools = listed
        self.tools = {tool.name: self._make_function_tool(tool) for tool in listed}
        if self._first_attempt_done.is_set():
            names = tuple(tool.name for tool in listed)
            self._emit(McpToolsChanged(server=self.server.name, tools=names))

    def _make_function_tool(self, tool: RemoteTool) -> FunctionTool:
        return FunctionTool(
            name=tool_name(tool.name),
            description=tool.description,
            parameters=tool.parameters,
            invoke=partial(self._invoke, tool.name),
            timeout=self.server.call_timeout,
            needs_approval=self.server.needs_approval,
            on_interrupt=self.server.on_interrupt,
            format_error=_format_error,
            # Each change of the list creates new tools, and may rename them; approvals must survive.
            approval_key=(self.server, tool.name),
        )

    async def _invoke(self, name: str, context: ToolContext[Any], arguments: str) -> Any:
        decoded = decode_arguments(arguments, context.tool_name)
        try:
            return await self._call_over(await self._wait_connected(), name, decoded)
        except CallNotAccepted:
            connection = await self._wait_connected()
        try:
            return await self._call_over(connection, name, decoded)
        except CallNotAccepted:
            raise connection.call_lost_error() from None

    async def _call_over(
        self, connection: McpConnection, name: str, arguments: dict[str, Any]
    ) -> Any:
        with trio.CancelScope() as scope:
            self._calls.add(scope)
            self._extend_deadline()
            try:
                return await connection.call_tool(name, arguments)
            finally:
                self._calls.remove(scope)
                self._extend_deadline()
        raise connection.call_lost_error()

    async def _wait_connected(self) -> McpConnection:
        with trio.move_on_after(self.server.connect_timeout):
            while self._connection is None or self._connection.lost_reason is not None:
                await self._connected.park()
            return self._connection
        name = self.server.name
        reason = f": {self.failure}" if self.failure is not None else ""
        raise McpCallFailed(f"MCP server {name!r} is not connected{reason}", server=name)


def _next_delay(delay: float) -> float:
    return min(max(2 * delay, FIRST_RECONNECT_DELAY), MAX_RECONNECT_DELAY)


def _format_error(_context: ToolContext[Any], exc: Exception) -> str:
    return str(exc)
