"""Serving one connection: slow clients, cancellation, bugs and recorded frames."""

from __future__ import annotations

import logging
import math

import pytest
import trio
import trio.testing

from support.realtime_client import KEY, QUERY, receive, receive_until, send
from trio_realtime.local import (
    Close,
    Limits,
    Say,
    ScriptedResponder,
    Step,
    Turn,
    local_connector,
)
from trio_realtime.transports import (
    ConnectOptions,
    TransportClosed,
)

IN_MEMORY = f"ws://localhost/v1/realtime{QUERY}"


class FailingResponder:
    """A responder with a bug."""

    def respond(self, turn: Turn) -> list[Step]:
        raise ZeroDivisionError("a bug in the responder")


async def test_a_bug_ends_one_connection_and_is_logged(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    connector = local_connector(responder=FailingResponder())
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await send(transport, "response.create")
        await receive(transport)
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
    assert caught.value.code == 1011
    (record,) = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        assert (await receive(transport))["type"] == "session.created"


async def test_a_response_can_be_cancelled_at_unlimited_pacing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    responder = ScriptedResponder([Say("word " * 200)])
    connector = local_connector(responder=responder, pacing=math.inf)
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await send(transport, "response.create")
        await receive_until(transport, "response.output_audio.delta")
        await send(transport, "response.cancel")
        frames = await receive_until(transport, "response.done")
    assert frames[-1]["response"]["status"] == "cancelled"


async def test_a_client_that_does_not_read_is_closed_with_1013(
    autojump_clock: trio.testing.MockClock,
) -> None:
    responder = ScriptedResponder([Say("word " * 2000)])
    limits = Limits(read_timeout=5.0)
    connector = local_connector(responder=responder, pacing=math.inf, limits=limits)
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await send(transport, "response.create")
        await trio.sleep(20.0)
        with pytest.raises(TransportClosed):
            await receive_until(transport, "response.done")
    assert connector.connections[0].closed == Close(1013, "the client reads too slowly")


async def test_recorded_frames_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    connector = local_connector(limits=Limits(recorded_frames=3))
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await send(transport, "response.create")
        await receive_until(transport, "rate_limits.updated")
    assert len(connector.connections[0].frames) == 3
