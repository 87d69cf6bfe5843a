"""When a ``response.create`` goes out. Numbers are those of the reference's list of behaviours.

Each test pins frames and events only: what left, what came in, what the consumer saw.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.service import begin_audio_response, start_call
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, sent_creates, sent_types
from trio_realtime import RealtimeSession, events, function_tool
from trio_realtime.errors import RequestRejected
from trio_realtime.testing import ScriptedPeer

ACTIVE = "conversation_already_has_active_response"


@function_tool
async def ping() -> str:
    """Answer at once."""
    return "pong"


async def show_that_it_echoes(session: RealtimeSession[None], peer: ScriptedPeer) -> None:
    """One response that names its create, so the client need not guess which response is whose."""
    handle = await session.create_response()
    await wait_all_tasks_blocked()
    peer.begin_response("resp_0", sent_creates(peer)[0])
    peer.end_response("resp_0")
    await handle


# --- 1 -----------------------------------------------------------------------------------------


async def test_text_during_a_response_leaves_at_once_and_its_create_waits_for_done(
    autojump_clock: MockClock,
) -> None:
    """1."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_vad")
        await wait_all_tasks_blocked()
        before = trio.current_time()
        await session.send_message("And tomorrow?")
        assert trio.current_time() == before  # the caller never waits
        assert await sent_types(peer) == [ITEM]
        peer.end_response("resp_vad")
        assert await sent_types(peer) == [ITEM, CREATE]


async def test_text_into_silence_is_followed_by_its_create(autojump_clock: MockClock) -> None:
    """1, the plain case; ``respond=False`` asks for nothing."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_message("Only for the record.", respond=False)
        assert await sent_types(peer) == [ITEM]
        await session.send_message("Hello")
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


# --- 2 -----------------------------------------------------------------------------------------


async def test_two_texts_during_a_response_share_one_create(autojump_clock: MockClock) -> None:
    """2."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_vad")
        await wait_all_tasks_blocked()
        await session.send_message("One")
        await session.send_message("Two")
        assert await sent_types(peer) == [ITEM, ITEM]
        peer.end_response("resp_vad")
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]
        peer.begin_response("resp_1", sent_creates(peer)[0])
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


async def test_two_tool_outputs_during_a_response_share_one_create(
    autojump_clock: MockClock,
) -> None:
    """2, and D5: parallel calls are joined before the one create that follows them."""
    peer = ScriptedPeer()
    async with open_test_session(peer, ping):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "ping")
        peer.call("resp_1", "item_2", "call_2", "ping")
        assert await sent_types(peer) == [ITEM, ITEM]
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


async def test_a_text_and_a_tool_output_during_a_response_share_one_create(
    autojump_clock: MockClock,
) -> None:
    """2, mixed."""
    peer = ScriptedPeer()
    async with open_test_session(peer, ping) as session:
        await start_call(peer, "ping")
        await session.send_message("And be quick.")
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


# --- 3 -----------------------------------------------------------------------------------------


async def test_text_behind_an_unanswered_create_gets_a_create_of_its_own(
    autojump_clock: MockClock,
) -> None:
    """3: the response under way does not know the second text."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_message("One")
        await session.send_message("Two")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
        peer.begin_response("resp_1", sent_creates(peer)[0])
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, CREATE]
        first, second = sent_creates(peer)
        assert first["event_id"] != second["event_id"]


# --- 4 -----------------------------------------------------------------------------------------


async def test_a_response_with_overrides_is_not_merged_with_an_automatic_one(
    autojump_clock: MockClock,
) -> None:
    """4: two creates, in order, overrides only on the one that has them."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_vad")
        await wait_all_tasks_blocked()
        await session.create_response(instructions="Whisper.")
        await session.send_message("Hello")
        peer.end_response("resp_vad")
        assert await sent_types(peer) == [ITEM, CREATE]
        peer.begin_response("resp_1", sent_creates(peer)[0])
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, CREATE, CREATE]
        manual, automatic = sent_creates(peer)
        assert manual["response"]["instructions"] == "Whisper."
        assert "instructions" not in automatic["response"]


async def test_an_automatic_response_does_not_swallow_one_with_overrides(
    autojump_clock: MockClock,
) -> None:
    """4, the other way round."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_vad")
        await wait_all_tasks_blocked()
        await session.send_message("Hello")
        handle = await session.create_response(instructions="Whisper.")
        peer.end_response("resp_vad")
        await wait_all_tasks_blocked()
        assert "instructions" not in sent_creates(peer)[0]["response"]
        peer.begin_response("resp_1", sent_creates(peer)[0])
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        assert not handle.is_done
        assert sent_creates(peer)[1]["response"]["instructions"] == "Whisper."


async def test_responses_with_overrides_keep_their_order_and_stay_apart(
    autojump_clock: MockClock,
) -> None:
    """4."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        for word in ("one", "two", "three"):
            await session.create_response(instructions=word)
        for number, word in enumerate(("one", "two", "three")):
            await wait_all_tasks_blocked()
            create = sent_creates(peer)[number]
            assert create["response"]["instructions"] == word
            assert len(sent_creates(peer)) == number + 1
            peer.begin_response(f"resp_{number}", create)
            peer.end_response(f"resp_{number}")


# --- 5 and 6 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names_it", "code", "message", "frees"),
    [
        (True, "rate_limit_exceeded", "Slow down.", True),
        (False, "bad_response_create", "No.", True),
        (False, "invalid_value", "Invalid value in response.create.", True),
        (False, "server_error", "Something else broke.", False),
    ],
)
async def test_only_an_error_about_our_create_frees_its_slot(
    names_it: bool, code: str, message: str, frees: bool, autojump_clock: MockClock
) -> None:
    """5 and 6: by its event id, or without one by its words."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_message("One")
        await session.send_message("Two")
        await session.send_message("Three")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, ITEM]
        peer.reject(sent_creates(peer)[0] if names_it else None, code, message)
        after = [ITEM, CREATE, ITEM, ITEM] + [CREATE] * frees
        assert await sent_types(peer) == after
        (error,) = [event.error for event in drain_events(session.events, events.Error)]
        assert isinstance(error, RequestRejected)
        assert (error.code, str(error)) == (code, message)


async def test_an_error_about_another_event_keeps_the_slot(autojump_clock: MockClock) -> None:
    """5: an event id that is not our create's."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_message("One")
        await session.send_message("Two")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
        peer.reject(peer.received[-1], "item_refused", "about response.create? no")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
        peer.begin_response("resp_1", sent_creates(peer)[0])
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, CREATE]


# --- D4: better than both SDKs -----------------------------------------------------------------


@pytest.mark.parametrize("refused_first", [True, False])
async def test_a_create_that_lost_to_voice_activity_is_sent_again(
    refused_first: bool, autojump_clock: MockClock
) -> None:
    """D4: the wish is not lost, whichever of refusal and ``response.created`` comes first."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_message("What time is it?")
        await wait_all_tasks_blocked()
        (create,) = sent_creates(peer)
        if refused_first:
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
        ] == []  # nothing went wrong for anybody
        again = sent_creates(peer)[1]
        peer.begin_response("resp_1", again)
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, CREATE, CREATE]


async def test_after_a_refusal_nothing_is_asked_for_before_the_winner_is_done(
    autojump_clock: MockClock,
) -> None:
    """D4: the refusal says that a response runs, though none was seen to begin."""
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


async def test_a_refusal_that_comes_after_the_winner_is_done_loses_nothing(
    autojump_clock: MockClock,
) -> None:
    """D4, the unlikeliest order: nothing more would come that could free the slot."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await show_that_it_echoes(session, peer)
        handle = await session.create_response()
        await wait_all_tasks_blocked()
        peer.begin_response("resp_vad")
        peer.end_response("resp_vad")
        await wait_all_tasks_blocked()
        assert not handle.is_done  # it was not the answer
        peer.reject(sent_creates(peer)[1], ACTIVE)
        assert await sent_types(peer) == [CREATE, CREATE, CREATE]


async def test_a_refused_create_keeps_its_overrides_and_its_place(
    autojump_clock: MockClock,
) -> None:
    """D4 with 4: what waited behind it is still behind it, and its handle is settled."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response(instructions="Whisper.")
        await session.send_message("Hello")
        await wait_all_tasks_blocked()
        peer.begin_response("resp_vad")
        peer.reject(sent_creates(peer)[0], ACTIVE)
        peer.end_response("resp_vad")
        await wait_all_tasks_blocked()
        again = sent_creates(peer)[1]
        assert again["response"]["instructions"] == "Whisper."
        peer.begin_response("resp_1", again)
        peer.say("resp_1", "item_1", "psst")
        peer.end_response("resp_1")
        assert (await handle).text == "psst"
        assert await sent_types(peer) == [CREATE, ITEM, CREATE, CREATE]


async def test_a_response_of_voice_activity_is_not_taken_for_ours(
    autojump_clock: MockClock,
) -> None:
    """D4: a handle waits for the response that answers it, not for the next one."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await show_that_it_echoes(session, peer)
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


async def test_a_message_after_an_interrupt_is_answered_though_the_create_before_was_refused(
    autojump_clock: MockClock,
) -> None:
    """D4 with an interrupt: it hits what was asked for before it, never what came after."""
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


# --- 7 -----------------------------------------------------------------------------------------


async def test_a_cancelled_send_sends_nothing_and_later_input_gets_its_create(
    autojump_clock: MockClock,
) -> None:
    """7: here no send of the user touches the wire, so a cancellation cannot leave half a request."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.send_message("never said")
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.create_response()
        assert await sent_types(peer) == []
        await session.send_message("Hello")
        assert await sent_types(peer) == [ITEM, CREATE]


async def test_a_cancelled_wait_for_an_answer_leaves_the_slot_in_order(
    autojump_clock: MockClock,
) -> None:
    """7: the response that nobody waits for any more still holds its slot until it is done."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with trio.move_on_after(1) as scope:
            await session.ask("Are you there?")
        assert scope.cancelled_caught
        await session.send_message("Hello?")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
        peer.begin_response("resp_1", sent_creates(peer)[0])
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, CREATE]


# --- 8 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("who_closes", ["client", "server"])
async def test_a_waiting_create_dies_with_its_connection(
    who_closes: str, autojump_clock: MockClock
) -> None:
    """8: nothing of it on the old connection or on the next one."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_vad")
        await wait_all_tasks_blocked()
        await session.send_message("Hello")
        assert await sent_types(peer) == [ITEM]
        if who_closes == "server":
            peer.close()
            await wait_all_tasks_blocked()
    async with open_test_session(peer):
        peer.begin_response("resp_other")
        peer.end_response("resp_other")
        assert await sent_types(peer) == [ITEM]
    assert len(peer.connections) == 2


# --- 9 -----------------------------------------------------------------------------------------


async def test_interrupt_then_text_is_cancel_truncate_item_and_create_after_done(
    autojump_clock: MockClock,
) -> None:
    """9."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        begin_audio_response(peer, "resp_1", "item_1", bytes(48_000))
        await wait_all_tasks_blocked()
        await session.interrupt()
        await session.send_message("Stop. Something else.")
        wire = ["response.cancel", "conversation.item.truncate", ITEM]
        assert await sent_types(peer) == wire
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        assert await sent_types(peer) == [*wire, CREATE]
