"""Guardrails: when replies are checked, what a trip does, and to whom it does nothing."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.failures import UNUSUAL_EXCEPTIONS
from support.guardrails import RecordingGuardrail, begin_reply
from support.sessions import open_test_session
from trio_realtime import (
    AgentContext,
    RealtimeAgent,
    RealtimeSession,
    errors,
    events,
    function_tool,
    input_guardrail,
    output_guardrail,
)
from trio_realtime.agents import OutputGuardrail
from trio_realtime.testing import ScriptedPeer

LONG = "and so it goes on and on, "  # 26 characters


def guarded(*guardrails: OutputGuardrail, **more: Any) -> RealtimeAgent[None]:
    return RealtimeAgent(name="Guarded", output_guardrails=guardrails, **more)


async def tripped(session: RealtimeSession[None]) -> events.GuardrailTripped:
    with trio.fail_after(60):
        async for event in session:
            if isinstance(event, events.GuardrailTripped):
                return event
    raise AssertionError("nothing tripped")


async def test_a_short_reply_is_checked_once_and_in_full(autojump_clock: MockClock) -> None:
    watch = RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(watch.guardrail)):
        begin_reply(peer, "the password ", "is hunter2")
        peer.end_response("resp_1")
        await trio.sleep(1)
    assert watch.seen == ["the password is hunter2"]


async def test_a_reply_without_deltas_is_checked_too(autojump_clock: MockClock) -> None:
    watch = RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(watch.guardrail)):
        peer.begin_response("resp_1")
        item = {
            "id": "item_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "all at once"}],
        }
        peer.close_item("resp_1", item)
        peer.end_response("resp_1", output=[item])
        await trio.sleep(1)
    assert watch.seen == ["all at once"]


@pytest.mark.parametrize(("debounce", "checks"), [(52, [52, 104, 130]), (0, [130])])
async def test_a_growing_reply_is_checked_each_time_it_has_grown_enough(
    debounce: int, checks: list[int], autojump_clock: MockClock
) -> None:
    watch = RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(watch.guardrail), guardrail_debounce=debounce):
        begin_reply(peer, *[LONG] * 5)
        peer.end_response("resp_1")
        await trio.sleep(1)
    assert sorted(map(len, watch.seen)) == checks


async def test_a_trip_interrupts_its_response_and_tells_the_model_once(
    autojump_clock: MockClock,
) -> None:
    first, second = RecordingGuardrail(name="first"), RecordingGuardrail(name="second")
    ended: list[str] = []

    @function_tool
    async def slow() -> None:
        try:
            await trio.sleep(100)
        finally:
            ended.append("slow")

    peer = ScriptedPeer()
    agent = guarded(first.guardrail, second.guardrail, tools=[slow])
    async with open_test_session(peer, agent=agent, guardrail_debounce=10) as session:
        begin_reply(peer, "here it comes", audio=bytes(48 * 2000))
        peer.call("resp_1", "item_2", "call_1", "slow")
        await trio.sleep(0.5)
        peer.transcript("resp_1", "item_1", " and so is my secret")
        event = await tripped(session)
        assert [trip.name for trip in event.guardrail_results] == ["first", "second"]
        assert event.response_id == "resp_1"
        sent = [await peer.next() for _ in range(4)]
        assert [frame["type"] for frame in sent] == [
            "response.cancel",
            "conversation.item.truncate",
            "conversation.item.create",
            "conversation.item.create",
        ]
        assert sent[0]["response_id"] == "resp_1"
        texts = [str(frame["item"]) for frame in sent[2:]]
        assert any("guardrail triggered: first, second" in text for text in texts)
        assert any("function_call_output" in text for text in texts)
        peer.audio("resp_1", "item_1", bytes(480))
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        await peer.expect("response.create")
        await peer.expect_nothing()
        assert ended == ["slow"]


async def test_a_late_trip_does_not_touch_a_newer_response(autojump_clock: MockClock) -> None:
    watch = RecordingGuardrail(delay=5)
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(watch.guardrail)) as session:
        begin_reply(peer, "a secret")
        peer.end_response("resp_1")
        await trio.sleep(1)
        begin_reply(peer, "something else", number=2, audio=bytes(48 * 60_000))
        event = await tripped(session)
        assert event.response_id == "resp_1"
        await peer.expect_nothing()


async def test_a_late_trip_of_the_last_response_is_still_told(autojump_clock: MockClock) -> None:
    watch = RecordingGuardrail(delay=5)
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(watch.guardrail)) as session:
        begin_reply(peer, "a secret", audio=bytes(48 * 60_000))
        peer.end_response("resp_1")
        await tripped(session)
        truncate = await peer.expect("conversation.item.truncate")
        assert truncate["audio_end_ms"] == 5000
        await peer.expect("conversation.item.create")
        await peer.expect("response.create")


async def test_the_guardrails_are_those_of_the_agent_that_began(
    autojump_clock: MockClock,
) -> None:
    old, new = RecordingGuardrail(), RecordingGuardrail()
    successor = RealtimeAgent[None](name="New", output_guardrails=[new.guardrail])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(old.guardrail)) as session:
        begin_reply(peer, "begun before")
        await trio.sleep(0.1)
        await session.update_agent(successor)
        peer.end_response("resp_1")
        begin_reply(peer, "begun after", number=2)
        peer.end_response("resp_2")
        await trio.sleep(1)
    assert (old.seen, old.agents) == (["begun before"], ["Guarded"])
    assert (new.seen, new.agents) == (["begun after"], ["New"])


async def test_one_guardrail_on_agent_and_session_runs_once(autojump_clock: MockClock) -> None:
    watch, other = RecordingGuardrail(), RecordingGuardrail()
    peer = ScriptedPeer()
    both = [watch.guardrail, other.guardrail]
    async with open_test_session(peer, agent=guarded(watch.guardrail), output_guardrails=both):
        begin_reply(peer, "hello")
        peer.end_response("resp_1")
        await trio.sleep(1)
    assert (watch.seen, other.seen) == (["hello"], ["hello"])


@pytest.mark.parametrize("fail_closed", [True, False])
async def test_a_guardrail_that_raises_is_an_event_and_trips_only_if_it_shall(
    fail_closed: bool, autojump_clock: MockClock
) -> None:
    @output_guardrail(fail_closed=fail_closed)
    def broken(_about: AgentContext[None], _text: str) -> bool:
        raise LookupError("no word list")

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(broken)) as session:
        with session.subscribe(events.Error, events.GuardrailTripped) as channel:
            begin_reply(peer, "hello")
            peer.end_response("resp_1")
            event = await channel.receive()
            assert isinstance(event, events.Error)
            assert isinstance(event.error, errors.GuardrailFailed)
            assert "no word list" in str(event.error)
            await trio.sleep(1)
            if fail_closed:
                assert isinstance(await channel.receive(), events.GuardrailTripped)
            else:
                with pytest.raises(trio.WouldBlock):
                    channel.receive_nowait()


async def test_what_the_user_writes_is_checked_and_the_answer_stopped(
    autojump_clock: MockClock,
) -> None:
    @input_guardrail
    async def rude(_about: AgentContext[None], text: str) -> bool:
        await trio.sleep(1)
        return "!" in text

    peer = ScriptedPeer()
    agent = RealtimeAgent[None](name="A", input_guardrails=[rude])
    async with open_test_session(peer, agent=agent) as session:
        await session.send_message("Hey!")
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        peer.begin_response("resp_1", create)
        event = await tripped(session)
        assert (event.response_id, event.message) == (None, "Hey!")
        await peer.expect("response.cancel", response_id="resp_1")


async def test_what_the_user_was_heard_to_say_is_checked(autojump_clock: MockClock) -> None:
    seen: list[str] = []

    @input_guardrail
    def note(_about: AgentContext[None], text: str) -> bool:
        seen.append(text)
        return False

    peer = ScriptedPeer()
    async with open_test_session(peer, input_guardrails=[note]):
        peer.send(
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": "item_1",
                "content_index": 0,
                "transcript": "hello there",
                "usage": {"type": "duration", "seconds": 1},
            }
        )
        await trio.sleep(1)
    assert seen == ["hello there"]


async def test_a_late_trip_of_the_input_does_not_stop_what_the_user_said_since(
    autojump_clock: MockClock,
) -> None:
    @input_guardrail
    async def rude(_about: AgentContext[None], text: str) -> bool:
        await trio.sleep(5 if "!" in text else 0)
        return "!" in text

    peer = ScriptedPeer()
    async with open_test_session(peer, input_guardrails=[rude]) as session:
        await session.send_message("Hey!", respond=False)
        await trio.sleep(1)
        await session.send_message("Sorry.")
        await peer.expect("conversation.item.create")
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        peer.begin_response("resp_1", create)
        await tripped(session)
        await peer.expect_nothing()


async def test_something_else_is_no_guardrail() -> None:
    with pytest.raises(errors.ConfigurationError, match="OutputGuardrail"):
        RealtimeAgent[None](name="A", output_guardrails=[print])


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_whatever_a_guardrail_raises_is_an_event_and_ends_nothing(
    autojump_clock: MockClock, failure: BaseException
) -> None:
    @output_guardrail
    def of_the_reply(_about: AgentContext[None], _text: str) -> bool:
        raise failure

    @input_guardrail
    async def of_the_question(_about: AgentContext[None], _text: str) -> bool:
        raise failure

    peer = ScriptedPeer()
    agent = guarded(of_the_reply, input_guardrails=[of_the_question])
    async with open_test_session(peer, agent=agent) as session:
        await session.send_message("Hello")
        begin_reply(peer, "hello")
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        failed = [error.error for error in drain_events(session.events, events.Error)]
        assert [type(error) for error in failed] == [errors.GuardrailFailed] * 2
        assert {type(error.__cause__) for error in failed} == {type(failure)}
        assert all(type(failure).__name__ in str(error) for error in failed)
        await session.send_message("Still here?")
