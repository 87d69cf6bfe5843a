"""Responses beside the conversation."""

from __future__ import annotations

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.sessions import open_test_session
from trio_realtime.errors import RequestRejected, ResponseFailed
from trio_realtime.testing import ScriptedPeer, message
from trio_realtime.wire import InputText, MessageItem


async def test_a_response_beside_the_conversation_runs_at_once_and_leaves_no_trace(
    autojump_clock: MockClock,
) -> None:
    """D16: it waits for nobody, nobody waits for it, and nobody hears it but its handle."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        before = len(drain_channel(session.events))
        assert before
        handle = await session.create_response(
            conversation="none",
            input=[MessageItem(role="user", content=(InputText(text="Which topic is this?"),))],
            instructions="One word.",
        )
        create = await peer.expect("response.create")
        assert create["response"]["conversation"] == "none"
        assert create["response"]["input"][0]["content"][0]["text"] == "Which topic is this?"
        peer.begin_response("resp_beside", create, conversation_id=None)
        peer.send(
            {
                "type": "response.output_item.added",
                "response_id": "resp_beside",
                "output_index": 0,
                "item": message("item_beside", ""),
            }
        )
        peer.transcript("resp_beside", "item_beside", "Wea")
        peer.audio("resp_beside", "item_beside", b"\1\2\3\4")
        peer.transcript("resp_beside", "item_beside", "ther")
        said = message("item_beside", "Weather", spoken=True)
        peer.send(
            {
                "type": "response.output_item.done",
                "response_id": "resp_beside",
                "output_index": 0,
                "item": said,
            }
        )
        peer.end_response("resp_beside", output=[said], conversation_id=None)
        outcome = await handle
        assert (outcome.text, outcome.audio) == ("Weather", b"\1\2\3\4")
        assert drain_channel(session.events) == []
        assert session.history == ()
        await session.send_message("Hello")
        await peer.expect("conversation.item.create")
        await peer.expect_nothing()  # resp_1 still runs
        peer.end_response("resp_1")
        await peer.expect("response.create")


async def test_an_interrupt_of_the_conversation_does_not_touch_what_runs_beside_it(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response(conversation="none")
        create = await peer.expect("response.create")
        peer.begin_response("resp_beside", create, conversation_id=None)
        await wait_all_tasks_blocked()
        await session.interrupt()
        peer.start_user_speech()
        await peer.expect_nothing()
        peer.transcript("resp_beside", "item_1", "done")
        peer.end_response("resp_beside", conversation_id=None)
        assert (await handle).text == "done"


async def test_many_may_run_beside_the_conversation_and_each_is_cancelled_by_name(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handles = [await session.create_response(conversation="none") for _ in range(3)]
        created = [await peer.expect("response.create") for _ in range(3)]
        for number in (2, 0, 1):
            peer.begin_response(f"resp_{number}", created[number], conversation_id=None)
        await wait_all_tasks_blocked()
        handles[1].cancel()
        await peer.expect("response.cancel", response_id="resp_1")
        for number, status in enumerate(("completed", "cancelled", "completed")):
            peer.text(f"resp_{number}", f"item_{number}", f"text {number}")
            peer.end_response(f"resp_{number}", status, conversation_id=None)
        assert [(await handles[n]).text for n in (0, 2)] == ["text 0", "text 2"]
        with pytest.raises(ResponseFailed):
            await handles[1]


async def test_a_refused_response_beside_the_conversation_frees_no_slot(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        await session.send_message("Hello")
        await peer.expect("conversation.item.create")
        handle = await session.create_response(conversation="none")
        peer.reject(await peer.expect("response.create"), "invalid_value", "no")
        with pytest.raises(RequestRejected):
            await handle
        await peer.expect_nothing()
