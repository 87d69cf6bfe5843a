"""Opening sessions for tests, and a peer without manners to open them against."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NoReturn, Protocol

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

PATIENCE = 600
"""Virtual seconds after which a test that hangs fails."""


class Reachable(Protocol):
    """What a session can be opened against, as a ``ScriptedPeer`` is."""

    def connect(self, dial: ConnectOptions, /) -> AbstractAsyncContextManager[Transport]: ...


def opened(
    peer: Reachable,
    *tools: FunctionTool,
    agent: RealtimeAgent[None] | None = None,
    **settings: Any,
) -> AbstractAsyncContextManager[RealtimeSession[None]]:
    """A session with these settings, of this agent or of one that has these tools.

    Nothing bounds how long it takes.
    """
    return open_realtime_session(
        agent or RealtimeAgent(name="Assistant", tools=tools),
        endpoint=TEST_ENDPOINT,
        transport=peer.connect,
        config=SessionConfig(**settings),
    )


@asynccontextmanager
async def talk(
    peer: Reachable,
    *tools: FunctionTool,
    agent: RealtimeAgent[None] | None = None,
    **settings: Any,
) -> AsyncIterator[RealtimeSession[None]]:
    """The same, within :data:`PATIENCE`: the session that most tests are about."""
    with trio.fail_after(PATIENCE):
        async with opened(peer, *tools, agent=agent, **settings) as session:
            yield session


def living() -> int:
    """How many tasks there are, to see that none is left behind."""
    return trio.lowlevel.current_statistics().tasks_living


class BareWire:
    """A peer without manners: it says what it is told to and does nothing by itself.

    It neither reads nor answers a close, unless a test does so with :attr:`far`.
    """

    far: MemoryTransport

    def __init__(self, *, max_messages: int = 1000) -> None:
        self._max_messages = max_messages

    @asynccontextmanager
    async def connect(self, dial: ConnectOptions) -> AsyncIterator[Transport]:
        near, self.far = memory_transport_pair(
            max_messages=self._max_messages, close_timeout=dial.close_timeout
        )
        self.far.ignore_close()
        for kind in ("session.created", "session.updated"):
            await self.far.send(json.dumps({"type": kind, "session": {"type": "realtime"}}))
        try:
            yield near
        finally:
            await near.aclose()

    async def read_all(self) -> NoReturn:
        """Read what there is, until the connection is over."""
        while True:
            await self.far.receive()
