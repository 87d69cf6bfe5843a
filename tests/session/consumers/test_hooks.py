"""Hooks are called in the order of the events, and cannot disturb the session."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, NoReturn

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.service import accept_create, start_call
from support.sessions import open_test_session, task_count
from support.tools import endless, wait
from support.wire import ITEM
from trio_realtime import (
    AgentContext,
    AgentHooks,
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    SessionHooks,
    errors,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer

Context = AgentContext[Any]

Agent = RealtimeAgent[Any]

Work = Callable[[str], Awaitable[None]]

SECRET: ContextVar[str] = ContextVar("secret", default="nobody's")


async def return_at_once(_line: str) -> None:
    """The work of hooks that take no time."""


@function_tool
async def get_weather(city: str) -> dict[str, str]:
    """Return the weather of a city."""
    return {city: "sunny"}


class AgentLog(AgentHooks):
    """Agent hooks that log a line for each call, and then run ``work``."""

    def __init__(self, log: list[str], work: Work = return_at_once) -> None:
        self._log = log
        self._work = work

    async def _note(self, context: Context, agent: Agent, line: str) -> None:
        assert context.agent is agent
        self._log.append(f"{agent.name}: {line}")
        await self._work(line)

    async def on_start(self, context: Context, agent: Agent, event: events.AgentStart) -> None:
        assert event.agent is agent
        await self._note(context, agent, f"start {event.turn_id}")

    async def on_end(
        self, context: Context, agent: Agent, output: str, event: events.AgentEnd
    ) -> None:
        assert event.agent is agent
        await self._note(context, agent, f"end {event.status} {output}".rstrip())

    async def on_handoff(
        self, context: Context, agent: Agent, source: Agent, event: events.Handoff
    ) -> None:
        assert event.from_agent is source
        await self._note(context, agent, f"from {source.name}")

    async def on_tool_start(
        self, context: Context, agent: Agent, tool: FunctionTool, event: events.ToolStart
    ) -> None:
        assert event.agent is agent
        await self._note(context, agent, f"{event.call_id} {tool.name} {event.arguments}")

    async def on_tool_end(
        self,
        context: Context,
        agent: Agent,
        tool: FunctionTool | None,
        result: Any,
        event: events.ToolEnd,
    ) -> None:
        assert event.tool is tool
        name = tool.name if tool else None
        await self._note(context, agent, f"{event.call_id} {name} {event.outcome} {result}")

    async def on_tool_cancelled(
        self, context: Context, agent: Agent, event: events.ToolCancelled
    ) -> None:
        await self._note(context, agent, f"{event.call_id} {event.tool_name} cancelled")


class SessionLog(SessionHooks):
    """Session hooks that log a line for each call, and then run ``work``."""

    def __init__(self, log: list[str], work: Work = return_at_once) -> None:
        self._log = log
        self._work = work

    async def _note(self, context: Context, agent: Agent, line: str) -> None:
        assert context.agent is agent
        self._log.append(f"session, {agent.name}: {line}")
        await self._work(line)

    async def on_agent_start(
        self, context: Context, agent: Agent, event: events.AgentStart
    ) -> None:
        assert event.agent is agent
        await self._note(context, agent, f"start {event.turn_id}")

    async def on_agent_end(
        self, context: Context, agent: Agent, output: str, event: events.AgentEnd
    ) -> None:
        assert event.agent is agent
        await self._note(context, agent, f"end {event.status} {output}".rstrip())

    async def on_handoff(
        self, context: Context, from_agent: Agent, to_agent: Agent, event: events.Handoff
    ) -> None:
        assert event.to_agent is to_agent
        await self._note(context, to_agent, f"from {from_agent.name}")

    async def on_tool_start(
        self, context: Context, agent: Agent, tool: FunctionTool, event: events.ToolStart
    ) -> None:
        assert event.agent is agent
        await self._note(context, agent, f"{event.call_id} {tool.name} {event.arguments}")

    async def on_tool_end(
        self,
        context: Context,
        agent: Agent,
        tool: FunctionTool | None,
        result: Any,
        event: events.ToolEnd,
    ) -> None:
        assert event.tool is tool
        name = tool.name if tool else None
        await self._note(context, agent, f"{event.call_id} {name} {event.outcome} {result}")

    async def on_tool_cancelled(
        self, context: Context, agent: Agent, event: events.ToolCancelled
    ) -> None:
        await self._note(context, agent, f"{event.call_id} {event.tool_name} cancelled")


class ToolLog(AgentHooks):
    """Agent hooks that log the ids of started calls, and then run ``work``."""

    def __init__(self, work: Work = return_at_once) -> None:
        self.log: list[str] = []
        self._work = work

    async def on_tool_start(
        self, context: Context, agent: Agent, tool: FunctionTool, event: events.ToolStart
    ) -> None:
        self.log.append(event.call_id)
        await self._work(event.call_id)


async def sleep_forever(_line: str) -> None:
    await trio.sleep_forever()


def agent_with_hooks(*tools: FunctionTool, hooks: AgentHooks) -> RealtimeAgent[None]:
    return RealtimeAgent(name="A", tools=tools, hooks=hooks)


async def run_tool_turn(peer: ScriptedPeer) -> None:
    """Send a call, receive its output, and send the reply."""
    peer.begin_response("resp_1")
    peer.call("resp_1", "item_1", "call_1", "get_weather", '{"city": "Oslo"}')
    peer.end_response("resp_1")
    await peer.expect(ITEM)
    await accept_create(peer, "resp_2")
    peer.say("resp_2", "item_2", "Sunny!")
    peer.end_response("resp_2")
    await wait_all_tasks_blocked()


async def send_calls(peer: ScriptedPeer, *call_ids: str, name: str = "get_weather") -> None:
    """Send several calls in one response, and let their tools start."""
    peer.begin_response("resp_1")
    for call_id in call_ids:
        peer.call("resp_1", f"item_{call_id}", call_id, name, '{"city": "Oslo"}')
    await wait_all_tasks_blocked()


# --- calls -------------------------------------------------------------------------------------


async def test_hooks_of_session_and_agent_are_called_in_order(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []
    peer = ScriptedPeer()
    agent = agent_with_hooks(get_weather, hooks=AgentLog(log))
    async with open_test_session(peer, agent=agent, hooks=SessionLog(log)):
        await run_tool_turn(peer)
    lines = [
        "A: start resp_1",
        'A: call_1 get_weather {"city": "Oslo"}',
        "A: call_1 get_weather completed {'Oslo': 'sunny'}",
        "A: end completed Sunny!",
    ]
    assert log == [entry for line in lines for entry in (f"session, {line}", line)]


async def test_hooks_get_the_context_of_the_session(autojump_clock: MockClock) -> None:
    seen: list[list[str]] = []

    class Look(AgentHooks[list[str]]):
        async def on_start(
            self,
            context: AgentContext[list[str]],
            agent: RealtimeAgent[list[str]],
            event: events.AgentStart,
        ) -> None:
            seen.append(context.context)

    mine = ["mine"]
    peer = ScriptedPeer()
    agent = RealtimeAgent[list[str]](name="A", hooks=Look())
    async with open_realtime_session(
        agent, endpoint=TEST_ENDPOINT, transport=peer.connect, context=mine
    ):
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
    assert [one is mine for one in seen] == [True]


async def test_handoff_calls_the_hooks_of_the_next_agent(
    autojump_clock: MockClock,
) -> None:
    reception_log: list[str] = []
    billing_log: list[str] = []
    log: list[str] = []
    billing = RealtimeAgent[None](name="Billing", hooks=AgentLog(billing_log))
    reception = RealtimeAgent[None](
        name="Reception", hooks=AgentLog(reception_log), handoffs=[billing]
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=reception, hooks=SessionLog(log)):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "transfer_to_billing")
        peer.end_response("resp_1")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.say("resp_2", "item_2", "Billing here.")
        peer.end_response("resp_2")
        await wait_all_tasks_blocked()
    # The call of the handoff belongs to the reception agent, but is not a call of one of its tools.
    assert reception_log == [
        "Reception: start resp_1",
        "Reception: call_1 None completed " + repr(billing),
    ]
    assert billing_log == ["Billing: from Reception", "Billing: end completed Billing here."]
    assert "session, Billing: from Reception" in log


async def test_update_agent_calls_the_hooks_of_the_next_agent(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.update_agent(RealtimeAgent(name="B", hooks=AgentLog(log)))
    assert log == ["B: from Assistant"]


async def test_hooks_that_a_tool_brings_see_nothing_of_its_context_variables(
    autojump_clock: MockClock,
) -> None:
    """The call of the tool is one of them: a hook must not count as a part of it."""
    seen: list[str] = []

    async def look(_line: str) -> None:
        seen.append(SECRET.get())

    @function_tool
    async def switch() -> None:
        SECRET.set("of the tool")
        await session.update_agent(RealtimeAgent(name="B", hooks=AgentLog([], look)))

    peer = ScriptedPeer()
    agent = RealtimeAgent[None](name="A", tools=[switch])
    async with open_test_session(peer, agent=agent) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "switch")
        await wait_all_tasks_blocked()
    assert seen == ["nobody's"]


async def test_session_hooks_are_called_for_agents_without_hooks(autojump_clock: MockClock) -> None:
    log: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(peer, get_weather, hooks=SessionLog(log)):
        await run_tool_turn(peer)
    assert len(log) == 4


async def test_cancelled_tool_calls_on_tool_cancelled(autojump_clock: MockClock) -> None:
    log: list[str] = []
    peer = ScriptedPeer()
    agent = agent_with_hooks(endless, hooks=AgentLog(log))
    async with open_test_session(peer, agent=agent, hooks=SessionLog(log)) as session:
        await start_call(peer, "endless")
        await session.interrupt()
        await wait_all_tasks_blocked()
        assert log[-2:] == [
            "session, A: call_1 endless cancelled",
            "A: call_1 endless cancelled",
        ]


async def test_unknown_tool_calls_on_tool_end(autojump_clock: MockClock) -> None:
    log: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with_hooks(hooks=AgentLog(log))):
        await start_call(peer, "nonsense")
    assert "A: call_1 None unknown Tool nonsense not found." in log


async def test_hooks_that_override_nothing_do_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    peer = ScriptedPeer()
    agent = agent_with_hooks(get_weather, endless, hooks=AgentHooks())
    async with open_test_session(peer, agent=agent, hooks=SessionHooks()) as session:
        await run_tool_turn(peer)
        await session.update_agent(RealtimeAgent(name="B", hooks=AgentHooks(), tools=[endless]))
        peer.begin_response("resp_3")
        peer.call("resp_3", "item_3", "call_3", "endless")
        await wait_all_tasks_blocked()
        await session.interrupt()
        await wait_all_tasks_blocked()
        assert not drain_events(session.events, events.Error)
    assert not caplog.records


async def test_hook_may_be_a_plain_function(autojump_clock: MockClock) -> None:
    log: list[str] = []

    class Plain(AgentHooks):
        def on_start(  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
            self, context: Context, agent: Agent, event: events.AgentStart
        ) -> None:
            log.append(event.turn_id)

    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with_hooks(hooks=Plain())) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        assert not drain_events(session.events, events.Error)
    assert log == ["resp_1"]


# --- failures ----------------------------------------------------------------------------------


async def raise_lookup_error(_line: str) -> NoReturn:
    raise LookupError("no such thing")


async def test_failing_hook_is_reported_and_ends_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    peer = ScriptedPeer()
    agent = agent_with_hooks(get_weather, hooks=AgentLog(log))
    async with open_test_session(
        peer, agent=agent, hooks=SessionLog([], raise_lookup_error)
    ) as session:
        await run_tool_turn(peer)
        reported = drain_events(session.events, events.Error)
    failure = reported[0].error
    assert isinstance(failure, errors.HookFailed)
    assert str(failure) == "the hook SessionLog.on_agent_start raised LookupError: no such thing"
    assert isinstance(failure.__cause__, LookupError)
    assert len(reported) == len(log) == 4, (
        "each hook is tried, and the hooks of the agent are called"
    )
    assert {record.name for record in caplog.records} == {"trio_realtime.hooks"}
    assert caplog.records[0].exc_info is not None


class Unprintable(BaseException):
    """A ``BaseException`` whose ``str`` raises."""

    def __str__(self) -> str:
        raise ValueError


async def raise_unprintable(_line: str) -> NoReturn:
    raise Unprintable


async def fail_in_a_nursery(_line: str) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raise_lookup_error, "")
        nursery.start_soon(raise_unprintable, "")
        await trio.sleep_forever()


@pytest.mark.parametrize("work", [raise_unprintable, fail_in_a_nursery])
async def test_session_continues_whatever_a_hook_raises(
    work: Work, autojump_clock: MockClock
) -> None:
    hooks = ToolLog(work)
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with_hooks(get_weather, hooks=hooks)) as session:
        await send_calls(peer, "call_1", "call_2")
        reported = drain_events(session.events, events.Error)
    assert [type(one.error) for one in reported] == [errors.HookFailed] * 2
    assert hooks.log == ["call_1", "call_2"]


async def raise_system_exit(_line: str) -> NoReturn:
    raise SystemExit(3)


async def raise_system_exit_in_a_nursery(_line: str) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raise_lookup_error, "")
        nursery.start_soon(raise_system_exit, "")


@pytest.mark.parametrize("work", [raise_system_exit, raise_system_exit_in_a_nursery])
async def test_system_exit_in_a_hook_propagates(work: Work, autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    with pytest.raises(SystemExit) as caught:
        async with open_test_session(
            peer, agent=agent_with_hooks(get_weather, hooks=ToolLog(work))
        ):
            await send_calls(peer, "call_1")
            await trio.sleep_forever()
    assert caught.value.code == 3


# --- slow hooks --------------------------------------------------------------------------------


async def test_slow_hook_delays_only_later_hooks(autojump_clock: MockClock) -> None:
    calls: list[tuple[str, float]] = []

    async def slowly(line: str) -> None:
        calls.append((line.partition(" ")[0], trio.current_time()))
        await trio.sleep(100)

    peer = ScriptedPeer()
    agent = agent_with_hooks(get_weather, hooks=AgentLog([], slowly))
    async with open_test_session(peer, agent=agent) as session:
        began = trio.current_time()
        await run_tool_turn(peer)
        assert trio.current_time() == began
        assert [one.output for one in drain_events(session.events, events.AgentEnd)] == ["Sunny!"]
        await trio.sleep(350)
    assert [(word, at - began) for word, at in calls] == [
        ("start", 0),
        ("call_1", 100),
        ("call_1", 200),
        ("end", 300),
    ]


async def test_blocked_hook_disables_hooks_and_is_reported_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = trio.Event()

    async def wait_go_on(_line: str) -> None:
        await go_on.wait()

    hooks = ToolLog(wait_go_on)
    peer = ScriptedPeer()
    agent = agent_with_hooks(get_weather, hooks=hooks)
    async with open_test_session(
        peer, agent=agent, max_buffered_events=4, overflow="drop_oldest"
    ) as session:
        with session.subscribe(events.Error) as failures:
            await send_calls(peer, *(f"call_{number}" for number in range(1, 9)))
            (report,) = drain_events(failures, events.Error)
            assert isinstance(report.error, errors.ConsumerTooSlow)
            assert "ToolLog.on_tool_start takes too long: 4 events wait" in str(report.error)
            assert report.error.statistics["hook"] == "ToolLog.on_tool_start"
            go_on.set()
            peer.end_response("resp_1")
            await wait_all_tasks_blocked()
            peer.begin_response("resp_2")
            peer.call("resp_2", "item_9", "call_9", "get_weather", '{"city": "Oslo"}')
            await wait_all_tasks_blocked()
            assert not drain_events(failures, events.Error)
        assert "call_9" not in hooks.log
        assert len([answer for answer in peer.received if answer["type"] == ITEM]) == 9
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_discarded_events_are_not_retained(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    agent = agent_with_hooks(endless, hooks=ToolLog(sleep_forever))
    async with open_test_session(
        peer, agent=agent, max_buffered_events=2, overflow="drop_oldest"
    ) as session:
        await send_calls(peer, *(f"call_{number}" for number in range(4)), name="endless")
        with session.subscribe(events.AgentEnd) as ends:
            peer.end_response("resp_1", "failed")
            peer.begin_response("resp_2")
            peer.end_response("resp_2")
            await wait_all_tasks_blocked()
            references = [weakref.ref(one) for one in drain_events(ends, events.AgentEnd)]
        with pytest.raises(errors.ConsumerTooSlow):
            drain_events(session.events, events.AgentEnd)
        gc.collect()
        assert [one() for one in references] == [None] * len(references) != []


async def test_fast_hooks_receive_every_event_of_a_burst(autojump_clock: MockClock) -> None:
    hooks = ToolLog()
    peer = ScriptedPeer()
    call_ids = [f"call_{number}" for number in range(50)]
    agent = agent_with_hooks(get_weather, hooks=hooks)
    async with open_test_session(
        peer, agent=agent, max_buffered_events=4, overflow="drop_oldest"
    ) as session:
        with session.subscribe(events.Error) as failures:
            await send_calls(peer, *call_ids)
            assert not drain_events(failures, events.Error)
    assert sorted(hooks.log) == sorted(call_ids)


# --- shutdown ----------------------------------------------------------------------------------


async def sleep_briefly(_line: str) -> None:
    await trio.sleep(0.1)


@pytest.mark.parametrize("how", ["left", "cancelled", "raised", "closed", "lost"])
async def test_hooks_get_all_events_before_the_end(how: str, autojump_clock: MockClock) -> None:
    log: list[str] = []
    peer = ScriptedPeer()
    agent = agent_with_hooks(wait, hooks=AgentLog(log, sleep_briefly))
    before = task_count()
    with suppress(LookupError, errors.ConnectionLost), trio.CancelScope() as scope:
        async with open_test_session(peer, agent=agent) as session:
            await start_call(peer, "wait", '{"seconds": 60}')
            match how:
                case "cancelled":
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
                case "raised":
                    raise LookupError
                case "closed":
                    await session.aclose()
                case "lost":
                    peer.close(1011)
                    await wait_all_tasks_blocked()
                case _:
                    pass
    assert log[:2] == ["A: start resp_1", 'A: call_1 wait {"seconds": 60}']
    # Also after a connection loss, when no channel gets the event of the call any more.
    ended = ["A: end failed"] if how == "lost" else []
    assert sorted(log[2:]) == sorted(["A: call_1 wait cancelled", *ended])
    assert task_count() == before


async def fail_while_cancelled(_line: str) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        try:
            await trio.sleep_forever()
        finally:
            raise LookupError("during the cleanup")


@pytest.mark.parametrize("work", [sleep_forever, fail_while_cancelled])
@pytest.mark.parametrize("how", ["left", "cancelled", "lost"])
async def test_blocked_hook_is_cancelled_after_close_timeout(
    how: str, work: Work, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    hooks = ToolLog(work)
    peer = ScriptedPeer()
    agent = agent_with_hooks(get_weather, hooks=hooks)
    before, began = task_count(), 0.0
    with suppress(errors.ConnectionLost), trio.CancelScope() as scope:
        async with open_test_session(peer, agent=agent, close_timeout=0.5):
            await send_calls(peer, "call_1", "call_2")
            began = trio.current_time()
            if how == "cancelled":
                scope.cancel()
            elif how == "lost":
                peer.close(1011)
    assert trio.current_time() - began == pytest.approx(0.5)
    assert hooks.log == ["call_1"]
    assert task_count() == before
    (last,) = [record for record in caplog.records if "close_timeout" in record.message]
    assert "ToolLog.on_tool_start" in last.message


async def test_hook_may_close_the_session_and_finishes(autojump_clock: MockClock) -> None:
    sessions: list[RealtimeSession[None]] = []
    log: list[str] = []

    async def close(_line: str) -> None:
        await sessions[0].aclose()
        await trio.sleep(0.1)
        log.append("closed")

    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=agent_with_hooks(get_weather, hooks=ToolLog(close))
    ) as session:
        sessions.append(session)
        began = trio.current_time()
        await send_calls(peer, "call_1")
        assert [type(event) async for event in session][-1] is not events.Error
    assert log == ["closed"]
    assert trio.current_time() - began == pytest.approx(0.1)


async def test_hooks_get_the_end_of_a_tool_that_finishes_during_shutdown(
    autojump_clock: MockClock,
) -> None:
    @function_tool(finish_timeout=60)
    async def pay() -> str:
        await trio.sleep(30)
        return "paid"

    log: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=agent_with_hooks(pay, hooks=AgentLog(log)), hooks=SessionLog([], sleep_briefly)
    ):
        await start_call(peer, "pay")
    assert log[-1] == "A: call_1 pay completed paid"


# --- declarations ------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [SessionLog, AgentLog([]), 3])
async def test_invalid_session_hooks_are_rejected_before_connecting(given: Any) -> None:
    peer = ScriptedPeer()
    with pytest.raises(errors.ConfigurationError, match="hooks= takes an instance"):
        async with open_realtime_session(
            RealtimeAgent(name="A"),
            endpoint=TEST_ENDPOINT,
            transport=peer.connect,
            config=SessionConfig(hooks=given),
        ):
            raise AssertionError
    assert not peer.connections
