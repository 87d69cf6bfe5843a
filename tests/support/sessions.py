"""Open sessions for tests, and a passive peer to connect them to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NoReturn, Protocol

import pytest
import trio

from trio_realtime import (
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    open_realtime_session,
)
from trio_realtime.testing import TEST_ENDPOINT, MemoryTransport, memory_transport_pair
from trio_realtime.transports import ConnectOptions, Transport

TEST_TIMEOUT = 600
"""Virtual seconds after which a hanging test fails."""


class SupportsConnect(Protocol):
    """A peer that a session can connect to, such as a ``ScriptedPeer``."""

    def connect(self, options: ConnectOptions, /) -> AbstractAsyncContextManager[Transport]: ...


def open_session_with(
    peer: SupportsConnect,
    *tools: FunctionTool,
    agent: RealtimeAgent[None] | None = None,
    **settings: Any,
) -> AbstractAsyncContextManager[RealtimeSession[None]]:
    """Open a session with these settings, and with ``agent`` or an agent that has these tools.

    There is no timeout. The session ends with its first connection, unless ``reconnect`` says otherwise.
    """
    settings.setdefault("reconnect", None)
    return open_realtime_session(
        agent or RealtimeAgent(name="Assistant", tools=tools),
        endpoint=TEST_ENDPOINT,
        transport=peer.connect,
        config=SessionConfig(**settings),
    )


@asynccontextmanager
async def open_test_session(
    peer: SupportsConnect,
    *tools: FunctionTool,
    agent: RealtimeAgent[None] | None = None,
    **settings: Any,
) -> AsyncIterator[RealtimeSession[None]]:
    """Open a session like :func:`open_session_with`, with :data:`TEST_TIMEOUT` for the block."""
    with trio.fail_after(TEST_TIMEOUT):
        async with open_session_with(peer, *tools, agent=agent, **settings) as session:
            yield session


def task_count() -> int:
    """Return the number of living tasks, to check that a test leaves none behind."""
    return trio.lowlevel.current_statistics().tasks_living


class PassivePeer:
    """A passive peer: it opens the session and then does nothing on its own.

    It neither reads nor answers a close. A test can do so with :attr:`far`.
    """

    far: MemoryTransport

    def __init__(self, *, max_messages: int = 1000) -> None:
        self._max_messages = max_messages

    @asynccontextmanager
    async def connect(self, options: ConnectOptions) -> AsyncIterator[Transport]:
        near, self.far = memory_transport_pair(
            max_messages=self._max_messages, close_timeout=options.close_timeout
        )
        self.far.ignore_close()
        for kind in ("session.created", "session.updated"):
            await self.far.send(json.dumps({"type": kind, "session": {"type": "realtime"}}))
        try:
            yield near
        finally:
            await near.aclose()

    async def read_all(self) -> NoReturn:
        """Read and discard all messages until the connection ends."""
        while True:
            await self.far.receive()


async def open_and_fail(peer: SupportsConnect, **settings: Any) -> None:
    """Open a session that must not open."""
    async with open_test_session(peer, **settings):
        pytest.fail("the block must not run")
