"""Faults of dials, and transports other than the one in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from trio_realtime.testing import ScriptedPeer
from trio_realtime.testing.faults import (
    Close,
    Drop,
    FailDial,
    FaultPlan,
    FaultyConnector,
    Outgoing,
    RejectDial,
    SlowDial,
    faulty_connector,
)
from trio_realtime.transports import (
    ConnectOptions,
    HandshakeRejected,
    MemoryTransport,
    Transport,
    TransportClosed,
    TransportConnectError,
    TransportConnectTimeout,
    memory_transport_pair,
)

OPTIONS = ConnectOptions(url="ws://test.invalid", connect_timeout=5)


async def dial(connector: FaultyConnector) -> None:
    async with connector(OPTIONS):
        pass


async def test_each_dial_has_its_faults(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    connector = faulty_connector(
        peer.connect, RejectDial(429, body="busy", retry_after=2.5), FailDial("no route"), []
    )
    with pytest.raises(HandshakeRejected) as rejected:
        await dial(connector)
    assert (rejected.value.status, rejected.value.body) == (429, "busy")
    assert rejected.value.retry_after == 2.5
    await trio.sleep(3)
    with pytest.raises(TransportConnectError, match="no route"):
        await dial(connector)
    await dial(connector)
    await dial(connector)
    assert [dial.number for dial in connector.dials] == [1, 2, 3, 4]
    assert [dial.time for dial in connector.dials] == [0, 3, 3, 3]
    assert [type(dial.error) for dial in connector.dials[:3]] == [
        HandshakeRejected,
        TransportConnectError,
        type(None),
    ]
    assert [link.number for link in connector.links] == [3, 4]
    assert connector.link is connector.links[-1]
    assert len(peer.connections) == 2


async def test_connecting_may_take_long_or_forever(autojump_clock: MockClock) -> None:
    connector = faulty_connector(ScriptedPeer().connect, SlowDial(4), SlowDial(6), SlowDial())
    await dial(connector)
    assert trio.current_time() == 4
    for _ in range(2):
        with pytest.raises(TransportConnectTimeout, match="within 5 s"):
            await dial(connector)
    assert trio.current_time() == 14


async def test_the_plan_may_change_between_dials(autojump_clock: MockClock) -> None:
    connector = faulty_connector(ScriptedPeer().connect)
    await dial(connector)
    connector.plan = FaultPlan(every=[FailDial()])
    for _ in range(3):
        with pytest.raises(TransportConnectError, match="refused"):
            await dial(connector)
    connector.plan = FaultPlan()
    await dial(connector)
    assert [dial.error is None for dial in connector.dials] == [True, False, False, False, True]


async def test_an_error_of_the_wrapped_connector_is_raised_unchanged(
    autojump_clock: MockClock,
) -> None:
    inner = faulty_connector(ScriptedPeer().connect, FailDial("down"))
    outer = faulty_connector(inner)
    with pytest.raises(TransportConnectError, match="down") as caught:
        await dial(outer)
    assert outer.dials[0].error is caught.value
    assert outer.links == []


async def test_an_exception_of_the_block_is_raised_unchanged(autojump_clock: MockClock) -> None:
    error = RuntimeError()
    with pytest.raises(RuntimeError) as caught:
        async with faulty_connector(ScriptedPeer().connect)(OPTIONS):
            raise error
    assert caught.value is error


async def test_wait_until_a_connection_is_open(autojump_clock: MockClock) -> None:
    connector = faulty_connector(ScriptedPeer().connect, FailDial())

    async def dial_twice() -> None:
        await trio.sleep(1)
        with pytest.raises(TransportConnectError):
            await dial(connector)
        await trio.sleep(1)
        await dial(connector)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial_twice)
        assert (await connector.wait_link()).number == 2
        assert trio.current_time() == 2


async def test_connectors_can_be_wrapped_twice(autojump_clock: MockClock) -> None:
    inner = faulty_connector(ScriptedPeer().connect)
    outer = faulty_connector(inner, every=Drop())
    async with outer(OPTIONS) as transport:
        with pytest.raises(TransportClosed, match="1006"):
            await transport.receive()
        assert inner.link.closed is not None
        assert inner.link.closed.code == 1006


class WithoutDrop:
    """A transport that can only be closed, like a WebSocket."""

    def __init__(self, inner: MemoryTransport) -> None:
        self._inner = inner

    async def send(self, text: str) -> None:
        await self._inner.send(text)

    async def receive(self) -> str | bytes:
        return await self._inner.receive()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self._inner.aclose(code, reason)


@pytest.mark.parametrize(
    ("fault", "near", "far"),
    [
        (Drop(), 1006, 1001),
        (Drop(Outgoing(moment="before")), 1006, 1001),
        (Close(4000), 4000, 4000),
    ],
)
async def test_a_transport_that_cannot_drop_is_closed(
    fault: Drop | Close, near: int, far: int, autojump_clock: MockClock
) -> None:
    client, server = memory_transport_pair()

    @asynccontextmanager
    async def connect(_: ConnectOptions) -> AsyncGenerator[Transport]:
        yield WithoutDrop(client)

    async with faulty_connector(connect, fault)(OPTIONS) as transport:
        if fault.at is not None:
            await transport.send("lost")
        for end, code in ((transport, near), (server, far)):
            with pytest.raises(TransportClosed) as caught:
                await end.receive()
            assert caught.value.code == code
