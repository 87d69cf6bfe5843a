"""How much a consumer may leave unread, and what becomes of one that leaves more."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events, drain_channel, text_deltas
from support.service import send_text, silence
from support.sessions import open_test_session
from trio_realtime import EventChannel, events
from trio_realtime.errors import ConsumerTooSlow
from trio_realtime.testing import ScriptedPeer


async def test_who_stops_reading_gets_what_fitted_and_then_a_loud_failure(
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


async def test_audio_is_bounded_in_bytes(autojump_clock: MockClock) -> None:
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


async def test_reading_makes_room(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_audio=1000) as session:
        with session.subscribe(events.Audio) as channel:
            for _ in range(20):
                peer.audio("resp_1", "item_1", bytes(900))
                assert isinstance(await channel.receive(), events.Audio)


async def test_one_slow_consumer_is_nobody_elses_concern(autojump_clock: MockClock) -> None:
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


async def test_drop_oldest_keeps_the_newest_and_counts_the_others(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_events=3) as session:
        with session.subscribe(events.TextDelta, overflow="drop_oldest") as channel:
            await send_text(peer, *"abcdefg")
            assert channel.statistics().dropped_events == 4
            assert text_deltas(drain_channel(channel)) == ["e", "f", "g"]


async def test_drop_oldest_holds_the_bound_of_audio_whatever_stands_before_it(
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


async def test_a_consumer_that_never_reads_does_not_keep_the_reader_from_barge_in(
    autojump_clock: MockClock,
) -> None:
    """The bound is reached in the middle of the audio; what comes after is still acted on."""
    detection = {"type": "server_vad", "interrupt_response": False}
    peer = ScriptedPeer(session={"audio": {"input": {"turn_detection": detection}}})
    async with open_test_session(peer, max_buffered_audio=48_000) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        for _ in range(50):
            peer.audio("resp_1", "item_1", silence(0.1))
        await trio.sleep(2)
        peer.start_user_speech()
        await peer.expect("response.cancel", response_id="resp_1")
        await peer.expect("conversation.item.truncate", item_id="item_1", audio_end_ms=2000)
        assert session.events.statistics().buffered_audio <= 48_000
