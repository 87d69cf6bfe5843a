"""The event bus: which channel gets which events."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, text_deltas
from support.service import send_text
from support.sessions import open_test_session
from trio_realtime import RealtimeSession, events
from trio_realtime.errors import UsageError
from trio_realtime.session.consumers.bus import EventBus
from trio_realtime.session.consumers.channel import BufferLimits
from trio_realtime.session.ending import EndState
from trio_realtime.testing import ScriptedPeer


async def test_each_channel_gets_all_events(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with session.subscribe() as one, session.subscribe() as other:
            await send_text(peer, "a", "b")
            assert text_deltas(drain_channel(one)) == ["a", "b"]
            assert text_deltas(drain_channel(other)) == ["a", "b"]
            assert text_deltas(drain_channel(session.events)) == ["a", "b"]


async def test_channel_gets_only_the_requested_types(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with session.subscribe(events.TextDelta, events.ResponseEnd) as channel:
            peer.begin_response("resp_1")
            peer.say("resp_1", "item_1", "Hi")
            peer.end_response("resp_1")
            await wait_all_tasks_blocked()
            assert [event.type for event in drain_channel(channel)] == [
                "text_delta",
                "response_end",
            ]


async def test_channel_gets_events_only_within_its_block(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await send_text(peer, "before")
        with session.subscribe() as channel:
            assert drain_channel(channel) == []
            await send_text(peer, "during")
            assert text_deltas(drain_channel(channel)) == ["during"]
            await send_text(peer, "unread")
        with pytest.raises(trio.ClosedResourceError):
            channel.receive_nowait()
        assert channel.statistics().buffered_events == 0


async def test_raw_events_are_delivered_on_request_and_before_their_consequences(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with (
            session.subscribe() as plain,
            session.subscribe(events.RawModelEvent, events.TextDelta) as raw,
        ):
            await send_text(peer, "a")
            peer.send({"type": "brand.new.event", "payload": {"deep": [1]}})
            await wait_all_tasks_blocked()
            assert not any(
                isinstance(event, events.RawModelEvent) for event in drain_channel(plain)
            )
            first, second, unknown = drain_channel(raw)
            assert isinstance(first, events.RawModelEvent)
            assert isinstance(second, events.TextDelta)
            assert isinstance(unknown, events.RawModelEvent)
            assert unknown.json()["payload"] == {"deep": [1]}


@pytest.mark.parametrize("nonsense", ["audio", events.SessionEvent, RealtimeSession, None])
async def test_subscribe_rejects_other_types(nonsense: Any, autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with (
            pytest.raises(UsageError, match="expected event classes"),
            session.subscribe(nonsense),
        ):
            raise AssertionError("it was accepted")


async def test_subscribe_rejects_unknown_overflow_policies(autojump_clock: MockClock) -> None:
    async with open_test_session(ScriptedPeer()) as session:
        with pytest.raises(
            UsageError,
            match="overflow must be one of fail, drop_oldest_audio, drop_oldest, got 'block'",
        ):
            session.subscribe(overflow="block").__enter__()  # type: ignore[call-overload]


async def test_the_reader_does_not_ask_a_consumer_that_does_something_else() -> None:
    limits = BufferLimits(max_events=10, max_audio=10, max_bytes=10_000, overflow="fail")
    bus = EventBus(limits, EndState())
    event = events.AudioEnd(response_id="r", item_id="i", content_index=0)
    channel = bus.open_channel()
    for _ in range(6):
        bus.emit(event)
    assert not bus.crowded  # nobody has ever read
    channel.receive_nowait()
    bus.emit(event)
    assert bus.crowded == {channel}
    await bus.let_consumers_read()
    assert not bus.crowded
    bus.emit(event)
    assert not bus.crowded
    await channel.receive()
    bus.emit(event)
    assert bus.crowded == {channel}
