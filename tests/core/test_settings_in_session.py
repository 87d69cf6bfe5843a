"""``update_settings``: only changes are sent, one update at a time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from support.service import reject_next_update
from support.sessions import open_test_session
from support.wire import sent_settings
from trio_realtime import RealtimeAgent, errors, function_tool
from trio_realtime.testing import ScriptedPeer


@function_tool
async def one() -> str:
    return "1"


FIRST = RealtimeAgent[None](name="First", instructions="Be first.", tools=[one])


async def test_only_changes_are_sent_and_the_call_returns_when_they_are_accepted(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST, voice="alloy") as session:
        effective = await session.update_settings(voice="alloy", speed=1.2)
        assert sent_settings(peer)[1:] == [
            {"type": "realtime", "audio": {"output": {"speed": 1.2}}}
        ]
        assert effective.audio
        await session.update_settings(speed=1.2)
        assert len(sent_settings(peer)) == 2, "accepted settings are not sent again"
        await session.update_settings(turn_detection=None)
        assert sent_settings(peer)[-1]["audio"] == {"input": {"turn_detection": None}}


async def test_rejected_setting_raises_and_changes_nothing(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST) as session:
        peer.acknowledge = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reject_next_update, peer)
            with pytest.raises(errors.SettingsRejected, match="no such voice") as caught:
                await session.update_settings(voice="unknown")
        assert caught.value.code == "invalid_value"
        peer.acknowledge = True
        await session.update_settings(speed=1.1)
        assert sent_settings(peer)[-1]["audio"] == {"output": {"speed": 1.1}}


async def test_updates_are_sent_one_at_a_time_and_each_caller_gets_its_answer(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST) as session:
        peer.acknowledge = False
        outcomes: dict[str, str] = {}

        async def change(name: str, **changes: Any) -> None:
            try:
                await session.update_settings(**changes)
            except errors.SettingsRejected:
                outcomes[name] = "rejected"
            else:
                outcomes[name] = "accepted"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: change("voice", voice="unknown"))
            await trio.sleep(0.1)
            nursery.start_soon(lambda: change("speed", speed=0.9))
            await trio.sleep(0.1)
            assert len(sent_settings(peer)) == 2, (
                "the second update waits for the answer to the first"
            )
            frame = [f for f in peer.received if f["type"] == "session.update"][-1]
            peer.reject(frame, "invalid_value")
            await trio.sleep(0.1)
            assert len(sent_settings(peer)) == 3
            peer.send({"type": "session.updated", "session": peer.session})
        assert outcomes == {"voice": "rejected", "speed": "accepted"}


@pytest.mark.parametrize("changes", [{"speed": 9}, {"output_modalities": ("audio", "text")}])
async def test_invalid_settings_are_rejected_before_anything_is_sent(
    changes: dict[str, Any], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST) as session:
        with pytest.raises(errors.UsageError):
            await session.update_settings(**changes)
        with pytest.raises(errors.UsageError, match="nonsense"):
            await session.update_settings(nonsense=1)  # type: ignore[call-arg]
        assert len(sent_settings(peer)) == 1
