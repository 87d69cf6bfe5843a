"""Serving one connection: slow clients, cancellation, bugs and recorded frames."""

from __future__ import annotations

import logging
import math

import pybase64
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
    recording,
)
from trio_realtime.transports import (
    ConnectOptions,
    Transport,
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


async def test_the_frames_of_connections_that_ended_first_are_discarded(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_MAX_ARCHIVE_BYTES", 30_000)
    connector = local_connector(limits=Limits(recorded_bytes=20_000), pacing=math.inf)
    for _ in range(3):
        async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
            await send(transport, "response.create")
            await receive_until(transport, "rate_limits.updated")
    first, _, last = connector.connections
    assert (len(first.messages), first.received) == (0, [])
    assert first.messages.counts["received"] == 1
    assert first.messages.counts["sent"] > 10
    assert first.closed == Close(1000)
    assert last.sent[-1]["type"] == "rate_limits.updated"


async def test_a_connection_can_be_closed_with_any_code(
    autojump_clock: trio.testing.MockClock,
) -> None:
    connector = local_connector()
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        await receive(transport)
        connector.connections[0].request_close(Close(4999, "enough"))
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
    assert (caught.value.code, caught.value.reason) == (4999, "enough")


async def test_a_client_that_appends_long_audio_does_not_block_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    connector = local_connector(responder=ScriptedResponder([Say("ok")]), pacing=math.inf)
    speech = pybase64.b64encode(b"\x00\x20" * (24 * 60_000)).decode()
    order: list[str] = []

    async def append(transport: Transport) -> None:
        await send(transport, "input_audio_buffer.append", audio=speech)
        await send(transport, "input_audio_buffer.clear")
        await receive_until(transport, "input_audio_buffer.cleared")
        order.append("append")

    async def ask(transport: Transport) -> None:
        await send(transport, "response.create", response={"output_modalities": ["text"]})
        await receive_until(transport, "response.done")
        order.append("ask")

    async with (
        connector(ConnectOptions(IN_MEMORY, KEY)) as one,
        connector(ConnectOptions(IN_MEMORY, KEY)) as two,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(append, one)
        nursery.start_soon(ask, two)
    assert order == ["ask", "append"]


async def test_the_items_of_a_connection_are_those_of_its_conversation(
    autojump_clock: trio.testing.MockClock,
) -> None:
    connector = local_connector()
    async with connector(ConnectOptions(IN_MEMORY, KEY)) as transport:
        content = [{"type": "input_text", "text": "Hello"}]
        item = {"id": "item_1", "type": "message", "role": "user", "content": content}
        await send(transport, "conversation.item.create", item=item)
        await receive_until(transport, "conversation.item.done")
        (connection,) = connector.connections
        (found,) = connection.items
        found["role"] = "changed"  # a copy
        assert connection.items == [{**item, "status": "completed"}]
        await send(transport, "conversation.item.delete", item_id="item_1")
        await receive_until(transport, "conversation.item.deleted")
        assert connection.items == []
