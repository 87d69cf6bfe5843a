"""Audio of the user, and the position of the agent's audio."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.service import start_audio_response
from support.sessions import open_test_session
from trio_realtime.errors import UsageError
from trio_realtime.testing import ScriptedPeer


def count_appends(peer: ScriptedPeer) -> int:
    return sum(frame["type"] == "input_audio_buffer.append" for frame in peer.received)


async def test_send_audio_sends_the_given_bytes_and_commit_requests_no_response(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_audio(b"\0\1\2\3")
        await session.send_audio(b"\4\5", commit=True)
        await session.send_audio(b"", commit=True)
        await session.commit_audio()
        await session.clear_audio()
        await wait_all_tasks_blocked()
    kinds = [frame["type"] for frame in peer.received[1:]]
    buffer = "input_audio_buffer"
    assert kinds == [
        f"{buffer}.append",
        f"{buffer}.append",
        f"{buffer}.commit",
        f"{buffer}.commit",
        f"{buffer}.commit",
        f"{buffer}.clear",
    ]
    assert [frame["audio"] for frame in peer.received[1:3]] == ["AAECAw==", "BAU="]


async def test_send_audio_rejects_messages_larger_than_the_service_accepts(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError, match="15728640"):
            await session.send_audio(bytes(15 * 1024 * 1024 + 1))
        await session.send_audio(b"\0\0")
        await wait_all_tasks_blocked()
        assert count_appends(peer) == 1


async def test_muted_audio_is_dropped(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        session.mute(True)
        assert session.is_muted
        await session.send_audio(bytes(480))
        session.mute(False)
        await session.send_audio(bytes(960))
        await wait_all_tasks_blocked()
    sizes = [len(f["audio"]) for f in peer.received if f["type"] == "input_audio_buffer.append"]
    assert sizes == [960 * 4 // 3]


async def test_playback_tracker_reports_position_and_remaining_time(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=2)
        await trio.sleep(0.5)
        assert session.playback.position("item_1") == pytest.approx(500)
        assert session.playback.remaining == pytest.approx(1.5)
        assert session.playback.position("unknown") == 0
        [item] = session.playback.positions()
        assert (item.item_id, item.content_index) == ("item_1", 0)
        assert item.played_ms == pytest.approx(500)
        assert item.received_ms == pytest.approx(2000)
