"""Audio in the history: only on request, up to the limit, and only what was heard."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.sessions import open_test_session
from support.wire import TRUNCATE, Frame, sent_frames, sent_types
from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    events,
    open_realtime_session,
)
from trio_realtime.items import HistoryItem, InputAudio
from trio_realtime.local import RuleResponder, local_connector
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import PCMU, MessageItem, OutputAudio

SECOND = bytes(range(256)) * 187 + bytes(128)


def audio_parts(history: Sequence[HistoryItem]) -> list[bytes | None]:
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


async def confirm_truncation(peer: ScriptedPeer) -> int:
    """Confirm the only truncate that was sent, and return its position in milliseconds."""
    (frame,) = [frame for frame in await sent_frames(peer) if frame["type"] == TRUNCATE]
    peer.send({**frame, "type": "conversation.item.truncated"})
    await wait_all_tasks_blocked()
    heard_ms: int = frame["audio_end_ms"]
    return heard_ms


def spoken_item(item_id: str, transcript: str, *, status: str = "incomplete") -> Frame:
    part = {"type": "output_audio", "transcript": transcript}
    item = {"id": item_id, "type": "message", "role": "assistant", "content": [part]}
    return {**item, "status": status}


def retrieved_event(item: Frame, audio: bytes) -> Frame:
    """Return the service's answer to a retrieve, with the audio."""
    (part,) = item["content"]
    whole = {**item, "content": [{**part, "audio": base64.b64encode(audio).decode()}]}
    return {"type": "conversation.item.retrieved", "item": whole}


async def retained_audio(session: RealtimeSession[None]) -> list[bytes | None]:
    await wait_all_tasks_blocked()
    return audio_parts(session.history)


# --- the agent's audio -------------------------------------------------------------------------


async def test_no_audio_is_retained_by_default(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        speak(peer, 1)
        assert await retained_audio(session) == [None]
        assert await sent_types(peer) == []


async def test_audio_of_the_agent_is_retained(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        speak(peer, 1)
        speak(peer, 2, seconds=2)
        assert await retained_audio(session) == [SECOND, SECOND * 2]


async def test_retained_audio_is_reported_once(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        speak(peer, 1)
        await wait_all_tasks_blocked()
        updates = drain_events(session.events, events.HistoryUpdated)
        with_audio = [
            update for update in updates if update.item and audio_parts([update.item]) != [None]
        ]
        assert len(with_audio) == 1


async def test_audio_of_an_unfinished_item_is_retained(autojump_clock: MockClock) -> None:
    """When the response ends, with or without a transcript; the change is reported."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.transcript("resp_1", "item_1", "Good")
        peer.audio("resp_1", "item_1", SECOND)
        peer.open_message("resp_1", "item_2")
        peer.audio("resp_1", "item_2", SECOND)
        peer.end_response("resp_1", "failed")
        assert await retained_audio(session) == [SECOND, SECOND]
        updates = drain_events(session.events, events.HistoryUpdated)
        assert {update.item for update in updates[-2:]} == {*session.history}


async def test_audio_between_the_end_of_its_item_and_of_its_response_is_appended(
    autojump_clock: MockClock,
) -> None:
    """Consumers get it, so the history has it."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "Good morning", pcm=SECOND)
        peer.audio("resp_1", "item_1", SECOND[:480])
        peer.end_response("resp_1")
        assert await retained_audio(session) == [SECOND + SECOND[:480]]


async def test_late_audio_of_an_ended_response_is_not_retained(
    autojump_clock: MockClock,
) -> None:
    """Consumers do not get it."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        speak(peer, 1)
        for _ in range(10):
            peer.audio("resp_1", "item_1", SECOND)
        peer.close_item("resp_1", spoken_item("item_1", "Good morning", status="completed"))
        speak(peer, 2)
        assert await retained_audio(session) == [SECOND, SECOND]


async def test_audio_that_starts_after_an_interrupt_is_not_retained(
    autojump_clock: MockClock,
) -> None:
    """Consumers never get it, so it was not heard."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "Good morning", pcm=SECOND)
        await trio.sleep(0.25)
        await session.interrupt()
        peer.say("resp_1", "item_2", "And more", pcm=SECOND)
        peer.end_response("resp_1", "cancelled")
        assert (await retained_audio(session))[1] is None


async def test_retrieved_audio_of_a_growing_reply_does_not_replace_later_deltas(
    autojump_clock: MockClock,
) -> None:
    """The application may retrieve an item that is still growing."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.audio("resp_1", "item_1", SECOND)
        peer.send(retrieved_event(spoken_item("item_1", "Good", status="in_progress"), SECOND))
        peer.audio("resp_1", "item_1", SECOND)
        peer.close_item("resp_1", spoken_item("item_1", "Good", status="completed"))
        peer.end_response("resp_1")
        assert await retained_audio(session) == [SECOND * 2]


# --- the limit ---------------------------------------------------------------------------------


async def test_oldest_audio_is_dropped_first(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        for number in (1, 2, 3):
            speak(peer, number)
        assert await retained_audio(session) == [None, SECOND, SECOND]
        speak(peer, 4, seconds=3)
        assert await retained_audio(session) == [None, None, None, None]


async def test_audio_counts_while_it_arrives(
    autojump_clock: MockClock,
) -> None:
    """Once an item's audio was dropped, the rest of it is not retained either."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        speak(peer, 1)
        peer.begin_response("resp_2")
        peer.open_message("resp_2", "item_2")
        peer.transcript("resp_2", "item_2", "A long story")
        for _ in range(2):
            peer.audio("resp_2", "item_2", SECOND)
        assert await retained_audio(session) == [None, None]
        for _ in range(2):
            peer.audio("resp_2", "item_2", SECOND)
        peer.close_item("resp_2", spoken_item("item_2", "A long story"))
        peer.end_response("resp_2")
        assert await retained_audio(session) == [None, None]


async def test_truncated_audio_keeps_its_age(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        speak(peer, 1)
        speak(peer, 2)
        cut = {"item_id": "item_1", "content_index": 0, "audio_end_ms": 900}
        peer.send({"type": "conversation.item.truncated", **cut})
        speak(peer, 3)
        assert await retained_audio(session) == [None, SECOND, SECOND]


async def test_audio_of_a_deleted_item_does_not_count(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        speak(peer, 1)
        speak(peer, 2)
        peer.send({"type": "conversation.item.deleted", "item_id": "item_2"})
        speak(peer, 3)
        assert await retained_audio(session) == [SECOND, SECOND]


async def test_audio_after_a_truncation_does_not_count(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        speak(peer, 1)
        await trio.sleep(2)
        peer.begin_response("resp_2")
        peer.open_message("resp_2", "item_2")
        peer.audio("resp_2", "item_2", SECOND)
        await trio.sleep(0.25)
        await session.interrupt()
        await confirm_truncation(peer)
        peer.audio("resp_2", "item_2", SECOND)
        peer.end_response("resp_2", "cancelled")
        assert await retained_audio(session) == [SECOND, SECOND[: 250 * 48]]


async def test_audio_of_a_part_that_becomes_text_does_not_count(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        speak(peer, 1)
        peer.begin_response("resp_2")
        peer.open_message("resp_2", "item_2")
        peer.audio("resp_2", "item_2", SECOND)
        text = {**spoken_item("item_2", ""), "content": [{"type": "output_text", "text": "Hm"}]}
        peer.close_item("resp_2", text)
        peer.end_response("resp_2")
        speak(peer, 3)
        assert await retained_audio(session) == [SECOND, SECOND]


# --- truncation --------------------------------------------------------------------------------


async def test_truncated_audio_is_retained_as_far_as_it_was_heard(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.audio("resp_1", "item_1", SECOND)
        await trio.sleep(0.25)
        await session.interrupt()
        (truncate,) = [
            f for f in await sent_frames(peer) if f["type"] == "conversation.item.truncate"
        ]
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
        assert await retained_audio(session) == [SECOND[: 250 * 48]]


async def test_truncation_at_a_negative_position_leaves_no_audio(autojump_clock: MockClock) -> None:
    """No service sends one; it must not do harm."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        speak(peer, 1)
        cut = {"item_id": "item_1", "content_index": 0, "audio_end_ms": -10}
        peer.send({"type": "conversation.item.truncated", **cut})
        assert await retained_audio(session) == [b""]


@pytest.mark.parametrize("is_retrieved", [False, True])
async def test_audio_is_truncated_in_the_format_in_which_it_arrived(
    autojump_clock: MockClock, is_retrieved: bool
) -> None:
    """Also if the application has retrieved it again."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        speak(peer, 1, seconds=2)
        await wait_all_tasks_blocked()
        await session.update_settings(output_format=PCMU)
        if is_retrieved:
            item = spoken_item("item_1", "Good morning", status="completed")
            peer.send(retrieved_event(item, SECOND * 2))
        await trio.sleep(0.5)
        await session.interrupt()
        heard_ms = await confirm_truncation(peer)
        assert 0 < heard_ms < 1000
        assert await retained_audio(session) == [SECOND[: heard_ms * 48]]


def only_part(session: RealtimeSession[None]) -> object:
    (item,) = session.history
    assert isinstance(item, MessageItem)
    (part,) = item.content
    return part


async def test_truncation_before_the_first_transcript_is_remembered(
    autojump_clock: MockClock,
) -> None:
    """Audio arrives before its transcript, so the service may truncate a part that is still unknown."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.audio("resp_1", "item_1", SECOND)
        await trio.sleep(0.25)
        await session.interrupt()
        assert await confirm_truncation(peer) == 250
        assert only_part(session) == OutputAudio(audio=SECOND[: 250 * 48], heard_ms=250)

        peer.close_item("resp_1", spoken_item("item_1", "Good"))
        peer.end_response("resp_1", "cancelled")
        await wait_all_tasks_blocked()
        assert only_part(session) == OutputAudio(
            transcript="Good", audio=SECOND[: 250 * 48], heard_ms=250
        )


# --- the user's audio --------------------------------------------------------------------------


async def test_audio_of_the_user_is_retrieved_when_its_item_is_complete(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        part = {"type": "input_audio", "transcript": None}
        item = {"id": "item_1", "type": "message", "role": "user", "content": [part]}
        peer.send({"type": "conversation.item.added", "item": {**item, "status": "in_progress"}})
        assert await sent_types(peer) == []
        peer.send({"type": "conversation.item.done", "item": {**item, "status": "completed"}})
        (frame,) = await sent_frames(peer)
        assert (frame["type"], frame["item_id"]) == ("conversation.item.retrieve", "item_1")

        peer.send(retrieved_event(item, bytes([0, 1, 2, 3])))
        assert await retained_audio(session) == [bytes([0, 1, 2, 3])]


def user_item(item_id: str) -> Frame:
    part = {"type": "input_audio", "transcript": None}
    item = {"id": item_id, "type": "message", "role": "user", "content": [part]}
    return {**item, "status": "completed"}


async def test_audio_of_the_user_is_retrieved_once(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000):
        peer.add_item(user_item("item_1"))
        peer.send({"type": "conversation.item.done", "item": user_item("item_1")})
        assert await sent_types(peer) == ["conversation.item.retrieve"]


async def test_audio_of_the_user_counts_once(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        peer.add_item(user_item("item_1"))
        for audio in (b"", SECOND, SECOND):
            peer.send(retrieved_event(user_item("item_1"), audio))
        speak(peer, 2)
        assert await retained_audio(session) == [SECOND, SECOND]
        peer.add_item(user_item("item_3"))
        peer.send(retrieved_event(user_item("item_3"), SECOND))
        assert await retained_audio(session) == [None, SECOND, SECOND]


async def test_audio_dropped_by_the_limit_is_retrieved_again(
    autojump_clock: MockClock,
) -> None:
    """When the service reports the item again."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=50_000) as session:
        peer.add_item(user_item("item_1"))
        peer.send(retrieved_event(user_item("item_1"), SECOND))
        speak(peer, 2)
        assert await retained_audio(session) == [None, SECOND]
        peer.send({"type": "conversation.item.done", "item": user_item("item_1")})
        assert await sent_types(peer) == ["conversation.item.retrieve"] * 2
        peer.send(retrieved_event(user_item("item_1"), SECOND))
        assert await retained_audio(session) == [SECOND, None]


async def test_failed_retrieval_of_the_library_is_not_reported(autojump_clock: MockClock) -> None:
    """The item may have been deleted. Errors for requests of the application are reported."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        peer.add_item(user_item("item_1"))
        retrieve = await peer.expect("conversation.item.retrieve")
        peer.send({"type": "conversation.item.deleted", "item_id": "item_1"})
        peer.reject(retrieve, "item_retrieve_invalid_item_id", "no such item")
        await wait_all_tasks_blocked()
        assert drain_events(session.events, events.Error) == []

        other = {**retrieve, "event_id": "of the application"}
        peer.reject(other, "item_retrieve_invalid_item_id", "no such item")
        await wait_all_tasks_blocked()
        assert len(drain_events(session.events, events.Error)) == 1


async def test_audio_of_both_sides_is_retained(autojump_clock: MockClock) -> None:
    service = local_connector(responder=RuleResponder())
    config = SessionConfig(max_history_audio=10_000_000, turn_detection=None)
    async with open_realtime_session(
        RealtimeAgent(name="Echo"), transport=service, endpoint=service.endpoint, config=config
    ) as session:
        await session.send_audio(SECOND, commit=True)
        await (await session.create_response())
        await session.drain()
        await wait_all_tasks_blocked()
        user, agent = audio_parts(session.history)
        assert user == SECOND
        assert agent
        assert len(agent) > 1000
