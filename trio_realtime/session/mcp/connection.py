"""What a running MCP server is to the session: a link that lists tools, calls them, and may be lost.

``mcp_client`` makes links with the SDK; ``mcp`` keeps them. This module is between the two, and
imports nothing of the SDK.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import attrs
import trio

from trio_realtime.agents import McpServer
from trio_realtime.errors import McpCallFailed

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of one message. Nobody sends such; a server that goes mad must not take all memory."""


class McpConnectionError(Exception):
    """A connection did not come about, or broke. The text may be shown."""


class CallNotAccepted(McpConnectionError):
    """The server did not take a call, for it knows nothing of the connection: a new one may make it."""


@attrs.frozen(kw_only=True)
class RemoteTool:
    """A tool as its server tells of it."""

    name: str
    description: str | None
    parameters: Mapping[str, Any]


class McpConnection(ABC):
    """One connection to a server.

    Attributes:
        server: the declaration.
        lost: why there is no connection any more; ``None`` while there is.
        hint: what may explain a failure: an HTTP status.
    """

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self.lost: str | None = None
        self.hint: str | None = None
        self._is_left = False
        self._is_stale = False
        self._stirred = trio.lowlevel.ParkingLot()

    def lose(self, why: str) -> None:
        """The connection is gone. The first reason counts."""
        if not self._is_left:
            self.lost = self.lost or why
        self._stirred.unpark_all()

    def leave(self) -> None:
        """We end it: how it goes from here on is no reason for anything."""
        self._is_left = True

    async def wait_lost(self) -> None:
        """Wait until it is lost."""
        while self.lost is None:
            await self._stirred.park()

    def look_again(self) -> None:
        """The tools may be others now, or the server may have forgotten us."""
        self._is_stale = True
        self._stirred.unpark_all()

    async def wait_stirred(self) -> bool:
        """Wait until it is lost (``False``), or its tools are to be listed again (``True``)."""
        while self.lost is None and not self._is_stale:
            await self._stirred.park()
        self._is_stale = False
        return self.lost is None

    def call_lost(self, why: str | None = None) -> McpCallFailed:
        """The failure of a call that was under way when the connection went, or its part of it."""
        because = why or self.lost
        name = self.server.name
        text = f"the connection to MCP server {name!r} was lost during the call"
        return McpCallFailed(f"{text}: {because}" if because else text, server=name)

    @abstractmethod
    async def list_tools(self) -> tuple[RemoteTool, ...]:
        """All tools of the server. Raises ``McpConnectionError`` where it says no."""

    @abstractmethod
    async def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call a tool; what it returns is the answer."""
