"""Runs the MCP servers of a session's agents, and keeps the service informed of their tools.

A server is started for the first agent that uses it and runs until the session ends. When the tools
of a server change, the settings of the current agent are sent to the service again.

The MCP SDK is imported when the first agent with MCP servers starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Set as AbstractSet
from importlib import import_module
from typing import Any, Protocol, cast

import attrs
import trio

from trio_realtime._nursery import start_soon_in_this_context
from trio_realtime.agents import (
    FunctionTool,
    McpServer,
    RealtimeAgent,
    build_toolset,
    declared_names,
    disambiguate_names,
)
from trio_realtime.errors import ConfigurationError, RealtimeError
from trio_realtime.events import Error, McpToolsChanged, SessionEvent
from trio_realtime.session.ending import copy_exception
from trio_realtime.session.user_code import describe_exception, supervise_task
from trio_realtime.wire import Session

from .connection import McpConnector
from .server_task import McpServerTask


class McpHost(Protocol):
    """What :class:`McpServers` needs of the session that its servers belong to."""

    @property
    def end(self) -> object:
        """The end of the session, which identifies it."""
        ...

    @property
    def current_agent(self) -> RealtimeAgent[Any]:
        """The agent whose settings are in force."""
        ...

    def emit(self, event: SessionEvent, /) -> None:
        """Deliver an event to the consumers of the session."""
        ...

    async def change_settings(
        self, settings: Session, agent: Any = None, toolset: Any = None
    ) -> Session:
        """Send settings to the service; return those in force once it has accepted them.

        Raises:
            RealtimeError: the service rejected the settings, or the session ended.
        """
        ...


def _import_connector() -> McpConnector:
    try:
        module = import_module(".sdk", __package__)
    except ImportError as exc:
        raise ConfigurationError(
            "MCP servers need the MCP SDK: pip install 'trio-realtime[mcp]'"
        ) from exc
    return cast("McpConnector", module.open_connection)


@attrs.frozen(kw_only=True, eq=False)
class _OfferedTools:
    """The MCP tools that an agent offers to the model, and the input from which they were named.

    Attributes:
        own_names: names of the agent's own tools and handoffs.
        by_server: tools of each running server of the agent, by the server's names for them.
        tools: the tools under unique names.
    """

    own_names: AbstractSet[str]
    by_server: Mapping[McpServer, Mapping[str, FunctionTool]]
    tools: tuple[FunctionTool, ...]


class McpServers:
    """The MCP servers of a session.

    Args:
        nursery: runs the servers' tasks.
        close_timeout: seconds that closing the connections may take.
        connect: opens connections; by default with the MCP SDK.

    Attributes:
        settings_lock: hold it while sending an agent's tools to the service, until the service has
            answered, so that a refresh of the tools cannot overtake a change of the agent.
    """

    def __init__(
        self, nursery: trio.Nursery, close_timeout: float, connect: McpConnector | None = None
    ) -> None:
        self.settings_lock: trio.Lock = trio.Lock()
        self._start_soon = start_soon_in_this_context(nursery)
        self._close_timeout = close_timeout
        self._connect = connect
        self._tasks: dict[McpServer, McpServerTask] = {}
        self._offered: dict[RealtimeAgent[Any], _OfferedTools] = {}
        self._buffered_events: list[SessionEvent] = []
        self._host: McpHost | None = None
        self._context: Any = None
        self._refresh_pending = False
        self._is_refreshing = False

    async def start(self, agent: RealtimeAgent[Any]) -> None:
        """Start the servers of an agent that are not running, and wait for their first attempt.

        If this is cancelled, the servers keep starting in the background.

        Raises:
            ConfigurationError: the MCP SDK is not installed.
            McpServerFailed: a required server did not start. The next call tries again.
        """
        tasks = [self._start_task(server) for server in agent.mcp_servers]
        for task in tasks:
            await task.wait_first_attempt()
        for task in tasks:
            if task.has_stopped and self._tasks.get(task.server) is task:
                del self._tasks[task.server]
        for task in tasks:
            if task.has_stopped and task.failure is not None:
                raise copy_exception(task.failure)

    def _start_task(self, server: McpServer) -> McpServerTask:
        if server not in self._tasks:
            self._connect = self._connect or _import_connector()
            task = McpServerTask(server, self._connect, self._close_timeout, self._emit)
            self._tasks[server] = task
            self._start_soon(task.run, name=f"MCP server {server.name}")
        return self._tasks[server]

    def offered(self, agent: RealtimeAgent[Any]) -> tuple[FunctionTool, ...]:
        """Return the tools that the agent's running servers have now, under unique names."""
        if not agent.mcp_servers:
            return ()
        by_server = {
            server: self._tasks[server].tools
            for server in agent.mcp_servers
            if server in self._tasks
        }
        own = declared_names(agent)
        offered = self._offered.get(agent)
        if offered is None or (offered.own_names, offered.by_server) != (own, by_server):
            tools = disambiguate_names(own, by_server)
            offered = _OfferedTools(own_names=own, by_server=by_server, tools=tools)
            self._offered[agent] = offered
        return offered.tools

    # --- changes

    def _emit(self, event: SessionEvent) -> None:
        if isinstance(event, McpToolsChanged):
            self._refresh_pending = True
            self._refresh()
        if self._host is None:
            self._buffered_events.append(event)
        else:
            self._host.emit(event)

    def attach(self, host: McpHost, context: Any) -> None:
        """Connect the servers to the session once it is open.

        The host is given the events so far and all later ones, and its settings follow the tools.

        Args:
            host: the session.
            context: the user's context, passed to conditions such as ``is_enabled``.
        """
        self._host = host
        self._context = context
        for event in self._buffered_events:
            host.emit(event)
        self._buffered_events.clear()
        self._refresh()

    def _refresh(self) -> None:
        """Begin to send the tools that have changed, once the session is open."""
        if self._host is not None and self._refresh_pending and not self._is_refreshing:
            self._is_refreshing = True
            self._start_soon(self._refresh_settings, self._host, name="MCP tools")

    async def _refresh_settings(self, host: McpHost) -> None:
        supervise_task(host.end)
        while self._refresh_pending:
            self._refresh_pending = False
            try:
                async with self.settings_lock:
                    await self._send_tools(host, self._context)
            except RealtimeError as exc:
                host.emit(Error(error=exc))
            except Exception as exc:  # noqa: BLE001 - the user's conditions may raise anything
                name, reason = host.current_agent.name, describe_exception(exc)
                text = f"cannot update the tools of agent {name!r}: {reason}"
                host.emit(Error(error=ConfigurationError(text)))
        self._is_refreshing = False

    async def _send_tools(self, host: McpHost, context: Any) -> None:
        while True:
            agent = host.current_agent
            toolset = await build_toolset(agent, context, self.offered(agent))
            await host.change_settings(Session(tools=toolset.specs), None, toolset)
            # A change of the agent that was sent before may have been accepted meanwhile.
            if host.current_agent is agent:
                return

    # --- the end

    def stop(self) -> None:
        """Request all servers to stop, and return at once. They have ``close_timeout`` to do so."""
        for task in self._tasks.values():
            task.stop()

    async def wait_stopped(self) -> None:
        """Wait until no server is running."""
        for task in tuple(self._tasks.values()):
            await task.wait_stopped()
