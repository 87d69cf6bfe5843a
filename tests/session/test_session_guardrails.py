"""Guardrail checks run concurrently with the session; their failures are reported and end nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.failures import UNUSUAL_EXCEPTIONS, name_in_messages
from support.guardrails import (
    RecordingGuardrail,
    agent_with_guardrails,
    begin_reply,
    drain_trips,
    guarded_agent,
)
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, sent_types, user_message_text
from trio_realtime import (
    AgentContext,
    GuardrailResult,
    SessionConfig,
    errors,
    events,
    input_guardrail,
    output_guardrail,
)
from trio_realtime.agents import OutputGuardrail
from trio_realtime.testing import ScriptedPeer


@pytest.mark.parametrize("announced", ["before the text", "after the text"])
async def test_reply_is_checked_by_the_guardrails_of_the_agent_that_started_it(
    announced: str, autojump_clock: MockClock
) -> None:
    """Also if its first delta arrived before ``response.created``."""
    old, new = RecordingGuardrail(), RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded_agent(old, name="Old")) as session:
        if announced == "before the text":
            peer.begin_response("resp_1")
        peer.text("resp_1", "item_1", "the sec")
        await wait_all_tasks_blocked()
        await session.update_agent(guarded_agent(new, name="New"))
        if announced == "after the text":
            peer.begin_response("resp_1")
        peer.text("resp_1", "item_1", "ret")
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        assert (old.seen, old.agents, new.seen) == (["the secret"], ["Old"], [])
        assert await sent_types(peer) == [ITEM, CREATE]
        begin_reply(peer, "hello", number=2)
        peer.end_response("resp_2")
        await wait_all_tasks_blocked()
    assert (new.seen, new.agents, len(old.seen)) == (["hello"], ["New"], 1)


async def test_guardrail_of_both_agent_and_session_runs_once_and_is_named_once(
    autojump_clock: MockClock,
) -> None:
    recorder = RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=guarded_agent(recorder), output_guardrails=[recorder.guardrail]
    ):
        begin_reply(peer, "the secret")
        peer.end_response("resp_1")
        assert user_message_text(await peer.expect(ITEM)) == "guardrail triggered: watch"
    assert recorder.seen == ["the secret"]


async def test_guardrails_of_agent_and_session_each_run_once(autojump_clock: MockClock) -> None:
    recorder, other = RecordingGuardrail(), RecordingGuardrail()
    peer = ScriptedPeer()
    both = [recorder.guardrail, other.guardrail]
    async with open_test_session(
        peer, agent=agent_with_guardrails(recorder.guardrail), output_guardrails=both
    ):
        begin_reply(peer, "hello")
        peer.end_response("resp_1")
        await trio.sleep(1)
    assert (recorder.seen, other.seen) == (["hello"], ["hello"])


@pytest.mark.parametrize("fail_closed", [True, False])
async def test_failing_guardrail_is_reported_and_trips_only_with_fail_closed(
    fail_closed: bool, autojump_clock: MockClock
) -> None:
    @output_guardrail(fail_closed=fail_closed)
    async def broken(_about: AgentContext[None], _text: str) -> bool:
        async with trio.open_nursery():  # its group is not what the message names
            raise LookupError("no word list")

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with_guardrails(broken)) as session:
        with session.subscribe(events.Error, events.GuardrailTripped) as channel:
            begin_reply(peer, "hello")
            peer.end_response("resp_1")
            event = await channel.receive()
            assert isinstance(event, events.Error)
            assert isinstance(event.error, errors.GuardrailFailed)
            assert str(event.error) == "guardrail broken raised LookupError: no word list"
            await trio.sleep(1)
            if fail_closed:
                assert isinstance(await channel.receive(), events.GuardrailTripped)
            else:
                with pytest.raises(trio.WouldBlock):
                    channel.receive_nowait()


@pytest.mark.parametrize("fail_closed", [True, False])
@pytest.mark.parametrize("number", [1, 2])
async def test_a_guardrail_that_hangs_times_out_with_its_declared_outcome(
    fail_closed: bool, number: int, autojump_clock: MockClock
) -> None:
    """Its audio waits behind the gate, and the agent must not stay mute."""

    @output_guardrail(fail_closed=fail_closed, timeout=3)
    async def hang(_about: AgentContext[None], _text: str) -> bool:
        await trio.sleep_forever()
        return True

    @output_guardrail
    async def pass_all(_about: AgentContext[None], _text: str) -> bool:
        return False

    peer = ScriptedPeer()
    agent = agent_with_guardrails(*(hang, pass_all)[:number])
    async with open_test_session(peer, agent=agent, guardrail_audio_gate=True) as session:
        began = trio.current_time()
        begin_reply(peer, "hello")
        peer.audio("resp_1", "item_1", bytes(4800))
        peer.end_response("resp_1")
        with session.subscribe(events.Error, events.Audio, events.GuardrailTripped) as channel:
            error = await channel.receive()
            assert trio.current_time() - began == pytest.approx(3)
            assert isinstance(error, events.Error)
            assert isinstance(error.error, errors.GuardrailFailed)
            assert str(error.error) == "guardrail hang took longer than 3 s"
            outcome = await channel.receive()
        if fail_closed:
            assert isinstance(outcome, events.GuardrailTripped)
            assert outcome.guardrail_results[0].info is error.error
        else:
            assert isinstance(outcome, events.Audio)
            with trio.fail_after(5):
                await session.drain()


async def test_a_guardrail_without_a_timeout_may_take_any_time(autojump_clock: MockClock) -> None:
    @output_guardrail(timeout=None)
    async def slow(_about: AgentContext[None], _text: str) -> bool:
        await trio.sleep(300)
        return True

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with_guardrails(slow)) as session:
        with session.subscribe(events.Error, events.GuardrailTripped) as channel:
            begin_reply(peer, "hello")
            peer.end_response("resp_1")
            assert isinstance(await channel.receive(), events.GuardrailTripped)


@pytest.mark.parametrize("timeout", [0, -1, "soon", True])
def test_an_invalid_timeout_is_refused_where_it_is_declared(timeout: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="timeout must be"):
        output_guardrail(timeout=timeout)(lambda _about, _text: False)


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_every_kind_of_exception_of_a_guardrail_is_reported(
    autojump_clock: MockClock, failure: BaseException
) -> None:
    @output_guardrail
    def of_the_reply(_about: AgentContext[None], _text: str) -> bool:
        raise failure

    @input_guardrail
    async def of_the_question(_about: AgentContext[None], _text: str) -> bool:
        raise failure

    peer = ScriptedPeer()
    agent = agent_with_guardrails(of_the_reply, input_guardrails=[of_the_question])
    async with open_test_session(peer, agent=agent) as session:
        await session.send_message("Hello")
        begin_reply(peer, "hello")
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        failed = [error.error for error in drain_events(session.events, events.Error)]
        assert [type(error) for error in failed] == [errors.GuardrailFailed] * 2
        assert {type(error.__cause__) for error in failed} == {type(failure)}
        assert all(name_in_messages(failure) in str(error) for error in failed)
        await session.send_message("Still here?")


async def test_response_that_starts_before_a_trip_is_handled_suppresses_the_feedback(
    autojump_clock: MockClock,
) -> None:
    """No response can start between the handling of a trip and its feedback."""
    begun = trio.Event()

    @output_guardrail
    async def strict(_about: AgentContext[None], _text: str) -> bool:
        await begun.wait()
        return True

    peer = ScriptedPeer()
    async with open_test_session(peer, output_guardrails=[strict]) as session:
        begin_reply(peer, "the secret", spoken=False)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        with session.subscribe(events.ResponseStart) as starts:
            peer.begin_response("resp_2")
            await starts.receive()
            begun.set()
            await wait_all_tasks_blocked()
        assert len(drain_trips(session)) == 1
        assert await sent_types(peer) == []


# --- the message for the model -------------------------------------------------------------------


def objecting(name: str, **result: Any) -> OutputGuardrail:
    """Return a guardrail that trips on every text, with this result."""

    @output_guardrail(name=name)
    def check(_about: AgentContext[None], _text: str) -> GuardrailResult:
        return GuardrailResult(True, **result)

    return check


async def feedback_to(peer: ScriptedPeer) -> str:
    """Let the guardrails check a reply, and return the message that the model is sent."""
    begin_reply(peer, "It costs twenty euros.")
    peer.end_response("resp_1")
    text = user_message_text(await peer.expect(ITEM))
    await peer.expect(CREATE)
    return text


NO_FEEDBACK: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([NO_FEEDBACK], "guardrail triggered: g0"),
        ([{"feedback": "Name no prices."}], "guardrail triggered: g0\nName no prices."),
        (
            [{"feedback": "Name no prices."}, NO_FEEDBACK, {"feedback": "Be brief."}],
            "guardrail triggered: g0, g1, g2\nName no prices.\nBe brief.",
        ),
        ([{"feedback": 7}, {"feedback": ""}], "guardrail triggered: g0, g1"),
    ],
)
async def test_feedback_of_guardrails_reaches_the_model(
    results: list[dict[str, Any]], expected: str, autojump_clock: MockClock
) -> None:
    guardrails = [objecting(f"g{number}", **result) for number, result in enumerate(results)]
    peer = ScriptedPeer()
    async with open_test_session(peer, output_guardrails=guardrails) as session:
        assert await feedback_to(peer) == expected
        (tripped,) = drain_trips(session)
    given = [result.get("feedback") for result in results]
    assert [trip.feedback for trip in tripped.guardrail_results] == [
        feedback if isinstance(feedback, str) else None for feedback in given
    ]


async def test_application_may_write_the_feedback(autojump_clock: MockClock) -> None:
    calls: list[tuple[str, str]] = []

    def write(about: AgentContext[Any], trips: Sequence[events.GuardrailTrip]) -> str:
        calls.append((about.agent.name, ", ".join(trip.name for trip in trips)))
        return f"Answer again. {trips[0].feedback} Reason: {trips[0].info}"

    agent = agent_with_guardrails(objecting("prices", feedback="Name no prices.", info="policy 7"))
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent, format_guardrail_feedback=write):
        assert await feedback_to(peer) == "Answer again. Name no prices. Reason: policy 7"
    assert calls == [(agent.name, "prices")]


def raise_error(*_: object) -> str:
    raise LookupError("no template")


def return_number(*_: object) -> int:
    return 7


@pytest.mark.parametrize(
    ("formatter", "problem"), [(raise_error, "no template"), (return_number, "expected a str")]
)
async def test_failing_formatter_is_reported_and_the_standard_feedback_is_sent(
    formatter: Any, problem: str, autojump_clock: MockClock
) -> None:
    agent = agent_with_guardrails(objecting("prices", feedback="Name no prices."))
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent, format_guardrail_feedback=formatter) as session:
        assert await feedback_to(peer) == "guardrail triggered: prices\nName no prices."
        (failed,) = drain_events(session.events, events.Error)
    assert isinstance(failed.error, errors.GuardrailFailed)
    assert "format_guardrail_feedback" in str(failed.error)
    assert problem in str(failed.error)


async def test_formatter_is_not_called_for_what_the_user_says(autojump_clock: MockClock) -> None:
    @input_guardrail
    def strict(_about: AgentContext[None], _text: str) -> GuardrailResult:
        return GuardrailResult(True, feedback="Be polite.")

    peer = ScriptedPeer()
    async with open_test_session(
        peer, input_guardrails=[strict], format_guardrail_feedback=raise_error
    ) as session:
        await session.send_message("Hello", respond=False)
        await wait_all_tasks_blocked()
        assert len(drain_trips(session)) == 1
        assert await sent_types(peer) == [ITEM]


async def write_later(*_: object) -> str:
    return ""


@pytest.mark.parametrize("formatter", [7, write_later])
def test_formatter_must_be_a_plain_function(formatter: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="format_guardrail_feedback"):
        SessionConfig(format_guardrail_feedback=formatter)
