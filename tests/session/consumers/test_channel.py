"""Event channels: buffering, limits, and overflow policies."""

from __future__ import annotations

import contextlib

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import audio_response_ids, collect_events, drain_channel, text_deltas
from support.service import send_text, start_audio_response
from support.sessions import open_test_session
from trio_realtime import EventChannel, events, function_tool
from trio_realtime.errors import ClosedByService, ConsumerTooSlow
from trio_realtime.testing import ScriptedPeer

# --- reading -----------------------------------------------------------------------------------


async def test_tasks_that_share_a_channel_share_its_events(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    shares: dict[str, list[str]] = {"one": [], "other": []}

    async def consume(name: str, channel: EventChannel) -> None:
        with pytest.raises(ClosedByService):
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


async def test_cancelled_receive_loses_no_event(autojump_clock: MockClock) -> None:
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


async def test_channel_that_outlives_the_session_ends(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    with contextlib.ExitStack() as stack:
        async with open_test_session(peer) as session:
            channel = stack.enter_context(session.subscribe(events.ResponseStart))
            peer.begin_response("resp_1")
            await wait_all_tasks_blocked()
        seen: list[events.SessionEvent] = []
        await collect_events(channel, seen)
    assert [event.type for event in seen] == ["response_start"]


# --- limits ------------------------------------------------------------------------------------


async def test_full_channel_delivers_its_buffer_and_then_raises(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_events=3) as session:
        with session.subscribe(events.TextDelta) as channel:
            await send_text(peer, *"abcdefg")
            statistics = channel.statistics()
            assert statistics.buffered_events == 3
            assert statistics.dropped_events == 4
            received: list[events.SessionEvent] = []
            with pytest.raises(ConsumerTooSlow, match="max_buffered_events") as caught:
                await collect_events(channel, received)
            assert text_deltas(received) == ["a", "b", "c"]
            assert caught.value.statistics["buffered_events"] == 3


async def test_audio_limit_counts_bytes(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_audio=1000) as session:
        with session.subscribe(events.Audio) as channel:
            for _ in range(4):
                peer.audio("resp_1", "item_1", bytes(400))
            await wait_all_tasks_blocked()
            assert channel.statistics().buffered_audio == 800
            received: list[events.SessionEvent] = []
            with pytest.raises(ConsumerTooSlow):
                await collect_events(channel, received)
            assert len(received) == 2
            assert channel.statistics().buffered_audio == 0


async def test_receiving_frees_space(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_audio=1000) as session:
        with session.subscribe(events.Audio) as channel:
            for _ in range(20):
                peer.audio("resp_1", "item_1", bytes(900))
                assert isinstance(await channel.receive(), events.Audio)


async def test_slow_consumer_does_not_affect_others(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    received: list[str] = []

    async def consume(channel: EventChannel) -> None:
        async for event in channel:
            received.extend(text_deltas([event]))

    async with (
        open_test_session(peer, max_buffered_events=3) as session,
        trio.open_nursery() as nursery,
    ):
        with (
            session.subscribe(events.TextDelta) as slow,
            session.subscribe(events.TextDelta) as quick,
        ):
            nursery.start_soon(consume, quick)
            for letter in "abcdefgh":
                await send_text(peer, letter)
            await session.send_message("All is well here.")
            await peer.expect("conversation.item.create")
            await session.aclose()
            assert received == list("abcdefgh")
            assert text_deltas([slow.receive_nowait() for _ in range(3)]) == ["a", "b", "c"]
            with pytest.raises(ConsumerTooSlow):
                slow.receive_nowait()


async def test_unread_events_are_bounded_and_buffered_once(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_events=1000) as session:
        await wait_all_tasks_blocked()
        before = session.statistics().events.buffered_events
        peer.begin_response("resp_1")
        peer.audio("resp_1", "item_1", bytes(480))
        await wait_all_tasks_blocked()
        first = session.statistics().events.buffered_events
        for _ in range(400):
            peer.audio("resp_1", "item_1", bytes(480))
        await wait_all_tasks_blocked()
        statistics = session.statistics().events
        assert (statistics.buffered_events, statistics.buffered_audio) == (first + 400, 401 * 480)
        assert first - before <= 4
        for _ in range(4600):
            peer.audio("resp_1", "item_1", bytes(480))
        await wait_all_tasks_blocked()
        statistics = session.statistics().events
        assert statistics.buffered_events == 1000
        assert statistics.buffered_audio <= 1000 * 480
        seen: list[events.SessionEvent] = []
        with pytest.raises(ConsumerTooSlow):
            await collect_events(session, seen)
        assert len(seen) == 1000


# --- drop_oldest -------------------------------------------------------------------------------


async def test_drop_oldest_drops_and_counts_the_oldest_audio(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_audio=900) as session:
        kinds = (events.TextDelta, events.Audio)
        with session.subscribe(*kinds, overflow="drop_oldest") as channel:
            await send_text(peer, "a")
            for number in range(4):
                peer.audio("resp_1", "item_1", bytes([number]) * 300)
            await send_text(peer, "b")
            assert channel.statistics().dropped_events == 1
            found = drain_channel(channel)
            assert [event.data[0] for event in found if isinstance(event, events.Audio)] == [
                1,
                2,
                3,
            ]
            assert text_deltas(found) == ["a", "b"]


async def test_drop_oldest_drops_only_audio_and_raises_otherwise(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_events=3) as session:
        kinds = (events.TextDelta, events.Audio)
        with session.subscribe(*kinds, overflow="drop_oldest") as channel:
            await send_text(peer, "a")
            peer.audio("resp_1", "item_1", bytes(300))
            await send_text(peer, *"bcd")
            found = [await channel.receive() for _ in range(3)]
            assert text_deltas(found) == ["a", "b", "c"]
            with pytest.raises(ConsumerTooSlow, match="only audio is dropped"):
                await channel.receive()


async def test_drop_oldest_never_drops_an_approval_request(
    autojump_clock: MockClock,
) -> None:
    @function_tool(needs_approval=True)
    async def pay() -> str:
        return "paid"

    peer = ScriptedPeer()
    async with open_test_session(
        peer, pay, max_buffered_audio=1000, max_buffered_events=30, overflow="drop_oldest"
    ) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "pay")
        peer.open_message("resp_1", "item_2")
        for _ in range(200):
            peer.audio("resp_1", "item_2", bytes(400))
        await wait_all_tasks_blocked()
        found = drain_channel(session.events)
        (request,) = [e for e in found if isinstance(e, events.ToolApprovalRequired)]
        assert await session.approve_tool_call(request.call_id)


async def test_drop_oldest_enforces_the_audio_limit_behind_other_events(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_audio=1000, overflow="drop_oldest") as session:
        with session.subscribe(events.TextDelta, events.Audio) as channel:
            await send_text(peer, *"abcdefghijklmnopqrst")
            for _ in range(10):
                peer.audio("resp_1", "item_1", bytes(400))
                await wait_all_tasks_blocked()
                assert channel.statistics().buffered_audio <= 1000


# --- interruptions -----------------------------------------------------------------------------


async def test_interruption_discards_unread_audio_of_its_response(
    autojump_clock: MockClock,
) -> None:
    """Audio of other responses stays."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with session.subscribe(events.Audio, events.AudioInterrupted) as channel:
            await start_audio_response(peer, "resp_1", "item_1", audio=1)
            peer.end_response("resp_1")
            await trio.sleep(2)
            await start_audio_response(peer, "resp_2", "item_2", audio=2)
            await session.interrupt()
            for found in (drain_channel(channel), drain_channel(session.events)):
                assert audio_response_ids(found) == ["resp_1"]
                assert any(isinstance(event, events.AudioInterrupted) for event in found)
            assert channel.statistics().buffered_audio == 0


async def test_space_freed_by_an_interruption_can_be_used(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_audio=50_000) as session:
        for number in range(5):
            await start_audio_response(peer, f"resp_{number}", f"item_{number}", audio=1)
            await session.interrupt()
            peer.end_response(f"resp_{number}", "cancelled", reason="client_cancelled")
        await start_audio_response(peer, "resp_last", "item_last", audio=1)
        assert audio_response_ids(drain_channel(session.events)) == ["resp_last"]
