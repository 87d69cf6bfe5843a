"""Edits of the history: the frames they send, their order, and what is rejected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import attrs
import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.service import send_spoken_reply
from support.sessions import open_test_session
from support.wire import ITEM, Frame, sent_frames, sent_types
from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    events,
    open_realtime_session,
)
from trio_realtime.core.history.edits import unchanged_ids
from trio_realtime.errors import RealtimeError, RequestRejected, SessionClosed, UsageError
from trio_realtime.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    HistoryItem,
    InputAudio,
    InputImage,
    McpCallItem,
    item_text,
)
from trio_realtime.local import RuleResponder, local_connector
from trio_realtime.testing import ScriptedPeer, message
from trio_realtime.wire import InputText, MessageItem, OutputAudio, OutputText

SPOKEN = MessageItem(
    id="item_new", role="assistant", content=(OutputAudio(transcript="As I said."),)
)


def user_item(item_id: str, text: str) -> Frame:
    content = [{"type": "input_text", "text": text}]
    return {
        "id": item_id,
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": content,
    }


async def add_exchange(peer: ScriptedPeer) -> None:
    """Add a message of the user and a spoken one of the agent."""
    peer.add_item(user_item("item_1", "Hello"))
    peer.add_item(message("item_2", "Good morning.", spoken=True))
    await wait_all_tasks_blocked()


PNG = "data:image/png;base64,iVBORw0KGgo="


def user_message(text: str, item_id: str | None = None) -> MessageItem:
    return MessageItem(id=item_id, role="user", content=(InputText(text=text),))


def assistant_message(text: str, item_id: str | None = None) -> MessageItem:
    return MessageItem(id=item_id, role="assistant", content=(OutputText(text=text),))


def add_item(peer: ScriptedPeer, item_id: str, text: str, role: str = "user") -> None:
    kind = "input_text" if role == "user" else "output_text"
    item = {
        "id": item_id,
        "type": "message",
        "role": role,
        "status": "completed",
        "content": [{"type": kind, "text": text}],
    }
    peer.send({"type": "conversation.item.added", "item": item})


def confirm(peer: ScriptedPeer, frame: Frame) -> None:
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


async def confirm_edits(peer: ScriptedPeer) -> None:
    """Confirm each edit, as the service does."""
    seen = len(peer.received)
    while True:
        await wait_all_tasks_blocked()
        for frame in peer.received[seen:]:
            confirm(peer, frame)
        seen = len(peer.received)
        await trio.sleep(1)


def summary(frame: Frame) -> tuple[Any, ...]:
    if frame["type"] == "conversation.item.delete":
        return ("delete", frame["item_id"])
    return ("create", frame["previous_item_id"], frame["item"].get("id"))


async def sent_summaries(peer: ScriptedPeer) -> list[tuple[Any, ...]]:
    return [summary(frame) for frame in await sent_frames(peer)]


def texts(history: Sequence[HistoryItem]) -> list[str]:
    return [item_text(item) for item in history]


async def add_three_items(peer: ScriptedPeer, session: RealtimeSession[None]) -> None:
    for number, text in enumerate(("one", "two", "three"), 1):
        add_item(peer, f"item_{number}", text)
    await wait_all_tasks_blocked()
    assert texts(session.history) == ["one", "two", "three"]


# --- frames ------------------------------------------------------------------------------------


DELETE = "conversation.item.delete"


async def test_unchanged_items_stay_and_others_are_deleted_then_created_in_place(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await add_three_items(peer, session)
        nursery.start_soon(confirm_edits, peer)
        first, second, third = session.history
        edited = await session.update_history(
            [user_message("zero", "item_0"), first, user_message("zwei", second.id)]
        )

        assert await sent_summaries(peer) == [
            ("delete", "item_2"),
            ("delete", "item_3"),
            ("create", "root", "item_0"),
            ("create", "item_1", "item_2"),
        ]
        assert texts(edited) == texts(session.history) == ["zero", "one", "zwei"]
        assert third not in edited
        nursery.cancel_scope.cancel()


async def test_update_history_accepts_a_function_of_the_history(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await add_three_items(peer, session)
        nursery.start_soon(confirm_edits, peer)
        await session.update_history(lambda items: items[1:])
        assert texts(session.history) == ["two", "three"]
        nursery.cancel_scope.cancel()


async def test_update_history_returns_after_all_confirmations(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await add_three_items(peer, session)
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


async def test_update_history_sends_nothing_without_changes(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await add_three_items(peer, session)
        assert await session.update_history(session.history) == session.history
        assert await sent_frames(peer) == []


async def test_images_and_calls_with_outputs_can_be_created(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        nursery.start_soon(confirm_edits, peer)
        image = MessageItem(role="user", content=(InputImage(image_url=PNG),))
        call = FunctionCallItem(call_id="call_1", name="look", arguments="{}")
        output = FunctionCallOutputItem(call_id="call_1", output="42")
        await session.update_history([image, call, output, assistant_message("It is 42.")])

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


async def test_of_two_swapped_items_the_creatable_one_moves(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        item = {"id": "item_1", "type": "message", "role": "assistant", "status": "completed"}
        part = {"type": "output_audio", "transcript": "one"}
        peer.send({"type": "conversation.item.added", "item": {**item, "content": [part]}})
        add_item(peer, "item_2", "two")
        await wait_all_tasks_blocked()
        nursery.start_soon(confirm_edits, peer)
        await session.update_history([*reversed(session.history)])
        assert await sent_summaries(peer) == [("delete", "item_2"), ("create", "root", "item_2")]
        assert texts(session.history) == ["two", "one"]
        nursery.cancel_scope.cancel()


async def test_assistant_audio_may_stay_in_place(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await add_three_items(peer, session)
        item = {"id": "item_4", "type": "message", "role": "assistant", "status": "completed"}
        part = {"type": "output_audio", "transcript": "four"}
        peer.send({"type": "conversation.item.added", "item": {**item, "content": [part]}})
        await wait_all_tasks_blocked()
        nursery.start_soon(confirm_edits, peer)
        await session.update_history(session.history[3:])
        assert texts(session.history) == ["four"]
        nursery.cancel_scope.cancel()


async def test_assistant_audio_may_stay_be_deleted_or_return_as_text(
    autojump_clock: MockClock,
) -> None:
    """The history changes when the service confirms it, and not before."""
    peer = ScriptedPeer()
    text = attrs.evolve(SPOKEN, content=(OutputText(text="As I said."),))
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        await add_exchange(peer)
        hello, good_morning = session.history
        nursery.start_soon(session.update_history, [good_morning, text])
        gone = await peer.expect(DELETE, item_id="item_1")
        new = await peer.expect(ITEM, previous_item_id="item_2")
        await peer.expect_nothing()
        assert session.history == (hello, good_morning)
        assert nursery.child_tasks, "the edit waits for the service"
        peer.send({"type": "conversation.item.deleted", "item_id": gone["item_id"]})
        peer.add_item({**new["item"], "status": "completed"})
        await wait_all_tasks_blocked()
        assert [item.id for item in session.history] == ["item_2", "item_new"]
        assert not nursery.child_tasks, "all changes were confirmed"
    (part,) = new["item"]["content"]
    assert part == {"type": "output_text", "text": "As I said."}


async def test_earlier_history_can_be_restored_although_its_audio_was_dropped(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=60_000) as session:
        send_spoken_reply(peer, 1)
        await wait_all_tasks_blocked()
        before = session.history
        send_spoken_reply(peer, 2)
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await session.update_history(before)
        deleted = [
            f["item_id"] for f in await sent_frames(peer) if f["type"].endswith("item.delete")
        ]
        assert deleted == ["item_2"]


async def test_deleting_a_playing_item_stops_it_without_a_truncate(
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


# --- rejections --------------------------------------------------------------------------------


Edit: TypeAlias = Callable[[Sequence[HistoryItem]], Sequence[HistoryItem]]


def spoken_message(text: str, item_id: str) -> MessageItem:
    return MessageItem(id=item_id, role="assistant", content=(OutputAudio(transcript=text),))


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([user_message("hi"), spoken_message("hello", "item_9")], r"OutputText\(text=transcript\)"),
        ([MessageItem(role="user", content=(InputAudio(transcript="hi"),))], "bytes"),
        ([MessageItem(role="system", content=(InputImage(image_url=PNG),))], "InputText"),
        ([MessageItem(role="tool")], "system, user, assistant"),
        ([McpCallItem(id="item_9")], "cannot be created or changed"),
        ([user_message("hi", "item_9"), user_message("ho", "item_9")], "twice"),
        ([FunctionCallOutputItem(call_id="call_1", output="42")], "which is not before it"),
    ],
)
async def test_items_that_cannot_be_created_are_rejected_before_anything_is_sent(
    items: list[HistoryItem], says: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await add_three_items(peer, session)
        with pytest.raises(UsageError, match=says):
            await session.update_history(items)
        assert await sent_frames(peer) == []
        assert texts(session.history) == ["one", "two", "three"]


def append_messages(items: Sequence[HistoryItem]) -> Sequence[HistoryItem]:
    return [*items, MessageItem(role="user", content=(InputText(text="Hm?"),)), SPOKEN]


def replace_spoken(_: Sequence[HistoryItem]) -> Sequence[HistoryItem]:
    return [MessageItem(id="item_2", role="assistant", content=SPOKEN.content)]


def insert_spoken_first(items: Sequence[HistoryItem]) -> Sequence[HistoryItem]:
    return [SPOKEN, *items]


@pytest.mark.parametrize("edit", [append_messages, replace_spoken, insert_spoken_first])
@pytest.mark.parametrize("by_function", [True, False])
async def test_assistant_audio_is_rejected_before_anything_is_sent(
    edit: Edit, by_function: bool, autojump_clock: MockClock
) -> None:
    """Even if the edit also contains acceptable changes."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await add_exchange(peer)
        before = session.history
        drain_events(session.events, events.HistoryUpdated)
        with pytest.raises(UsageError, match=r"OutputText\(text=transcript\)"):
            await session.update_history(edit if by_function else edit(before))
        assert await sent_types(peer) == []
        assert session.history == before
        assert not drain_events(session.events, events.HistoryUpdated)


@pytest.mark.parametrize("history", ["abc", [1], [{"type": "message"}], lambda _items: None])
async def test_update_history_rejects_other_values(history: Any, autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError, match="expected a sequence of items"):
            await session.update_history(history)
        assert await sent_frames(peer) == []


async def test_a_part_that_the_dialect_does_not_have_is_rejected_before_anything_is_sent(
    autojump_clock: MockClock,
) -> None:
    endpoint = Endpoint.compatible("ws://service.test", api_key="key", model="m", dialect="beta")
    picture = MessageItem(
        role="user", content=(InputImage(image_url="data:image/png;base64,AA=="),)
    )
    text = MessageItem(id="text", role="user", content=(InputText(text="Hello"),))
    async with open_realtime_session(
        RealtimeAgent(name="A"), endpoint=endpoint, transport=local_connector(dialect="beta")
    ) as session:
        with pytest.raises(UsageError, match="cannot express 'input_image'"):
            await session.update_history([text, picture])
        assert session.history == ()
        assert [item.id for item in await session.update_history([text])] == ["text"]


async def test_long_id_of_the_service_may_stay(autojump_clock: MockClock) -> None:
    item_id = "03399f03-81f1-4fac-b52d-81d0c31af7bf"
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        add_item(peer, item_id, "one")
        await wait_all_tasks_blocked()
        assert await session.update_history(lambda items: items) == session.history
        with pytest.raises(UsageError, match="1 to 32 characters"):
            await session.update_history([*session.history, user_message("two", "x" * 33)])
        assert await sent_frames(peer) == []


async def test_rejected_part_of_an_edit_is_raised_after_all_answers(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    rejected: list[RequestRejected] = []
    async with open_test_session(peer) as session:
        await add_three_items(peer, session)

        async def empty() -> None:
            with pytest.raises(RequestRejected) as caught:
                await session.update_history([])
            rejected.append(caught.value)

        nursery.start_soon(empty)
        first, *_ = await sent_frames(peer)
        error = {"code": "item_not_found", "message": "No.", "event_id": first["event_id"]}
        peer.send({"type": "error", "error": error})
        await wait_all_tasks_blocked()
        assert rejected == []
        for number in (2, 3):
            peer.send({"type": "conversation.item.deleted", "item_id": f"item_{number}"})
        await wait_all_tasks_blocked()
        assert [(one.code, one.event_id) for one in rejected] == [
            ("item_not_found", first["event_id"])
        ]
        assert texts(session.history) == ["one"]


async def test_error_without_an_event_id_is_attributed_to_the_edit(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    rejected = trio.Event()
    async with open_test_session(peer) as session:
        add_item(peer, "item_1", "one")
        await wait_all_tasks_blocked()

        async def empty() -> None:
            with pytest.raises(RequestRejected, match="no such item"):
                await session.update_history([])
            rejected.set()

        nursery.start_soon(empty)
        await wait_all_tasks_blocked()
        peer.reject(None, "item_not_found", "There is no such item.")
        await rejected.wait()


# --- several edits -----------------------------------------------------------------------------


async def test_edits_run_one_after_another_each_from_the_current_history(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await add_three_items(peer, session)
        ended: list[str] = []

        async def change(name: str, *texts: str) -> None:
            await session.update_history([user_message(text, text) for text in texts])
            ended.append(name)

        nursery.start_soon(change, "first", "four")
        await wait_all_tasks_blocked()
        nursery.start_soon(change, "second", "four", "five")
        await wait_all_tasks_blocked()
        assert len(await sent_frames(peer)) == 4, "the second edit is queued"
        nursery.start_soon(confirm_edits, peer)
        await trio.sleep(1)
        for frame in await sent_frames(peer):
            confirm(peer, frame)
        await trio.sleep(5)
        assert ended == ["first", "second"]
        assert texts(session.history) == ["four", "five"]
        assert (await sent_summaries(peer))[4:] == [("create", "four", "five")]
        nursery.cancel_scope.cancel()


async def test_concurrent_edits_do_not_conflict(autojump_clock: MockClock) -> None:
    local = local_connector(responder=RuleResponder())
    agent = RealtimeAgent[None](name="Assistant")
    with trio.fail_after(100):
        async with open_realtime_session(
            agent, transport=local, endpoint=local.endpoint
        ) as session:
            await session.send_message("old", respond=False)
            await trio.sleep(1)
            failures: list[RealtimeError] = []

            async def clear() -> None:
                try:
                    await session.update_history([])
                except RealtimeError as exc:
                    failures.append(exc)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(clear)
                nursery.start_soon(clear)
            assert failures == []


async def test_pending_edit_raises_when_the_session_ends(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    ended = trio.Event()
    async with open_test_session(peer) as session:
        await add_three_items(peer, session)

        async def empty() -> None:
            with pytest.raises(SessionClosed):
                await session.update_history([])
            ended.set()

        nursery.start_soon(empty)
        await wait_all_tasks_blocked()
    await ended.wait()


# --- from any history to any other -------------------------------------------------------------


ids = st.lists(st.sampled_from("abcdefg"), unique=True)


@given(known=ids, wanted=ids, changed=st.sets(st.sampled_from("abcdefg")))
def test_deletions_and_creations_lead_to_the_wanted_history(
    known: list[str], wanted: list[str], changed: set[str]
) -> None:
    before = [user_message(name, name) for name in known]
    after = [user_message(name.upper() if name in changed else name, name) for name in wanted]
    unchanged = unchanged_ids(before, after)

    conversation = [item for item in before if item.id in unchanged]
    previous = None
    for item in after:
        if item.id not in unchanged:
            place = 0 if previous is None else conversation.index(previous) + 1
            conversation.insert(place, item)
        previous = item
    assert conversation == after
    assert not unchanged & changed
