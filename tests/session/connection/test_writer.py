"""The writer: queued frames are sent in order, also while the session closes."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events
from support.service import function_call_item
from support.sessions import PassivePeer, open_test_session
from support.tools import make_note_tool
from trio_realtime import RealtimeAgent, events
from trio_realtime.errors import ConnectionLost
from trio_realtime.testing import ScriptedPeer
from trio_realtime.transports import TransportClosed

HELLO = '{"text": "hello"}'


async def test_frames_queued_before_the_exit_are_sent(autojump_clock: MockClock) -> None:
    """The peer reads slowly, and the connection buffers only two messages."""
    peer = PassivePeer(max_messages=2)
    texts: list[str] = []

    async def read_slowly() -> None:
        with suppress(TransportClosed):
            while True:
                frame = json.loads(await peer.far.receive())
                if frame["type"] == "conversation.item.create":
                    texts.append(frame["item"]["content"][0]["text"])
                await trio.sleep(0.01)

    async with trio.open_nursery() as nursery, open_test_session(peer) as session:
        nursery.start_soon(read_slowly)
        for number in range(10):
            await session.send_message(str(number), respond=False)
        assert session.statistics().outgoing_frames > 0
    assert texts == [str(number) for number in range(10)]


async def test_frames_queued_before_a_cancellation_are_sent(autojump_clock: MockClock) -> None:
    """The cancellation stops the block, but not the frames that are already queued."""
    peer = ScriptedPeer()
    with trio.CancelScope() as outer:
        async with open_test_session(peer) as session:
            for number in range(20):
                await session.send_message(f"text {number}", respond=False)
            outer.cancel()
            await trio.sleep(1)
    assert outer.cancelled_caught
    items = [frame for frame in peer.received if frame["type"] == "conversation.item.create"]
    assert len(items) == 20
    assert peer.closed is not None
    assert peer.closed.code == 1000


async def test_unsent_frames_are_dropped_when_the_connection_is_lost(
    autojump_clock: MockClock,
) -> None:
    wire = PassivePeer(max_messages=3)
    with pytest.raises(ConnectionLost):
        async with open_test_session(wire) as session:
            for _ in range(5):
                await session.send_message("Not read.", respond=False)
            await wait_all_tasks_blocked()
            assert session.statistics().outgoing_frames
            wire.far.drop()
            await wait_all_tasks_blocked()
            assert session.statistics().outgoing_frames == 0
            left = trio.current_time()
    assert trio.current_time() == left


async def test_answer_that_cannot_be_written_is_dropped_with_the_connection(
    autojump_clock: MockClock,
) -> None:
    """A failed send means that the connection is lost, and nothing is sent again.

    The tool has run once, the consumer gets the loss, and no later connection gets the answer.
    """
    note, runs = make_note_tool()
    agent = RealtimeAgent[None](name="Assistant", tools=[note])
    passive = PassivePeer(max_messages=2)
    async with open_test_session(passive, agent=agent) as session:
        await session.send_message("fills the connection", respond=False)
        item = function_call_item("item_1", "call_1", "note", HELLO)
        done = {"type": "response.output_item.done", "response_id": "resp_1", "item": item}
        await passive.far.send(msgspec.json.encode({**done, "output_index": 0}).decode())
        await wait_all_tasks_blocked()
        assert runs == ["hello"]
        passive.far.drop()
        seen: list[events.SessionEvent] = []
        with pytest.raises(ConnectionLost):
            await collect_events(session, seen)
        assert [event.type for event in seen if event.type.startswith("tool")] == [
            "tool_start",
            "tool_end",
        ]
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent):
        await trio.sleep(1)
    assert (runs, peer.sent_types()) == (["hello"], ["session.update"])
