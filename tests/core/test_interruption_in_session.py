"""Interruptions: what is cancelled, by whom, and which audio is suppressed."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import audio_response_ids, drain_channel
from support.interruptions import (
    Interrupt,
    by_command_and_by_speech,
    drain_interruptions,
    sent_truncates,
    server_vad_session,
)
from support.service import begin_audio_response, end_audio, silence, start_audio_response
from support.sessions import open_test_session
from support.tools import make_cleanup_tool
from support.wire import CANCEL, CREATE, ITEM, TRUNCATE, sent_frames, sent_types
from trio_realtime import events
from trio_realtime.errors import ResponseFailed
from trio_realtime.testing import ScriptedPeer

# --- who cancels -------------------------------------------------------------------------------


async def test_speech_only_truncates_if_the_service_cancels(
    autojump_clock: MockClock,
) -> None:
    """A second cancel could hit the next response."""
    peer = ScriptedPeer(session=server_vad_session(interrupts=True))
    async with open_test_session(peer):
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.start_user_speech()
        assert await sent_types(peer) == [TRUNCATE]


async def test_speech_cancels_by_id_if_the_service_does_not(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(session=server_vad_session(interrupts=False))
    async with open_test_session(peer):
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.start_user_speech()
        cancel, truncate = await sent_frames(peer)
        assert (cancel["type"], cancel["response_id"]) == (CANCEL, "resp_1")
        assert truncate["type"] == TRUNCATE


async def test_interrupt_cancels_by_id_whatever_the_service_does(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(session=server_vad_session(interrupts=True))
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        await session.interrupt()
        cancel, truncate = await sent_frames(peer)
        assert (cancel["type"], cancel["response_id"]) == (CANCEL, "resp_1")
        assert truncate["type"] == TRUNCATE


async def test_speech_does_not_interrupt_without_a_policy(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer(session=server_vad_session(interrupts=False))
    async with open_test_session(peer, interruption=None) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.start_user_speech()
        peer.audio("resp_1", "item_1", silence(1))
        assert await sent_types(peer) == []
        found = drain_channel(session.events)
        assert sum(isinstance(event, events.Audio) for event in found) == 2
        assert not any(isinstance(event, events.AudioInterrupted) for event in found)


async def test_latest_session_of_the_service_decides_who_cancels(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(session=server_vad_session(interrupts=False))
    async with open_test_session(peer):
        peer.send(
            {
                "type": "session.updated",
                "session": {**peer.session, **server_vad_session(interrupts=True)},
            }
        )
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.start_user_speech()
        assert await sent_types(peer) == [TRUNCATE]


# --- one cancel each ---------------------------------------------------------------------------


async def test_concurrent_interrupts_send_one_cancel(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.interrupt)
            nursery.start_soon(session.interrupt)
        assert await sent_types(peer) == [CANCEL, TRUNCATE]


async def test_next_response_can_be_cancelled_too(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        for number in (1, 2):
            peer.begin_response(f"resp_{number}")
            await wait_all_tasks_blocked()
            await session.interrupt()
            peer.end_response(f"resp_{number}", "cancelled", reason="client_cancelled")
        named = [frame["response_id"] for frame in await sent_frames(peer)]
        assert named == ["resp_1", "resp_2"]


async def test_cancelled_interrupt_takes_effect(autojump_clock: MockClock) -> None:
    """The caller stops waiting for the tools; the interruption need not be repeated."""
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


async def test_interruption_is_reported_once(autojump_clock: MockClock) -> None:
    """Speech after an interrupt, and more speech, truncate nothing again."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=2)
        await trio.sleep(1)
        await session.interrupt()
        peer.start_user_speech()
        peer.start_user_speech("item_user_2")
        peer.audio("resp_1", "item_1", silence(1))
        assert await sent_types(peer) == [CANCEL, TRUNCATE]
        assert len(drain_interruptions(session)) == 1


async def test_each_playing_response_is_interrupted_under_its_own_id(
    autojump_clock: MockClock,
) -> None:
    """The first only plays, so it is truncated; the second also runs, so it is cancelled as well."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=4)
        peer.end_response("resp_1")
        await start_audio_response(peer, "resp_2", "item_2", audio=4)
        await trio.sleep(3)
        await session.interrupt()
        assert drain_interruptions(session) == [("resp_1", "item_1", 3000), ("resp_2", "item_2", 0)]
        cancels = [f["response_id"] for f in await sent_frames(peer) if f["type"] == CANCEL]
        assert cancels == ["resp_2"]


async def test_item_that_starts_during_an_interruption_is_not_truncated(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=4)
        await trio.sleep(1)
        peer.start_user_speech()
        peer.end_response("resp_1", "cancelled", reason="turn_detected")
        await start_audio_response(peer, "resp_2", "item_2", audio=4)
        assert await sent_truncates(peer) == [("item_1", 0, 1000)]
        assert drain_interruptions(session) == [("resp_1", "item_1", 1000)]
        await trio.sleep(2)
        await session.interrupt()
        assert await sent_truncates(peer) == [("item_1", 0, 1000), ("item_2", 0, 2000)]


async def test_message_after_an_interrupt_is_sent_at_once_and_its_create_after_done(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        begin_audio_response(peer, "resp_1", "item_1", bytes(48_000))
        await wait_all_tasks_blocked()
        await session.interrupt()
        await session.send_message("Stop. Something else.")
        wire = ["response.cancel", "conversation.item.truncate", ITEM]
        assert await sent_types(peer) == wire
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        assert await sent_types(peer) == [*wire, CREATE]


# --- suppressed audio --------------------------------------------------------------------------


@by_command_and_by_speech
async def test_response_interrupted_before_its_audio_stays_silent(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    """Its deltas are dropped until it is done; there is nothing to truncate."""
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
        assert await sent_truncates(peer) == []


async def test_requested_response_is_cancelled_when_it_starts(
    autojump_clock: MockClock,
) -> None:
    """The interrupt overtakes ``response.created``."""
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


@pytest.mark.parametrize("by_speech", [True, False])
async def test_no_audio_of_an_interrupted_response_arrives_later(
    by_speech: bool, autojump_clock: MockClock
) -> None:
    """Neither before ``response.done`` nor after it."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        assert audio_response_ids(drain_channel(session.events)) == ["resp_1"]
        if by_speech:
            peer.start_user_speech()
        else:
            await session.interrupt()
        peer.audio("resp_1", "item_1", silence(1))
        peer.open_message("resp_1", "item_2")
        peer.audio("resp_1", "item_2", silence(1))
        end_audio(peer, "resp_1", "item_1")
        peer.end_response("resp_1", "cancelled", reason="turn_detected")
        peer.audio("resp_1", "item_1", silence(1))
        await start_audio_response(peer, "resp_2", "item_3", audio=1)
        found = drain_channel(session.events)
        assert audio_response_ids(found) == ["resp_2"]
        assert not any(isinstance(event, events.AudioEnd) for event in found)
