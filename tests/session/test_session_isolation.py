"""A session takes over nothing from an earlier one that used the same agent, config or connector."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events, collect_types, drain_events
from support.guardrails import RecordingGuardrail, begin_reply
from support.service import send_call, send_call_and_wait, start_audio_response
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, sent_frames, sent_types
from trio_realtime import (
    AgentContext,
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    events,
    function_tool,
    handoff,
    open_realtime_session,
)
from trio_realtime.errors import ClosedByService, ConnectionLost, SettingsRejected
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer

Session: TypeAlias = RealtimeSession[None]

Agent: TypeAlias = RealtimeAgent[None]


@attrs.frozen
class Sessions:
    """A session that has lost its connection, and one that was opened afterwards."""

    old: Session
    new: Session
    peer: ScriptedPeer


@asynccontextmanager
async def lose_and_reconnect(
    agent: Agent, before: Callable[[Session, ScriptedPeer], Awaitable[object]]
) -> AsyncGenerator[Sessions]:
    """Run ``before`` in a session, lose its connection, and open the next session.

    The block of the first session stays open, with the tasks that cannot be cancelled.
    """
    old_peer, peer = ScriptedPeer(), ScriptedPeer()
    async with open_test_session(old_peer, agent=agent) as old:
        await before(old, old_peer)
        await wait_all_tasks_blocked()
        old_peer.close(1011)
        with pytest.raises(ConnectionLost):
            await collect_events(old, [])
        received = len(old_peer.received)
        async with open_test_session(peer, agent=agent) as new:
            peer.received.clear()
            yield Sessions(old, new, peer)
    assert len(old_peer.received) == received


def make_shielded_tool(runs: list[str], name: str = "stubborn", **options: Any) -> FunctionTool:
    @function_tool(name=name, **options)
    async def stubborn() -> str:
        """Finish whatever happens."""
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        runs.append(name)
        return "done"

    return stubborn


async def test_tool_result_does_not_reach_the_next_session(
    autojump_clock: MockClock,
) -> None:
    """The call id is free in the next session: ids belong to one session of the service."""
    runs: list[str] = []
    agent = Agent(name="A", tools=[make_shielded_tool(runs)])

    async def begin(_: Session, peer: ScriptedPeer) -> None:
        await send_call_and_wait(peer, "stubborn")

    async with lose_and_reconnect(agent, begin) as now:
        await trio.sleep(10)
        assert runs == ["stubborn"]
        assert await sent_types(now.peer) == []
        assert not drain_events(now.new.events, events.ToolEnd)
        await send_call_and_wait(now.peer, "stubborn")
        await trio.sleep(10)
        assert await sent_types(now.peer) == [ITEM, CREATE]
    assert len(runs) == 2


async def test_tool_whose_condition_outlives_the_connection_does_not_run(
    autojump_clock: MockClock,
) -> None:
    runs: list[str] = []
    evaluations: list[str] = []

    async def is_enabled(_: AgentContext[None]) -> bool:
        evaluations.append("is_enabled")
        with trio.CancelScope(shield=True):
            await trio.sleep(5 if len(evaluations) == 2 else 0)
        return True

    agent = Agent(name="A", tools=[make_shielded_tool(runs, is_enabled=is_enabled)])

    async def begin(_: Session, peer: ScriptedPeer) -> None:
        await send_call_and_wait(peer, "stubborn")

    async with lose_and_reconnect(agent, begin) as now:
        await trio.sleep(20)
        assert await sent_types(now.peer) == []
    assert (len(evaluations), runs) == (3, [])


async def test_handoff_that_outlives_the_connection_has_no_effect(
    autojump_clock: MockClock,
) -> None:
    """Neither session changes its agent or its settings."""
    prepared: list[str] = []

    async def prepare(_: AgentContext[None]) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        prepared.append("billing")

    billing = Agent(name="Billing", instructions="Bill.")
    agent = Agent(name="A", handoffs=[handoff(billing, on_handoff=prepare)])

    async def begin(_: Session, peer: ScriptedPeer) -> None:
        send_call(peer, "transfer_to_billing")

    async with lose_and_reconnect(agent, begin) as now:
        await trio.sleep(10)
        assert prepared == ["billing"]
        assert now.peer.received == []
        assert (now.old.current_agent, now.new.current_agent) == (agent, agent)


async def test_session_closed_during_a_handoff_sends_nothing_more(
    autojump_clock: MockClock,
) -> None:
    """The next session starts with its own agent."""
    billing = Agent(name="Billing", instructions="Bill.")
    agent = Agent(name="A", handoffs=[billing])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        with session.subscribe(events.Handoff) as handoffs:
            send_call(peer, "transfer_to_billing")
            await handoffs.receive()
            await session.aclose()
        left = peer.sent_types()
        await trio.sleep(10)
    async with open_test_session(peer, agent=agent) as session:
        await trio.sleep(10)
        assert session.current_agent is agent
    assert peer.sent_types() == [*left, "session.update"]


@pytest.mark.parametrize("always", [True, False])
async def test_approvals_do_not_carry_over_to_the_next_session(
    always: bool, autojump_clock: MockClock
) -> None:
    """Neither pending approvals nor lasting decisions."""
    runs: list[str] = []
    agent = Agent(name="A", tools=[make_shielded_tool(runs, needs_approval=True)])

    async def begin(session: Session, peer: ScriptedPeer) -> None:
        await send_call_and_wait(peer, "stubborn")
        if always:
            await session.approve_tool_call("call_1", always=True)
            await trio.sleep(10)

    async with lose_and_reconnect(agent, begin) as now:
        with pytest.raises(ConnectionLost):
            await now.old.approve_tool_call("call_1")
        assert not await now.new.approve_tool_call("call_1")
        await send_call_and_wait(now.peer, "stubborn")
        await trio.sleep(10)
        assert await sent_types(now.peer) == []
        assert len(drain_events(now.new.events, events.ToolApprovalRequired)) == 1
        assert len(runs) == (1 if always else 0)


async def test_guardrail_that_trips_after_the_connection_was_lost_has_no_effect(
    autojump_clock: MockClock,
) -> None:
    """The new session gets no cancel, truncate, feedback or event."""
    recorder = RecordingGuardrail(delay=5)
    agent = Agent(name="A", output_guardrails=[recorder.guardrail])

    async def begin(_: Session, peer: ScriptedPeer) -> None:
        begin_reply(peer, "the secret", audio=bytes(480_000))
        peer.end_response("resp_1")

    async with lose_and_reconnect(agent, begin) as now:
        begin_reply(now.peer, "hello", audio=bytes(480_000))
        await trio.sleep(7)
        assert recorder.seen == ["the secret"]
        assert await sent_types(now.peer) == []
        assert not drain_events(now.new.events, events.GuardrailTripped)
        now.peer.end_response("resp_1")
        await trio.sleep(7)
    assert recorder.seen == ["the secret", "hello"]


@pytest.mark.parametrize("who_closes", ["client", "server"])
async def test_queued_create_is_dropped_with_its_connection(
    who_closes: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_vad")
        await wait_all_tasks_blocked()
        await session.send_message("Hello")
        assert await sent_types(peer) == [ITEM]
        if who_closes == "server":
            peer.close()
            with pytest.raises(ClosedByService):
                await session.drain()
    async with open_test_session(peer):
        peer.begin_response("resp_other")
        peer.end_response("resp_other")
        assert await sent_types(peer) == [ITEM]
    assert len(peer.connections) == 2


async def test_session_starts_with_empty_history_and_playback(autojump_clock: MockClock) -> None:
    """An earlier session with the same agent, config and connector still had audio to play."""
    agent = RealtimeAgent[None](name="A")
    config = SessionConfig()
    peer = ScriptedPeer()
    for number in (1, 2):
        peer.received.clear()
        async with open_realtime_session(
            agent, endpoint=TEST_ENDPOINT, transport=peer.connect, config=config
        ) as session:
            assert session.history == ()
            peer.start_user_speech()
            await session.interrupt()
            assert await sent_frames(peer) == []
            await start_audio_response(peer, f"resp_{number}", f"item_{number}", audio=60)
    assert len(peer.connections) == 2


async def test_session_can_be_opened_after_rejected_settings(
    autojump_clock: MockClock,
) -> None:
    """The failed session leaves nothing in the agent, the config or the connector."""
    agent: RealtimeAgent[None] = RealtimeAgent(name="Assistant")
    config = SessionConfig(voice="unknown", reconnect=None)
    peer = ScriptedPeer(acknowledge=False)

    async def reject_settings(peer: ScriptedPeer) -> None:
        await wait_all_tasks_blocked()
        peer.reject(peer.received[0], "invalid_value", "Invalid value: 'unknown'.")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reject_settings, peer)
        with pytest.raises(SettingsRejected, match="unknown"):
            async with open_realtime_session(
                agent, endpoint=TEST_ENDPOINT, transport=peer.connect, config=config
            ):
                pytest.fail("the block must not run")
    assert peer.closed is not None
    peer = ScriptedPeer()
    async with open_realtime_session(
        agent, endpoint=TEST_ENDPOINT, transport=peer.connect, config=config
    ) as session:
        peer.begin_response("resp_1")
        peer.text("resp_1", "item_1", "Hello")
        peer.close()
        assert await collect_types(session.events) == ["text_delta", "history_added"]
