"""Audio in the history: none unless asked for, never more than asked for, never more than was heard."""

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


async def truncated(peer: ScriptedPeer) -> int:
    """The service does the one cut that it was asked for, of this many milliseconds."""
    (frame,) = [frame for frame in await sent_frames(peer) if frame["type"] == TRUNCATE]
    peer.send({**frame, "type": "conversation.item.truncated"})
    await wait_all_tasks_blocked()
    heard_ms: int = frame["audio_end_ms"]
    return heard_ms


def said(item_id: str, transcript: str, *, status: str = "incomplete") -> Frame:
    part = {"type": "output_audio", "transcript": transcript}
    item = {"id": item_id, "type": "message", "role": "assistant", "content": [part]}
    return {**item, "status": status}


def retrieved(item: Frame, audio: bytes) -> Frame:
    """The service's answer where it was asked for an item: with the bytes."""
    (part,) = item["content"]
    whole = {**item, "content": [{**part, "audio": base64.b64encode(audio).decode()}]}
    return {"type": "conversation.item.retrieved", "item": whole}


def user_item(item_id: str) -> Frame:
    part = {"type": "input_audio", "transcript": None}
    item = {"id": item_id, "type": "message", "role": "user", "content": [part]}
    return {**item, "status": "completed"}


async def heard(session: RealtimeSession[None]) -> list[bytes | None]:
    await wait_all_tasks_blocked()
    return audio_of(session.history)


def only_part(session: RealtimeSession[None]) -> object:
    (item,) = session.history
    assert isinstance(item, MessageItem)
    (part,) = item.content
    return part


async def test_no_audio_is_kept_unless_it_is_asked_for(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        speak(peer, 1)
        assert await heard(session) == [None]
        assert await sent_types(peer) == []


async def test_what_the_agent_said_is_kept(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        speak(peer, 1)
        speak(peer, 2, seconds=2)
        assert await heard(session) == [SECOND, SECOND * 2]


async def test_what_is_over_the_limit_goes_oldest_first(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        for number in (1, 2, 3):
            speak(peer, number)
        assert await heard(session) == [None, SECOND, SECOND]
        speak(peer, 4, seconds=3)
        assert await heard(session) == [None, None, None, None]


async def test_what_was_cut_is_kept_as_far_as_it_was_heard(autojump_clock: MockClock) -> None:
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
        assert await heard(session) == [SECOND[: 250 * 48]]


async def test_what_is_over_the_limit_goes_while_the_agent_still_speaks(
    autojump_clock: MockClock,
) -> None:
    """Audio counts as it comes; of what has become too much the rest is not kept either."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        speak(peer, 1)
        peer.begin_response("resp_2")
        peer.open_message("resp_2", "item_2")
        peer.transcript("resp_2", "item_2", "A long story")
        for _ in range(2):
            peer.audio("resp_2", "item_2", SECOND)
        assert await heard(session) == [None, None]
        for _ in range(2):
            peer.audio("resp_2", "item_2", SECOND)
        peer.close_item("resp_2", said("item_2", "A long story"))
        peer.end_response("resp_2")
        assert await heard(session) == [None, None]


async def test_the_oldest_audio_goes_first_also_when_it_was_cut(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        speak(peer, 1)
        speak(peer, 2)
        cut = {"item_id": "item_1", "content_index": 0, "audio_end_ms": 900}
        peer.send({"type": "conversation.item.truncated", **cut})
        speak(peer, 3)
        assert await heard(session) == [None, SECOND, SECOND]


async def test_audio_of_a_deleted_item_no_longer_counts(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        speak(peer, 1)
        speak(peer, 2)
        peer.send({"type": "conversation.item.deleted", "item_id": "item_2"})
        speak(peer, 3)
        assert await heard(session) == [SECOND, SECOND]


async def test_audio_that_comes_after_a_cut_takes_no_room(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        speak(peer, 1)
        await trio.sleep(2)
        peer.begin_response("resp_2")
        peer.open_message("resp_2", "item_2")
        peer.audio("resp_2", "item_2", SECOND)
        await trio.sleep(0.25)
        await session.interrupt()
        await truncated(peer)
        peer.audio("resp_2", "item_2", SECOND)
        peer.end_response("resp_2", "cancelled")
        assert await heard(session) == [SECOND, SECOND[: 250 * 48]]


async def test_audio_of_a_part_that_turns_out_to_be_text_does_not_count(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        speak(peer, 1)
        peer.begin_response("resp_2")
        peer.open_message("resp_2", "item_2")
        peer.audio("resp_2", "item_2", SECOND)
        text = {**said("item_2", ""), "content": [{"type": "output_text", "text": "Hm"}]}
        peer.close_item("resp_2", text)
        peer.end_response("resp_2")
        speak(peer, 3)
        assert await heard(session) == [SECOND, SECOND]


async def test_a_cut_before_the_beginning_leaves_nothing(autojump_clock: MockClock) -> None:
    """No service says so; if one does, nothing worse comes of it."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        speak(peer, 1)
        cut = {"item_id": "item_1", "content_index": 0, "audio_end_ms": -10}
        peer.send({"type": "conversation.item.truncated", **cut})
        assert await heard(session) == [b""]


async def test_audio_that_was_put_into_its_item_is_told_of_once(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        speak(peer, 1)
        await wait_all_tasks_blocked()
        told = drain_events(session.events, events.HistoryUpdated)
        with_audio = [
            update for update in told if update.item and audio_of([update.item]) != [None]
        ]
        assert len(with_audio) == 1


@pytest.mark.parametrize("is_retrieved", [False, True])
async def test_audio_is_cut_by_the_format_in_which_it_came(
    autojump_clock: MockClock, is_retrieved: bool
) -> None:
    """Also where the application has asked for it once more."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        speak(peer, 1, seconds=2)
        await wait_all_tasks_blocked()
        await session.update_settings(output_format=PCMU)
        if is_retrieved:
            item = said("item_1", "Good morning", status="completed")
            peer.send(retrieved(item, SECOND * 2))
        await trio.sleep(0.5)
        await session.interrupt()
        heard_ms = await truncated(peer)
        assert 0 < heard_ms < 1000
        assert await heard(session) == [SECOND[: heard_ms * 48]]


async def test_a_cut_is_remembered_where_there_were_no_words_yet(
    autojump_clock: MockClock,
) -> None:
    """Audio runs ahead of its transcript, so the service may cut a part that nobody has seen."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.audio("resp_1", "item_1", SECOND)
        await trio.sleep(0.25)
        await session.interrupt()
        assert await truncated(peer) == 250
        assert only_part(session) == OutputAudio(audio=SECOND[: 250 * 48], heard_ms=250)

        peer.close_item("resp_1", said("item_1", "Good"))
        peer.end_response("resp_1", "cancelled")
        await wait_all_tasks_blocked()
        assert only_part(session) == OutputAudio(
            transcript="Good", audio=SECOND[: 250 * 48], heard_ms=250
        )


async def test_audio_of_an_item_without_an_end_is_kept(autojump_clock: MockClock) -> None:
    """When the response ends, with or without words, and whoever follows the events is told."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.transcript("resp_1", "item_1", "Good")
        peer.audio("resp_1", "item_1", SECOND)
        peer.open_message("resp_1", "item_2")
        peer.audio("resp_1", "item_2", SECOND)
        peer.end_response("resp_1", "failed")
        assert await heard(session) == [SECOND, SECOND]
        told = drain_events(session.events, events.HistoryUpdated)
        assert {update.item for update in told[-2:]} == {*session.history}


async def test_audio_between_the_end_of_its_item_and_of_its_response_joins_the_rest(
    autojump_clock: MockClock,
) -> None:
    """The application is given it, so the history has it."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "Good morning", pcm=SECOND)
        peer.audio("resp_1", "item_1", SECOND[:480])
        peer.end_response("resp_1")
        assert await heard(session) == [SECOND + SECOND[:480]]


async def test_late_audio_of_a_response_that_has_ended_is_neither_kept_nor_counted(
    autojump_clock: MockClock,
) -> None:
    """The application is not given it."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        speak(peer, 1)
        for _ in range(10):
            peer.audio("resp_1", "item_1", SECOND)
        peer.close_item("resp_1", said("item_1", "Good morning", status="completed"))
        speak(peer, 2)
        assert await heard(session) == [SECOND, SECOND]


async def test_the_users_audio_is_asked_for_when_the_item_is_complete(
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

        peer.send(retrieved(item, bytes([0, 1, 2, 3])))
        assert await heard(session) == [bytes([0, 1, 2, 3])]


async def test_the_users_audio_is_asked_for_once(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000):
        peer.add_item(user_item("item_1"))
        peer.send({"type": "conversation.item.done", "item": user_item("item_1")})
        assert await sent_types(peer) == ["conversation.item.retrieve"]


async def test_the_users_audio_counts_once_however_often_it_comes(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=100_000) as session:
        peer.add_item(user_item("item_1"))
        for audio in (b"", SECOND, SECOND):
            peer.send(retrieved(user_item("item_1"), audio))
        speak(peer, 2)
        assert await heard(session) == [SECOND, SECOND]
        peer.add_item(user_item("item_3"))
        peer.send(retrieved(user_item("item_3"), SECOND))
        assert await heard(session) == [None, SECOND, SECOND]


async def test_an_item_that_has_lost_its_audio_to_the_limit_may_get_it_again(
    autojump_clock: MockClock,
) -> None:
    """It is asked for when the service tells of the item anew."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=50_000) as session:
        peer.add_item(user_item("item_1"))
        peer.send(retrieved(user_item("item_1"), SECOND))
        speak(peer, 2)
        assert await heard(session) == [None, SECOND]
        peer.send({"type": "conversation.item.done", "item": user_item("item_1")})
        assert await sent_types(peer) == ["conversation.item.retrieve"] * 2
        peer.send(retrieved(user_item("item_1"), SECOND))
        assert await heard(session) == [SECOND, None]


async def test_what_the_service_has_of_a_reply_so_far_is_not_all_of_it(
    autojump_clock: MockClock,
) -> None:
    """The application may ask for an item that grows. In the end it has all that came."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.audio("resp_1", "item_1", SECOND)
        peer.send(retrieved(said("item_1", "Good", status="in_progress"), SECOND))
        peer.audio("resp_1", "item_1", SECOND)
        peer.close_item("resp_1", said("item_1", "Good", status="completed"))
        peer.end_response("resp_1")
        assert await heard(session) == [SECOND * 2]


async def test_what_the_library_asks_for_by_itself_fails_quietly(autojump_clock: MockClock) -> None:
    """The item may be gone by then. Only that: what the application asks for is answered."""
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


async def test_both_sides_of_a_talk_are_kept(autojump_clock: MockClock) -> None:
    service = local_connector(responder=RuleResponder())
    config = SessionConfig(max_history_audio=10_000_000, turn_detection=None)
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


async def test_what_begins_after_an_interrupt_is_not_kept(autojump_clock: MockClock) -> None:
    """The application never gets it, so nobody heard it."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=1_000_000) as session:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "Good morning", pcm=SECOND)
        await trio.sleep(0.25)
        await session.interrupt()
        peer.say("resp_1", "item_2", "And more", pcm=SECOND)
        peer.end_response("resp_1", "cancelled")
        assert (await heard(session))[1] is None
