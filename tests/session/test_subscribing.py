"""Channels: who gets which events, and when a channel begins and ends."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, text_deltas
from support.service import send_text
from support.sessions import open_test_session
from trio_realtime import EventChannel, RealtimeSession, events
from trio_realtime.errors import UsageError
from trio_realtime.testing import ScriptedPeer


async def test_channels_do_not_take_from_each_other(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with session.subscribe() as one, session.subscribe() as other:
            await send_text(peer, "a", "b")
            assert text_deltas(drain_channel(one)) == ["a", "b"]
            assert text_deltas(drain_channel(other)) == ["a", "b"]
            assert text_deltas(drain_channel(session.events)) == ["a", "b"]


async def test_tasks_that_share_a_channel_share_its_events(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    shares: dict[str, list[str]] = {"one": [], "other": []}

    async def consume(name: str, channel: EventChannel) -> None:
        async for event in channel:
            shares[name] += text_deltas([event])
            await trio.sleep(1)

    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        with session.subscribe(events.TextDelta) as channel:
            for name in shares:
                nursery.start_soon(consume, name, channel)
            await send_text(peer, *"abcdef")
            await trio.sleep(20)
            peer.close()
            await wait_all_tasks_blocked()
    assert sorted(shares["one"] + shares["other"]) == list("abcdef")
    assert len(shares["one"]) == len(shares["other"]) == 3


async def test_a_channel_carries_only_what_was_asked_for(autojump_clock: MockClock) -> None:
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


async def test_a_channel_begins_and_ends_with_its_block(autojump_clock: MockClock) -> None:
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


async def test_raw_events_come_only_to_who_names_them_and_before_what_follows_from_them(
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


async def test_the_frame_of_a_raw_event_is_the_text_that_came(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    frame = '{ "type" : "response.done","response":{"id":"resp_1","unknown":null} }'
    async with open_test_session(peer) as session:
        with session.subscribe(events.RawModelEvent) as raw:
            peer.send(frame)
            event = await raw.receive()
    assert isinstance(event, events.RawModelEvent)
    assert event.frame == frame


async def test_a_cancelled_receive_loses_no_event(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with session.subscribe(events.TextDelta) as channel:
            for _ in range(3):
                with trio.move_on_after(1) as scope:
                    await channel.receive()
                assert scope.cancelled_caught
            await send_text(peer, "a")
            with trio.CancelScope() as cancelled:
                cancelled.cancel()
                await channel.receive()
            assert text_deltas(drain_channel(channel)) == ["a"]


@pytest.mark.parametrize("nonsense", ["audio", events.SessionEvent, RealtimeSession, None])
async def test_subscribing_to_what_is_no_event_is_refused(
    nonsense: Any, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with (
            pytest.raises(UsageError, match="subscribe to event classes"),
            session.subscribe(nonsense),
        ):
            raise AssertionError("it was accepted")


async def test_a_policy_that_there_is_not_is_refused(autojump_clock: MockClock) -> None:
    async with open_test_session(ScriptedPeer()) as session:
        with pytest.raises(UsageError, match="overflow is one of fail, drop_oldest, not 'block'"):
            session.subscribe(overflow="block").__enter__()  # type: ignore[arg-type]
