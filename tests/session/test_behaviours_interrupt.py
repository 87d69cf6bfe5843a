"""Interrupting and truncating. Numbers are those of the reference's list of behaviours.

Times are exact: the clock is virtual, 48 bytes of PCM16 are a millisecond.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pybase64
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.service import accept_create, begin_audio_response, silence, start_audio_response
from support.sessions import open_test_session
from support.tools import make_cleanup_tool
from support.wire import CANCEL, TRUNCATE, Frame, sent_frames, sent_types
from trio_realtime import PCM24K, PCMA, PCMU, RealtimeSession, events
from trio_realtime.errors import ConsumerTooSlow, ResponseFailed
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import AudioFormat


async def cuts(peer: ScriptedPeer) -> list[tuple[str, int, int]]:
    """Item, content index and milliseconds of each truncate."""
    return [
        (frame["item_id"], frame["content_index"], frame["audio_end_ms"])
        for frame in await sent_frames(peer)
        if frame["type"] == TRUNCATE
    ]


def interruptions(session: RealtimeSession[None]) -> list[tuple[str, str, int]]:
    return [
        (event.response_id, event.item_id, event.played_ms)
        for event in drain_channel(session.events)
        if isinstance(event, events.AudioInterrupted)
    ]


def server_vad(*, interrupts: bool) -> Frame:
    detection = {
        "type": "server_vad",
        "create_response": True,
        "interrupt_response": interrupts,
    }
    return {"audio": {"input": {"turn_detection": detection}}}


Interrupt: TypeAlias = Callable[[RealtimeSession[None], ScriptedPeer], Awaitable[None]]


async def by_command(session: RealtimeSession[None], peer: ScriptedPeer) -> None:
    await session.interrupt()


async def by_speech(session: RealtimeSession[None], peer: ScriptedPeer) -> None:
    peer.start_user_speech()
    await wait_all_tasks_blocked()


either_way = pytest.mark.parametrize("interrupt", [by_command, by_speech])


# --- 10, 11, 12: where it is cut ---------------------------------------------------------------


@either_way
async def test_a_running_response_is_cut_at_what_was_received(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    """10: 1 s received, 5 s later: not more can have been heard than there is."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        await trio.sleep(5)
        await interrupt(session, peer)
        assert await cuts(peer) == [("item_1", 0, 1000)]
        assert interruptions(session) == [("resp_1", "item_1", 1000)]


@either_way
async def test_a_finished_response_that_has_played_out_is_not_cut(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    """10: there is nothing left of it to stop."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.end_response("resp_1")
        await trio.sleep(5)
        await interrupt(session, peer)
        assert await sent_types(peer) == []
        assert interruptions(session) == []


@either_way
async def test_a_finished_response_that_still_plays_is_cut(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    """D19: the end of generation is not the end of playback. Nothing runs, so nothing is cancelled."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=6)
        peer.end_response("resp_1")
        await trio.sleep(2)
        await interrupt(session, peer)
        assert await sent_types(peer) == [TRUNCATE]
        assert await cuts(peer) == [("item_1", 0, 2000)]
        assert interruptions(session) == [("resp_1", "item_1", 2000)]


@pytest.mark.parametrize("after", [0, 0.25, 0.9999, 3])
async def test_command_and_speech_cut_at_the_same_millisecond(
    after: float, autojump_clock: MockClock
) -> None:
    """11."""

    async def cut_by(interrupt: Interrupt) -> list[tuple[str, int, int]]:
        peer = ScriptedPeer()
        async with open_test_session(peer) as session:
            await start_audio_response(peer, "resp_1", "item_1", audio=2)
            await trio.sleep(after)
            await interrupt(session, peer)
            return await cuts(peer)

    by_either = [await cut_by(by_command), await cut_by(by_speech)]
    expected = min(2000, int(after * 1000))
    # Where a float stands just below a whole millisecond, the one below is as right.
    assert by_either[0] == by_either[1]
    ((item_id, index, ms),) = by_either[0]
    assert (item_id, index) == ("item_1", 0)
    assert expected - 1 <= ms <= expected


@either_way
async def test_audio_that_just_arrived_is_cut_at_zero(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    """12: nothing heard is a valid place to cut."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        await interrupt(session, peer)
        assert await cuts(peer) == [("item_1", 0, 0)]
        assert interruptions(session) == [("resp_1", "item_1", 0)]


@either_way
async def test_a_negative_report_keeps_an_item_whole(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    """12: neither event nor truncate for it."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        session.playback.played("item_1", 0, -1)
        await interrupt(session, peer)
        assert await cuts(peer) == []
        assert interruptions(session) == []


# --- 13, 23: what the application reports ------------------------------------------------------


async def test_a_report_is_where_the_item_is_cut(autojump_clock: MockClock) -> None:
    """13: item, content index and milliseconds are the application's, whatever the clock says."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.send(
            {
                "type": "response.output_audio.delta",
                "response_id": "resp_1",
                "item_id": "item_1",
                "output_index": 0,
                "content_index": 1,
                "delta": pybase64.b64encode_as_string(silence(3)),
            }
        )
        await trio.sleep(2)
        session.playback.played("item_1", 1, 500)
        await session.interrupt()
        assert await cuts(peer) == [("item_1", 1, 500)]


async def test_each_item_is_cut_at_its_own_report_and_an_unheard_one_at_zero(
    autojump_clock: MockClock,
) -> None:
    """23: a phone line's acknowledged marks are reports; more than was sent is not believed."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.end_response("resp_1")
        await start_audio_response(peer, "resp_2", "item_2", audio=1)
        peer.open_message("resp_2", "item_3")
        peer.audio("resp_2", "item_3", silence(1))
        await wait_all_tasks_blocked()
        session.playback.played("item_1", 0, 940.7)
        session.playback.played("item_2", 0, 5000)
        await session.interrupt()
        assert await cuts(peer) == [("item_1", 0, 940), ("item_2", 0, 1000), ("item_3", 0, 0)]


async def test_a_finished_item_that_was_reported_in_full_is_not_cut(
    autojump_clock: MockClock,
) -> None:
    """23 with 10, for exact clocks: whole milliseconds are full enough."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        begin_audio_response(peer, "resp_1", "item_1", bytes(48_010))  # 1000.2 ms
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        session.playback.played("item_1", 0, 1000)
        await session.interrupt()
        assert await sent_types(peer) == []


async def test_reports_after_the_cut_are_ignored(autojump_clock: MockClock) -> None:
    """23: a line that was cleared still returns its marks; they say nothing of what comes next."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        session.playback.played("item_1", 0, 100)
        await session.interrupt()
        session.playback.played("item_1", 0, 1000)
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        await start_audio_response(peer, "resp_2", "item_2", audio=1)
        await session.interrupt()
        assert await cuts(peer) == [("item_1", 0, 100), ("item_2", 0, 0)]


async def test_an_interruption_is_told_once(autojump_clock: MockClock) -> None:
    """23: speech on top of an interrupt, and more speech, cut nothing twice."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=2)
        await trio.sleep(1)
        await session.interrupt()
        peer.start_user_speech()
        peer.start_user_speech("item_user_2")
        peer.audio("resp_1", "item_1", silence(1))
        assert await sent_types(peer) == [CANCEL, TRUNCATE]
        assert len(interruptions(session)) == 1


# --- D12: a queue of items ---------------------------------------------------------------------


async def test_of_two_queued_items_the_playing_one_is_cut_where_it_is_and_the_other_at_zero(
    autojump_clock: MockClock,
) -> None:
    """D12: 2 s into A (6 s) and B (6 s)."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_a", audio=6)
        peer.open_message("resp_1", "item_b")
        peer.audio("resp_1", "item_b", silence(6))
        await trio.sleep(2)
        peer.start_user_speech()
        assert await cuts(peer) == [("item_a", 0, 2000), ("item_b", 0, 0)]
        assert interruptions(session) == [("resp_1", "item_a", 2000), ("resp_1", "item_b", 0)]


async def test_of_two_queued_items_the_one_that_played_out_is_left_alone(
    autojump_clock: MockClock,
) -> None:
    """D12: 7 s into A (6 s, its response finished) and B (6 s)."""
    peer = ScriptedPeer()
    async with open_test_session(peer):
        await start_audio_response(peer, "resp_1", "item_a", audio=6)
        peer.end_response("resp_1")
        await start_audio_response(peer, "resp_2", "item_b", audio=6)
        await trio.sleep(7)
        peer.start_user_speech()
        assert await cuts(peer) == [("item_b", 0, 1000)]


# --- 14: who cancels ---------------------------------------------------------------------------


async def test_speech_truncates_only_where_the_service_cancels_by_itself(
    autojump_clock: MockClock,
) -> None:
    """14: a cancel on top of the service's own could hit the response after this one."""
    peer = ScriptedPeer(session=server_vad(interrupts=True))
    async with open_test_session(peer):
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.start_user_speech()
        assert await sent_types(peer) == [TRUNCATE]


async def test_an_explicit_interrupt_cancels_by_name_whatever_the_service_does(
    autojump_clock: MockClock,
) -> None:
    """14, ours: upstream sends no cancel here, and the agent talks on."""
    peer = ScriptedPeer(session=server_vad(interrupts=True))
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        await session.interrupt()
        cancel, truncate = await sent_frames(peer)
        assert (cancel["type"], cancel["response_id"]) == (CANCEL, "resp_1")
        assert truncate["type"] == TRUNCATE


async def test_speech_cancels_by_name_where_the_service_does_not(
    autojump_clock: MockClock,
) -> None:
    """14, the other half."""
    peer = ScriptedPeer(session=server_vad(interrupts=False))
    async with open_test_session(peer):
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.start_user_speech()
        cancel, truncate = await sent_frames(peer)
        assert (cancel["type"], cancel["response_id"]) == (CANCEL, "resp_1")
        assert truncate["type"] == TRUNCATE


async def test_without_barge_in_speech_touches_nothing(autojump_clock: MockClock) -> None:
    """14, the user's choice."""
    peer = ScriptedPeer(session=server_vad(interrupts=False))
    async with open_test_session(peer, barge_in=False) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.start_user_speech()
        peer.audio("resp_1", "item_1", silence(1))
        assert await sent_types(peer) == []
        found = drain_channel(session.events)
        assert sum(isinstance(event, events.Audio) for event in found) == 2
        assert not any(isinstance(event, events.AudioInterrupted) for event in found)


async def test_what_the_service_says_last_about_interrupting_counts(
    autojump_clock: MockClock,
) -> None:
    """14: the rule comes from the echoed session, not from what was asked for."""
    peer = ScriptedPeer(session=server_vad(interrupts=False))
    async with open_test_session(peer):
        peer.send(
            {
                "type": "session.updated",
                "session": {**peer.session, **server_vad(interrupts=True)},
            }
        )
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.start_user_speech()
        assert await sent_types(peer) == [TRUNCATE]


# --- 15, 16: one cancel each -------------------------------------------------------------------


async def test_two_interrupts_at_once_send_one_cancel(autojump_clock: MockClock) -> None:
    """15."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.interrupt)
            nursery.start_soon(session.interrupt)
        assert await sent_types(peer) == [CANCEL, TRUNCATE]


async def test_the_next_response_can_be_cancelled_too(autojump_clock: MockClock) -> None:
    """15."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        for number in (1, 2):
            peer.begin_response(f"resp_{number}")
            await wait_all_tasks_blocked()
            await session.interrupt()
            peer.end_response(f"resp_{number}", "cancelled", reason="client_cancelled")
        named = [frame["response_id"] for frame in await sent_frames(peer)]
        assert named == ["resp_1", "resp_2"]


async def test_a_cancelled_interrupt_stands(autojump_clock: MockClock) -> None:
    """15: whoever stops waiting for the tools has interrupted all the same, and need not repeat it."""
    careful = make_cleanup_tool(10)
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.call("resp_1", "item_2", "call_1", "careful")
        await wait_all_tasks_blocked()
        with trio.move_on_after(1) as scope:
            await session.interrupt()
        assert scope.cancelled_caught
        assert await sent_types(peer) == [CANCEL, TRUNCATE]
        await session.interrupt()
        assert await sent_types(peer) == [CANCEL, TRUNCATE, "conversation.item.create"]


async def test_cancelling_what_has_ended_does_not_touch_what_runs(
    autojump_clock: MockClock,
) -> None:
    """16: a handle names its own response."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response()
        await accept_create(peer, "resp_1")
        peer.end_response("resp_1")
        peer.begin_response("resp_2")
        await handle
        handle.cancel()
        await peer.expect_nothing()


async def test_a_late_done_of_an_old_response_does_not_free_the_slot(
    autojump_clock: MockClock,
) -> None:
    """16: nor does it end the turn of the one that runs."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.end_response("resp_1")
        peer.begin_response("resp_2")
        await wait_all_tasks_blocked()
        await session.send_message("Hello")
        peer.end_response("resp_1")
        assert await sent_types(peer) == ["conversation.item.create"]
        peer.end_response("resp_nobody_saw")
        assert await sent_types(peer) == ["conversation.item.create"]
        ends = [
            e.response_id
            for e in drain_channel(session.events)
            if isinstance(e, events.ResponseEnd)
        ]
        assert ends == ["resp_1", "resp_nobody_saw"]
        await session.interrupt()
        assert (await sent_frames(peer))[-1]["response_id"] == "resp_2"


# --- 17, 18, 19: to each response its own ------------------------------------------------------


async def test_each_response_that_plays_is_interrupted_under_its_own_name(
    autojump_clock: MockClock,
) -> None:
    """17: the old one only plays, so it is cut; the new one also runs, so it is cancelled too."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=4)
        peer.end_response("resp_1")
        await start_audio_response(peer, "resp_2", "item_2", audio=4)
        await trio.sleep(3)
        await session.interrupt()
        assert interruptions(session) == [("resp_1", "item_1", 3000), ("resp_2", "item_2", 0)]
        cancels = [f["response_id"] for f in await sent_frames(peer) if f["type"] == CANCEL]
        assert cancels == ["resp_2"]


async def test_a_new_item_during_the_interruption_is_not_cut_for_the_old_one(
    autojump_clock: MockClock,
) -> None:
    """18: consumers run apart from the reader, so it does not matter when they see the event."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=4)
        await trio.sleep(1)
        peer.start_user_speech()
        peer.end_response("resp_1", "cancelled", reason="turn_detected")
        await start_audio_response(peer, "resp_2", "item_2", audio=4)
        assert await cuts(peer) == [("item_1", 0, 1000)]
        assert interruptions(session) == [("resp_1", "item_1", 1000)]
        await trio.sleep(2)
        await session.interrupt()
        assert await cuts(peer) == [("item_1", 0, 1000), ("item_2", 0, 2000)]


@either_way
async def test_a_response_interrupted_before_its_audio_stays_silent_and_others_pass(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    """19, 23: its deltas are dropped until it is done; there was nothing to cut."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        await wait_all_tasks_blocked()
        await interrupt(session, peer)
        peer.audio("resp_1", "item_1", silence(1))
        peer.end_response("resp_1", "cancelled", reason="turn_detected")
        peer.audio("resp_1", "item_1", silence(1))
        await start_audio_response(peer, "resp_2", "item_2", audio=1)
        heard = [
            event.response_id
            for event in drain_channel(session.events)
            if isinstance(event, events.Audio)
        ]
        assert heard == ["resp_2"]
        assert await cuts(peer) == []


async def test_a_response_that_was_only_asked_for_is_cancelled_when_it_begins(
    autojump_clock: MockClock,
) -> None:
    """19, earlier still: the interrupt overtakes ``response.created``."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response()
        create = await peer.expect("response.create")
        await session.interrupt()
        await peer.expect_nothing()
        peer.begin_response("resp_1", create)
        await peer.expect("response.cancel", response_id="resp_1")
        peer.open_message("resp_1", "item_1")
        peer.audio("resp_1", "item_1", silence(1))
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        with pytest.raises(ResponseFailed, match="client_cancelled"):
            await handle
        assert not any(isinstance(event, events.Audio) for event in drain_channel(session.events))


# --- 20: nobody can stand in the way -----------------------------------------------------------


async def test_a_consumer_that_stopped_reading_cannot_hold_up_truncate_and_cancel(
    autojump_clock: MockClock,
) -> None:
    """20: there are no listeners to raise; the worst a consumer can do is not to read."""
    peer = ScriptedPeer(session=server_vad(interrupts=False))
    async with open_test_session(peer, max_buffered_events=4) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        for _ in range(10):
            peer.transcript("resp_1", "item_1", "and so on ")
        await trio.sleep(0.5)
        peer.start_user_speech()
        assert await sent_types(peer) == [CANCEL, TRUNCATE]
        assert await cuts(peer) == [("item_1", 0, 500)]
        with pytest.raises(ConsumerTooSlow):
            drain_channel(session.events)


async def test_a_consumer_that_fails_on_the_interruption_comes_too_late_to_stop_it(
    autojump_clock: MockClock,
) -> None:
    """20: when the event is there, the frames are on their way; the consumer's error is its own."""
    peer = ScriptedPeer(session=server_vad(interrupts=False))

    async def consume(session: RealtimeSession[None]) -> None:
        async for event in session:
            if isinstance(event, events.AudioInterrupted):
                raise ZeroDivisionError("the consumer's own")

    with pytest.RaisesGroup(ZeroDivisionError):
        async with open_test_session(peer) as session, trio.open_nursery() as nursery:
            nursery.start_soon(consume, session)
            await start_audio_response(peer, "resp_1", "item_1", audio=1)
            peer.start_user_speech()
            await trio.sleep_forever()
    assert await sent_types(peer) == [CANCEL, TRUNCATE]


# --- 21, 22: milliseconds ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "echo"),
    [
        ({"output_format": PCMU}, {}),
        ({"output_format": PCMA}, {}),
        ({}, {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}),
        ({}, {"audio": {"output": {"format": {"type": "g711_ulaw"}}}}),
        ({}, {"audio": {"output": {"format": {"type": "g711_alaw"}}}}),
    ],
)
async def test_phone_audio_has_eight_bytes_a_millisecond(
    settings: dict[str, Any], echo: Frame, autojump_clock: MockClock
) -> None:
    """21: in every spelling that a service may echo."""
    peer = ScriptedPeer()
    async with open_test_session(peer, **settings) as session:
        if echo:
            peer.send({"type": "session.updated", "session": echo})
        begin_audio_response(peer, "resp_1", "item_1", bytes(4000))
        await trio.sleep(5)
        await session.interrupt()
        assert await cuts(peer) == [("item_1", 0, 500)]


@pytest.mark.parametrize(("encoding", "ms"), [(PCM24K, 100), (PCMU, 600)])
async def test_audio_of_a_service_that_names_no_format_is_taken_for_what_was_asked_for(
    encoding: AudioFormat, ms: int, autojump_clock: MockClock
) -> None:
    """21: no crash, and no guess where there is a setting."""
    peer = ScriptedPeer(greet=False, acknowledge=False)
    peer.send({"type": "session.created", "session": {"type": "realtime"}})
    peer.send({"type": "session.updated", "session": {"type": "realtime"}})
    async with open_test_session(peer, output_format=encoding) as session:
        begin_audio_response(peer, "resp_1", "item_1", bytes(4800))
        await trio.sleep(5)
        await session.interrupt()
        assert await cuts(peer) == [("item_1", 0, ms)]


@either_way
@pytest.mark.parametrize(
    ("size", "after"), [(48_000, 0.3337), (16_001, 5), (47, 5), (48_000, 0.0004)]
)
async def test_only_whole_milliseconds_reach_the_wire(
    interrupt: Interrupt, size: int, after: float, autojump_clock: MockClock
) -> None:
    """22: rounded down, since more than there is would be refused."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        begin_audio_response(peer, "resp_1", "item_1", bytes(size))
        await trio.sleep(after)
        await interrupt(session, peer)
        ((_item, _index, ms),) = await cuts(peer)
        assert type(ms) is int
        assert ms == int(min(size / 48, after * 1000))
