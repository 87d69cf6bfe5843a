"""``history=``: the conversation that a session begins with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, is_initial_history
from support.sessions import TEST_TIMEOUT, task_count
from support.wire import ITEM, Frame, sent_types
from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    events,
    open_realtime_session,
)
from trio_realtime.errors import (
    ConfigurationError,
    ConnectionLost,
    ConnectTimeout,
    RequestRejected,
)
from trio_realtime.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    HistoryItem,
    McpCallItem,
    item_text,
)
from trio_realtime.local import local_connector
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer
from trio_realtime.transports import TransportClosed
from trio_realtime.wire import InputText, MessageItem, OutputAudio, OutputText

AGENT = RealtimeAgent[None](name="Assistant")

QUESTION = MessageItem(id="question", role="user", content=(InputText(text="How far is it?"),))
CALL = FunctionCallItem(id="call", call_id="c1", name="look", arguments="{}")
UNSENDABLE = FunctionCallItem(call_id="c1", name="look", arguments=cast("Any", object()))
OUTPUT = FunctionCallOutputItem(id="output", call_id="c1", output="2 km")
ANSWER = MessageItem(
    id="answer", role="assistant", content=(OutputAudio(transcript="Two kilometers."),)
)
CONVERSATION: Sequence[HistoryItem] = (QUESTION, CALL, OUTPUT, ANSWER)


@asynccontextmanager
async def open_with(
    peer: ScriptedPeer, history: Any = CONVERSATION, **settings: Any
) -> AsyncGenerator[RealtimeSession[None]]:
    with trio.fail_after(TEST_TIMEOUT):
        async with open_realtime_session(
            AGENT,
            endpoint=TEST_ENDPOINT,
            transport=peer.connect,
            config=SessionConfig(**{"reconnect": None, **settings}),
            history=history,
        ) as session:
            yield session


async def confirm_items(peer: ScriptedPeer, delay: float = 0.0) -> None:
    """Confirm every item that the client creates."""
    with suppress(TransportClosed):
        while True:
            confirm_item(peer, await peer.expect(ITEM))
            await trio.sleep(delay)


def confirm_item(peer: ScriptedPeer, frame: Frame) -> None:
    previous = frame.get("previous_item_id")
    confirmed = {
        "item": {"id": "item_new", **frame["item"], "status": "completed"},
        "previous_item_id": None if previous == "root" else previous,
    }
    peer.send(
        {"type": "conversation.item.added", **confirmed},
        {"type": "conversation.item.done", **confirmed},
    )


async def test_items_are_created_in_order_before_the_block_begins(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    nursery.start_soon(confirm_items, peer, 0.1)
    async with open_with(peer) as session:
        assert [item.id for item in session.history] == ["question", "call", "output", "answer"]
        assert item_text(session.history[-1]) == "Two kilometers."
        sent = [frame for frame in peer.received if frame["type"] == ITEM]
        assert [frame["previous_item_id"] for frame in sent] == [
            "root",
            "question",
            "call",
            "output",
        ]
        assert sent[-1]["item"]["content"] == [{"type": "output_text", "text": "Two kilometers."}]
        assert await sent_types(peer) == [ITEM] * 4, "no response was requested"
        first, *others = drain_channel(session.events)
        assert is_initial_history(first)
        assert isinstance(first, events.HistoryUpdated)
        assert first.history == session.history
        kinds = (events.HistoryAdded, events.HistoryUpdated)
        assert not any(isinstance(event, kinds) for event in others)


async def test_later_items_are_reported(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    peer = ScriptedPeer()
    nursery.start_soon(confirm_items, peer)
    async with open_with(peer) as session:
        await session.send_message("And back?", respond=False)
        await wait_all_tasks_blocked()
        added = [e for e in drain_channel(session.events) if isinstance(e, events.HistoryAdded)]
    assert [item_text(event.item) for event in added] == ["And back?"]


async def test_long_history_does_not_overflow_the_main_channel(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    nursery.start_soon(confirm_items, peer)
    history = [MessageItem(role="user", content=(InputText(text=str(n)),)) for n in range(50)]
    async with open_with(peer, history, max_buffered_events=10) as session:
        assert [item_text(item) for item in session.history] == [str(n) for n in range(50)]
        assert is_initial_history(await session.events.receive())


async def test_what_cannot_be_created_is_left_out(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    nursery.start_soon(confirm_items, peer)
    async with open_with(peer, [McpCallItem(id="mcp"), CALL, QUESTION]) as session:
        assert [item.id for item in session.history] == ["question"]


async def test_history_of_nothing_sends_nothing(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_with(peer, [McpCallItem(id="mcp")]) as session:
        assert await sent_types(peer) == []
        assert session.history == ()


# --- errors --------------------------------------------------------------------------------------


def message(role: str, *parts: Any, item_id: str | None = None) -> MessageItem:
    return MessageItem(id=item_id, role=role, content=parts)


@pytest.mark.parametrize(
    ("history", "problem"),
    [
        ("How far is it?", "expected a sequence of items"),
        ([{"type": "message"}], "expected a sequence of items"),
        ([message("user", InputText(text="a"), item_id="")], "1 to 32 characters"),
        ([message("assistant", InputText(text="a"))], "number 1: .* may have OutputText"),
        ([message("robot", InputText(text="a"))], "role 'robot'"),
        ([UNSENDABLE, OUTPUT], "JSON has no value for object"),
        ([QUESTION, QUESTION], "question occurs twice"),
        ([OUTPUT, CALL], "output of call 'c1', which is not before it"),
    ],
)
async def test_item_that_cannot_be_created_is_rejected_before_connecting(
    history: Any, problem: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ConfigurationError, match=problem) as caught:
        async with open_with(peer, history):
            pytest.fail("the block must not run")
    assert str(caught.value).startswith("history=: ")
    assert peer.connections == []


async def reject_first(peer: ScriptedPeer) -> None:
    """Reject the first item and, because it is missing, also the second."""
    for message in ("Invalid content.", "The previous item does not exist."):
        peer.reject(await peer.expect(ITEM), "invalid_value", message)


async def test_rejected_item_is_an_error_at_opening(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = ScriptedPeer()
    nursery.start_soon(reject_first, peer)
    before = task_count()
    with pytest.raises(RequestRejected, match=r"history=: Invalid content\.") as caught:
        async with open_with(peer, [QUESTION, ANSWER]):
            pytest.fail("the block must not run")
    assert caught.value.code == "invalid_value"
    assert peer.closed is not None
    assert task_count() < before


async def test_service_that_confirms_nothing_is_a_timeout(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    began = trio.current_time()
    with pytest.raises(ConnectTimeout, match="the items of history= within 5 s"):
        async with open_with(peer, connect_timeout=5):
            pytest.fail("the block must not run")
    assert trio.current_time() - began <= 5 + 1


async def test_connection_that_is_lost_meanwhile_is_an_error_at_opening(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def lose() -> None:
        await peer.expect(ITEM)
        peer.close(1011)

    peer = ScriptedPeer()
    nursery.start_soon(lose)
    with pytest.raises(ConnectionLost):
        async with open_with(peer):
            pytest.fail("the block must not run")


async def test_cancelled_opening_leaves_nothing(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    before = task_count()
    with trio.move_on_after(1) as scope:
        async with open_with(peer):
            pytest.fail("the block must not run")
    assert scope.cancelled_caught
    assert task_count() == before


# --- with the local server -------------------------------------------------------------------------


async def test_conversation_goes_on_in_a_second_session(autojump_clock: MockClock) -> None:
    service = local_connector()
    where: Frame = {"transport": service, "endpoint": service.endpoint}
    async with open_realtime_session(AGENT, **where) as session:
        await session.ask("My name is Kim.")
        saved = session.history
        assert isinstance(saved[1], MessageItem)
        assert isinstance(saved[1].content[0], OutputAudio)
    async with open_realtime_session(AGENT, **where, history=saved) as session:
        assert [item.id for item in session.history] == [item.id for item in saved]
        assert [item_text(item) for item in session.history] == [
            "My name is Kim.",
            "You said: My name is Kim.",
        ]
        assert isinstance(session.history[1], MessageItem)
        assert session.history[1].content == (OutputText(text="You said: My name is Kim."),)
        await session.ask("Hello?")
        assert len(session.history) == 4
        added = [e for e in drain_channel(session.events) if isinstance(e, events.HistoryAdded)]
        assert len(added) == 2
