"""Calls that somebody has to approve. Numbers are those of the reference's list of behaviours."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.service import accept_create, function_call_item, send_call_and_wait
from support.sessions import open_test_session
from support.tools import make_note_tool
from support.wire import CREATE, ITEM, sent_outputs
from trio_realtime import (
    GuardrailResult,
    RealtimeAgent,
    ToolContext,
    ToolInputGuardrail,
    events,
    function_tool,
    tool_input_guardrail,
)
from trio_realtime.testing import ScriptedPeer

HELLO = '{"text": "hello"}'

# --- 27, 28, 30: approval ----------------------------------------------------------------------


async def test_a_call_that_needs_approval_sends_nothing_and_asks_once(
    autojump_clock: MockClock,
) -> None:
    """27: delivered twice, decided twice, run once."""
    note, runs = make_note_tool(needs_approval=True)
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        await send_call_and_wait(peer, "note", HELLO)
        peer.close_item("resp_1", function_call_item("item_1", "call_1", "note", HELLO))
        peer.begin_response("resp_2")
        peer.close_item("resp_2", function_call_item("item_1", "call_1", "note", HELLO))
        peer.end_response("resp_2")
        await peer.expect_nothing()
        (asked,) = drain_events(session.events, events.ToolApprovalRequired)
        assert (asked.call_id, asked.arguments, runs) == ("call_1", HELLO, [])
        assert await session.approve_tool_call("call_1")
        assert not await session.approve_tool_call("call_1")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        await peer.expect_nothing()
    assert (runs, sent_outputs(peer)) == (["hello"], [("call_1", "noted hello")])


async def test_what_is_approved_after_another_agent_took_over_is_the_tool_that_was_asked_for(
    autojump_clock: MockClock,
) -> None:
    """28: both agents have a tool of this name."""
    first, runs = make_note_tool(needs_approval=True)
    second, others = make_note_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, first) as session:
        await send_call_and_wait(peer, "note", HELLO)
        await session.update_agent(RealtimeAgent(name="Next", tools=[second]))
        assert await session.approve_tool_call("call_1")
        await peer.expect(ITEM)
        assert (runs, others) == (["hello"], [])
        assert sent_outputs(peer) == [("call_1", "noted hello")]


@pytest.mark.parametrize(
    "arguments",
    ["", '{"amount": ', "null", "[]", '"12"', '{"amount": NaN}', '{"amount": Infinity}'],
)
async def test_arguments_that_cannot_be_judged_wait_for_approval_and_are_then_answered_as_wrong(
    arguments: str, autojump_clock: MockClock
) -> None:
    """30: the function that would judge them is not asked."""
    judged: list[Any] = []
    paid: list[int] = []

    def is_dear(_: ToolContext[None], given: dict[str, Any]) -> bool:
        judged.append(given)
        return False

    @function_tool(needs_approval=is_dear)
    async def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    peer = ScriptedPeer()
    async with open_test_session(peer, pay) as session:
        await send_call_and_wait(peer, "pay", arguments)
        await peer.expect_nothing()
        (asked,) = drain_events(session.events, events.ToolApprovalRequired)
        assert asked.arguments == arguments
        await session.approve_tool_call("call_1")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
    assert (judged, paid) == ([], [])
    assert "Invalid arguments" in sent_outputs(peer)[0][1]


# --- 31, 32: rejection -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "told"),
    [("Not today.", "Not today."), (None, "Tool execution was not approved.")],
)
async def test_a_rejected_call_is_answered_and_spoken_of(
    message: str | None, told: str, autojump_clock: MockClock
) -> None:
    """31: with the message that was given, or with words of ours; and ``tool_end`` says so."""
    note, runs = make_note_tool(needs_approval=True)
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        await send_call_and_wait(peer, "note", HELLO)
        assert await session.reject_tool_call("call_1", message=message)
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        ended = [event for event in drain_channel(session.events) if event.type.startswith("tool")]
        assert [event.type for event in ended] == ["tool_approval_required", "tool_end"]
        end = ended[-1]
        assert isinstance(end, events.ToolEnd)
        assert (end.outcome, end.output_text) == ("rejected", told)
    assert (runs, sent_outputs(peer)) == ([], [("call_1", told)])


async def no_words(_: ToolContext[None]) -> str:
    raise LookupError("hunter2 is no word")


async def nothing(_: ToolContext[None]) -> Any:
    await trio.sleep(1)


async def polite(about: ToolContext[None]) -> str:
    await trio.sleep(1)
    return f"Please no {about.tool_name} ({about.call_id})."


@pytest.mark.parametrize(
    ("formatter", "message", "told"),
    [
        (polite, None, "Please no note (call_1)."),
        (polite, "Not today.", "Not today."),
        (polite, "", ""),
        (no_words, None, "Tool execution was not approved."),
        (nothing, None, "Tool execution was not approved."),
    ],
)
async def test_the_words_of_a_rejection_are_those_of_whoever_has_any(
    formatter: Any, message: str | None, told: str, autojump_clock: MockClock
) -> None:
    """31: the decision's, else the session's formatter's, else ours; also where that one fails."""
    note, runs = make_note_tool(needs_approval=True)
    peer = ScriptedPeer()
    async with open_test_session(peer, note, format_rejection=formatter) as session:
        await send_call_and_wait(peer, "note", HELLO)
        assert await session.reject_tool_call("call_1", message=message)
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        await peer.expect_nothing()
    assert (runs, sent_outputs(peer)) == ([], [("call_1", told)])


@pytest.mark.parametrize("meanwhile", ["it comes again", "the user interrupts"])
async def test_a_call_whose_rejection_is_being_worded_is_answered_once(
    meanwhile: str, autojump_clock: MockClock
) -> None:
    """31: an interruption answers it as cancelled. In neither case does it run after all."""
    note, runs = make_note_tool(needs_approval=True)
    peer = ScriptedPeer()
    async with open_test_session(peer, note, format_rejection=polite) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "note", HELLO)
        await wait_all_tasks_blocked()
        assert await session.reject_tool_call("call_1")
        await trio.sleep(0.5)
        if meanwhile == "it comes again":
            peer.close_item("resp_1", function_call_item("item_1", "call_1", "note", HELLO))
        else:
            await session.interrupt()
        assert not await session.approve_tool_call("call_1")
        await trio.sleep(5)
        ((_, told),) = sent_outputs(peer)
        assert told.startswith("Please no" if meanwhile == "it comes again" else "The call was")
    assert runs == []


async def test_a_rejected_call_that_comes_again_is_not_answered_again(
    autojump_clock: MockClock,
) -> None:
    """31: neither in the moment of the decision nor later, nor does a second decision count."""
    note, runs = make_note_tool(needs_approval=True)
    repeat = function_call_item("item_1", "call_1", "note", HELLO)
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        await send_call_and_wait(peer, "note", HELLO)
        peer.close_item("resp_1", repeat)
        assert await session.reject_tool_call("call_1")
        peer.close_item("resp_1", repeat)
        assert not await session.approve_tool_call("call_1")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.close_item("resp_2", repeat)
        peer.end_response("resp_2")
        await peer.expect_nothing()
    assert (runs, len(sent_outputs(peer))) == ([], 1)


@pytest.mark.parametrize("approved", [True, False])
async def test_a_decision_for_good_holds_for_a_call_that_is_still_being_judged(
    approved: bool, autojump_clock: MockClock
) -> None:
    """32: it is looked at again after whatever had to be waited for. Nobody is asked twice."""

    async def needs_approval(_: ToolContext[None], arguments: dict[str, Any]) -> bool:
        await trio.sleep(5 if arguments["text"] == "slowly" else 0)
        return True

    note, runs = make_note_tool(needs_approval=needs_approval)
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "note", HELLO)
        peer.call("resp_1", "item_2", "call_2", "note", '{"text": "slowly"}')
        peer.end_response("resp_1")
        await trio.sleep(1)
        decide = session.approve_tool_call if approved else session.reject_tool_call
        assert await decide("call_1", always=True)
        await peer.expect(ITEM)
        await peer.expect_nothing()
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        asked = [
            event.call_id for event in drain_events(session.events, events.ToolApprovalRequired)
        ]
    assert asked == ["call_1"]
    assert runs == (["hello", "slowly"] if approved else [])
    assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1", "call_2"]


async def test_a_rejection_for_good_wins_over_a_function_that_would_wave_a_call_through(
    autojump_clock: MockClock,
) -> None:
    """32: the decision was about the tool, not about what its arguments are."""

    def is_dear(_: ToolContext[None], arguments: dict[str, Any]) -> bool:
        return bool(arguments["text"] == "hello")

    note, runs = make_note_tool(needs_approval=is_dear)
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        await send_call_and_wait(peer, "note", HELLO)
        assert await session.reject_tool_call("call_1", always=True, message="Never.")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.call("resp_2", "item_2", "call_2", "note", '{"text": "cheap"}')
        peer.end_response("resp_2")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
    assert (runs, sent_outputs(peer)) == ([], [("call_1", "Never."), ("call_2", "Never.")])


async def test_a_rejection_for_good_wins_over_guardrails_that_are_still_checking(
    autojump_clock: MockClock,
) -> None:
    """32 with 33: though they, too, would refuse the call, only for other reasons."""

    @tool_input_guardrail
    async def slow_check(_: ToolContext[None], arguments: dict[str, Any]) -> bool:
        await trio.sleep(5 if arguments["text"] == "slowly" else 0)
        return bool(arguments["text"] == "slowly")

    note, runs = make_note_tool(
        needs_approval=True, input_guardrails=[slow_check], check_input_before_approval=True
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "note", HELLO)
        peer.call("resp_1", "item_2", "call_2", "note", '{"text": "slowly"}')
        peer.end_response("resp_1")
        await trio.sleep(1)
        assert await session.reject_tool_call("call_1", always=True, message="Never.")
        await peer.expect(ITEM)
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        assert len(drain_events(session.events, events.ToolApprovalRequired)) == 1
    assert (runs, sent_outputs(peer)) == ([], [("call_1", "Never."), ("call_2", "Never.")])


# --- 33: guardrails and approval ---------------------------------------------------------------


class Checks:
    """A guardrail of arguments that notes what it sees, and what it thinks of it."""

    def __init__(self, *trips: bool) -> None:
        self.seen: list[Any] = []
        self._trips = [*trips]
        self.guardrail: ToolInputGuardrail = tool_input_guardrail(name="checks")(self._check)

    async def _check(self, _: ToolContext[None], arguments: dict[str, Any]) -> GuardrailResult:
        self.seen.append(arguments)
        return GuardrailResult(self._trips.pop(0), message="Not with these arguments.")


async def test_a_guardrail_that_objects_before_approval_spares_the_question(
    autojump_clock: MockClock,
) -> None:
    """33."""
    checks = Checks(True)
    note, runs = make_note_tool(
        needs_approval=True, input_guardrails=[checks.guardrail], check_input_before_approval=True
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        await send_call_and_wait(peer, "note", HELLO)
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        assert not drain_events(session.events, events.ToolApprovalRequired)
        assert not await session.approve_tool_call("call_1")
    assert (len(checks.seen), runs) == (1, [])
    assert sent_outputs(peer) == [("call_1", "Not with these arguments.")]


@pytest.mark.parametrize("trips_after", [True, False])
@pytest.mark.parametrize("before", [True, False])
async def test_a_guardrail_checks_after_approval_whether_it_did_before_or_not(
    before: bool, trips_after: bool, autojump_clock: MockClock
) -> None:
    """33: time has passed since. By default nothing is checked before somebody was asked."""
    checks = Checks(*[False] * before, trips_after)
    note, runs = make_note_tool(
        needs_approval=True, input_guardrails=[checks.guardrail], check_input_before_approval=before
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        await send_call_and_wait(peer, "note", HELLO)
        await peer.expect_nothing()
        assert len(drain_events(session.events, events.ToolApprovalRequired)) == 1
        assert checks.seen == [{"text": "hello"}] * before
        assert await session.approve_tool_call("call_1")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
    assert checks.seen == [{"text": "hello"}] * (before + 1)
    assert runs == ([] if trips_after else ["hello"])
    told = "Not with these arguments." if trips_after else "noted hello"
    assert sent_outputs(peer) == [("call_1", told)]
