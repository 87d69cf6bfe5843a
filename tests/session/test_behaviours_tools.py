"""Function calls on the wire, but for approvals.

Numbers are those of the reference's list of behaviours.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events, drain_channel, drain_events
from support.service import accept_create, function_call_item, send_call, send_call_and_wait
from support.sessions import PassivePeer, open_test_session
from support.tools import make_note_tool, wait
from support.wire import CREATE, ITEM, sent_frames, sent_outputs, sent_settings, sent_types
from trio_realtime import (
    PCMU,
    AgentContext,
    BackgroundResult,
    RealtimeAgent,
    RealtimeSession,
    ToolContext,
    events,
    function_tool,
    handoff,
)
from trio_realtime.errors import ConnectionLost, ProtocolViolation, ToolFailed, ToolTimedOut
from trio_realtime.testing import ScriptedPeer

Session: TypeAlias = RealtimeSession[None]
HELLO = '{"text": "hello"}'

# --- 24: one id, one run -----------------------------------------------------------------------


@pytest.mark.parametrize("again", ["while it runs", "once it is answered", "in a later response"])
async def test_a_call_that_comes_twice_runs_once_and_is_answered_once(
    again: str, autojump_clock: MockClock
) -> None:
    """24."""
    peer = ScriptedPeer()
    repeat = function_call_item("item_1", "call_1", "wait", '{"seconds": 2}')
    async with open_test_session(peer, wait) as session:
        peer.begin_response("resp_1")
        peer.close_item("resp_1", repeat)
        await trio.sleep(1)
        if again == "while it runs":
            peer.close_item("resp_1", repeat)
        await trio.sleep(2)
        if again == "once it is answered":
            peer.close_item("resp_1", repeat)
        peer.end_response("resp_1", output=[repeat])
        await wait_all_tasks_blocked()
        if again == "in a later response":
            peer.begin_response("resp_2", (await sent_frames(peer))[-1])
            peer.close_item("resp_2", repeat)
            peer.end_response("resp_2", output=[repeat])
        await trio.sleep(3)
        assert await sent_types(peer) == [ITEM, CREATE]
        assert sent_outputs(peer) == [("call_1", "waited 2")]
        assert len(drain_events(session.events, events.ToolStart)) == 1


@pytest.mark.parametrize("when", ["while it runs", "once it is answered"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("wait", '{"seconds": 7}'), ("note", HELLO), ("transfer_to_billing", "{}")],
)
async def test_an_id_that_comes_back_for_something_else_runs_nothing_and_is_reported(
    name: str, arguments: str, when: str, autojump_clock: MockClock
) -> None:
    """24: other arguments, another tool, a handoff: the service broke its own rules."""
    note, runs = make_note_tool()
    billing = RealtimeAgent[None](name="Billing")
    agent = RealtimeAgent[None](name="Triage", tools=[wait, note], handoffs=[billing])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "wait", '{"seconds": 2}')
        await trio.sleep(1 if when == "while it runs" else 3)
        peer.call("resp_1", "item_2", "call_1", name, arguments)
        peer.end_response("resp_1")
        await trio.sleep(10)
        seen = drain_channel(session.events)
        (error,) = [event.error for event in seen if isinstance(event, events.Error)]
        assert isinstance(error, ProtocolViolation)
        assert "call_1" in str(error)
        assert sent_outputs(peer) == [("call_1", "waited 2")]
        assert [event.tool.name for event in seen if isinstance(event, events.ToolStart)] == [
            "wait"
        ]
        assert (runs, session.current_agent, len(sent_settings(peer))) == ([], agent, 1)
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        await peer.expect_nothing()


# --- 25, 26: the answer and the wire -----------------------------------------------------------


async def test_an_answer_that_cannot_be_written_ends_with_its_connection(
    autojump_clock: MockClock,
) -> None:
    """25: a send that fails means here that the connection is lost; nothing is tried again.

    The tool has run once, whoever iterates is told of the loss, and no other connection gets its
    answer.
    """
    note, runs = make_note_tool()
    agent = RealtimeAgent[None](name="Assistant", tools=[note])
    line = PassivePeer(max_messages=2)
    async with open_test_session(line, agent=agent) as session:
        await session.send_message("fills the line", respond=False)
        item = function_call_item("item_1", "call_1", "note", HELLO)
        done = {"type": "response.output_item.done", "response_id": "resp_1", "item": item}
        await line.far.send(msgspec.json.encode({**done, "output_index": 0}).decode())
        await wait_all_tasks_blocked()
        assert runs == ["hello"]
        line.far.drop()
        seen: list[events.SessionEvent] = []
        with pytest.raises(ConnectionLost):
            await collect_events(session, seen)
        assert [event.type for event in seen if event.type.startswith("tool")] == [
            "tool_start",
            "tool_end",
        ]
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent):
        await trio.sleep(1)
    assert (runs, peer.sent_types()) == (["hello"], ["session.update"])


async def test_a_call_that_comes_again_after_its_answer_left_is_not_run_again(
    autojump_clock: MockClock,
) -> None:
    """25: the equivalent of a service that never got the answer and asks again."""
    note, runs = make_note_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, note):
        await send_call_and_wait(peer, "note", HELLO)
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.call("resp_2", "item_2", "call_1", "note", HELLO)
        peer.end_response("resp_2")
        await peer.expect_nothing()
    assert runs == ["hello"]


async def by_command(session: Session, _peer: ScriptedPeer) -> None:
    await session.interrupt()


async def by_speech(_session: Session, peer: ScriptedPeer) -> None:
    peer.start_user_speech()


async def by_leaving(session: Session, _peer: ScriptedPeer) -> None:
    await session.aclose()


@pytest.mark.parametrize("stop", [by_command, by_speech, by_leaving])
async def test_a_cancellation_after_the_answer_and_before_its_event_changes_neither(
    stop: Callable[[Session, ScriptedPeer], Awaitable[None]], autojump_clock: MockClock
) -> None:
    """26: the call is over once its answer has left, also where nobody has read of it yet."""
    note, _ = make_note_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "note", HELLO)
        await peer.expect(ITEM)
        await stop(session, peer)
        await wait_all_tasks_blocked()
        ended = [
            event.type for event in drain_channel(session.events) if event.type.startswith("tool")
        ]
        assert ended == ["tool_start", "tool_end"]
    assert sent_outputs(peer) == [("call_1", "noted hello")]


async def test_who_is_cancelled_while_waiting_for_the_event_costs_no_second_answer(
    autojump_clock: MockClock,
) -> None:
    """26: and the event is there for whoever reads next."""
    peer = ScriptedPeer()
    async with open_test_session(peer, wait) as session:
        with session.subscribe(events.ToolEnd) as ends:
            await send_call_and_wait(peer, "wait", '{"seconds": 2}')
            with trio.move_on_after(1):
                await ends.receive()
            end = await ends.receive()
            assert isinstance(end, events.ToolEnd)
            assert end.call_id == "call_1"
        assert await sent_types(peer) == [ITEM, CREATE]


# --- 29: whose tool ----------------------------------------------------------------------------


async def test_a_call_is_of_the_agent_that_its_response_began_with(
    autojump_clock: MockClock,
) -> None:
    """29: stricter than the moment of the call, since the model was told of that agent's tools."""
    first, runs = make_note_tool()
    second, others = make_note_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, first) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        await session.update_agent(RealtimeAgent(name="Next", tools=[second]))
        peer.call("resp_1", "item_1", "call_1", "note", HELLO)
        peer.end_response("resp_1")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.call("resp_2", "item_2", "call_2", "note", '{"text": "again"}')
        await peer.expect(ITEM)
    assert (runs, others) == (["hello"], ["again"])


async def test_a_sibling_of_a_handoff_is_still_the_agents_before(
    autojump_clock: MockClock,
) -> None:
    """29: and its answer joins that of the handoff before the one create."""
    first, runs = make_note_tool()
    second, others = make_note_tool()
    billing = RealtimeAgent[None](name="Billing", tools=[second])
    agent = RealtimeAgent[None](name="Triage", tools=[first], handoffs=[billing])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "transfer_to_billing")
        await peer.expect(ITEM)
        assert session.current_agent is billing
        peer.call("resp_1", "item_2", "call_2", "note", HELLO)
        await peer.expect(ITEM)
        await peer.expect_nothing()
        peer.end_response("resp_1")
        await peer.expect(CREATE)
    assert (runs, others) == (["hello"], [])


async def test_a_call_that_names_no_response_runs_nothing(autojump_clock: MockClock) -> None:
    """29: whose tool it is cannot be known. The frame is there raw, and the next ones are as ever."""
    note, runs = make_note_tool()
    item = function_call_item("item_1", "call_1", "note", HELLO)
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        with session.subscribe(events.RawModelEvent) as raw:
            peer.send({"type": "response.output_item.done", "output_index": 0, "item": item})
            await peer.expect_nothing()
            (seen,) = drain_events(raw, events.RawModelEvent)
            assert seen.json()["item"] == item
        assert runs == []
        peer.begin_response("resp_1")
        peer.close_item("resp_1", item)
        await peer.expect(ITEM)
    assert runs == ["hello"]


# --- 34, 35, 36, 38: answers of other kinds ----------------------------------------------------


async def test_what_was_disabled_since_the_service_was_told_is_answered_as_unknown(
    autojump_clock: MockClock,
) -> None:
    """34: of tools and of handoffs alike. Nothing runs, and the agent stays."""
    enabled = {"now": True}
    begun: list[str] = []

    async def is_enabled(_: AgentContext[None]) -> bool:
        return enabled["now"]

    def note_handoff(_: AgentContext[None]) -> None:
        begun.append("billing")

    note, runs = make_note_tool(is_enabled=is_enabled)
    billing = handoff(
        RealtimeAgent[None](name="Billing"),
        is_enabled=is_enabled,
        on_handoff=note_handoff,
    )
    agent = RealtimeAgent[None](name="Triage", tools=[note], handoffs=[billing])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        (first,) = sent_settings(peer)
        assert [tool["name"] for tool in first["tools"]] == ["note", "transfer_to_billing"]
        enabled["now"] = False
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "note", HELLO)
        peer.call("resp_1", "item_2", "call_2", "transfer_to_billing")
        peer.end_response("resp_1")
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]
        assert session.current_agent is agent
    assert (runs, begun, len(sent_settings(peer))) == ([], [], 1)
    assert sent_outputs(peer) == [
        ("call_1", "Tool note not found."),
        ("call_2", "Tool transfer_to_billing not found."),
    ]


async def test_a_tool_that_nobody_has_is_answered_and_the_model_goes_on(
    autojump_clock: MockClock,
) -> None:
    """35, and better: a create follows, so that the user is not left in silence."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await send_call_and_wait(peer, "nothing_like_it")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        await peer.expect_nothing()
        (end,) = drain_events(session.events, events.ToolEnd)
        assert (end.outcome, end.tool, end.tool_name) == ("unknown", None, "nothing_like_it")
    assert sent_outputs(peer) == [("call_1", "Tool nothing_like_it not found.")]


async def test_a_tool_that_takes_too_long_is_answered_so_and_the_model_goes_on(
    autojump_clock: MockClock,
) -> None:
    """36."""
    stopped: list[float] = []

    @function_tool(timeout=3)
    async def slow() -> None:
        """Take long."""
        try:
            await trio.sleep_forever()
        finally:
            stopped.append(trio.current_time())

    peer = ScriptedPeer()
    async with open_test_session(peer, slow) as session:
        began = trio.current_time()
        await send_call_and_wait(peer, "slow")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        assert [when - began for when in stopped] == [pytest.approx(3, abs=0.1)]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "timed_out"
    assert sent_outputs(peer) == [("call_1", "Tool slow timed out after 3 seconds.")]


@pytest.mark.parametrize("on_timeout", ["answer", "failure"])
async def test_the_answer_of_a_call_that_took_too_long_may_be_the_tools_own(
    on_timeout: Any, autojump_clock: MockClock
) -> None:
    """36: where that counts as a failure, a function that may take its time words it."""

    async def word(about: ToolContext[None], error: Exception) -> str:
        await trio.sleep(1)
        return f"{type(error).__name__} of {about.tool_name} in {about.call_id}"

    @function_tool(timeout=3, on_timeout=on_timeout, format_error=word)
    async def slow() -> None:
        """Take long."""
        await trio.sleep_forever()

    peer = ScriptedPeer()
    async with open_test_session(peer, slow) as session:
        await send_call_and_wait(peer, "slow")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        (end,) = drain_events(session.events, events.ToolEnd)
        assert isinstance(end.error, ToolTimedOut) == (on_timeout == "failure")
    told = {
        "answer": "Tool slow timed out after 3 seconds.",
        "failure": "ToolTimedOut of slow in call_1",
    }
    assert sent_outputs(peer) == [("call_1", told[on_timeout])]


async def test_a_call_that_took_too_long_may_end_the_session_and_is_answered_before(
    autojump_clock: MockClock,
) -> None:
    """36: an answer leaves in any case. That the session ends is for the tool's author to want."""

    @function_tool(timeout=3, on_timeout="failure", on_failure="end_session")
    async def slow() -> None:
        """Take long."""
        await trio.sleep_forever()

    peer = ScriptedPeer()
    async with open_test_session(peer, slow) as session:
        await send_call_and_wait(peer, "slow")
        with pytest.raises(ToolFailed) as caught:
            await collect_events(session, [])
        assert isinstance(caught.value.__cause__, ToolTimedOut)
    ((call_id, told),) = sent_outputs(peer)
    assert call_id == "call_1"
    assert "3 seconds" in told


async def test_a_result_in_the_background_is_an_answer_without_a_create(
    autojump_clock: MockClock,
) -> None:
    """38: and the event has the value itself."""

    @function_tool
    async def prefetch() -> BackgroundResult:
        """Look something up."""
        return BackgroundResult({"found": 3})

    peer = ScriptedPeer()
    async with open_test_session(peer, prefetch) as session:
        await send_call_and_wait(peer, "prefetch")
        await peer.expect(ITEM)
        await peer.expect_nothing()
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.output == {"found": 3}
    assert sent_outputs(peer) == [("call_1", '{"found":3}')]


# --- 37: handoffs ------------------------------------------------------------------------------


async def test_the_next_agents_settings_hold_before_the_handoff_is_answered(
    autojump_clock: MockClock,
) -> None:
    """37: voice and audio formats of the session are not sent again, so they stay."""
    billing = RealtimeAgent[None](name="Billing", instructions="Bill.", voice="echo")
    agent = RealtimeAgent[None](name="Triage", handoffs=[billing])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent, voice="marin", output_format=PCMU) as session:
        peer.acknowledge = False
        send_call(peer, "transfer_to_billing")
        await peer.expect_nothing()
        assert peer.sent_types()[-1] == "session.update"
        peer.send({"type": "session.updated", "session": peer.session})
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        assert session.current_agent is billing
    assert peer.sent_types() == ["session.update", "session.update", ITEM, CREATE]
    first, change = sent_settings(peer)
    assert first["audio"]["output"]["voice"] == "marin"
    assert (change["instructions"], "audio" in change) == ("Bill.", False)
    assert sent_outputs(peer) == [("call_1", '{"assistant":"Billing"}')]


async def test_a_handoff_to_an_agent_that_cannot_be_described_sends_no_settings(
    autojump_clock: MockClock,
) -> None:
    """37: the agent stays. The call is answered all the same, or the model would wait for ever."""

    async def always(_: AgentContext[None]) -> bool:
        return True

    # What a condition may disable is looked at when it is needed, and not before.
    note, _ = make_note_tool(is_enabled=always)
    twin, _ = make_note_tool(is_enabled=always)
    broken = RealtimeAgent[None](name="Broken", tools=[note, twin])
    agent = RealtimeAgent[None](name="Triage", handoffs=[broken])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        await send_call_and_wait(peer, "transfer_to_broken")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        assert session.current_agent is agent
        assert not drain_events(session.events, events.Handoff)
    assert len(sent_settings(peer)) == 1
    ((_, told),) = sent_outputs(peer)
    assert "handoff failed" in told
    assert "note" in told


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_handoff_that_comes_again_calls_nobody_twice(
    accepted: bool, autojump_clock: MockClock
) -> None:
    """37: whether the service took the settings or not."""
    begun: list[str] = []
    billing = RealtimeAgent[None](name="Billing", instructions="Bill.")

    def note_handoff(about: AgentContext[None]) -> None:
        begun.append(about.agent.name)

    offer = handoff(billing, on_handoff=note_handoff)
    agent = RealtimeAgent[None](name="Triage", handoffs=[offer])
    repeat = function_call_item("item_1", "call_1", "transfer_to_billing")
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        peer.acknowledge = accepted
        send_call(peer, "transfer_to_billing")
        await wait_all_tasks_blocked()
        peer.close_item("resp_1", repeat)
        if not accepted:
            peer.reject(peer.received[-1], "invalid_value")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.close_item("resp_2", repeat)
        peer.end_response("resp_2")
        await peer.expect_nothing()
        assert session.current_agent is (billing if accepted else agent)
    assert (begun, len(sent_settings(peer)), len(sent_outputs(peer))) == (["Triage"], 2, 1)
