"""Editing the conversation: what is sent, in which order, and what is refused before anything is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.sessions import open_test_session
from support.wire import Frame, sent_frames
from trio_realtime import RealtimeSession, events
from trio_realtime.core.history.edits import kept_ids
from trio_realtime.errors import RequestRejected, SessionClosed, UsageError
from trio_realtime.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    HistoryItem,
    InputAudio,
    InputImage,
    InputText,
    McpCallItem,
    item_text,
)
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import MessageItem, OutputAudio, OutputText

PNG = "data:image/png;base64,iVBORw0KGgo="


def user(text: str, item_id: str | None = None) -> MessageItem:
    return MessageItem(id=item_id, role="user", content=(InputText(text=text),))


def assistant(text: str, item_id: str | None = None) -> MessageItem:
    return MessageItem(id=item_id, role="assistant", content=(OutputText(text=text),))


def spoken(text: str, item_id: str) -> MessageItem:
    return MessageItem(id=item_id, role="assistant", content=(OutputAudio(transcript=text),))


def add(peer: ScriptedPeer, item_id: str, text: str, role: str = "user") -> None:
    kind = "input_text" if role == "user" else "output_text"
    item = {
        "id": item_id,
        "type": "message",
        "role": role,
        "status": "completed",
        "content": [{"type": kind, "text": text}],
    }
    peer.send({"type": "conversation.item.added", "item": item})


async def obey(peer: ScriptedPeer) -> None:
    """Do what edits ask for, as the service does."""
    seen = len(peer.received)
    while True:
        await wait_all_tasks_blocked()
        for frame in peer.received[seen:]:
            _answer(peer, frame)
        seen = len(peer.received)
        await trio.sleep(1)


def _answer(peer: ScriptedPeer, frame: Frame) -> None:
    match frame["type"]:
        case "conversation.item.delete":
            peer.send({"type": "conversation.item.deleted", "item_id": frame["item_id"]})
        case "conversation.item.create":
            previous = frame.get("previous_item_id")
            peer.send(
                {
                    "type": "conversation.item.added",
                    "previous_item_id": None if previous == "root" else previous,
                    "item": {**frame["item"], "status": "completed"},
                }
            )
        case _:
            pass


def brief(frame: Frame) -> tuple[Any, ...]:
    if frame["type"] == "conversation.item.delete":
        return ("delete", frame["item_id"])
    return ("create", frame["previous_item_id"], frame["item"].get("id"))


async def brief_wire(peer: ScriptedPeer) -> list[tuple[Any, ...]]:
    return [brief(frame) for frame in await sent_frames(peer)]


def texts(history: Sequence[HistoryItem]) -> list[str]:
    return [item_text(item) for item in history]


async def three(peer: ScriptedPeer, session: RealtimeSession[None]) -> None:
    for number, text in enumerate(("one", "two", "three"), 1):
        add(peer, f"item_{number}", text)
    await wait_all_tasks_blocked()
    assert texts(session.history) == ["one", "two", "three"]


async def test_what_is_the_same_stays_and_the_rest_is_deleted_then_created_in_its_place(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await three(peer, session)
        nursery.start_soon(obey, peer)
        first, second, third = session.history
        edited = await session.update_history(
            [user("zero", "item_0"), first, user("zwei", second.id)]
        )

        assert await brief_wire(peer) == [
            ("delete", "item_2"),
            ("delete", "item_3"),
            ("create", "root", "item_0"),
            ("create", "item_1", "item_2"),
        ]
        assert texts(edited) == texts(session.history) == ["zero", "one", "zwei"]
        assert third not in edited
        nursery.cancel_scope.cancel()


async def test_it_may_be_a_function_of_the_present_history(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await three(peer, session)
        nursery.start_soon(obey, peer)
        await session.update_history(lambda items: items[1:])
        assert texts(session.history) == ["two", "three"]
        nursery.cancel_scope.cancel()


async def test_it_returns_only_when_the_service_has_told_of_all_of_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await three(peer, session)
        done = trio.Event()

        async def empty() -> None:
            await session.update_history([])
            done.set()

        nursery.start_soon(empty)
        for number in (1, 2, 3):
            await wait_all_tasks_blocked()
            assert not done.is_set()
            peer.send({"type": "conversation.item.deleted", "item_id": f"item_{number}"})
        await done.wait()
        assert session.history == ()


async def test_nothing_is_sent_where_nothing_changes(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await three(peer, session)
        assert await session.update_history(session.history) == session.history
        assert await sent_frames(peer) == []


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([user("hi"), spoken("hello", "item_9")], r"OutputText\(text=transcript\)"),
        ([MessageItem(role="user", content=(InputAudio(transcript="hi"),))], "bytes"),
        ([MessageItem(role="system", content=(InputImage(image_url=PNG),))], "InputText"),
        ([MessageItem(role="tool")], "system, user, assistant"),
        ([McpCallItem(id="item_9")], "can stay or go"),
        ([user("hi", "item_9"), user("ho", "item_9")], "twice"),
        ([FunctionCallOutputItem(call_id="call_1", output="42")], "which is not before it"),
    ],
)
async def test_what_cannot_be_created_is_refused_before_anything_is_sent(
    items: list[HistoryItem], says: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await three(peer, session)
        with pytest.raises(UsageError, match=says):
            await session.update_history(items)
        assert await sent_frames(peer) == []
        assert texts(session.history) == ["one", "two", "three"]


async def test_audio_of_the_assistant_may_stay_where_it_is(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await three(peer, session)
        item = {"id": "item_4", "type": "message", "role": "assistant", "status": "completed"}
        part = {"type": "output_audio", "transcript": "four"}
        peer.send({"type": "conversation.item.added", "item": {**item, "content": [part]}})
        await wait_all_tasks_blocked()
        nursery.start_soon(obey, peer)
        await session.update_history(session.history[3:])
        assert texts(session.history) == ["four"]
        nursery.cancel_scope.cancel()


async def test_images_and_calls_with_their_outputs_can_be_created(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        nursery.start_soon(obey, peer)
        image = MessageItem(role="user", content=(InputImage(image_url=PNG),))
        call = FunctionCallItem(call_id="call_1", name="look", arguments="{}")
        output = FunctionCallOutputItem(call_id="call_1", output="42")
        await session.update_history([image, call, output, assistant("It is 42.")])

        assert [item.type for item in session.history] == [
            "message",
            "function_call",
            "function_call_output",
            "message",
        ]
        assert [frame["type"] for frame in await sent_frames(peer)] == [
            "conversation.item.create"
        ] * 4
        nursery.cancel_scope.cancel()


async def test_a_refused_part_is_raised_when_all_is_answered(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    refused: list[RequestRejected] = []
    async with open_test_session(peer) as session:
        await three(peer, session)

        async def empty() -> None:
            with pytest.raises(RequestRejected) as caught:
                await session.update_history([])
            refused.append(caught.value)

        nursery.start_soon(empty)
        first, *_ = await sent_frames(peer)
        error = {"code": "item_not_found", "message": "No.", "event_id": first["event_id"]}
        peer.send({"type": "error", "error": error})
        await wait_all_tasks_blocked()
        assert refused == []
        for number in (2, 3):
            peer.send({"type": "conversation.item.deleted", "item_id": f"item_{number}"})
        await wait_all_tasks_blocked()
        assert [(one.code, one.event_id) for one in refused] == [
            ("item_not_found", first["event_id"])
        ]
        assert texts(session.history) == ["one"]


async def test_a_refusal_that_names_no_request_is_the_edits(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    refused = trio.Event()
    async with open_test_session(peer) as session:
        add(peer, "item_1", "one")
        await wait_all_tasks_blocked()

        async def empty() -> None:
            with pytest.raises(RequestRejected, match="no such item"):
                await session.update_history([])
            refused.set()

        nursery.start_soon(empty)
        await wait_all_tasks_blocked()
        peer.reject(None, "item_not_found", "There is no such item.")
        await refused.wait()


async def test_edits_are_made_one_after_the_other_each_from_what_it_finds(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await three(peer, session)
        ended: list[str] = []

        async def change(name: str, *texts: str) -> None:
            await session.update_history([user(text, text) for text in texts])
            ended.append(name)

        nursery.start_soon(change, "first", "four")
        await wait_all_tasks_blocked()
        nursery.start_soon(change, "second", "four", "five")
        await wait_all_tasks_blocked()
        assert len(await sent_frames(peer)) == 4, "the second waits"
        nursery.start_soon(obey, peer)
        await trio.sleep(1)
        for frame in await sent_frames(peer):
            _answer(peer, frame)
        await trio.sleep(5)
        assert ended == ["first", "second"]
        assert texts(session.history) == ["four", "five"]
        assert (await brief_wire(peer))[4:] == [("create", "four", "five")]
        nursery.cancel_scope.cancel()


async def test_of_two_items_that_change_places_the_one_that_can_be_created_moves(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        item = {"id": "item_1", "type": "message", "role": "assistant", "status": "completed"}
        part = {"type": "output_audio", "transcript": "one"}
        peer.send({"type": "conversation.item.added", "item": {**item, "content": [part]}})
        add(peer, "item_2", "two")
        await wait_all_tasks_blocked()
        nursery.start_soon(obey, peer)
        await session.update_history([*reversed(session.history)])
        assert await brief_wire(peer) == [("delete", "item_2"), ("create", "root", "item_2")]
        assert texts(session.history) == ["two", "one"]
        nursery.cancel_scope.cancel()


async def test_an_edit_that_waits_hears_of_the_end(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    ended = trio.Event()
    async with open_test_session(peer) as session:
        await three(peer, session)

        async def empty() -> None:
            with pytest.raises(SessionClosed):
                await session.update_history([])
            ended.set()

        nursery.start_soon(empty)
        await wait_all_tasks_blocked()
    await ended.wait()


async def test_what_an_edit_took_away_while_it_played_is_silenced_and_not_cut(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "Good morning", pcm=bytes(48_000))
        peer.send({"type": "conversation.item.deleted", "item_id": "item_1"})
        await wait_all_tasks_blocked()
        with session.subscribe(events.AudioInterrupted) as interrupted:
            await session.interrupt()
            assert len(drain_channel(interrupted)) == 1
        assert [frame["type"] for frame in await sent_frames(peer)] == ["response.cancel"]


async def test_a_message_may_have_ids_and_a_place(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_message(
            "Hi", respond=False, item_id="mine", previous_item_id="root", event_id="my_request"
        )
        (frame,) = await sent_frames(peer)
        assert (frame["event_id"], frame["previous_item_id"], frame["item"]["id"]) == (
            "my_request",
            "root",
            "mine",
        )
        with pytest.raises(UsageError, match="item_id may have 1 to 32 characters, not 33"):
            await session.send_message("Hi", item_id="x" * 33)


# --- from any history to any other --------------------------------------------------------------

ids = st.lists(st.sampled_from("abcdefg"), unique=True)


@given(known=ids, wanted=ids, changed=st.sets(st.sampled_from("abcdefg")))
def test_deleting_and_creating_leads_to_what_was_wanted(
    known: list[str], wanted: list[str], changed: set[str]
) -> None:
    before = [user(name, name) for name in known]
    after = [user(name.upper() if name in changed else name, name) for name in wanted]
    kept = kept_ids(before, after)

    conversation = [item for item in before if item.id in kept]
    previous = None
    for item in after:
        if item.id not in kept:
            place = 0 if previous is None else conversation.index(previous) + 1
            conversation.insert(place, item)
        previous = item
    assert conversation == after
    assert not kept & changed
