"""Guardrails of tools: what they see, what they stop, and what nobody is told then."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.failures import UNUSUAL_EXCEPTIONS
from support.service import send_call_and_wait
from support.sessions import open_test_session
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
from trio_realtime.errors import ConfigurationError, GuardrailFailed
from trio_realtime.testing import ScriptedPeer

REFUSED = "Tool pay was not run: a guardrail refused it."
WITHHELD = "The result of pay was withheld by a guardrail."
RAN: list[int] = []


def payer(result: Any = "paid", **options: Any) -> FunctionTool:
    RAN.clear()

    @function_tool(**options)
    async def pay(amount: int) -> Any:
        RAN.append(amount)
        return result

    return pay


class Watch:
    """A check that notes what it is asked and gives its verdict after a while."""

    def __init__(self, verdict: Any, *, takes: float = 0.0) -> None:
        self.asked: list[Any] = []
        self._verdict = verdict
        self._takes = takes

    async def __call__(self, context: ToolContext[None], what: Any) -> Any:
        self.asked.append((context.call_id, what))
        await trio.sleep(self._takes)
        if isinstance(self._verdict, BaseException):
            raise self._verdict
        return self._verdict

    def before(self, name: str = "watch", **options: Any) -> ToolInputGuardrail:
        return tool_input_guardrail(name=name, **options)(self)

    def after(self, name: str = "watch", **options: Any) -> ToolOutputGuardrail:
        return tool_output_guardrail(name=name, **options)(self)


def of_kind(found: list[events.SessionEvent], kind: type[Any]) -> list[Any]:
    return [event for event in found if isinstance(event, kind)]


async def pay(peer: ScriptedPeer, arguments: str = '{"amount": 5}') -> None:
    await send_call_and_wait(peer, "pay", arguments)


# --- before the tool ---------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [True, GuardrailResult(True, info="too dear")])
async def test_a_call_with_arguments_that_are_refused_does_not_run(
    verdict: Any, autojump_clock: MockClock
) -> None:
    watch = Watch(verdict)
    peer = ScriptedPeer()
    tool = payer(input_guardrails=[watch.before("limit")])
    async with open_test_session(peer, tool) as session:
        await pay(peer)
        assert sent_outputs(peer) == [("call_1", REFUSED)]
        assert await sent_types(peer) == [ITEM, CREATE]
        assert (RAN, watch.asked) == ([], [("call_1", {"amount": 5})])
        found = drain_channel(session.events)
    (tripped,) = of_kind(found, events.GuardrailTripped)
    (trip,) = tripped.guardrail_results
    assert trip.name == "limit"
    assert trip.info == ("too dear" if isinstance(verdict, GuardrailResult) else None)
    assert (tripped.call_id, tripped.response_id) == ("call_1", "resp_1")
    (end,) = of_kind(found, events.ToolEnd)
    assert (end.outcome, end.output, end.tool) == ("blocked", REFUSED, tool)
    assert found.index(tripped) < found.index(end)
    assert not of_kind(found, events.ToolStart)


async def test_a_call_that_is_let_pass_runs(autojump_clock: MockClock) -> None:
    watch = Watch(GuardrailResult(False, message="not told"))
    peer = ScriptedPeer()
    async with open_test_session(peer, payer(input_guardrails=[watch.before()])) as session:
        await pay(peer)
        assert sent_outputs(peer) == [("call_1", "paid")]
        assert RAN == [5]
        assert not of_kind(drain_channel(session.events), events.GuardrailTripped)


async def test_all_are_asked_at_the_same_time_and_the_first_to_be_declared_speaks(
    autojump_clock: MockClock,
) -> None:
    checks = [
        Watch(False, takes=3).before("passes"),
        Watch(GuardrailResult(True, "a", "Slow says no."), takes=3).before("slow"),
        Watch(GuardrailResult(True, "b", "Quick says no.")).before("quick"),
    ]
    peer = ScriptedPeer()
    async with open_test_session(peer, payer(input_guardrails=checks)) as session:
        began = trio.current_time()
        await pay(peer)
        await peer.expect(ITEM)
        assert trio.current_time() - began == pytest.approx(3)
        assert sent_outputs(peer) == [("call_1", "Slow says no.")]
        (tripped,) = of_kind(drain_channel(session.events), events.GuardrailTripped)
        assert [trip.name for trip in tripped.guardrail_results] == ["slow", "quick"]
        assert tripped.message == "Slow says no."


async def test_a_message_may_be_empty(autojump_clock: MockClock) -> None:
    watch = Watch(GuardrailResult(True, message=""))
    peer = ScriptedPeer()
    async with open_test_session(peer, payer(input_guardrails=[watch.before()])):
        await pay(peer)
        assert sent_outputs(peer) == [("call_1", "")]


@pytest.mark.parametrize("fail_closed", [True, False])
async def test_a_check_that_raises_is_reported_and_its_declaration_decides(
    fail_closed: bool, autojump_clock: MockClock
) -> None:
    watch = Watch(LookupError("no list"))
    peer = ScriptedPeer()
    tool = payer(input_guardrails=[watch.before("list", fail_closed=fail_closed)])
    async with open_test_session(peer, tool) as session:
        await pay(peer)
        assert sent_outputs(peer) == [("call_1", REFUSED if fail_closed else "paid")]
        found = drain_channel(session.events)
    (error,) = of_kind(found, events.Error)
    assert isinstance(error.error, GuardrailFailed)
    assert isinstance(error.error.__cause__, LookupError)
    assert len(of_kind(found, events.GuardrailTripped)) == int(fail_closed)


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_whatever_a_check_raises_is_an_event_and_the_call_is_answered(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    checks: dict[str, Any] = {
        "input_guardrails": [Watch(failure).before()],
        "output_guardrails": [Watch(failure).after()],
    }
    peer = ScriptedPeer()
    async with open_test_session(peer, payer(**checks)) as session:
        await pay(peer)
        assert sent_outputs(peer) == [("call_1", "paid")]
        failed = [error.error for error in drain_events(session.events, events.Error)]
        assert [type(error) for error in failed] == [GuardrailFailed] * 2
        assert {type(error.__cause__) for error in failed} == {type(failure)}


@pytest.mark.parametrize("message", [ValueError("no"), 3, b"no"])
async def test_a_message_that_is_no_text_leaves_the_verdict_and_the_usual_words(
    message: Any, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    watch = Watch(GuardrailResult(True, message=message))
    async with open_test_session(peer, payer(output_guardrails=[watch.after("odd")])) as session:
        await pay(peer)
        assert sent_outputs(peer) == [("call_1", WITHHELD)]
        (error,) = drain_events(session.events, events.Error)
        assert isinstance(error.error, GuardrailFailed)
        assert "odd" in str(error.error)


@pytest.mark.parametrize("arguments", ["{", "null", "[]", "NaN", '"text"'])
async def test_arguments_that_cannot_be_checked_are_wrong_arguments(
    arguments: str, autojump_clock: MockClock
) -> None:
    """Also of a tool that would take them."""
    watch = Watch(False)
    runs: list[str] = []

    async def invoke(_: ToolContext[Any], text: str) -> str:
        runs.append(text)
        return "ran"

    peer = ScriptedPeer()
    tool = FunctionTool(name="pay", invoke=invoke, input_guardrails=[watch.before()])
    async with open_test_session(peer, tool) as session:
        await pay(peer, arguments)
        ((_, output),) = sent_outputs(peer)
        assert output.startswith("Invalid arguments for pay: ")
        assert (runs, watch.asked) == ([], [])
        (end,) = of_kind(drain_channel(session.events), events.ToolEnd)
        assert end.outcome == "failed"


async def test_no_arguments_are_an_empty_object(autojump_clock: MockClock) -> None:
    watch = Watch(False)

    @function_tool(input_guardrails=[watch.before()])
    async def pay() -> str:
        return "paid"

    peer = ScriptedPeer()
    async with open_test_session(peer, pay):
        await send_call_and_wait(peer, "pay", "")
        assert sent_outputs(peer) == [("call_1", "paid")]
        assert watch.asked == [("call_1", {})]


async def test_an_interrupt_cancels_the_checks(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    tool = payer(input_guardrails=[Watch(False, takes=100).before()])
    async with open_test_session(peer, tool) as session:
        await pay(peer)
        await session.interrupt()
        await wait_all_tasks_blocked()
        ((_, output),) = sent_outputs(peer)
        assert "cancelled" in output
        assert RAN == []


# --- after the tool ----------------------------------------------------------------------------


async def test_a_result_that_is_refused_is_told_to_nobody(autojump_clock: MockClock) -> None:
    secret = {"card": "4711"}
    watch = Watch(GuardrailResult(True, info="a card number"))
    peer = ScriptedPeer()
    async with open_test_session(
        peer, payer(secret, output_guardrails=[watch.after("cards")])
    ) as session:
        await pay(peer)
        assert sent_outputs(peer) == [("call_1", WITHHELD)]
        assert await sent_types(peer) == [ITEM, CREATE]
        assert watch.asked == [("call_1", secret)]
        assert watch.asked[0][1] is secret, "the object, not its text"
        found = drain_channel(session.events)
    (end,) = of_kind(found, events.ToolEnd)
    assert (end.outcome, end.output, end.output_text) == ("blocked", WITHHELD, WITHHELD)
    assert len(of_kind(found, events.ToolStart)) == 1
    (tripped,) = of_kind(found, events.GuardrailTripped)
    assert tripped.message == WITHHELD
    assert "4711" not in repr(found)
    assert RAN == [5]


async def test_a_guardrail_may_say_what_the_model_is_told_instead(
    autojump_clock: MockClock,
) -> None:
    watch = Watch(GuardrailResult(True, message="The card ends in 11."))
    peer = ScriptedPeer()
    async with open_test_session(peer, payer("4711", output_guardrails=[watch.after()])):
        await pay(peer)
        assert sent_outputs(peer) == [("call_1", "The card ends in 11.")]


@pytest.mark.parametrize("verdict", [True, False])
async def test_a_result_in_the_background_is_checked_and_stays_there(
    verdict: bool, autojump_clock: MockClock
) -> None:
    watch = Watch(verdict)
    peer = ScriptedPeer()
    tool = payer(BackgroundResult("noted"), output_guardrails=[watch.after()])
    async with open_test_session(peer, tool):
        await pay(peer)
        assert watch.asked == [("call_1", "noted")]
        assert sent_outputs(peer) == [("call_1", WITHHELD if verdict else "noted")]
        assert await sent_types(peer) == [ITEM]


async def test_a_failure_is_no_result_to_check(autojump_clock: MockClock) -> None:
    watch = Watch(True)

    @function_tool(output_guardrails=[watch.after()])
    async def pay(amount: int) -> None:
        raise LookupError("lost")

    peer = ScriptedPeer()
    async with open_test_session(peer, pay):
        await send_call_and_wait(peer, "pay", '{"amount": 5}')
        assert watch.asked == []
        assert sent_outputs(peer) == [("call_1", "Tool pay failed: LookupError: lost")]


async def test_an_early_answer_is_checked_like_a_result(autojump_clock: MockClock) -> None:
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
        (early,) = of_kind(found, events.ToolAnsweredEarly)
        assert early.output == WITHHELD
        (end,) = of_kind(found, events.ToolEnd)
        assert (end.outcome, end.output) == ("completed", "all well")
        assert "4711" not in repr(found)


# --- and approvals -----------------------------------------------------------------------------


async def approve(session: RealtimeSession[None], *, always: bool = False) -> None:
    await session.approve_tool_call("call_1", always=always)
    await wait_all_tasks_blocked()


async def test_by_default_guardrails_are_asked_after_somebody_approved(
    autojump_clock: MockClock,
) -> None:
    watch = Watch(True)
    peer = ScriptedPeer()
    tool = payer(needs_approval=True, input_guardrails=[watch.before()])
    async with open_test_session(peer, tool) as session:
        await pay(peer)
        assert watch.asked == []
        assert len(of_kind(drain_channel(session.events), events.ToolApprovalRequired)) == 1
        await approve(session)
        assert (len(watch.asked), RAN) == (1, [])
        assert sent_outputs(peer) == [("call_1", REFUSED)]


async def test_nobody_is_asked_to_approve_what_a_guardrail_refuses_before(
    autojump_clock: MockClock,
) -> None:
    watch = Watch(True)
    peer = ScriptedPeer()
    tool = payer(
        needs_approval=True, check_input_before_approval=True, input_guardrails=[watch.before()]
    )
    async with open_test_session(peer, tool) as session:
        await pay(peer)
        assert sent_outputs(peer) == [("call_1", REFUSED)]
        found = drain_channel(session.events)
        assert not of_kind(found, events.ToolApprovalRequired)
        assert [event.outcome for event in of_kind(found, events.ToolEnd)] == ["blocked"]


async def test_guardrails_are_asked_again_after_the_approval(autojump_clock: MockClock) -> None:
    watch = Watch(False)
    peer = ScriptedPeer()
    tool = payer(
        needs_approval=True, check_input_before_approval=True, input_guardrails=[watch.before()]
    )
    async with open_test_session(peer, tool) as session:
        await pay(peer)
        assert len(watch.asked) == 1
        await approve(session)
        assert len(watch.asked) == 2
        assert sent_outputs(peer) == [("call_1", "paid")]


async def test_where_nobody_has_to_approve_guardrails_are_asked_once(
    autojump_clock: MockClock,
) -> None:
    watch = Watch(False)
    peer = ScriptedPeer()
    tool = payer(
        needs_approval=lambda _, __: False,
        check_input_before_approval=True,
        input_guardrails=[watch.before()],
    )
    async with open_test_session(peer, tool):
        await pay(peer)
        assert (len(watch.asked), sent_outputs(peer)) == (1, [("call_1", "paid")])


async def test_what_nobody_can_judge_is_parked_and_then_wrong(autojump_clock: MockClock) -> None:
    watch = Watch(False)
    peer = ScriptedPeer()
    tool = payer(
        needs_approval=True, check_input_before_approval=True, input_guardrails=[watch.before()]
    )
    async with open_test_session(peer, tool) as session:
        await pay(peer, "{")
        assert len(of_kind(drain_channel(session.events), events.ToolApprovalRequired)) == 1
        await approve(session)
        ((_, output),) = sent_outputs(peer)
        assert output.startswith("Invalid arguments for pay: ")
        assert watch.asked == []


async def second_call(peer: ScriptedPeer) -> None:
    peer.begin_response("resp_2")
    peer.call("resp_2", "item_2", "call_2", "pay", '{"amount": 7}')
    peer.end_response("resp_2")
    await wait_all_tasks_blocked()


@pytest.mark.parametrize("trips", [True, False])
@pytest.mark.parametrize("before", [True, False])
async def test_a_rejection_for_good_that_comes_while_guardrails_are_asked_wins(
    before: bool, trips: bool, autojump_clock: MockClock
) -> None:
    """Two calls; the first is rejected for good while the guardrails of the second are asked."""
    calls: list[str] = []

    @tool_input_guardrail
    async def slow_for_the_second(context: ToolContext[None], _: dict[str, Any]) -> bool:
        calls.append(context.call_id)
        await trio.sleep(5 if context.call_id == "call_2" else 0)
        return trips and context.call_id == "call_2"

    peer = ScriptedPeer()
    tool = payer(
        needs_approval=True,
        check_input_before_approval=before,
        input_guardrails=[slow_for_the_second],
    )
    async with open_test_session(peer, tool) as session:
        await pay(peer)
        await second_call(peer)
        if not before:
            await session.approve_tool_call("call_2")
            await wait_all_tasks_blocked()
        assert "call_2" in calls
        await session.reject_tool_call("call_1", always=True, message="Never.")
        await trio.sleep(10)
        assert sent_outputs(peer) == [("call_1", "Never."), ("call_2", "Never.")]
        assert RAN == []
        found = drain_channel(session.events)
        asked = [event.call_id for event in of_kind(found, events.ToolApprovalRequired)]
        assert asked == (["call_1"] if before else ["call_1", "call_2"])
        outcomes = [event.outcome for event in of_kind(found, events.ToolEnd)]
        assert outcomes == ["rejected", "rejected"]


async def test_who_approves_a_call_after_a_rejection_for_good_is_heard(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    tool = payer(needs_approval=True, input_guardrails=[Watch(False, takes=1).before()])
    async with open_test_session(peer, tool) as session:
        await pay(peer)
        await second_call(peer)
        await session.reject_tool_call("call_1", always=True)
        assert await session.approve_tool_call("call_2")
        await trio.sleep(5)
        assert RAN == [7]


# --- declarations ------------------------------------------------------------------------------


def test_a_guardrail_is_named_after_its_function() -> None:
    @tool_input_guardrail
    def limit(_: ToolContext[Any], __: dict[str, Any]) -> bool:
        return False

    @tool_output_guardrail(name="cards", fail_closed=True)
    def other(_: ToolContext[Any], __: Any) -> bool:
        return False

    assert (limit.name, limit.fail_closed) == ("limit", False)
    assert (other.name, other.fail_closed) == ("cards", True)


@pytest.mark.parametrize("option", ["input_guardrails", "output_guardrails"])
def test_what_is_no_guardrail_of_the_kind_is_refused(option: str) -> None:
    wrong = Watch(False).after() if option == "input_guardrails" else Watch(False).before()
    for given in (wrong, len):
        with pytest.raises(ConfigurationError, match="decorate it"):
            payer(**{option: [given]})
