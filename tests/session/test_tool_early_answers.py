"""Long work: the call is answered early, the tool goes on, and its result is told later."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.service import accept_create, send_call_and_wait
from support.sessions import open_test_session
from support.tools import wait
from support.wire import CREATE, ITEM, Frame, sent_frames, sent_outputs, sent_types
from trio_realtime import (
    BackgroundResult,
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    ToolContext,
    events,
    function_tool,
    tool_output_guardrail,
)
from trio_realtime.errors import ToolFailed, UsageError
from trio_realtime.testing import ScriptedPeer


def search(result: Any = "found it", *, respond: bool = True, **options: Any) -> FunctionTool:
    """Answers at once and has its result five seconds later."""

    @function_tool(**options)
    async def search(context: ToolContext[None]) -> Any:
        await context.answer_early({"status": "searching"}, respond=respond)
        await trio.sleep(5)
        if isinstance(result, Exception):
            raise result
        return result

    return search


async def later(peer: ScriptedPeer) -> list[Frame]:
    """The messages that told of results."""
    return [
        frame["item"]
        for frame in await sent_frames(peer)
        if frame["type"] == ITEM and frame["item"]["type"] == "message"
    ]


async def finish_response(peer: ScriptedPeer, response_id: str) -> None:
    peer.begin_response(response_id, await peer.expect(CREATE))
    peer.say(response_id, f"item_of_{response_id}", "I am on it.")
    peer.end_response(response_id)
    await wait_all_tasks_blocked()


async def test_the_call_is_answered_at_once_and_the_result_is_told_when_it_is_there(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    tool = search()
    async with open_test_session(peer, tool) as session:
        await send_call_and_wait(peer, "search")
        assert sent_outputs(peer) == [("call_1", '{"status":"searching"}')]
        assert await sent_types(peer) == [ITEM, CREATE]
        await peer.expect(ITEM)
        await finish_response(peer, "resp_2")
        await trio.sleep(6)
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, CREATE]
        (message,) = await later(peer)
        assert message["role"] == "system"
        assert message["content"] == [
            {"type": "input_text", "text": "Result of search (call_1): found it"}
        ]
        assert len(sent_outputs(peer)) == 1
        found = drain_channel(session.events)
        (early,) = [event for event in found if isinstance(event, events.ToolAnsweredEarly)]
        (end,) = [event for event in found if isinstance(event, events.ToolEnd)]
        assert early.type == "tool_answered_early"
        assert (early.tool, early.call_id, early.response_id) == (tool, "call_1", "resp_1")
        assert (early.output, early.output_text) == (
            {"status": "searching"},
            '{"status":"searching"}',
        )
        assert (end.output, end.output_text, end.outcome) == ("found it", "found it", "completed")
        kinds_seen = [event.type for event in found]
        assert kinds_seen.index("tool_answered_early") < kinds_seen.index("tool_end")


async def test_an_early_answer_may_leave_the_agent_silent(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, search(respond=False)):
        await send_call_and_wait(peer, "search")
        assert await sent_types(peer) == [ITEM]
        await trio.sleep(6)
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


@pytest.mark.parametrize(
    ("result", "told", "follows"),
    [
        ({"n": 1}, 'Result of search (call_1): {"n":1}', [ITEM, CREATE]),
        ("", "Result of search (call_1): ", [ITEM, CREATE]),
        (BackgroundResult("for later"), "Result of search (call_1): for later", [ITEM]),
        (None, None, []),
        (BackgroundResult(None), None, []),
        (
            LookupError("lost"),
            "Result of search (call_1): Tool search failed: LookupError: lost",
            [ITEM, CREATE],
        ),
    ],
)
async def test_what_the_tool_returns_says_how_it_is_told(
    result: Any, told: str | None, follows: list[str], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, search(result, respond=False)) as session:
        await send_call_and_wait(peer, "search")
        await trio.sleep(6)
        assert await sent_types(peer) == [ITEM, *follows]
        texts = [message["content"][0]["text"] for message in await later(peer)]
        assert texts == ([] if told is None else [told])
        (end,) = [
            event for event in drain_channel(session.events) if isinstance(event, events.ToolEnd)
        ]
        assert end.outcome == ("failed" if isinstance(result, Exception) else "completed")
        assert end.output_text == ("" if told is None else told.split(": ", 1)[1])


async def test_a_time_that_is_up_after_an_early_answer_is_told(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, search(timeout=2, respond=False)):
        await send_call_and_wait(peer, "search")
        await trio.sleep(3)
        (message,) = await later(peer)
        assert message["content"][0]["text"].endswith("timed out after 2 seconds.")


@pytest.mark.parametrize("by", ["interrupt", "speech", "cancelled response"])
async def test_an_interrupt_leaves_a_call_alone_that_was_answered_early(
    by: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, search()) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "search")
        await wait_all_tasks_blocked()
        if by == "interrupt":
            await session.interrupt()
        elif by == "speech":
            peer.start_user_speech()
        peer.end_response("resp_1", "cancelled", reason="turn_detected")
        await trio.sleep(6)
        assert [message["content"][0]["text"] for message in await later(peer)] == [
            "Result of search (call_1): found it"
        ]
        assert len(sent_outputs(peer)) == 1
        found = drain_channel(session.events)
        assert not any(isinstance(event, events.ToolCancelled) for event in found)


async def test_a_sibling_is_interrupted_without_it(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, search(), wait) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "search")
        peer.call("resp_1", "item_2", "call_2", "wait", '{"seconds": 3}')
        await wait_all_tasks_blocked()
        await session.interrupt()
        await trio.sleep(6)
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1", "call_2"]
        assert len(await later(peer)) == 1


async def test_parallel_calls_are_followed_by_a_create_when_all_are_answered(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, search(), wait):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "search")
        peer.call("resp_1", "item_2", "call_2", "wait", '{"seconds": 2}')
        peer.end_response("resp_1")
        await trio.sleep(1)
        assert await sent_types(peer) == [ITEM]
        await trio.sleep(2)
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


async def test_the_result_waits_its_turn_while_the_agent_speaks(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, search()):
        await send_call_and_wait(peer, "search")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        await trio.sleep(6)
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
        peer.end_response("resp_2")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, CREATE]


@pytest.mark.parametrize(("finish_timeout", "finishes"), [(10, True), (1, False), (None, False)])
async def test_the_end_of_the_session_cancels_it_as_ever(
    finish_timeout: float | None, finishes: bool, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    seen: list[events.SessionEvent] = []
    async with open_test_session(peer, search(finish_timeout=finish_timeout)) as session:
        await send_call_and_wait(peer, "search")
        left = trio.current_time()
        channel = session.events
    assert trio.current_time() - left <= (finish_timeout or 0) + 1
    async for event in channel:
        seen.append(event)  # noqa: PERF401
    assert len(await later(peer)) == int(finishes)
    assert len(sent_outputs(peer)) == 1
    cancelled = [event for event in seen if isinstance(event, events.ToolCancelled)]
    assert [event.output_text for event in cancelled] == ([] if finishes else [""])


async def test_draining_waits_for_the_whole(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, search(respond=False)) as session:
        await send_call_and_wait(peer, "search")
        began = trio.current_time()

        async def speak_of_it() -> None:
            for _ in range(2):
                await peer.expect(ITEM)
            await trio.sleep(1)
            await finish_response(peer, "resp_2")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak_of_it)
            await session.drain()
            assert trio.current_time() - began == pytest.approx(6, abs=0.1)


# --- once, and in time -------------------------------------------------------------------------


async def test_a_second_early_answer_is_refused(autojump_clock: MockClock) -> None:
    refused: list[UsageError] = []

    @function_tool
    async def hasty(context: ToolContext[None]) -> str:
        await context.answer_early("one")
        with pytest.raises(UsageError) as caught:
            await context.answer_early("two")
        refused.append(caught.value)
        return "three"

    peer = ScriptedPeer()
    async with open_test_session(peer, hasty):
        await send_call_and_wait(peer, "hasty")
        assert sent_outputs(peer) == [("call_1", "one")]
        assert "call_1" in str(refused[0])


async def test_after_the_end_of_a_call_nothing_is_answered_early(
    autojump_clock: MockClock,
) -> None:
    contexts: list[ToolContext[None]] = []

    @function_tool
    async def short(context: ToolContext[None]) -> str:
        contexts.append(context)
        return "done"

    peer = ScriptedPeer()
    async with open_test_session(peer, short):
        await send_call_and_wait(peer, "short")
        with pytest.raises(UsageError, match="has ended"):
            await contexts[0].answer_early("too late")
        assert sent_outputs(peer) == [("call_1", "done")]


async def test_an_early_answer_that_is_cancelled_was_not_given(autojump_clock: MockClock) -> None:
    @tool_output_guardrail
    async def slow_check(_: ToolContext[None], __: Any) -> bool:
        await trio.sleep(3)
        return False

    @function_tool(output_guardrails=[slow_check])
    async def patient(context: ToolContext[None]) -> str:
        with trio.move_on_after(1):
            await context.answer_early("soon")
        return "the real one"

    peer = ScriptedPeer()
    async with open_test_session(peer, patient):
        await send_call_and_wait(peer, "patient")
        await trio.sleep(10)
        assert sent_outputs(peer) == [("call_1", "the real one")]
        assert await later(peer) == []


async def test_an_early_answer_that_was_cancelled_may_be_tried_again(
    autojump_clock: MockClock,
) -> None:
    takes = [3.0, 0.0, 0.0]

    @tool_output_guardrail
    async def slow_at_first(_: ToolContext[None], __: Any) -> bool:
        await trio.sleep(takes.pop(0))
        return False

    @function_tool(output_guardrails=[slow_at_first])
    async def patient(context: ToolContext[None]) -> str:
        with trio.move_on_after(1):
            await context.answer_early("soon")
        await context.answer_early("now")
        return "the real one"

    peer = ScriptedPeer()
    async with open_test_session(peer, patient):
        await send_call_and_wait(peer, "patient")
        await trio.sleep(10)
        assert sent_outputs(peer) == [("call_1", "now")]
        assert len(await later(peer)) == 1


async def test_two_early_answers_at_the_same_time_are_one_too_many(
    autojump_clock: MockClock,
) -> None:
    @tool_output_guardrail
    async def slow(_: ToolContext[None], __: Any) -> bool:
        await trio.sleep(3)
        return False

    refused: list[UsageError] = []

    @function_tool(output_guardrails=[slow])
    async def double(context: ToolContext[None]) -> None:
        async def answer(text: str) -> None:
            try:
                await context.answer_early(text)
            except UsageError as exc:
                refused.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, "same")
            nursery.start_soon(answer, "same")

    peer = ScriptedPeer()
    async with open_test_session(peer, double):
        await send_call_and_wait(peer, "double")
        await trio.sleep(10)
        assert sent_outputs(peer) == [("call_1", "same")]
        assert len(refused) == 1


async def test_an_interrupted_call_is_not_spoken_of_if_it_answers_all_the_same(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def stubborn(context: ToolContext[None]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await context.answer_early("half done")

    peer = ScriptedPeer()
    async with open_test_session(peer, stubborn) as session:
        await send_call_and_wait(peer, "stubborn")
        await session.interrupt()
        assert await sent_types(peer) == [ITEM]
        assert sent_outputs(peer) == [("call_1", "half done")]


async def test_nothing_goes_on_while_an_interrupted_call_cleans_up_though_it_has_answered(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def careful(context: ToolContext[None]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await context.answer_early("stopped")
                await trio.sleep(5)

    peer = ScriptedPeer()
    async with open_test_session(peer, careful) as session, trio.open_nursery() as nursery:
        await send_call_and_wait(peer, "careful")
        nursery.start_soon(session.interrupt)
        await trio.sleep(1)
        await session.send_message("Go on")
        assert CREATE not in await sent_types(peer)
        assert sent_outputs(peer) == []
        await trio.sleep(5)
        assert sent_outputs(peer) == [("call_1", "stopped")]
        assert (await sent_types(peer))[-1] == CREATE
        found = drain_channel(session.events)
    early, cancelled = (
        [type(event) for event in found].index(kind)
        for kind in (events.ToolAnsweredEarly, events.ToolCancelled)
    )
    assert early < cancelled


async def test_an_early_answer_whose_check_outlasts_the_call_is_refused(
    autojump_clock: MockClock,
) -> None:
    told: list[str] = []

    @tool_output_guardrail
    async def thorough(_context: ToolContext[None], _output: Any) -> bool:
        await trio.sleep(1)
        return False

    async def answer_later(context: ToolContext[None]) -> None:
        await trio.sleep(0.5)
        with pytest.raises(UsageError) as caught:
            await context.answer_early("early")
        told.append(str(caught.value))

    async with trio.open_nursery() as nursery:

        @function_tool(output_guardrails=[thorough])
        async def look(context: ToolContext[None]) -> str:
            nursery.start_soon(answer_later, context)
            return "seen"

        peer = ScriptedPeer()
        async with open_test_session(peer, look):
            await send_call_and_wait(peer, "look")
            await trio.sleep(5)
    assert sent_outputs(peer) == [("call_1", "seen")]
    assert told == ["call call_1 has ended"]


async def test_outside_a_session_an_early_answer_goes_nowhere() -> None:
    tool = search()
    context: ToolContext[None] = ToolContext(
        context=None,
        call_id="call_1",
        tool_name="search",
        arguments="{}",
        agent=RealtimeAgent(name="A"),
        response_id="resp_1",
    )
    await context.answer_early("anything")
    await context.answer_early("as often as you like")
    assert tool.function is not None


async def test_a_tool_that_answered_early_may_still_end_the_session(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()

    async def run(session: RealtimeSession[None]) -> None:
        await send_call_and_wait(peer, "search")
        async for _ in session:
            pass

    with pytest.raises(ToolFailed):
        async with open_test_session(
            peer, search(LookupError("lost"), respond=False, on_failure="end_session")
        ) as session:
            await run(session)
    assert len(sent_outputs(peer)) == 1
    assert len(await later(peer)) == 1
    assert CREATE not in await sent_types(peer)
