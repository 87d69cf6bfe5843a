"""The interface of a connection to an MCP server: it lists tools, calls them, and may be lost.

``sdk`` implements it; ``server_task`` uses it. This module does not import the MCP SDK.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import attrs
import trio

from trio_realtime.agents import McpServer
from trio_realtime.errors import McpCallFailed

MAX_MESSAGE_SIZE = 64 * 1024 * 1024
"""Maximum size of one message in bytes. It keeps a broken server from exhausting memory."""


class McpConnectionError(Exception):
    """A connection could not be established, or it broke. The message contains no secrets."""


class CallNotAccepted(McpConnectionError):
    """The server rejected a call because it no longer knows this connection.

    The call was not executed, so it is safe to repeat it over a new connection.
    """


@attrs.frozen(kw_only=True)
class RemoteTool:
    """A tool as an MCP server lists it."""

    name: str
    description: str | None
    parameters: Mapping[str, Any]


class McpConnection(ABC):
    """One connection to an MCP server.

    Attributes:
        server: the declaration of the server.
        lost_reason: why the connection was lost; ``None`` while it is open.
        error_detail: extra information for error messages, such as ``"HTTP 404"``, or ``None``.
    """

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self.lost_reason: str | None = None
        self.error_detail: str | None = None
        self._is_closing = False
        self._refresh_requested = False
        self._changed = trio.lowlevel.ParkingLot()

    def mark_lost(self, reason: str) -> None:
        """Mark the connection as lost. Only the first reason is recorded."""
        if not self._is_closing:
            self.lost_reason = self.lost_reason or reason
        self._changed.unpark_all()

    def mark_closing(self) -> None:
        """Mark the connection as being closed by this side; later errors are ignored."""
        self._is_closing = True

    async def wait_lost(self) -> None:
        """Wait until the connection is lost."""
        while self.lost_reason is None:
            await self._changed.park()

    def request_refresh(self) -> None:
        """Request that the tools be listed again.

        Listing them also reveals whether the server still knows this connection.
        """
        self._refresh_requested = True
        self._changed.unpark_all()

    async def wait_refresh_or_lost(self) -> bool:
        """Wait for a refresh request (returns ``True``) or the loss (returns ``False``)."""
        while self.lost_reason is None and not self._refresh_requested:
            await self._changed.park()
        self._refresh_requested = False
        return self.lost_reason is None

    def call_lost_error(self, reason: str | None = None) -> McpCallFailed:
        """Return the error of a call during which the connection, or its stream, was lost.

        Args:
            reason: why; by default :attr:`lost_reason`.
        """
        reason = reason or self.lost_reason
        name = self.server.name
        text = f"the connection to MCP server {name!r} was lost during the call"
        return McpCallFailed(f"{text}: {reason}" if reason else text, server=name)

    @abstractmethod
    async def list_tools(self) -> tuple[RemoteTool, ...]:
        """List all tools of the server.

        Raises:
            McpConnectionError: the server returned an error or an invalid list.
        """

    @abstractmethod
    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call a tool and return its result, as a tool function would.

        Cancelling this cancels the call in the server.

        Raises:
            McpCallFailed: the server returned an error, or the connection was lost.
            CallNotAccepted: the server no longer knows this connection.
        """


class McpConnector(Protocol):
    """Opens connections to MCP servers, as ``sdk.open_connection`` does."""

    def __call__(
        self, server: McpServer, close_timeout: float, /
    ) -> AbstractAsyncContextManager[McpConnection]:
        """Connect; disconnect when the block is left, within ``close_timeout`` seconds.

        Raises:
            McpConnectionError: the connection could not be established, or it broke in a way that
                ended the block. No other exception is raised.
        """
        ...
