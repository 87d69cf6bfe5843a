"""Early answers: the call is answered while the tool goes on, and its result is sent later."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.service import accept_create, send_call_and_wait
from support.sessions import open_test_session
from support.tools import make_search_tool, wait
from support.wire import CREATE, ITEM, late_result_messages, sent_outputs, sent_types
from trio_realtime import (
    BackgroundResult,
    RealtimeAgent,
    ToolContext,
    events,
    function_tool,
    tool_output_guardrail,
)
from trio_realtime.errors import UsageError
from trio_realtime.testing import ScriptedPeer

# --- answer and result -------------------------------------------------------------------------


async def answer_create(peer: ScriptedPeer, response_id: str) -> None:
    peer.begin_response(response_id, await peer.expect(CREATE))
    peer.say(response_id, f"item_of_{response_id}", "I am on it.")
    peer.end_response(response_id)
    await wait_all_tasks_blocked()


async def test_call_is_answered_early_and_its_result_is_sent_later(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    tool = make_search_tool()
    async with open_test_session(peer, tool) as session:
        await send_call_and_wait(peer, "search")
        assert sent_outputs(peer) == [("call_1", '{"status":"searching"}')]
        assert await sent_types(peer) == [ITEM, CREATE]
        await peer.expect(ITEM)
        await answer_create(peer, "resp_2")
        await trio.sleep(6)
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, CREATE]
        (message,) = await late_result_messages(peer)
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


async def test_early_answer_may_request_no_response(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_search_tool(respond=False)):
        await send_call_and_wait(peer, "search")
        assert await sent_types(peer) == [ITEM]
        await trio.sleep(6)
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


@pytest.mark.parametrize(
    ("result", "message", "follows"),
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
async def test_return_value_decides_how_the_result_is_sent(
    result: Any, message: str | None, follows: list[str], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_search_tool(result, respond=False)) as session:
        await send_call_and_wait(peer, "search")
        await trio.sleep(6)
        assert await sent_types(peer) == [ITEM, *follows]
        texts = [item["content"][0]["text"] for item in await late_result_messages(peer)]
        assert texts == ([] if message is None else [message])
        (end,) = [
            event for event in drain_channel(session.events) if isinstance(event, events.ToolEnd)
        ]
        assert end.outcome == ("failed" if isinstance(result, Exception) else "completed")
        assert end.output_text == ("" if message is None else message.split(": ", 1)[1])


async def test_timeout_after_an_early_answer_is_reported(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_search_tool(timeout=2, respond=False)):
        await send_call_and_wait(peer, "search")
        await trio.sleep(3)
        (message,) = await late_result_messages(peer)
        assert message["content"][0]["text"].endswith("timed out after 2 seconds.")


async def test_create_follows_when_all_parallel_calls_are_answered(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_search_tool(), wait):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "search")
        peer.call("resp_1", "item_2", "call_2", "wait", '{"seconds": 2}')
        peer.end_response("resp_1")
        await trio.sleep(1)
        assert await sent_types(peer) == [ITEM]
        await trio.sleep(2)
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


async def test_result_waits_for_the_running_response(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_search_tool()):
        await send_call_and_wait(peer, "search")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        await trio.sleep(6)
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
        peer.end_response("resp_2")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM, CREATE]


@pytest.mark.parametrize(("finish_timeout", "finishes"), [(10, True), (1, False), (None, False)])
async def test_shutdown_cancels_the_tool_after_its_finish_timeout(
    finish_timeout: float | None, finishes: bool, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    seen: list[events.SessionEvent] = []
    async with open_test_session(peer, make_search_tool(finish_timeout=finish_timeout)) as session:
        await send_call_and_wait(peer, "search")
        left = trio.current_time()
        channel = session.events
    assert trio.current_time() - left <= (finish_timeout or 0) + 1
    async for event in channel:
        seen.append(event)  # noqa: PERF401
    assert len(await late_result_messages(peer)) == int(finishes)
    assert len(sent_outputs(peer)) == 1
    cancelled = [event for event in seen if isinstance(event, events.ToolCancelled)]
    assert [event.output_text for event in cancelled] == ([] if finishes else [""])


async def test_drain_waits_for_the_result(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_search_tool(respond=False)) as session:
        await send_call_and_wait(peer, "search")
        began = trio.current_time()

        async def answer_result() -> None:
            for _ in range(2):
                await peer.expect(ITEM)
            await trio.sleep(1)
            await answer_create(peer, "resp_2")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_result)
            await session.drain()
            assert trio.current_time() - began == pytest.approx(6, abs=0.1)


# --- interruptions -----------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["interrupt", "speech", "cancelled response"])
async def test_interruption_does_not_affect_a_call_that_was_answered_early(
    by: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_search_tool()) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "search")
        await wait_all_tasks_blocked()
        if by == "interrupt":
            await session.interrupt()
        elif by == "speech":
            peer.start_user_speech()
        peer.end_response("resp_1", "cancelled", reason="turn_detected")
        await trio.sleep(6)
        assert [message["content"][0]["text"] for message in await late_result_messages(peer)] == [
            "Result of search (call_1): found it"
        ]
        assert len(sent_outputs(peer)) == 1
        found = drain_channel(session.events)
        assert not any(isinstance(event, events.ToolCancelled) for event in found)


async def test_interruption_cancels_only_the_sibling(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_search_tool(), wait) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "search")
        peer.call("resp_1", "item_2", "call_2", "wait", '{"seconds": 3}')
        await wait_all_tasks_blocked()
        await session.interrupt()
        await trio.sleep(6)
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1", "call_2"]
        assert len(await late_result_messages(peer)) == 1


async def test_early_answer_of_an_interrupted_call_requests_no_response(
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


async def test_create_waits_for_the_cleanup_of_an_interrupted_call_that_answered_early(
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


# --- at most once ------------------------------------------------------------------------------


async def test_second_early_answer_raises(autojump_clock: MockClock) -> None:
    errors: list[UsageError] = []

    @function_tool
    async def hasty(context: ToolContext[None]) -> str:
        await context.answer_early("one")
        with pytest.raises(UsageError) as caught:
            await context.answer_early("two")
        errors.append(caught.value)
        return "three"

    peer = ScriptedPeer()
    async with open_test_session(peer, hasty):
        await send_call_and_wait(peer, "hasty")
        assert sent_outputs(peer) == [("call_1", "one")]
        assert "call_1" in str(errors[0])


async def test_concurrent_early_answers_send_only_one(
    autojump_clock: MockClock,
) -> None:
    @tool_output_guardrail
    async def slow(_: ToolContext[None], __: Any) -> bool:
        await trio.sleep(3)
        return False

    errors: list[UsageError] = []

    @function_tool(output_guardrails=[slow])
    async def double(context: ToolContext[None]) -> None:
        async def answer(text: str) -> None:
            try:
                await context.answer_early(text)
            except UsageError as exc:
                errors.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, "same")
            nursery.start_soon(answer, "same")

    peer = ScriptedPeer()
    async with open_test_session(peer, double):
        await send_call_and_wait(peer, "double")
        await trio.sleep(10)
        assert sent_outputs(peer) == [("call_1", "same")]
        assert len(errors) == 1


async def test_early_answer_after_the_end_of_the_call_raises(
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


async def test_cancelled_early_answer_is_not_sent(autojump_clock: MockClock) -> None:
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
        assert await late_result_messages(peer) == []


async def test_cancelled_early_answer_may_be_repeated(
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
        assert len(await late_result_messages(peer)) == 1


async def test_early_answer_raises_if_the_call_ends_during_its_check(
    autojump_clock: MockClock,
) -> None:
    errors: list[str] = []

    @tool_output_guardrail
    async def thorough(_context: ToolContext[None], _output: Any) -> bool:
        await trio.sleep(1)
        return False

    async def answer_later(context: ToolContext[None]) -> None:
        await trio.sleep(0.5)
        with pytest.raises(UsageError) as caught:
            await context.answer_early("early")
        errors.append(str(caught.value))

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
    assert errors == ["call call_1 has ended"]


async def test_early_answer_outside_a_session_does_nothing() -> None:
    tool = make_search_tool()
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
