"""A call from its tool to its answer."""

from __future__ import annotations

import json
import threading

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.service import accept_create, function_call_item, send_call, send_call_and_wait
from support.sessions import open_test_session
from support.tools import make_note_tool
from support.wire import CREATE, ITEM, last_settings_update, sent_outputs, sent_settings, sent_types
from trio_realtime import (
    AgentContext,
    RealtimeAgent,
    ToolContext,
    events,
    function_tool,
    handoff,
    open_realtime_session,
)
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer

HELLO = '{"text": "hello"}'


@function_tool
async def refund() -> str:
    return "refunded"


BILLING = RealtimeAgent[None](name="Billing Team", instructions="Bill.", tools=[refund])


async def test_call_is_run_answered_and_followed_by_one_create(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def get_weather(city: str) -> dict[str, str]:
        """Return the weather."""
        return {"city": city, "sky": "clear"}

    peer = ScriptedPeer()
    async with open_test_session(peer, get_weather) as session:
        await send_call_and_wait(peer, "get_weather", '{"city": "Malmö"}')
        assert await sent_types(peer) == [ITEM, CREATE]
        ((call_id, output),) = sent_outputs(peer)
        assert call_id == "call_1"
        assert json.loads(output) == {"city": "Malmö", "sky": "clear"}
        found = drain_channel(session.events)
        (start,) = [event for event in found if isinstance(event, events.ToolStart)]
        (end,) = [event for event in found if isinstance(event, events.ToolEnd)]
        assert found.index(start) < found.index(end)
        assert (start.tool, start.call_id, start.response_id) == (get_weather, "call_1", "resp_1")
        assert start.arguments == '{"city": "Malmö"}'
        assert (end.tool, end.outcome, end.output_text) == (get_weather, "completed", output)
        assert end.output == {"city": "Malmö", "sky": "clear"}  # the object, not its text


async def test_tool_context_describes_the_call(autojump_clock: MockClock) -> None:
    contexts: list[ToolContext[str]] = []

    @function_tool
    async def note(what: str, context: ToolContext[str]) -> None:
        """Take a note."""
        contexts.append(context)

    agent: RealtimeAgent[str] = RealtimeAgent(name="Assistant", tools=[note])
    peer = ScriptedPeer()
    async with open_realtime_session(
        agent, endpoint=TEST_ENDPOINT, transport=peer.connect, context="the user's own"
    ):
        await send_call_and_wait(peer, "note", '{"what": "milk"}')
    (context,) = contexts
    assert context.context == "the user's own"
    assert (context.call_id, context.tool_name) == ("call_1", "note")
    assert (context.agent, context.response_id) == (agent, "resp_1")
    assert context.arguments == '{"what": "milk"}'
    assert sent_outputs(peer) == [("call_1", "null")]


async def test_tool_context_has_history_and_usage(autojump_clock: MockClock) -> None:
    seen: list[ToolContext[None]] = []

    @function_tool
    async def look(context: ToolContext[None]) -> str:
        seen.append(context)
        return "seen"

    peer = ScriptedPeer()
    async with open_test_session(peer, look):
        user = {
            "id": "item_u",
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_text", "text": "Look!"}],
        }
        peer.add_item(user)
        send_call(peer, "look")
        await peer.expect("conversation.item.create")
    assert [item.id for item in seen[0].history] == ["item_u", "item_1"]
    assert seen[0].usage.responses in (0, 1)


async def test_plain_function_runs_in_a_thread() -> None:
    """Uses the real clock: threads do not wait for a virtual one."""
    threads: list[threading.Thread] = []

    @function_tool
    def compute(a: int, b: int) -> int:
        """Add."""
        threads.append(threading.current_thread())
        return a + b

    peer = ScriptedPeer()
    async with open_test_session(peer, compute):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "compute", '{"a": 2, "b": 3}')
        answer = await peer.expect(ITEM)
    assert answer["item"]["output"] == "5"
    assert threads != [threading.current_thread()]


async def test_interrupt_abandons_the_thread_of_a_plain_function() -> None:
    release = threading.Event()
    started = threading.Event()

    @function_tool
    def stuck() -> str:
        """Block until the test releases it."""
        started.set()
        release.wait(30)
        return "too late"

    peer = ScriptedPeer()
    try:
        async with open_test_session(peer, stuck) as session:
            await send_call_and_wait(peer, "stuck")
            await trio.to_thread.run_sync(started.wait)
            await session.interrupt()
            await wait_all_tasks_blocked()
            ((call_id, output),) = sent_outputs(peer)
            assert call_id == "call_1"
            assert output != "too late"
    finally:
        release.set()


async def test_unknown_tool_is_answered_and_followed_by_a_create(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await send_call_and_wait(peer, "no_such_tool")
        assert sent_outputs(peer) == [("call_1", "Tool no_such_tool not found.")]
        assert await sent_types(peer) == [ITEM, CREATE]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert (end.tool, end.tool_name, end.outcome) == (None, "no_such_tool", "unknown")


async def test_tools_and_handoffs_disabled_since_the_update_are_answered_as_unknown(
    autojump_clock: MockClock,
) -> None:
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


async def test_disabled_tools_and_handoffs_are_neither_declared_nor_run(
    autojump_clock: MockClock,
) -> None:
    enabled = {"refund": True}

    @function_tool(is_enabled=lambda _context: enabled["refund"])
    async def refund() -> str:
        return "refunded"

    async def never(_context: AgentContext[None]) -> bool:
        return False

    agent = RealtimeAgent[None](
        name="A", tools=[refund], handoffs=[handoff(BILLING, is_enabled=never)]
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        assert [tool["name"] for tool in last_settings_update(peer)["session"]["tools"]] == [
            "refund"
        ]
        enabled["refund"] = False
        send_call(peer, "refund")
        assert (await peer.expect("conversation.item.create"))["item"]["output"] == (
            "Tool refund not found."
        )
        create = await peer.expect("response.create")
        peer.begin_response("resp_2", create)
        peer.call("resp_2", "item_2", "call_2", "transfer_to_billing_team")
        peer.end_response("resp_2")
        await peer.expect("conversation.item.create")
        assert session.current_agent is agent


async def test_call_uses_the_tools_of_the_agent_that_started_the_response(
    autojump_clock: MockClock,
) -> None:
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


async def test_call_without_a_response_id_runs_nothing(autojump_clock: MockClock) -> None:
    """The agent whose tool it is cannot be determined."""
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


async def test_a_result_that_is_like_a_str_is_sent(autojump_clock: MockClock) -> None:
    class Text(str):
        __slots__ = ()

    @function_tool
    async def get_text() -> str:
        """Return text of another library."""
        return Text("found")

    peer = ScriptedPeer()
    async with open_test_session(peer, get_text) as session:
        await send_call_and_wait(peer, "get_text", "{}")
        assert await sent_types(peer) == [ITEM, CREATE]
        assert sent_outputs(peer) == [("call_1", "found")]
        await session.send_message(Text("hello"), respond=False)
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]
