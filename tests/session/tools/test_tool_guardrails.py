"""Guardrails of tools: before a call runs, on its result, and together with approvals."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.failures import UNUSUAL_EXCEPTIONS
from support.service import send_call_and_wait
from support.sessions import open_test_session
from support.tools import make_note_tool
from support.wire import CREATE, ITEM, sent_outputs, sent_types
from trio_realtime import (
    BackgroundResult,
    FunctionTool,
    GuardrailResult,
    RealtimeSession,
    ToolContext,
    ToolInputGuardrail,
    ToolOutputGuardrail,
    events,
    function_tool,
    tool_input_guardrail,
    tool_output_guardrail,
)
from trio_realtime.errors import GuardrailFailed
from trio_realtime.testing import ScriptedPeer

BLOCKED = "Tool pay was not run: a guardrail blocked the call."

WITHHELD = "The result of pay was withheld by a guardrail."

PAYMENTS: list[int] = []


def make_guarded_tool(result: Any = "paid", **options: Any) -> FunctionTool:
    PAYMENTS.clear()

    @function_tool(**options)
    async def pay(amount: int) -> Any:
        PAYMENTS.append(amount)
        return result

    return pay


class ToolCheck:
    """A check that records what it gets and returns its verdict after a delay."""

    def __init__(self, verdict: Any, *, takes: float = 0.0) -> None:
        self.seen: list[Any] = []
        self._verdict = verdict
        self._takes = takes

    async def __call__(self, context: ToolContext[None], what: Any) -> Any:
        self.seen.append((context.call_id, what))
        await trio.sleep(self._takes)
        if isinstance(self._verdict, BaseException):
            raise self._verdict
        return self._verdict

    def before(self, name: str = "check", **options: Any) -> ToolInputGuardrail:
        return tool_input_guardrail(name=name, **options)(self)

    def after(self, name: str = "check", **options: Any) -> ToolOutputGuardrail:
        return tool_output_guardrail(name=name, **options)(self)


def only_of(found: list[events.SessionEvent], kind: type[Any]) -> list[Any]:
    return [event for event in found if isinstance(event, kind)]


async def send_pay_call(peer: ScriptedPeer, arguments: str = '{"amount": 5}') -> None:
    await send_call_and_wait(peer, "pay", arguments)


# --- input guardrails --------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [True, GuardrailResult(True, info="too dear")])
async def test_tripped_input_guardrail_blocks_the_call(
    verdict: Any, autojump_clock: MockClock
) -> None:
    check = ToolCheck(verdict)
    peer = ScriptedPeer()
    tool = make_guarded_tool(input_guardrails=[check.before("limit")])
    async with open_test_session(peer, tool) as session:
        await send_pay_call(peer)
        assert sent_outputs(peer) == [("call_1", BLOCKED)]
        assert await sent_types(peer) == [ITEM, CREATE]
        assert (PAYMENTS, check.seen) == ([], [("call_1", {"amount": 5})])
        found = drain_channel(session.events)
    (tripped,) = only_of(found, events.GuardrailTripped)
    (trip,) = tripped.guardrail_results
    assert trip.name == "limit"
    assert trip.info == ("too dear" if isinstance(verdict, GuardrailResult) else None)
    assert (tripped.call_id, tripped.response_id) == ("call_1", "resp_1")
    (end,) = only_of(found, events.ToolEnd)
    assert (end.outcome, end.output, end.tool) == ("blocked", BLOCKED, tool)
    assert found.index(tripped) < found.index(end)
    assert not only_of(found, events.ToolStart)


async def test_passed_input_guardrail_lets_the_call_run(autojump_clock: MockClock) -> None:
    check = ToolCheck(GuardrailResult(False, message="unused"))
    peer = ScriptedPeer()
    async with open_test_session(
        peer, make_guarded_tool(input_guardrails=[check.before()])
    ) as session:
        await send_pay_call(peer)
        assert sent_outputs(peer) == [("call_1", "paid")]
        assert PAYMENTS == [5]
        assert not only_of(drain_channel(session.events), events.GuardrailTripped)


async def test_guardrails_run_concurrently_and_the_first_declared_message_is_used(
    autojump_clock: MockClock,
) -> None:
    checks = [
        ToolCheck(False, takes=3).before("passes"),
        ToolCheck(GuardrailResult(True, "a", "Slow says no."), takes=3).before("slow"),
        ToolCheck(GuardrailResult(True, "b", "Quick says no.")).before("quick"),
    ]
    peer = ScriptedPeer()
    async with open_test_session(peer, make_guarded_tool(input_guardrails=checks)) as session:
        began = trio.current_time()
        await send_pay_call(peer)
        await peer.expect(ITEM)
        assert trio.current_time() - began == pytest.approx(3)
        assert sent_outputs(peer) == [("call_1", "Slow says no.")]
        (tripped,) = only_of(drain_channel(session.events), events.GuardrailTripped)
        assert [trip.name for trip in tripped.guardrail_results] == ["slow", "quick"]
        assert tripped.message == "Slow says no."


async def test_message_may_be_empty(autojump_clock: MockClock) -> None:
    check = ToolCheck(GuardrailResult(True, message=""))
    peer = ScriptedPeer()
    async with open_test_session(peer, make_guarded_tool(input_guardrails=[check.before()])):
        await send_pay_call(peer)
        assert sent_outputs(peer) == [("call_1", "")]


@pytest.mark.parametrize("fail_closed", [True, False])
async def test_failing_guardrail_is_reported_and_blocks_only_with_fail_closed(
    fail_closed: bool, autojump_clock: MockClock
) -> None:
    check = ToolCheck(LookupError("no list"))
    peer = ScriptedPeer()
    tool = make_guarded_tool(input_guardrails=[check.before("list", fail_closed=fail_closed)])
    async with open_test_session(peer, tool) as session:
        await send_pay_call(peer)
        assert sent_outputs(peer) == [("call_1", BLOCKED if fail_closed else "paid")]
        found = drain_channel(session.events)
    (error,) = only_of(found, events.Error)
    assert isinstance(error.error, GuardrailFailed)
    assert isinstance(error.error.__cause__, LookupError)
    assert len(only_of(found, events.GuardrailTripped)) == int(fail_closed)


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_every_kind_of_exception_of_a_guardrail_is_reported(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    checks: dict[str, Any] = {
        "input_guardrails": [ToolCheck(failure).before()],
        "output_guardrails": [ToolCheck(failure).after()],
    }
    peer = ScriptedPeer()
    async with open_test_session(peer, make_guarded_tool(**checks)) as session:
        await send_pay_call(peer)
        assert sent_outputs(peer) == [("call_1", "paid")]
        failed = [error.error for error in drain_events(session.events, events.Error)]
        assert [type(error) for error in failed] == [GuardrailFailed] * 2
        assert {type(error.__cause__) for error in failed} == {type(failure)}


@pytest.mark.parametrize("message", [ValueError("no"), 3, b"no"])
async def test_message_that_is_not_a_string_is_replaced_by_the_default(
    message: Any, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    check = ToolCheck(GuardrailResult(True, message=message))
    async with open_test_session(
        peer, make_guarded_tool(output_guardrails=[check.after("odd")])
    ) as session:
        await send_pay_call(peer)
        assert sent_outputs(peer) == [("call_1", WITHHELD)]
        (error,) = drain_events(session.events, events.Error)
        assert isinstance(error.error, GuardrailFailed)
        assert "odd" in str(error.error)


@pytest.mark.parametrize("arguments", ["{", "[]", "NaN", '"text"'])
async def test_arguments_that_are_not_an_object_are_answered_as_invalid(
    arguments: str, autojump_clock: MockClock
) -> None:
    """Also if the tool would accept them."""
    check = ToolCheck(False)
    runs: list[str] = []

    async def invoke(_: ToolContext[Any], text: str) -> str:
        runs.append(text)
        return "ran"

    peer = ScriptedPeer()
    tool = FunctionTool(name="pay", invoke=invoke, input_guardrails=[check.before()])
    async with open_test_session(peer, tool) as session:
        await send_pay_call(peer, arguments)
        ((_, output),) = sent_outputs(peer)
        assert output.startswith("Invalid arguments for pay: ")
        assert (runs, check.seen) == ([], [])
        (end,) = only_of(drain_channel(session.events), events.ToolEnd)
        assert end.outcome == "failed"


async def test_missing_arguments_are_checked_as_an_empty_object(autojump_clock: MockClock) -> None:
    check = ToolCheck(False)

    @function_tool(input_guardrails=[check.before()])
    async def pay() -> str:
        return "paid"

    peer = ScriptedPeer()
    async with open_test_session(peer, pay):
        await send_call_and_wait(peer, "pay", "")
        assert sent_outputs(peer) == [("call_1", "paid")]
        assert check.seen == [("call_1", {})]


async def test_interrupt_cancels_the_guardrails(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    tool = make_guarded_tool(input_guardrails=[ToolCheck(False, takes=100).before()])
    async with open_test_session(peer, tool) as session:
        await send_pay_call(peer)
        await session.interrupt()
        await wait_all_tasks_blocked()
        ((_, output),) = sent_outputs(peer)
        assert "cancelled" in output
        assert PAYMENTS == []


# --- output guardrails -------------------------------------------------------------------------


async def test_blocked_result_appears_nowhere(autojump_clock: MockClock) -> None:
    secret = {"card": "4711"}
    check = ToolCheck(GuardrailResult(True, info="a card number"))
    peer = ScriptedPeer()
    async with open_test_session(
        peer, make_guarded_tool(secret, output_guardrails=[check.after("cards")])
    ) as session:
        await send_pay_call(peer)
        assert sent_outputs(peer) == [("call_1", WITHHELD)]
        assert await sent_types(peer) == [ITEM, CREATE]
        assert check.seen == [("call_1", secret)]
        assert check.seen[0][1] is secret, "the value, not its text"
        found = drain_channel(session.events)
    (end,) = only_of(found, events.ToolEnd)
    assert (end.outcome, end.output, end.output_text) == ("blocked", WITHHELD, WITHHELD)
    assert len(only_of(found, events.ToolStart)) == 1
    (tripped,) = only_of(found, events.GuardrailTripped)
    assert tripped.message == WITHHELD
    assert "4711" not in repr(found)
    assert PAYMENTS == [5]


async def test_message_of_the_guardrail_replaces_the_result(
    autojump_clock: MockClock,
) -> None:
    check = ToolCheck(GuardrailResult(True, message="The card ends in 11."))
    peer = ScriptedPeer()
    async with open_test_session(
        peer, make_guarded_tool("4711", output_guardrails=[check.after()])
    ):
        await send_pay_call(peer)
        assert sent_outputs(peer) == [("call_1", "The card ends in 11.")]


@pytest.mark.parametrize("verdict", [True, False])
async def test_background_result_is_checked_and_requests_no_response(
    verdict: bool, autojump_clock: MockClock
) -> None:
    check = ToolCheck(verdict)
    peer = ScriptedPeer()
    tool = make_guarded_tool(BackgroundResult("noted"), output_guardrails=[check.after()])
    async with open_test_session(peer, tool):
        await send_pay_call(peer)
        assert check.seen == [("call_1", "noted")]
        assert sent_outputs(peer) == [("call_1", WITHHELD if verdict else "noted")]
        assert await sent_types(peer) == [ITEM]


async def test_failure_of_the_tool_is_not_checked(autojump_clock: MockClock) -> None:
    check = ToolCheck(True)

    @function_tool(output_guardrails=[check.after()])
    async def pay(amount: int) -> None:
        raise LookupError("lost")

    peer = ScriptedPeer()
    async with open_test_session(peer, pay):
        await send_call_and_wait(peer, "pay", '{"amount": 5}')
        assert check.seen == []
        assert sent_outputs(peer) == [("call_1", "Tool pay failed: LookupError: lost")]


async def test_early_answer_is_checked(autojump_clock: MockClock) -> None:
    @tool_output_guardrail
    def no_cards(_: ToolContext[None], output: Any) -> bool:
        return "4711" in str(output)

    @function_tool(output_guardrails=[no_cards])
    async def pay(context: ToolContext[None]) -> str:
        await context.answer_early("the card 4711")
        await trio.sleep(1)
        return "all well"

    peer = ScriptedPeer()
    async with open_test_session(peer, pay) as session:
        await send_call_and_wait(peer, "pay")
        assert sent_outputs(peer) == [("call_1", WITHHELD)]
        await trio.sleep(2)
        found = drain_channel(session.events)
        (early,) = only_of(found, events.ToolAnsweredEarly)
        assert early.output == WITHHELD
        (end,) = only_of(found, events.ToolEnd)
        assert (end.outcome, end.output) == ("completed", "all well")
        assert "4711" not in repr(found)


# --- approvals ---------------------------------------------------------------------------------


HELLO = '{"text": "hello"}'


async def test_guardrail_before_approval_blocks_without_a_request(
    autojump_clock: MockClock,
) -> None:
    check = ToolCheck(True)
    peer = ScriptedPeer()
    tool = make_guarded_tool(
        needs_approval=True, check_input_before_approval=True, input_guardrails=[check.before()]
    )
    async with open_test_session(peer, tool) as session:
        await send_pay_call(peer)
        assert sent_outputs(peer) == [("call_1", BLOCKED)]
        found = drain_channel(session.events)
        assert not only_of(found, events.ToolApprovalRequired)
        assert [event.outcome for event in only_of(found, events.ToolEnd)] == ["blocked"]
        assert not await session.approve_tool_call("call_1")


class ScriptedGuardrail:
    """An input guardrail that records the arguments and returns scripted verdicts."""

    def __init__(self, *trips: bool) -> None:
        self.seen: list[Any] = []
        self._trips = [*trips]
        self.guardrail: ToolInputGuardrail = tool_input_guardrail(name="checks")(self._check)

    async def _check(self, _: ToolContext[None], arguments: dict[str, Any]) -> GuardrailResult:
        self.seen.append(arguments)
        return GuardrailResult(self._trips.pop(0), message="Not with these arguments.")


@pytest.mark.parametrize("trips_after", [True, False])
@pytest.mark.parametrize("before", [True, False])
async def test_guardrail_runs_after_approval_even_if_it_ran_before(
    before: bool, trips_after: bool, autojump_clock: MockClock
) -> None:
    """By default it does not run before approval."""
    checks = ScriptedGuardrail(*[False] * before, trips_after)
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
    output = "Not with these arguments." if trips_after else "noted hello"
    assert sent_outputs(peer) == [("call_1", output)]


async def test_guardrail_runs_once_if_no_approval_is_needed(
    autojump_clock: MockClock,
) -> None:
    check = ToolCheck(False)
    peer = ScriptedPeer()
    tool = make_guarded_tool(
        needs_approval=lambda _, __: False,
        check_input_before_approval=True,
        input_guardrails=[check.before()],
    )
    async with open_test_session(peer, tool):
        await send_pay_call(peer)
        assert (len(check.seen), sent_outputs(peer)) == (1, [("call_1", "paid")])


async def approve(session: RealtimeSession[None], *, always: bool = False) -> None:
    await session.approve_tool_call("call_1", always=always)
    await wait_all_tasks_blocked()


async def test_invalid_arguments_require_approval_and_are_not_checked(
    autojump_clock: MockClock,
) -> None:
    check = ToolCheck(False)
    peer = ScriptedPeer()
    tool = make_guarded_tool(
        needs_approval=True, check_input_before_approval=True, input_guardrails=[check.before()]
    )
    async with open_test_session(peer, tool) as session:
        await send_pay_call(peer, "{")
        assert len(only_of(drain_channel(session.events), events.ToolApprovalRequired)) == 1
        await approve(session)
        ((_, output),) = sent_outputs(peer)
        assert output.startswith("Invalid arguments for pay: ")
        assert check.seen == []


async def send_second_call(peer: ScriptedPeer) -> None:
    peer.begin_response("resp_2")
    peer.call("resp_2", "item_2", "call_2", "pay", '{"amount": 7}')
    peer.end_response("resp_2")
    await wait_all_tasks_blocked()


@pytest.mark.parametrize("trips", [True, False])
@pytest.mark.parametrize("before", [True, False])
async def test_lasting_rejection_overrides_running_guardrails(
    before: bool, trips: bool, autojump_clock: MockClock
) -> None:
    """The first call is rejected while the guardrails of the second run."""
    calls: list[str] = []

    @tool_input_guardrail
    async def slow_for_the_second(context: ToolContext[None], _: dict[str, Any]) -> bool:
        calls.append(context.call_id)
        await trio.sleep(5 if context.call_id == "call_2" else 0)
        return trips and context.call_id == "call_2"

    peer = ScriptedPeer()
    tool = make_guarded_tool(
        needs_approval=True,
        check_input_before_approval=before,
        input_guardrails=[slow_for_the_second],
    )
    async with open_test_session(peer, tool) as session:
        await send_pay_call(peer)
        await send_second_call(peer)
        if not before:
            await session.approve_tool_call("call_2")
            await wait_all_tasks_blocked()
        assert "call_2" in calls
        await session.reject_tool_call("call_1", always=True, message="Never.")
        await trio.sleep(10)
        assert sent_outputs(peer) == [("call_1", "Never."), ("call_2", "Never.")]
        assert PAYMENTS == []
        found = drain_channel(session.events)
        requested = [event.call_id for event in only_of(found, events.ToolApprovalRequired)]
        assert requested == (["call_1"] if before else ["call_1", "call_2"])
        outcomes = [event.outcome for event in only_of(found, events.ToolEnd)]
        assert outcomes == ["rejected", "rejected"]
