"""The call ledger: a call runs at most once and is answered once; responses complete as a whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trio_realtime.core.calls.ledger import (
    TRANSITIONS,
    CallsCompleted,
    CallState,
    ToolLedger,
    Trigger,
)


def completed(
    response_id: str, *, wants_response: bool, interrupted: bool = False
) -> CallsCompleted:
    return CallsCompleted(
        response_id=response_id, wants_response=wants_response, interrupted=interrupted
    )


def ledger_with(*calls: str) -> ToolLedger:
    ledger = ToolLedger()
    for call_id in calls:
        assert ledger.begin(call_id, "r1")
    return ledger


def test_protecting_a_call_that_is_being_cancelled_or_is_unknown_changes_nothing() -> None:
    ledger = ledger_with("a")
    ledger.response_done("r1")
    assert ledger.interrupt() == ["a"]
    ledger.protect("a", respond=True)
    ledger.protect("unknown", respond=True)
    assert ledger.was_cancelled("a")
    assert ledger.finish("a", wants_response=True)
    assert ledger.pop_completed() == [completed("r1", wants_response=False, interrupted=True)]


def test_a_call_id_runs_once_in_all_responses() -> None:
    ledger = ledger_with("a")

    assert ledger.begin("a", "r1") is False
    assert ledger.begin("a", "r2") is False
    ledger.finish("a", wants_response=True)
    assert ledger.begin("a", "r3") is False

    assert ledger.call_count("r1") == 1
    assert ledger.call_count("r2") == 0


def test_a_call_id_stays_known_after_its_response_completed() -> None:
    ledger = ledger_with("a")
    ledger.finish("a", wants_response=False)
    ledger.response_done("r1")
    ledger.pop_completed()

    assert ledger.begin("a", "r2") is False
    assert ledger.finish("a", wants_response=True) is False
    assert ledger.pop_completed() == []


def test_an_output_is_sent_once() -> None:
    ledger = ledger_with("a")

    assert ledger.finish("a", wants_response=True) is True
    assert ledger.finish("a", wants_response=True) is False
    assert ledger.finish("unknown", wants_response=True) is False


def test_the_states_of_a_call() -> None:
    ledger = ToolLedger()
    assert ledger.state("a") is None

    ledger.begin("a", "r1")
    assert ledger.state("a") is CallState.RUNNING
    assert not ledger.was_cancelled("a")

    assert ledger.interrupt() == ["a"]
    assert ledger.state("a") is CallState.CANCELLING
    assert ledger.was_cancelled("a")

    assert ledger.finish("a", wants_response=True) is True
    assert ledger.state("a") is CallState.ANSWERED


def test_calls_complete_when_the_response_is_done_and_all_are_answered() -> None:
    ledger = ledger_with("a", "b")

    ledger.finish("a", wants_response=True)
    ledger.response_done("r1")
    assert ledger.pop_completed() == []

    ledger.finish("b", wants_response=False)
    assert ledger.pop_completed() == [completed("r1", wants_response=True)]
    assert ledger.pop_completed() == []


def test_calls_do_not_complete_before_the_end_of_their_response() -> None:
    # Another call of the same response may follow.
    ledger = ledger_with("a")
    ledger.finish("a", wants_response=True)
    assert ledger.pop_completed() == []

    ledger.begin("b", "r1")
    ledger.response_done("r1")
    assert ledger.pop_completed() == []
    assert ledger.call_count("r1") == 2

    ledger.finish("b", wants_response=True)
    assert ledger.pop_completed() == [completed("r1", wants_response=True)]


def test_no_response_follows_if_no_result_wants_one() -> None:
    ledger = ledger_with("a", "b")
    ledger.finish("a", wants_response=False)
    ledger.finish("b", wants_response=False)
    ledger.response_done("r1")

    assert ledger.pop_completed() == [completed("r1", wants_response=False)]


def test_no_response_follows_interrupted_calls() -> None:
    ledger = ledger_with("a", "b")
    ledger.finish("a", wants_response=True)
    assert ledger.interrupt() == ["b"]
    ledger.finish("b", wants_response=True)
    ledger.response_done("r1")

    assert ledger.pop_completed() == [completed("r1", wants_response=False, interrupted=True)]


def test_an_interrupt_after_the_last_answer_prevents_the_follow_up() -> None:
    ledger = ledger_with("a")
    ledger.finish("a", wants_response=True)

    assert ledger.interrupt() == []
    ledger.response_done("r1")

    assert ledger.pop_completed() == [completed("r1", wants_response=False, interrupted=True)]


def test_a_call_is_cancelled_once() -> None:
    ledger = ledger_with("b", "a")

    assert ledger.interrupt() == ["a", "b"]
    assert ledger.interrupt() == []
    ledger.begin("c", "r1")
    assert ledger.interrupt() == ["c"]


def test_an_interrupt_of_one_response_does_not_affect_another() -> None:
    ledger = ledger_with("a")
    ledger.begin("b", "r2")
    ledger.response_done("r1")
    ledger.response_done("r2")

    assert ledger.interrupt("r1") == ["a"]
    assert ledger.interrupt("unknown") == []

    assert not ledger.was_cancelled("b")
    ledger.finish("b", wants_response=True)
    assert ledger.pop_completed() == [completed("r2", wants_response=True)]
    assert ledger.is_cancelling
    ledger.finish("a", wants_response=True)
    assert ledger.pop_completed() == [completed("r1", wants_response=False, interrupted=True)]


def test_a_response_without_calls_does_not_complete() -> None:
    ledger = ToolLedger()

    ledger.response_done("r1")

    assert ledger.pop_completed() == []
    assert ledger.call_count("r1") == 0


# --- the table of transitions -------------------------------------------------------------------

REACH: dict[CallState, list[Callable[[ToolLedger], object]]] = {
    CallState.RUNNING: [],
    CallState.PROTECTED: [lambda ledger: ledger.protect("a")],
    CallState.CANCELLING: [lambda ledger: ledger.interrupt()],
    CallState.ANSWERED: [lambda ledger: ledger.finish("a", wants_response=True)],
}
APPLY: dict[Trigger, Callable[[ToolLedger], object]] = {
    Trigger.PROTECT: lambda ledger: ledger.protect("a"),
    Trigger.INTERRUPT: lambda ledger: ledger.interrupt(),
    Trigger.FINISH: lambda ledger: ledger.finish("a", wants_response=True),
}


@pytest.mark.parametrize("trigger", Trigger)
@pytest.mark.parametrize("state", CallState)
def test_each_listed_transition_is_made_and_no_other(state: CallState, trigger: Trigger) -> None:
    ledger = ledger_with("a")
    for step in REACH[state]:
        step(ledger)
    assert ledger.state("a") is state

    APPLY[trigger](ledger)

    assert ledger.state("a") is TRANSITIONS.get((state, trigger), state)


def test_no_transition_leaves_the_answered_state() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is CallState.ANSWERED]


# --- all operations in any order ----------------------------------------------------------------

CALLS = [f"c{n}" for n in range(6)]
RESPONSES = ["r0", "r1", "r2"]


class LedgerMachine(RuleBasedStateMachine):
    """All operations in any order: each call runs once, each response completes once."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ToolLedger()
        self.owner: dict[str, str] = {}
        self.answered: set[str] = set()
        self.cancelled: set[str] = set()
        self.protected: set[str] = set()
        self.respond_anyway: set[str] = set()
        self.wanting: set[str] = set()  # calls whose result requests a response
        self.done: set[str] = set()
        self.completed: list[str] = []

    @rule(call_id=st.sampled_from(CALLS), response_id=st.sampled_from(RESPONSES))
    def begin(self, call_id: str, response_id: str) -> None:
        if response_id in self.done:
            return  # the core drops calls of ended responses
        assert self.ledger.begin(call_id, response_id) == (call_id not in self.owner)
        self.owner.setdefault(call_id, response_id)

    @rule(call_id=st.sampled_from(CALLS), wants_response=st.booleans())
    def finish(self, call_id: str, wants_response: bool) -> None:
        accepted = call_id in self.owner and call_id not in self.answered
        assert self.ledger.finish(call_id, wants_response=wants_response) == accepted
        if accepted:
            self.answered.add(call_id)
            self.wanting |= {call_id} if wants_response else set()
        self.pop_completed()

    @precondition(lambda self: self.owner.keys() - self.answered)
    @rule(data=st.data(), respond=st.booleans())
    def protect(self, data: st.DataObject, respond: bool) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.owner.keys() - self.answered)))
        self.ledger.protect(call_id, respond=respond)
        if call_id not in self.cancelled | self.protected:
            self.protected.add(call_id)
            self.respond_anyway |= {call_id} if respond else set()

    @rule(response_id=st.sampled_from(RESPONSES))
    def response_done(self, response_id: str) -> None:
        self.ledger.response_done(response_id)
        self.done.add(response_id)
        self.pop_completed()

    @rule(response_id=st.sampled_from([*RESPONSES, None]))
    def interrupt(self, response_id: str | None) -> None:
        expected = sorted(
            call_id
            for call_id, owner in self.owner.items()
            if response_id in (None, owner)
            and call_id not in self.answered | self.cancelled | self.protected
        )
        assert sorted(self.ledger.interrupt(response_id)) == expected
        self.cancelled.update(expected)

    def pop_completed(self) -> None:
        for done_calls in self.ledger.pop_completed():
            calls = {c for c, owner in self.owner.items() if owner == done_calls.response_id}
            assert calls
            assert done_calls.response_id in self.done
            assert self.answered.issuperset(calls)
            wanting = (calls & self.wanting) - self.cancelled
            anyway = wanting & self.respond_anyway
            assert done_calls.wants_response == bool(anyway if done_calls.interrupted else wanting)
            if self.cancelled.intersection(calls):
                assert done_calls.interrupted
            self.completed.append(done_calls.response_id)

    @invariant()
    def each_response_completes_once(self) -> None:
        open_calls = set(self.owner) - self.answered
        complete = {
            owner
            for owner in self.owner.values()
            if owner in self.done and not any(self.owner[c] == owner for c in open_calls)
        }
        assert sorted(self.completed) == sorted(complete)

    @invariant()
    def the_busy_flags_are_correct(self) -> None:
        open_calls = set(self.owner) - self.answered
        assert self.ledger.is_busy == bool(open_calls)
        assert self.ledger.is_cancelling == bool(open_calls & self.cancelled)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
