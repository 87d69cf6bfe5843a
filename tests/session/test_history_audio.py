"""Audio in the history: none unless asked for, never more than asked for, never more than was heard."""

from __future__ import annotations

from collections.abc import Sequence

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.sessions import talk
from support.wire import kinds, wire
from trio_realtime import RealtimeAgent, RealtimeSession, SessionConfig, open_realtime_session
from trio_realtime.items import HistoryItem, InputAudio
from trio_realtime.local import RuleBrain, local_connector
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import MessageItem, OutputAudio

SECOND = bytes(range(256)) * 187 + bytes(128)
assert len(SECOND) == 48_000


def audio_of(history: Sequence[HistoryItem]) -> list[bytes | None]:
    return [
        part.audio
        for item in history
        if isinstance(item, MessageItem)
        for part in item.content
        if isinstance(part, InputAudio | OutputAudio)
    ]


def speak(peer: ScriptedPeer, number: int, *, seconds: int = 1) -> None:
    peer.begin_response(f"resp_{number}")
    peer.say(f"resp_{number}", f"item_{number}", "Good morning", pcm=SECOND * seconds)
    peer.end_response(f"resp_{number}")


async def heard(session: RealtimeSession[None]) -> list[bytes | None]:
    await wait_all_tasks_blocked()
    return audio_of(session.history)


async def test_no_audio_is_kept_unless_it_is_asked_for(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer) as session:
        speak(peer, 1)
        assert await heard(session) == [None]
        assert await kinds(peer) == []


async def test_what_the_agent_said_is_kept(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer, history_audio=1_000_000) as session:
        speak(peer, 1)
        speak(peer, 2, seconds=2)
        assert await heard(session) == [SECOND, SECOND * 2]


async def test_what_is_over_the_limit_goes_oldest_first(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer, history_audio=100_000) as session:
        for number in (1, 2, 3):
            speak(peer, number)
        assert await heard(session) == [None, SECOND, SECOND]
        speak(peer, 4, seconds=3)
        assert await heard(session) == [None, None, None, None]


async def test_what_was_cut_is_kept_as_far_as_it_was_heard(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer, history_audio=1_000_000) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.audio("resp_1", "item_1", SECOND)
        await trio.sleep(0.25)
        await session.interrupt()
        (truncate,) = [f for f in await wire(peer) if f["type"] == "conversation.item.truncate"]
        peer.audio("resp_1", "item_1", SECOND)
        part = {"type": "output_audio", "transcript": "Good m"}
        item = {"id": "item_1", "type": "message", "role": "assistant", "content": [part]}
        peer.close_item("resp_1", {**item, "status": "incomplete"})
        peer.send(
            {
                "type": "conversation.item.truncated",
                "item_id": "item_1",
                "content_index": 0,
                "audio_end_ms": truncate["audio_end_ms"],
            }
        )
        peer.end_response("resp_1", "cancelled")
        assert await heard(session) == [SECOND[: 250 * 48]]


async def test_the_users_audio_is_asked_for_when_the_item_is_complete(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer, history_audio=1_000_000) as session:
        part = {"type": "input_audio", "transcript": None}
        item = {"id": "item_1", "type": "message", "role": "user", "content": [part]}
        peer.send({"type": "conversation.item.added", "item": {**item, "status": "in_progress"}})
        assert await kinds(peer) == []
        peer.send({"type": "conversation.item.done", "item": {**item, "status": "completed"}})
        (frame,) = await wire(peer)
        assert (frame["type"], frame["item_id"]) == ("conversation.item.retrieve", "item_1")

        with_audio = {**part, "audio": "AAECAw=="}
        peer.send(
            {"type": "conversation.item.retrieved", "item": {**item, "content": [with_audio]}}
        )
        assert await heard(session) == [bytes([0, 1, 2, 3])]


async def test_both_sides_of_a_talk_are_kept(autojump_clock: MockClock) -> None:
    service = local_connector(brain=RuleBrain())
    config = SessionConfig(history_audio=10_000_000, turn_detection=None)
    async with open_realtime_session(
        RealtimeAgent(name="Echo"), transport=service, endpoint=service.endpoint, config=config
    ) as session:
        await session.send_audio(SECOND, commit=True)
        await (await session.create_response())
        await session.drain()
        await wait_all_tasks_blocked()
        user, agent = audio_of(session.history)
        assert user == SECOND
        assert agent
        assert len(agent) > 1000
