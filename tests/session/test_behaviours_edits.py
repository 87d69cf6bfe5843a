"""Edits of the history, and work that is left of a session that ended.

Numbers are those of the reference's list of behaviours.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events, drain_events
from support.guardrails import RecordingGuardrail, begin_reply
from support.service import send_call, send_call_and_wait
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, Frame, sent_types
from trio_realtime import (
    AgentContext,
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    events,
    function_tool,
    handoff,
)
from trio_realtime.errors import ConnectionLost, UsageError
from trio_realtime.items import HistoryItem
from trio_realtime.testing import ScriptedPeer, message
from trio_realtime.wire import InputText, MessageItem, OutputAudio, OutputText

Session: TypeAlias = RealtimeSession[None]
Agent: TypeAlias = RealtimeAgent[None]
Edit: TypeAlias = Callable[[Sequence[HistoryItem]], Sequence[HistoryItem]]

DELETE = "conversation.item.delete"

# --- 51: what the service takes back -----------------------------------------------------------

SPOKEN = MessageItem(
    id="item_new", role="assistant", content=(OutputAudio(transcript="As I said."),)
)


def heard(item_id: str, text: str) -> Frame:
    content = [{"type": "input_text", "text": text}]
    return {
        "id": item_id,
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": content,
    }


async def converse(peer: ScriptedPeer) -> None:
    """A user's text, and what the agent spoke."""
    peer.add_item(heard("item_1", "Hello"))
    peer.add_item(message("item_2", "Good morning.", spoken=True))
    await wait_all_tasks_blocked()


def added(items: Sequence[HistoryItem]) -> Sequence[HistoryItem]:
    return [*items, MessageItem(role="user", content=(InputText(text="Hm?"),)), SPOKEN]


def changed(_: Sequence[HistoryItem]) -> Sequence[HistoryItem]:
    return [MessageItem(id="item_2", role="assistant", content=SPOKEN.content)]


def before_all(items: Sequence[HistoryItem]) -> Sequence[HistoryItem]:
    return [SPOKEN, *items]


@pytest.mark.parametrize("edit", [added, changed, before_all])
@pytest.mark.parametrize("by_function", [True, False])
async def test_audio_of_the_assistant_is_refused_before_anything_is_sent(
    edit: Edit, by_function: bool, autojump_clock: MockClock
) -> None:
    """51: though there is more to send that the service would take. Nothing has changed."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await converse(peer)
        before = session.history
        with pytest.raises(UsageError, match=r"OutputText\(text=transcript\)"):
            await session.update_history(edit if by_function else edit(before))
        assert await sent_types(peer) == []
        assert session.history == before
        assert not drain_events(session.events, events.HistoryUpdated)


async def test_audio_of_the_assistant_may_stay_or_go_or_come_back_as_text(
    autojump_clock: MockClock,
) -> None:
    """51, the other side. The history changes when the service says so, and not before."""
    peer = ScriptedPeer()
    text = attrs.evolve(SPOKEN, content=(OutputText(text="As I said."),))
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        await converse(peer)
        hello, good_morning = session.history
        nursery.start_soon(session.update_history, [good_morning, text])
        gone = await peer.expect(DELETE, item_id="item_1")
        new = await peer.expect(ITEM, previous_item_id="item_2")
        await peer.expect_nothing()
        assert session.history == (hello, good_morning)
        assert nursery.child_tasks, "it waits for the service"
        peer.send({"type": "conversation.item.deleted", "item_id": gone["item_id"]})
        peer.add_item({**new["item"], "status": "completed"})
        await wait_all_tasks_blocked()
        assert [item.id for item in session.history] == ["item_2", "item_new"]
        assert not nursery.child_tasks, "it has been told of it all"
    (part,) = new["item"]["content"]
    assert part == {"type": "output_text", "text": "As I said."}


# --- 52: after the connection ------------------------------------------------------------------


@attrs.frozen
class Change:
    """A session that has lost its connection, and one that was opened after it."""

    old: Session
    new: Session
    peer: ScriptedPeer


@asynccontextmanager
async def after_a_loss(
    agent: Agent, before: Callable[[Session, ScriptedPeer], Awaitable[object]]
) -> AsyncGenerator[Change]:
    """The first session lost its connection in the middle of something; the next one stands.

    The first one's block is still open, with whatever of it does not let itself be cancelled.
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
            yield Change(old, new, peer)
    assert len(old_peer.received) == received


def stubborn(runs: list[str], name: str = "stubborn", **options: Any) -> FunctionTool:
    @function_tool(name=name, **options)
    async def stubborn() -> str:
        """Finish whatever happens."""
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        runs.append(name)
        return "done"

    return stubborn


async def test_the_result_of_a_tool_does_not_cross_over_to_the_next_connection(
    autojump_clock: MockClock,
) -> None:
    """52: where a session has one connection, a new one is a new session of the same agent.

    There, the id of the old call is free: the service's ids are of its session.
    """
    runs: list[str] = []
    agent = Agent(name="A", tools=[stubborn(runs)])

    async def begin(_: Session, peer: ScriptedPeer) -> None:
        await send_call_and_wait(peer, "stubborn")

    async with after_a_loss(agent, begin) as now:
        await trio.sleep(10)
        assert runs == ["stubborn"]
        assert await sent_types(now.peer) == []
        assert not drain_events(now.new.events, events.ToolEnd)
        await send_call_and_wait(now.peer, "stubborn")
        await trio.sleep(10)
        assert await sent_types(now.peer) == [ITEM, CREATE]
    assert len(runs) == 2


async def test_a_tool_that_was_still_being_looked_up_does_not_run(
    autojump_clock: MockClock,
) -> None:
    """52: its condition ends after its connection has."""
    runs: list[str] = []
    asked: list[str] = []

    async def is_enabled(_: AgentContext[None]) -> bool:
        asked.append("enabled")
        with trio.CancelScope(shield=True):
            await trio.sleep(5 if len(asked) == 2 else 0)
        return True

    agent = Agent(name="A", tools=[stubborn(runs, is_enabled=is_enabled)])

    async def begin(_: Session, peer: ScriptedPeer) -> None:
        await send_call_and_wait(peer, "stubborn")

    async with after_a_loss(agent, begin) as now:
        await trio.sleep(20)
        assert await sent_types(now.peer) == []
    assert (len(asked), runs) == (3, [])


async def test_a_handoff_that_was_still_being_prepared_hands_over_nothing(
    autojump_clock: MockClock,
) -> None:
    """52: neither the new session nor the old one gets another agent, or other settings."""
    prepared: list[str] = []

    async def prepare(_: AgentContext[None]) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        prepared.append("billing")

    billing = Agent(name="Billing", instructions="Bill.")
    agent = Agent(name="A", handoffs=[handoff(billing, on_handoff=prepare)])

    async def begin(_: Session, peer: ScriptedPeer) -> None:
        send_call(peer, "transfer_to_billing")

    async with after_a_loss(agent, begin) as now:
        await trio.sleep(10)
        assert prepared == ["billing"]
        assert now.peer.received == []
        assert (now.old.current_agent, now.new.current_agent) == (agent, agent)


async def test_a_listener_that_leaves_at_the_handoff_leaves_with_it(
    autojump_clock: MockClock,
) -> None:
    """52: once it has left, nothing of it is sent, and the next session begins with its own agent."""
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
async def test_a_decision_is_of_its_session(always: bool, autojump_clock: MockClock) -> None:
    """52: what waited for approval is gone, and what was decided for good is asked anew."""
    runs: list[str] = []
    agent = Agent(name="A", tools=[stubborn(runs, needs_approval=True)])

    async def begin(session: Session, peer: ScriptedPeer) -> None:
        await send_call_and_wait(peer, "stubborn")
        if always:
            await session.approve_tool_call("call_1", always=True)
            await trio.sleep(10)

    async with after_a_loss(agent, begin) as now:
        with pytest.raises(ConnectionLost):
            await now.old.approve_tool_call("call_1")
        assert not await now.new.approve_tool_call("call_1")
        await send_call_and_wait(now.peer, "stubborn")
        await trio.sleep(10)
        assert await sent_types(now.peer) == []
        assert len(drain_events(now.new.events, events.ToolApprovalRequired)) == 1
        assert len(runs) == (1 if always else 0)


async def test_what_a_guardrail_finds_after_the_connection_is_told_to_nobody_else(
    autojump_clock: MockClock,
) -> None:
    """52: no cancel, no cut, no feedback, no event in the new session."""
    watch = RecordingGuardrail(delay=5)
    agent = Agent(name="A", output_guardrails=[watch.guardrail])

    async def begin(_: Session, peer: ScriptedPeer) -> None:
        begin_reply(peer, "the secret", audio=bytes(480_000))
        peer.end_response("resp_1")

    async with after_a_loss(agent, begin) as now:
        begin_reply(now.peer, "hello", audio=bytes(480_000))
        await trio.sleep(7)
        assert watch.seen == ["the secret"]
        assert await sent_types(now.peer) == []
        assert not drain_events(now.new.events, events.GuardrailTripped)
        now.peer.end_response("resp_1")
        await trio.sleep(7)
    assert watch.seen == ["the secret", "hello"]
