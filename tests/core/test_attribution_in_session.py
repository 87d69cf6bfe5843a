"""Which request a response belongs to: voice activity, rejected creates, and out-of-band responses."""

from __future__ import annotations

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.guardrails import RecordingGuardrail, begin_reply, guarded_agent
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, sent_creates, sent_types
from trio_realtime import RealtimeSession, events
from trio_realtime.errors import RequestRejected, ResponseFailed
from trio_realtime.testing import ScriptedPeer, message
from trio_realtime.wire import InputText, MessageItem

# --- creates that lose to voice activity -------------------------------------------------------


ACTIVE = "conversation_already_has_active_response"


@pytest.mark.parametrize("rejected_first", [True, False])
async def test_create_that_lost_to_voice_activity_is_sent_again(
    rejected_first: bool, autojump_clock: MockClock
) -> None:
    """Whichever of the error and ``response.created`` comes first."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_message("What time is it?")
        await wait_all_tasks_blocked()
        (create,) = sent_creates(peer)
        if rejected_first:
            peer.reject(create, ACTIVE)
            peer.begin_response("resp_vad")
        else:
            peer.begin_response("resp_vad")
            peer.reject(create, ACTIVE)
        assert await sent_types(peer) == [ITEM, CREATE]
        peer.end_response("resp_vad")
        assert await sent_types(peer) == [ITEM, CREATE, CREATE]
        assert [
            event.error for event in drain_events(session.events, events.Error)
        ] == []  # the caller needs no error
        second_create = sent_creates(peer)[1]
        peer.begin_response("resp_1", second_create)
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, CREATE, CREATE]


async def test_nothing_is_requested_before_the_winning_response_is_done(
    autojump_clock: MockClock,
) -> None:
    """The error says that a response runs, although its start was not seen."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_message("One")
        await wait_all_tasks_blocked()
        peer.reject(sent_creates(peer)[0], ACTIVE)
        await wait_all_tasks_blocked()
        await session.send_message("Two")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
        peer.begin_response("resp_vad")
        peer.end_response("resp_vad")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, CREATE]


async def show_that_metadata_is_echoed(session: RealtimeSession[None], peer: ScriptedPeer) -> None:
    """Run one response that echoes its metadata, so that later responses are attributed exactly."""
    handle = await session.create_response()
    await wait_all_tasks_blocked()
    peer.begin_response("resp_0", sent_creates(peer)[0])
    peer.end_response("resp_0")
    await handle


async def test_rejection_after_the_winning_response_is_done_loses_nothing(
    autojump_clock: MockClock,
) -> None:
    """No later event would free the slot."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await show_that_metadata_is_echoed(session, peer)
        handle = await session.create_response()
        await wait_all_tasks_blocked()
        peer.begin_response("resp_vad")
        peer.end_response("resp_vad")
        await wait_all_tasks_blocked()
        assert not handle.is_done  # the other response did not answer it
        peer.reject(sent_creates(peer)[1], ACTIVE)
        assert await sent_types(peer) == [CREATE, CREATE, CREATE]


async def test_rejected_create_keeps_its_parameters_and_its_place(
    autojump_clock: MockClock,
) -> None:
    """Queued requests stay behind it, and its handle is resolved."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response(instructions="Whisper.")
        await session.send_message("Hello")
        await wait_all_tasks_blocked()
        peer.begin_response("resp_vad")
        peer.reject(sent_creates(peer)[0], ACTIVE)
        peer.end_response("resp_vad")
        await wait_all_tasks_blocked()
        second_create = sent_creates(peer)[1]
        assert second_create["response"]["instructions"] == "Whisper."
        peer.begin_response("resp_1", second_create)
        peer.say("resp_1", "item_1", "psst")
        peer.end_response("resp_1")
        assert (await handle).text == "psst"
        assert await sent_types(peer) == [CREATE, ITEM, CREATE, CREATE]


async def test_response_of_voice_activity_does_not_resolve_a_handle(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await show_that_metadata_is_echoed(session, peer)
        handle = await session.create_response()
        await wait_all_tasks_blocked()
        peer.begin_response("resp_vad")
        peer.say("resp_vad", "item_vad", "not yours")
        peer.reject(sent_creates(peer)[1], ACTIVE)
        peer.end_response("resp_vad")
        await wait_all_tasks_blocked()
        assert not handle.is_done
        peer.begin_response("resp_1", sent_creates(peer)[2])
        peer.say("resp_1", "item_1", "yours")
        peer.end_response("resp_1")
        assert (await handle).text == "yours"


async def test_message_after_an_interrupt_is_answered_although_the_earlier_create_was_rejected(
    autojump_clock: MockClock,
) -> None:
    """An interrupt affects earlier requests only."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_message("One")
        await wait_all_tasks_blocked()
        await session.interrupt()
        peer.reject(sent_creates(peer)[0], ACTIVE)
        peer.begin_response("resp_vad")
        await wait_all_tasks_blocked()
        await session.send_message("Two")
        peer.end_response("resp_vad")
        await wait_all_tasks_blocked()
        peer.begin_response("resp_2", sent_creates(peer)[-1])
        assert "response.cancel" not in await sent_types(peer)
        peer.say("resp_2", "item_2", "answer to two")
        peer.end_response("resp_2")
        await wait_all_tasks_blocked()


# --- out-of-band responses ---------------------------------------------------------------------


async def test_out_of_band_response_runs_at_once_and_is_visible_only_to_its_handle(
    autojump_clock: MockClock,
) -> None:
    """It waits for no other response, and no other response waits for it."""
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
        peer.begin_response("resp_oob", create, conversation_id=None)
        peer.send(
            {
                "type": "response.output_item.added",
                "response_id": "resp_oob",
                "output_index": 0,
                "item": message("item_oob", ""),
            }
        )
        peer.transcript("resp_oob", "item_oob", "Wea")
        peer.audio("resp_oob", "item_oob", b"\1\2\3\4")
        peer.transcript("resp_oob", "item_oob", "ther")
        item = message("item_oob", "Weather", spoken=True)
        peer.send(
            {
                "type": "response.output_item.done",
                "response_id": "resp_oob",
                "output_index": 0,
                "item": item,
            }
        )
        peer.end_response("resp_oob", output=[item], conversation_id=None)
        outcome = await handle
        assert (outcome.text, outcome.audio) == ("Weather", b"\1\2\3\4")
        assert drain_channel(session.events) == []
        assert session.history == ()
        await session.send_message("Hello")
        await peer.expect("conversation.item.create")
        await peer.expect_nothing()  # resp_1 still runs
        peer.end_response("resp_1")
        await peer.expect("response.create")


async def test_interrupt_does_not_affect_out_of_band_responses(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response(conversation="none")
        create = await peer.expect("response.create")
        peer.begin_response("resp_oob", create, conversation_id=None)
        await wait_all_tasks_blocked()
        await session.interrupt()
        peer.start_user_speech()
        await peer.expect_nothing()
        peer.transcript("resp_oob", "item_1", "done")
        peer.end_response("resp_oob", conversation_id=None)
        assert (await handle).text == "done"


async def test_out_of_band_responses_run_concurrently_and_are_cancelled_by_id(
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


async def test_rejected_out_of_band_response_frees_no_slot(
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


async def test_out_of_band_response_is_not_checked_and_not_in_the_history(
    autojump_clock: MockClock,
) -> None:
    recorder = RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded_agent(recorder)) as session:
        begin_reply(peer, "a story")
        await wait_all_tasks_blocked()
        before = session.history
        drain_channel(session.events)
        handle = await session.create_response(conversation="none", instructions="One word.")
        create = await peer.expect(CREATE)
        peer.begin_response("resp_oob", create, conversation_id=None)
        item = message("item_oob", "secret")
        peer.send(
            {
                "type": "response.output_item.done",
                "response_id": "resp_oob",
                "output_index": 0,
                "item": item,
            }
        )
        peer.end_response("resp_oob", output=[item], conversation_id=None)
        assert (await handle).text == "secret"
        await peer.expect_nothing()
        assert drain_channel(session.events) == []
        assert (session.history, recorder.seen) == (before, [])
