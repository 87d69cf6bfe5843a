"""Sessions over a link that freezes, loses one direction, or closes when it is silent.

Both ends are real: the default transport and the local server, joined by a relay on a virtual clock.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import attrs
import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    open_realtime_session,
)
from trio_realtime._nursery import open_bare_nursery
from trio_realtime.errors import ConnectionLost
from trio_realtime.local import Limits, ServerConfig
from trio_realtime.local.stream_server import StreamServer
from trio_realtime.transports import ConnectOptions

Direction = Literal["to_server", "to_client"]
LOST = "the peer did not answer a ping within 10 s"


@attrs.define(eq=False)
class Link:
    """Carries bytes between two streams.

    Attributes:
        max_silence: closes both streams after so many seconds without bytes, as proxies do.
        broken: directions in which bytes no longer arrive.
        flows: bytes wait until this is set.
    """

    client: trio.abc.Stream
    server: trio.abc.Stream
    max_silence: float
    broken: set[Direction] = attrs.field(factory=set)
    flows: trio.Event = attrs.field(factory=trio.Event)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def run(self) -> None:
        with self.scope:
            async with self.client, self.server, trio.open_nursery() as nursery:
                self._note_bytes()
                nursery.start_soon(self._carry, "to_server", self.client, self.server)
                nursery.start_soon(self._carry, "to_client", self.server, self.client)

    def _note_bytes(self) -> None:
        self.scope.deadline = trio.current_time() + self.max_silence

    async def _carry(
        self, direction: Direction, source: trio.abc.Stream, target: trio.abc.Stream
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in source:
                await self.flows.wait()
                if direction not in self.broken:
                    self._note_bytes()
                    await target.send_all(data)
            await target.aclose()


@asynccontextmanager
async def open_over_link(
    monkeypatch: pytest.MonkeyPatch, *, max_silence: float = 1e6, **settings: Any
) -> AsyncGenerator[tuple[RealtimeSession[None], Link]]:
    # The server sends no pings, so that only those of the session count.
    limits = Limits(ping_interval=1e6)
    streams = StreamServer(ServerConfig(epoch=0.0), limits)
    client, near = memory_stream_pair()
    far, server = memory_stream_pair()
    link = Link(near, far, max_silence)
    link.flows.set()

    async def open_stream(_: ConnectOptions) -> trio.abc.Stream:
        return client

    monkeypatch.setattr("trio_realtime.transports._connect.open_tunnel_stream", open_stream)
    async with open_bare_nursery(AssertionError) as nursery:
        nursery.start_soon(streams.serve, server)  # noqa: ASYNC113 - streams buffer what is sent
        nursery.start_soon(link.run)
        async with open_realtime_session(
            RealtimeAgent[None](name="Assistant"),
            endpoint=Endpoint.compatible("ws://peer.test/v1/realtime", model="m", api_key="k"),
            config=SessionConfig(reconnect=None, **settings),
        ) as session:
            yield session, link


async def lose_session(
    monkeypatch: pytest.MonkeyPatch, broken: set[Direction], **settings: Any
) -> tuple[ConnectionLost, float]:
    """Return how a quiet session ends when its link breaks, and after how many seconds."""
    with pytest.raises(ConnectionLost) as caught:
        async with open_over_link(monkeypatch, **settings) as (session, link):
            await session.ask("Hi")
            await trio.sleep(31)
            link.broken |= broken
            broken_at = trio.current_time()
            async for _ in session:
                pass
    assert session.end is not None
    assert (session.end.by, session.end.reason) == ("network", "connection_lost")
    return caught.value, trio.current_time() - broken_at


async def test_a_quiet_session_lives_behind_a_proxy_that_closes_silent_connections(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_over_link(monkeypatch, max_silence=25) as (session, _):
        await trio.sleep(40)
        assert (await session.ask("Are you there?")).text
        await trio.sleep(400)
        assert (await session.ask("Are you still there?")).text


async def test_without_pings_such_a_proxy_ends_a_quiet_session(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    with pytest.raises(ConnectionLost) as caught:
        async with open_over_link(monkeypatch, max_silence=25, ping_interval=None) as (session, _):
            await trio.sleep(40)
            await session.ask("Are you there?")
    assert caught.value.code == 1006


@pytest.mark.parametrize("broken", [{"to_server"}, {"to_client"}, {"to_server", "to_client"}])
async def test_a_link_that_breaks_is_noticed_within_30_seconds(
    broken: set[Direction], monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    lost, seconds = await lose_session(monkeypatch, broken)
    assert (lost.code, lost.reason) == (1006, LOST)
    assert seconds <= 30


async def test_the_settings_limit_how_long_a_broken_link_is_not_noticed(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    lost, seconds = await lose_session(
        monkeypatch, {"to_client"}, ping_interval=3.0, ping_timeout=2.0
    )
    assert lost.reason == "the peer did not answer a ping within 2 s"
    assert seconds <= 5


async def test_a_broken_link_that_resumes_in_time_does_not_end_the_session(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_over_link(monkeypatch) as (session, link):
        await trio.sleep(31)
        link.flows = trio.Event()
        await trio.sleep(18)
        link.flows.set()
        await trio.sleep(60)
        assert (await session.ask("Are you there?")).text
