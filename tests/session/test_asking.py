"""Asking and getting the answer."""

from __future__ import annotations

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

from support.service import accept_create
from support.sessions import open_test_session
from support.tools import endless
from trio_realtime import RealtimeAgent, RealtimeSession, function_tool, open_realtime_session
from trio_realtime.errors import ResponseFailed, UsageError
from trio_realtime.local import Call, RuleResponder, Say, ScriptedResponder, local_connector
from trio_realtime.testing import ScriptedPeer, message


async def answer(peer: ScriptedPeer, response_id: str, text: str) -> None:
    """Answer the next create with one message."""
    await accept_create(peer, response_id)
    peer.say(response_id, f"item_of_{response_id}", text)
    said = message(f"item_of_{response_id}", text)
    peer.end_response(response_id, output=[said])


async def test_ask_returns_the_answer_that_follows_the_calls(autojump_clock: MockClock) -> None:
    @function_tool
    async def look_up() -> str:
        """Look it up."""
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
        await answer(peer, "resp_last", "It is 42.")

    peer = ScriptedPeer()
    async with open_test_session(peer, look_up) as session, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        outcome = await session.ask("What is it?")
        assert (outcome.text, outcome.status) == ("It is 42.", "completed")
        assert outcome.response_id == "resp_last"


async def test_ask_says_when_the_answer_was_cut_off(autojump_clock: MockClock) -> None:
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


async def test_ask_ends_when_its_calls_are_interrupted(autojump_clock: MockClock) -> None:
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


async def test_two_who_ask_get_each_their_own_answer(autojump_clock: MockClock) -> None:
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
        await peer.expect_nothing()  # the second question waits for its turn
        peer.begin_response("resp_1", create)
        peer.say("resp_1", "item_1", "to the first")
        peer.end_response("resp_1")
        await peer.expect("conversation.item.create")
        await answer(peer, "resp_2", "to the second")
    assert got == {"first": "to the first", "second": "to the second"}


@pytest.mark.parametrize("content", ["", [], [""]])
async def test_a_message_with_nothing_in_it_is_refused(
    content: str | list[str], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError):
            await session.send_message(content)
        await peer.expect_nothing()


async def test_each_task_gets_the_answer_to_its_own_question_also_through_tools(
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


async def test_a_question_asked_inside_a_tool_does_not_wait_for_the_turn_it_is_part_of(
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
