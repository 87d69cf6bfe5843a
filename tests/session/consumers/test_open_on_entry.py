"""Every consumer opens its channel when its block is entered, not when it is created."""

from __future__ import annotations

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from support.service import begin_audio_response
from support.sessions import open_test_session
from trio_realtime import events
from trio_realtime.errors import UsageError
from trio_realtime.testing import ScriptedPeer


async def test_paced_audio_that_is_never_entered_buffers_nothing(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        channels = len(session._runtime.bus._channels)
        frames = session.paced_audio()
        subscription = session.subscribe(events.Audio)
        assert len(session._runtime.bus._channels) == channels
        async with frames:
            with subscription:
                assert len(session._runtime.bus._channels) == channels + 2
        assert len(session._runtime.bus._channels) == channels


async def test_audio_from_before_the_block_is_not_delivered(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        frames = session.paced_audio(frame_ms=20)
        begin_audio_response(peer, "resp_1", "item_1", b"\x01" * 960)
        await wait_all_tasks_blocked()
        async with frames:
            peer.audio("resp_1", "item_1", b"\x02" * 960)
            assert (await frames.receive()).data == b"\x02" * 960


async def test_reading_without_entering_says_what_to_do(autojump_clock: MockClock) -> None:
    async with open_test_session(ScriptedPeer()) as session:
        with pytest.raises(UsageError, match="async with"):
            await session.paced_audio().receive()
