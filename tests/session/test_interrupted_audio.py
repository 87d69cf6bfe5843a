"""Nobody gets audio of a response that was interrupted."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from support.events import audio_response_ids, drain_channel
from support.service import end_audio, silence, start_audio_response
from support.sessions import open_test_session
from trio_realtime import events
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import MessageItem, OutputAudio


async def test_unread_audio_of_an_interrupted_response_is_gone_from_every_channel(
    autojump_clock: MockClock,
) -> None:
    """Invariant 5, and only of that response."""
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


@pytest.mark.parametrize("by_speech", [True, False])
async def test_no_audio_of_an_interrupted_response_comes_late(
    by_speech: bool, autojump_clock: MockClock
) -> None:
    """Invariant 5: neither between the interrupt and ``response.done`` nor after it."""
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


async def test_room_that_the_interruption_made_can_be_used(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_audio=50_000) as session:
        for number in range(5):
            await start_audio_response(peer, f"resp_{number}", f"item_{number}", audio=1)
            await session.interrupt()
            peer.end_response(f"resp_{number}", "cancelled", reason="client_cancelled")
        await start_audio_response(peer, "resp_last", "item_last", audio=1)
        assert audio_response_ids(drain_channel(session.events)) == ["resp_last"]


async def test_the_history_says_how_much_of_cut_audio_was_heard(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "a long story", pcm=silence(10))
        with session.subscribe(events.HistoryUpdated) as updates:
            await trio.sleep(2)
            peer.start_user_speech()
            cut = await peer.expect("conversation.item.truncate")
            peer.send({**cut, "type": "conversation.item.truncated", "event_id": "event_cut"})
            await trio.sleep(1)
            latest = drain_channel(updates)[-1]
        assert isinstance(latest, events.HistoryUpdated)
        assert isinstance(latest.item, MessageItem)
        part = latest.item.content[0]
        assert isinstance(part, OutputAudio)
        assert (part.transcript, part.heard_ms) == ("a long story", 2000)
        assert session.history[-1] == latest.item
