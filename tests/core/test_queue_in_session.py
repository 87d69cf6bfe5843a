"""When ``response.create`` is sent.

The tests compare only frames and events: what was sent, what was received, and what the consumer saw.
"""

from __future__ import annotations

import json

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.service import start_call
from support.sessions import open_test_session
from support.tools import wait
from support.wire import CREATE, ITEM, sent_creates, sent_frames, sent_outputs, sent_types
from trio_realtime import events, function_tool
from trio_realtime.errors import RequestRejected
from trio_realtime.testing import ScriptedPeer

# --- messages ----------------------------------------------------------------------------------


async def test_message_while_idle_is_followed_by_a_create(autojump_clock: MockClock) -> None:
    """With ``respond=False`` it is not."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_message("Only for the record.", respond=False)
        assert await sent_types(peer) == [ITEM]
        await session.send_message("Hello")
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


async def test_message_during_a_response_is_sent_at_once_and_its_create_after_done(
    autojump_clock: MockClock,
) -> None:
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


async def test_two_messages_during_a_response_share_one_create(autojump_clock: MockClock) -> None:
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


async def test_message_after_a_pending_create_gets_its_own_create(
    autojump_clock: MockClock,
) -> None:
    """The requested response does not include the second message."""
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


# --- tool outputs ------------------------------------------------------------------------------


@function_tool
async def ping() -> str:
    """Answer at once."""
    return "pong"


async def test_two_tool_outputs_during_a_response_share_one_create(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, ping):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "ping")
        peer.call("resp_1", "item_2", "call_2", "ping")
        assert await sent_types(peer) == [ITEM, ITEM]
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


async def test_message_and_tool_output_during_a_response_share_one_create(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, ping) as session:
        await start_call(peer, "ping")
        await session.send_message("And be quick.")
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


async def test_create_waits_for_all_parallel_calls(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, wait):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "wait", '{"seconds": 1}')
        peer.call("resp_1", "item_2", "call_2", "wait", '{"seconds": 9}')
        peer.end_response("resp_1")
        await trio.sleep(5)
        assert await sent_types(peer) == [ITEM]
        await trio.sleep(5)
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]
        await trio.sleep(4)
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


@pytest.mark.parametrize("done_after", [0, 1.5, 5])
async def test_parallel_calls_run_concurrently_and_are_answered_before_the_create(
    done_after: float, autojump_clock: MockClock
) -> None:
    """Whenever the response itself is done."""
    peer = ScriptedPeer()
    async with open_test_session(peer, wait):
        peer.begin_response("resp_1")
        for number, seconds in enumerate((3, 1, 2)):
            arguments = json.dumps({"seconds": seconds})
            peer.call("resp_1", f"item_{number}", f"call_{number}", "wait", arguments)
        await trio.sleep(done_after)
        peer.end_response("resp_1")
        await trio.sleep(10)
        assert await sent_types(peer) == [ITEM, ITEM, ITEM, CREATE]
        assert sent_outputs(peer) == [
            ("call_1", "waited 1"),
            ("call_2", "waited 2"),
            ("call_0", "waited 3"),
        ]


async def test_create_for_a_tool_output_waits_for_a_later_response(
    autojump_clock: MockClock,
) -> None:
    """The output itself is sent at once."""
    peer = ScriptedPeer()
    async with open_test_session(peer, wait):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "wait", '{"seconds": 2}')
        peer.end_response("resp_1")
        await trio.sleep(1)
        peer.begin_response("resp_2")
        await trio.sleep(2)
        assert await sent_types(peer) == [ITEM]
        peer.end_response("resp_2")
        assert await sent_types(peer) == [ITEM, CREATE]


# --- requests with parameters ------------------------------------------------------------------


async def test_request_with_parameters_is_not_merged_with_an_automatic_one(
    autojump_clock: MockClock,
) -> None:
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


async def test_automatic_request_does_not_absorb_one_with_parameters(
    autojump_clock: MockClock,
) -> None:
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


async def test_requests_with_parameters_stay_separate_and_in_order(
    autojump_clock: MockClock,
) -> None:
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


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names_it", "code", "message", "frees"),
    [
        (True, "rate_limit_exceeded", "Slow down.", True),
        (False, "bad_response_create", "No.", True),
        (False, "invalid_value", "Invalid value in response.create.", True),
        (False, "server_error", "Something else broke.", False),
    ],
)
async def test_only_an_error_about_the_create_frees_its_slot(
    names_it: bool, code: str, message: str, frees: bool, autojump_clock: MockClock
) -> None:
    """The error names the event id, or else the request in its code or message."""
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


async def test_error_about_another_event_keeps_the_slot(autojump_clock: MockClock) -> None:
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


async def test_late_done_of_an_earlier_response_does_not_free_the_slot(
    autojump_clock: MockClock,
) -> None:
    """Nor does it end the turn of the running response."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.end_response("resp_1")
        peer.begin_response("resp_2")
        await wait_all_tasks_blocked()
        await session.send_message("Hello")
        peer.end_response("resp_1")
        assert await sent_types(peer) == ["conversation.item.create"]
        peer.end_response("resp_nobody_saw")
        assert await sent_types(peer) == ["conversation.item.create"]
        ends = [
            e.response_id
            for e in drain_channel(session.events)
            if isinstance(e, events.ResponseEnd)
        ]
        assert ends == ["resp_1", "resp_nobody_saw"]
        await session.interrupt()
        assert (await sent_frames(peer))[-1]["response_id"] == "resp_2"
