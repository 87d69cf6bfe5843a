"""Sending recorded speech, and recording the agent's audio."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from trio_realtime import RealtimeAgent, events, open_realtime_session
from trio_realtime.cli.audio_io import Recorder, send_speech
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer

AGENT = RealtimeAgent[None](name="Clerk")


def audio(ms: int, item_id: str = "item_1") -> events.Audio:
    return events.Audio(
        data=b"\1\0" * (24 * ms), response_id="resp_1", item_id=item_id, content_index=0
    )


async def test_speech_is_sent_frame_by_frame_when_due(autojump_clock: object) -> None:
    peer = ScriptedPeer()
    async with open_realtime_session(
        AGENT, endpoint=TEST_ENDPOINT, transport=peer.connect
    ) as session:
        start = trio.current_time()
        await send_speech(session, b"\1\0" * 24 * 190, silence_ms=110)
        took = trio.current_time() - start
        await trio.testing.wait_all_tasks_blocked()
        frames = [frame for frame in peer.received if "audio" in frame]
        assert len(frames) == 15
        assert took == pytest.approx(14 * 0.02)


def test_the_recorder_retains_what_was_heard() -> None:
    recorder = Recorder()
    recorder.add(audio(100))
    recorder.add(audio(50))
    recorder.add(audio(30, item_id="item_2"))
    recorder.truncate("item_1", 0, 120)
    assert recorder.duration_ms("item_1") == 120
    assert recorder.total_ms == 150
    # 300 ms of silence between the items.
    assert len(recorder.pcm()) == 48 * (120 + 300 + 30)
