"""A call that is cancelled before its task has begun does nothing, and is answered as cancelled."""

from __future__ import annotations

from typing import Any

from trio.testing import MockClock, wait_all_tasks_blocked

from support.service import function_call_item
from support.sessions import open_test_session
from support.wire import sent_outputs
from trio_realtime import AgentContext, RealtimeAgent, events, function_tool, handoff
from trio_realtime.core import CANCELLED_OUTPUT, Interrupt
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import structure_server_event

CALLED: list[str] = []


def on_handoff(context: AgentContext[Any]) -> None:
    CALLED.append("handoff")


@function_tool
async def tool() -> str:
    CALLED.append("tool")
    return "done"


async def test_neither_a_tool_nor_a_handoff_begins(autojump_clock: MockClock) -> None:
    CALLED.clear()
    other = RealtimeAgent[None](name="Other")
    agent = RealtimeAgent[None](
        name="First", tools=[tool], handoffs=[handoff(other, name="other", on_handoff=on_handoff)]
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        with session.subscribe(events.ToolCancelled) as cancelled:
            for name in ("tool", "other", "unknown"):
                item = function_call_item(f"item_{name}", f"call_{name}", name)
                done = {"type": "response.output_item.done", "response_id": "resp_1", "item": item}
                session._runtime.feed(structure_server_event(done))
            session._runtime.feed(Interrupt())  # no task has run in between
            assert {(await cancelled.receive()).tool_name for _ in range(3)} == {
                *("tool", "other", "unknown")
            }
        await wait_all_tasks_blocked()
        outputs = sent_outputs(peer)
    assert {text for _, text in outputs} == {CANCELLED_OUTPUT}
    assert CALLED == []
    assert session.current_agent is agent
