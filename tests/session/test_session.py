"""Messages, questions and counters of a session."""

from __future__ import annotations

from typing import TypeAlias

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

from support.service import accept_create
from support.sessions import open_test_session
from support.tools import endless
from support.wire import CREATE, ITEM, sent_creates, sent_frames, sent_outputs, sent_types
from trio_realtime import RealtimeAgent, RealtimeSession, function_tool, open_realtime_session
from trio_realtime.errors import ResponseFailed, UsageError
from trio_realtime.local import Call, RuleResponder, Say, ScriptedResponder, local_connector
from trio_realtime.testing import ScriptedPeer, message

# --- messages and requests ---------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", [], [""]])
async def test_send_message_rejects_empty_content(
    content: str | list[str], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError):
            await session.send_message(content)
        await peer.expect_nothing()


async def test_send_message_accepts_item_ids_and_an_event_id(autojump_clock: MockClock) -> None:
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
        with pytest.raises(UsageError, match="item_id must have 1 to 32 characters, got 33"):
            await session.send_message("Hi", item_id="x" * 33)


async def test_rejected_arguments_do_not_block_later_requests(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError):
            await session.create_response(tool_choice=object())
        with pytest.raises(UsageError):
            await session.send_message([object()])  # type: ignore[list-item]
        await session.send_message("Hello")
        assert CREATE in await sent_types(peer)


async def test_rejected_settings_do_not_block_later_updates(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError):
            await session.update_settings(tool_choice=object())
        with trio.fail_after(10):
            await session.update_settings(speed=1.2)


async def test_cancelled_calls_send_nothing(
    autojump_clock: MockClock,
) -> None:
    """Sends only queue frames, so a cancellation cannot leave half a request."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.send_message("never sent")
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.create_response()
        assert await sent_types(peer) == []
        await session.send_message("Hello")
        assert await sent_types(peer) == [ITEM, CREATE]


@pytest.mark.parametrize("metadata", [{f"key_{n}": "" for n in range(16)}, {"key": "x" * 513}])
async def test_create_response_rejects_metadata_beyond_the_limits(
    metadata: dict[str, str], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError, match="metadata"):
            await session.create_response(metadata=metadata)
        await peer.expect_nothing()


# --- questions ---------------------------------------------------------------------------------


Session: TypeAlias = RealtimeSession[None]


async def answer_create(peer: ScriptedPeer, response_id: str, text: str) -> None:
    """Answer the next ``response.create`` with one message."""
    await accept_create(peer, response_id)
    peer.say(response_id, f"item_of_{response_id}", text)
    said = message(f"item_of_{response_id}", text)
    peer.end_response(response_id, output=[said])


async def test_ask_returns_the_reply_that_follows_the_calls(autojump_clock: MockClock) -> None:
    @function_tool
    async def look_up() -> str:
        """Return the answer."""
        return "42"

    async def serve() -> None:
        await peer.expect("conversation.item.create")
        for number in range(2):
            await accept_create(peer, f"resp_{number}")
            peer.say(f"resp_{number}", f"item_{number}", "One moment.")
            peer.call(f"resp_{number}", f"fc_{number}", f"call_{number}", "look_up")
            peer.end_response(f"resp_{number}")
            output = await peer.expect("conversation.item.create")
            assert output["item"]["output"] == "42"
        await answer_create(peer, "resp_last", "It is 42.")

    peer = ScriptedPeer()
    async with open_test_session(peer, look_up) as session, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        outcome = await session.ask("What is it?")
        assert (outcome.text, outcome.status) == ("It is 42.", "completed")
        assert outcome.response_id == "resp_last"


async def test_ask_raises_if_the_reply_was_cut_off(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()

    async def serve() -> None:
        await peer.expect("conversation.item.create")
        await accept_create(peer, "resp_1")
        peer.open_message("resp_1", "item_1")
        peer.text("resp_1", "item_1", "It is f")
        peer.end_response("resp_1", "cancelled", reason="turn_detected")

    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(ResponseFailed, match="turn_detected") as caught:
            await session.ask("What is it?")
    assert (caught.value.status, caught.value.reason) == ("cancelled", "turn_detected")
    assert caught.value.text == "It is f"


async def test_ask_raises_if_the_calls_are_interrupted(autojump_clock: MockClock) -> None:
    async def serve(session: RealtimeSession[None]) -> None:
        await peer.expect("conversation.item.create")
        await accept_create(peer, "resp_1")
        peer.call("resp_1", "fc_1", "call_1", "endless")
        peer.end_response("resp_1")
        await trio.sleep(1)
        await session.interrupt()

    peer = ScriptedPeer()
    async with open_test_session(peer, endless) as session, trio.open_nursery() as nursery:
        nursery.start_soon(serve, session)
        with pytest.raises(ResponseFailed, match="interrupted"):
            await session.ask("What is it?")


async def test_concurrent_questions_get_their_own_answers(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    got: dict[str, str] = {}

    async def ask(session: RealtimeSession[None], question: str) -> None:
        got[question] = (await session.ask(question)).text

    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        nursery.start_soon(ask, session, "first")
        await wait_all_tasks_blocked()
        nursery.start_soon(ask, session, "second")
        await wait_all_tasks_blocked()
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        await peer.expect_nothing()  # the second question is queued
        peer.begin_response("resp_1", create)
        peer.say("resp_1", "item_1", "to the first")
        peer.end_response("resp_1")
        await peer.expect("conversation.item.create")
        await answer_create(peer, "resp_2", "to the second")
    assert got == {"first": "to the first", "second": "to the second"}


async def test_concurrent_questions_that_call_tools_get_their_own_answers(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def double(n: int) -> str:
        await trio.sleep(1)
        return f"{n} doubled is {2 * n}"

    service = local_connector(responder=RuleResponder())
    agent = RealtimeAgent[None](name="Maths", tools=[double])
    answers: dict[int, str] = {}
    with trio.fail_after(600):
        async with (
            open_realtime_session(agent, transport=service, endpoint=service.endpoint) as session,
            trio.open_nursery() as nursery,
        ):

            async def ask(n: int) -> None:
                answers[n] = (await session.ask(f"double {n}")).text

            for n in (1, 3, 5):
                nursery.start_soon(ask, n)
    assert answers == {n: f"{n} doubled is {2 * n}" for n in (1, 3, 5)}


async def test_ask_inside_a_tool_does_not_wait_for_its_own_turn(
    autojump_clock: MockClock,
) -> None:
    sessions: list[RealtimeSession[None]] = []

    @function_tool
    async def look_up() -> str:
        return (await sessions[0].ask("And in Oslo?")).text

    responder = ScriptedResponder([Call("look_up"), Say("Rain."), Say("It rains in Oslo.")])
    service = local_connector(responder=responder)
    agent = RealtimeAgent[None](name="Weather", tools=[look_up])
    with trio.fail_after(600):
        async with (
            open_realtime_session(agent, transport=service, endpoint=service.endpoint) as session,
            trio.open_nursery() as nursery,
        ):
            sessions.append(session)
            others: list[str] = []

            async def ask() -> None:
                await trio.lowlevel.checkpoint()
                others.append((await session.ask("Anything else?")).text)

            nursery.start_soon(ask)
            assert (await session.ask("How is the weather?")).text == "It rains in Oslo."
            nursery.cancel_scope.cancel()


async def test_ask_inside_a_tool_of_an_asked_turn_gets_the_nested_answer(
    autojump_clock: MockClock,
) -> None:
    sessions: list[Session] = []
    heard: list[str] = []

    @function_tool
    async def consult() -> str:
        return f"it says {(await sessions[0].ask('What else?')).text}"

    async def ask() -> None:
        heard.append((await sessions[0].ask("What?")).text)

    peer = ScriptedPeer()
    async with open_test_session(peer, consult) as session, trio.open_nursery() as nursery:
        sessions.append(session)
        nursery.start_soon(ask)
        await peer.expect(ITEM)
        await accept_create(peer, "resp_1")
        peer.call("resp_1", "item_1", "call_1", "consult")
        peer.end_response("resp_1")
        for response_id, text in (("resp_2", "inner"), ("resp_3", "outer")):
            await peer.expect(ITEM)
            await accept_create(peer, response_id)
            peer.say(response_id, f"item_{response_id}", text)
            peer.end_response(response_id)
    assert sent_outputs(peer) == [("call_1", "it says inner")]
    assert heard == ["outer"]


async def test_cancelled_ask_keeps_the_response_slot_until_the_response_is_done(
    autojump_clock: MockClock,
) -> None:
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


# --- counters ----------------------------------------------------------------------------------


async def test_statistics_count_items_frames_and_tools(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.add_item(message("item_1", "Hi"))
        await session.send_audio(b"\0\0")
        await wait_all_tasks_blocked()
        statistics = session.statistics()
        assert statistics.history_items == 1
        assert statistics.sent_frames == 2
        assert statistics.outgoing_frames == 0
        assert statistics.running_tools == 0
        assert statistics.events.buffered_events > 0


async def test_usage_sums_all_responses_including_cancelled_ones(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    usage = {
        "total_tokens": 30,
        "input_tokens": 10,
        "output_tokens": 20,
        "input_token_details": {"text_tokens": 4, "audio_tokens": 6, "cached_tokens": 3},
        "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
    }
    async with open_test_session(peer) as session:
        for number, status in enumerate(("completed", "cancelled", "failed")):
            peer.begin_response(f"resp_{number}")
            peer.end_response(f"resp_{number}", status, usage=usage)
        peer.begin_response("resp_untold")
        peer.end_response("resp_untold")
        await wait_all_tasks_blocked()
        total = session.usage
    assert (total.responses, total.total_tokens) == (3, 90)
    assert (total.input_tokens, total.output_tokens) == (30, 60)
    assert (total.input_audio_tokens, total.output_audio_tokens) == (18, 45)
    assert total.cached_tokens == 9
