"""Where interruptions truncate audio: by the clock, or by the application's reports.

Times are exact: the clock is virtual, and 48 bytes of PCM16 are one millisecond.
"""

from __future__ import annotations

from typing import Any

import pybase64
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.interruptions import (
    Interrupt,
    by_command,
    by_command_and_by_speech,
    by_speech,
    drain_interruptions,
    sent_truncates,
)
from support.service import begin_audio_response, end_audio, silence, start_audio_response
from support.sessions import open_test_session
from support.wire import TRUNCATE, Frame, sent_types
from trio_realtime import PCM24K, PCMA, PCMU, events
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import AudioFormat, MessageItem, OutputAudio

# --- by the clock ------------------------------------------------------------------------------


@by_command_and_by_speech
async def test_running_response_is_truncated_at_the_received_audio(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    """1 s was received, and 5 s have passed."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        await trio.sleep(5)
        await interrupt(session, peer)
        assert await sent_truncates(peer) == [("item_1", 0, 1000)]
        assert drain_interruptions(session) == [("resp_1", "item_1", 1000)]


@by_command_and_by_speech
async def test_played_response_is_not_truncated(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        peer.end_response("resp_1")
        await trio.sleep(5)
        await interrupt(session, peer)
        assert await sent_types(peer) == []
        assert drain_interruptions(session) == []


@by_command_and_by_speech
async def test_finished_response_that_still_plays_is_truncated(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    """The end of generation is not the end of playback. Nothing runs, so nothing is cancelled."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=6)
        end_audio(peer, "resp_1", "item_1")
        peer.end_response("resp_1")
        await trio.sleep(2)
        await interrupt(session, peer)
        assert await sent_types(peer) == [TRUNCATE]
        assert await sent_truncates(peer) == [("item_1", 0, 2000)]
        assert drain_interruptions(session) == [("resp_1", "item_1", 2000)]


@pytest.mark.parametrize("after", [0, 0.25, 0.9999, 3])
async def test_command_and_speech_truncate_at_the_same_millisecond(
    after: float, autojump_clock: MockClock
) -> None:
    async def cut_by(interrupt: Interrupt) -> list[tuple[str, int, int]]:
        peer = ScriptedPeer()
        async with open_test_session(peer) as session:
            await start_audio_response(peer, "resp_1", "item_1", audio=2)
            await trio.sleep(after)
            await interrupt(session, peer)
            return await sent_truncates(peer)

    by_either = [await cut_by(by_command), await cut_by(by_speech)]
    expected = min(2000, int(after * 1000))
    # A float just below a whole millisecond may be rounded down.
    assert by_either[0] == by_either[1]
    ((item_id, index, ms),) = by_either[0]
    assert (item_id, index) == ("item_1", 0)
    assert expected - 1 <= ms <= expected


@by_command_and_by_speech
async def test_audio_that_just_arrived_is_truncated_at_zero(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        await interrupt(session, peer)
        assert await sent_truncates(peer) == [("item_1", 0, 0)]
        assert drain_interruptions(session) == [("resp_1", "item_1", 0)]


@by_command_and_by_speech
async def test_playing_item_is_truncated_at_its_position_and_the_queued_one_at_zero(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    """Two seconds into the first of two items of 6 s."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_a", audio=6)
        peer.open_message("resp_1", "item_b")
        peer.audio("resp_1", "item_b", silence(6))
        await trio.sleep(2)
        await interrupt(session, peer)
        assert await sent_truncates(peer) == [("item_a", 0, 2000), ("item_b", 0, 0)]
        assert drain_interruptions(session) == [("resp_1", "item_a", 2000), ("resp_1", "item_b", 0)]


async def test_played_item_of_a_queue_is_not_truncated(
    autojump_clock: MockClock,
) -> None:
    """Seven seconds into two items of 6 s; the response of the first has ended."""
    peer = ScriptedPeer()
    async with open_test_session(peer):
        await start_audio_response(peer, "resp_1", "item_a", audio=6)
        peer.end_response("resp_1")
        await start_audio_response(peer, "resp_2", "item_b", audio=6)
        await trio.sleep(7)
        peer.start_user_speech()
        assert await sent_truncates(peer) == [("item_b", 0, 1000)]


# --- by reports --------------------------------------------------------------------------------


async def test_reported_position_is_where_the_item_is_truncated(autojump_clock: MockClock) -> None:
    """The report takes precedence over the clock."""
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
        assert await sent_truncates(peer) == [("item_1", 1, 500)]


async def test_each_item_is_truncated_at_its_own_report(
    autojump_clock: MockClock,
) -> None:
    """Reports beyond the received audio are limited to it. Items before one that plays are over, and
    items after it that have no report were not heard.
    """
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
        assert await sent_truncates(peer) == [("item_2", 0, 1000), ("item_3", 0, 0)]


async def test_completely_reported_item_is_not_truncated(
    autojump_clock: MockClock,
) -> None:
    """Whole milliseconds count as complete."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        begin_audio_response(peer, "resp_1", "item_1", bytes(48_010))  # 1000.2 ms
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        session.playback.played("item_1", 0, 1000)
        await session.interrupt()
        assert await sent_types(peer) == []


async def test_reports_after_a_truncation_are_ignored(autojump_clock: MockClock) -> None:
    """Telephone lines still return the marks of audio that was cleared."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        session.playback.played("item_1", 0, 100)
        await session.interrupt()
        session.playback.played("item_1", 0, 1000)
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        await start_audio_response(peer, "resp_2", "item_2", audio=1)
        await session.interrupt()
        assert await sent_truncates(peer) == [("item_1", 0, 100), ("item_2", 0, 0)]


@by_command_and_by_speech
async def test_negative_report_excludes_an_item_from_truncation(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=1)
        session.playback.played("item_1", 0, -1)
        await interrupt(session, peer)
        assert await sent_truncates(peer) == []
        assert drain_interruptions(session) == []


# --- formats and rounding ----------------------------------------------------------------------


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
async def test_telephone_audio_has_eight_bytes_per_millisecond(
    settings: dict[str, Any], echo: Frame, autojump_clock: MockClock
) -> None:
    """In every spelling of the format that a service may echo."""
    peer = ScriptedPeer()
    async with open_test_session(peer, **settings) as session:
        if echo:
            peer.send({"type": "session.updated", "session": echo})
        begin_audio_response(peer, "resp_1", "item_1", bytes(4000))
        await trio.sleep(5)
        await session.interrupt()
        assert await sent_truncates(peer) == [("item_1", 0, 500)]


@pytest.mark.parametrize(("encoding", "ms"), [(PCM24K, 100), (PCMU, 600)])
async def test_format_that_the_service_does_not_name_is_the_configured_one(
    encoding: AudioFormat, ms: int, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer(greet=False, acknowledge=False)
    peer.send({"type": "session.created", "session": {"type": "realtime"}})
    peer.send({"type": "session.updated", "session": {"type": "realtime"}})
    async with open_test_session(peer, output_format=encoding) as session:
        begin_audio_response(peer, "resp_1", "item_1", bytes(4800))
        await trio.sleep(5)
        await session.interrupt()
        assert await sent_truncates(peer) == [("item_1", 0, ms)]


@by_command_and_by_speech
@pytest.mark.parametrize(
    ("size", "after"), [(48_000, 0.3337), (16_001, 5), (47, 5), (48_000, 0.0004)]
)
async def test_positions_are_rounded_down_to_whole_milliseconds(
    interrupt: Interrupt, size: int, after: float, autojump_clock: MockClock
) -> None:
    """Services reject positions beyond the end of the audio."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        begin_audio_response(peer, "resp_1", "item_1", bytes(size))
        await trio.sleep(after)
        await interrupt(session, peer)
        ((_item, _index, ms),) = await sent_truncates(peer)
        assert type(ms) is int
        assert ms == int(min(size / 48, after * 1000))


async def test_history_reports_how_much_truncated_audio_was_heard(
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
