"""Sessions of this library in one process, without sockets. The benchmark is the service.

The connection is a pair of memory channels, and the service sends frames that are built in advance. So the
CPU time is that of the session, and of one task switch per frame.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any, final

import attrs
import msgspec
import trio

from benchmarks.burst import frames as fr
from benchmarks.library import AGENT
from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    events,
    open_realtime_session,
)
from trio_realtime.testing import TEST_ENDPOINT
from trio_realtime.transports import (
    ConnectOptions,
    MemoryTransport,
    Transport,
    TransportClosed,
    memory_transport_pair,
)


@final
class MemoryService:
    """A service that accepts all settings, and otherwise sends what the benchmark sends."""

    def __init__(self) -> None:
        self._transport: MemoryTransport | None = None

    @asynccontextmanager
    async def connect(self, options: ConnectOptions) -> AsyncGenerator[Transport]:
        """Open a connection. Pass this method as ``transport=`` to a session."""
        client, service = memory_transport_pair(close_timeout=options.close_timeout)
        self._transport = service
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._answer, service)
            try:
                yield client
            finally:
                await client.aclose()
                nursery.cancel_scope.cancel()

    async def _answer(self, transport: MemoryTransport) -> None:
        try:
            await transport.send(fr.encode(fr.session_frame("session.created")))
            while True:
                frame: Any = msgspec.json.decode(await transport.receive())
                if frame["type"] == "session.update":
                    await transport.send(fr.encode(fr.session_frame("session.updated")))
        except TransportClosed:
            return

    async def send(self, frames: Iterable[str]) -> None:
        """Send frames."""
        assert self._transport is not None
        for one in frames:
            await self._transport.send(one)


@attrs.frozen
class MemorySession:
    """An open session and its service."""

    session: RealtimeSession[None]
    service: MemoryService

    async def deliver(
        self, frames: Iterable[str], kind: type[events.SessionEvent], count: int
    ) -> None:
        """Send frames, and read events until this number of events of a kind has arrived."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.service.send, frames)
            while count:
                count -= isinstance(await self.session.events.receive(), kind)


@asynccontextmanager
async def open_memory_session(
    agent: RealtimeAgent[None] = AGENT, config: SessionConfig | None = None
) -> AsyncGenerator[MemorySession]:
    """Open a session without a socket for the duration of the block."""
    service = MemoryService()
    async with open_realtime_session(
        agent,
        endpoint=TEST_ENDPOINT,
        transport=service.connect,
        config=SessionConfig() if config is None else config,
    ) as session:
        yield MemorySession(session, service)
