"""A cancellation or an interruption at every step of a caller and of the tools.

The service is the local one, so that it behaves like a real service. Whatever happens at any step,
the session is valid afterwards: every call was answered once, a question is answered, and no task is
left.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import attrs
import pytest
import trio
from trio.testing import MockClock

from support.cancellation import (
    StepTrigger,
    cancel_after_steps,
    for_every_step,
    installed,
    matches_current_task,
    matches_tool,
)
from support.service import start_call
from support.sessions import open_test_session, task_count
from support.wire import sent_outputs
from trio_realtime import (
    AgentContext,
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    ToolContext,
    events as ev,
    function_tool,
    handoff,
    open_realtime_session,
    tool_input_guardrail,
    tool_output_guardrail,
)
from trio_realtime.core import Interrupt
from trio_realtime.local import Call, LocalConnector, Say, Step, local_connector
from trio_realtime.testing import ScriptedPeer

pytestmark = pytest.mark.slow


Session: TypeAlias = RealtimeSession[None]

EARLY = "it will take a while"

Work: TypeAlias = Callable[[], Awaitable[None]]


class FixedResponder:
    """A responder that gives fixed steps first, and "fine" afterwards."""

    def __init__(self, first: Sequence[Step]) -> None:
        self._first: list[Sequence[Step]] = [first]

    def respond(self, turn: object) -> Sequence[Step]:
        return self._first.pop() if self._first else (Say("fine"),)


@attrs.define
class ToolLog:
    """How many tools have started and ended."""

    began: int = 0
    ended: int = 0


def make_work(log: ToolLog) -> Work:
    """Return work with several checkpoints, a sleep, and a cleanup that takes time."""

    async def work() -> None:
        log.began += 1
        try:
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            await trio.sleep(1)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.1)
            log.ended += 1

    return work


@tool_input_guardrail
async def check_input(context: ToolContext[None], arguments: dict[str, Any]) -> bool:
    await trio.sleep(0.1)
    return False


@tool_output_guardrail
async def check_output(context: ToolContext[None], output: Any) -> bool:
    await trio.sleep(0.1)
    return bool(output == "secret")


async def condition(context: ToolContext[None], arguments: dict[str, Any]) -> bool:
    await trio.lowlevel.checkpoint()
    return True


def make_tools(work: Work) -> tuple[FunctionTool, ...]:
    """Return tools that do the same work with different options."""

    async def secret() -> str:
        await work()
        return "secret"

    async def early(context: ToolContext[None]) -> str:
        await trio.lowlevel.checkpoint()
        await context.answer_early(EARLY)
        await work()
        return "done at last"

    async def fails() -> None:
        await work()
        raise LookupError("no luck")

    guarded = function_tool(
        name="guarded",
        needs_approval=True,
        check_input_before_approval=True,
        input_guardrails=[check_input],
        output_guardrails=[check_output],
    )
    return (
        function_tool(name="plain")(work),
        function_tool(name="approved", needs_approval=condition)(work),
        guarded(secret),
        function_tool(output_guardrails=[check_output])(early),
        function_tool(name="too_slow", timeout=0.5, on_timeout="failure")(work),
        function_tool(name="finishes", on_interrupt="finish")(work),
        function_tool(name="goes_on", on_interrupt="background", finish_timeout=5)(work),
        function_tool(fails),
    )


def make_agent(log: ToolLog) -> RealtimeAgent[None]:
    async def on_handoff(context: AgentContext[None]) -> None:
        log.began += 1
        try:
            await trio.sleep(0.1)
        finally:
            log.ended += 1

    other = RealtimeAgent[None](name="B", instructions="b")
    return RealtimeAgent(
        name="A",
        instructions="a",
        tools=make_tools(make_work(log)),
        handoffs=[handoff(other, on_handoff=on_handoff)],
    )


def open_local(wire: LocalConnector, log: ToolLog) -> Any:
    return open_realtime_session(
        make_agent(log), endpoint=wire.endpoint, transport=wire, config=SessionConfig()
    )


def completed_calls(wire: LocalConnector) -> Counter[str]:
    """Count the calls that the service has completed, by id."""
    return Counter(
        frame["item"]["call_id"]
        for frame in wire.connections[0].sent
        if frame["type"] == "response.output_item.done"
        and frame["item"]["type"] == "function_call"
        and frame["item"]["status"] == "completed"
    )


def created_items(wire: LocalConnector, kind: str) -> list[Any]:
    """Return the items of this type that the client has created."""
    return [
        frame["item"]
        for frame in wire.connections[0].received
        if frame["type"] == "conversation.item.create" and frame["item"]["type"] == kind
    ]


def answered_calls(wire: LocalConnector) -> Counter[str]:
    """Count the calls that the client has answered, by id."""
    return Counter(item["call_id"] for item in created_items(wire, "function_call_output"))


def service_item_ids(wire: LocalConnector) -> list[str]:
    """Return the ids of the service's items in order, computed from its frames."""
    order: list[str] = []
    for frame in wire.connections[0].sent:
        if frame["type"] == "conversation.item.added":
            previous = frame["previous_item_id"]
            order.insert(order.index(previous) + 1 if previous else 0, frame["item"]["id"])
        elif frame["type"] == "conversation.item.deleted":
            order.remove(frame["item_id"])
    return order


def accepted_instructions(wire: LocalConnector) -> str:
    """Return the instructions that the service accepted last."""
    updated = [f for f in wire.connections[0].sent if f["type"] == "session.updated"]
    return str(updated[-1]["session"]["instructions"])


async def check_valid(session: Session, wire: LocalConnector) -> None:
    with trio.fail_after(60):
        assert (await session.ask("Still there?")).text == "fine"
        await session.drain()
    assert session.statistics().running_tools == 0
    assert [item.id for item in session.history] == service_item_ids(wire)
    assert accepted_instructions(wire) == session.current_agent.instructions


def check_answered(wire: LocalConnector, log: ToolLog) -> None:
    assert answered_calls(wire) == completed_calls(wire)
    assert log.began == log.ended


# --- the caller is cancelled -------------------------------------------------------------------


@attrs.frozen
class Stage:
    """A session in which the agent speaks and a call runs or waits for approval."""

    session: Session
    wire: LocalConnector
    call_id: str


Action: TypeAlias = Callable[["Stage"], Awaitable[object]]

TALK = Say("One moment, please, this is going to take a while.", audio_ms=3000)


async def drop_messages(stage: Stage) -> None:
    await stage.session.update_history(
        lambda items: [item for item in items if item.type != "message"]
    )


async def create_and_wait(stage: Stage) -> None:
    await (await stage.session.create_response())


async def read_paced_audio(stage: Stage) -> None:
    async with stage.session.paced_audio() as frames:
        for _ in range(20):
            await frames.receive()


ACTIONS: dict[str, Action] = {
    "approve_tool_call": lambda stage: stage.session.approve_tool_call(stage.call_id),
    "reject_tool_call": lambda stage: stage.session.reject_tool_call(stage.call_id, always=True),
    "update_agent": lambda stage: stage.session.update_agent(
        RealtimeAgent(name="B", instructions="b")
    ),
    "update_settings": lambda stage: stage.session.update_settings(max_output_tokens=100),
    "update_history": drop_messages,
    "ask": lambda stage: stage.session.ask("Hello?"),
    "create_response": create_and_wait,
    "interrupt": lambda stage: stage.session.interrupt(),
    "drain": lambda stage: stage.session.drain(),
    "send_message": lambda stage: stage.session.send_message("Hello?"),
    "paced_audio": read_paced_audio,
}


async def start_call_of(session: Session, tool: str) -> str:
    """Send a message, wait until the call of the tool runs or waits, and return its id."""
    with session.subscribe(ev.ToolApprovalRequired, ev.ToolStart) as channel:
        await session.send_message("Do it!")
        event = await channel.receive()
    assert isinstance(event, ev.ToolApprovalRequired if tool == "approved" else ev.ToolStart)
    return event.call_id


@pytest.mark.parametrize("tool", ["plain", "approved"])
@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
async def test_session_works_after_a_caller_is_cancelled(
    action: Action, tool: str, autojump_clock: MockClock
) -> None:
    async def attempt(steps: int) -> bool:
        log = ToolLog()
        wire = local_connector(responder=FixedResponder([TALK, Call(tool)]), pacing=10.0)
        async with open_local(wire, log) as session:
            call_id = await start_call_of(session, tool)
            reached = await cancel_after_steps(
                steps, partial(action, Stage(session, wire, call_id))
            )
            await session.approve_tool_call(call_id)
            await check_valid(session, wire)
        check_answered(wire, log)
        assert task_count() == before
        return reached

    before = task_count()
    await for_every_step(attempt, at_least=1)


@pytest.mark.parametrize("tool", ["plain", "approved", "early", "goes_on"])
async def test_leaving_the_block_may_be_cancelled_at_every_step(
    tool: str, autojump_clock: MockClock
) -> None:
    """The peer is scripted, so that the cancellation cannot stop it either."""

    async def attempt(steps: int) -> bool:
        log = ToolLog()
        peer = ScriptedPeer()
        scope = trio.CancelScope()
        counted = StepTrigger(steps, matches_current_task(), scope.cancel)
        with scope, contextlib.ExitStack() as stack:
            async with open_test_session(peer, agent=make_agent(log)):
                await start_call(peer, tool)
                stack.enter_context(installed(counted))
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1"]
        assert log.began == log.ended
        assert task_count() == before
        return counted.was_reached

    before = task_count()
    await for_every_step(attempt, at_least=3)


# --- something happens at every step of a tool -------------------------------------------------


TOOLS = [
    "plain",
    "approved",
    "guarded",
    "early",
    "too_slow",
    "finishes",
    "goes_on",
    "fails",
    "transfer_to_b",
    "unknown",
]


async def approve_all(session: Session, wire: LocalConnector) -> None:
    """Approve each call after a while, unless it was interrupted and answered before."""
    with session.subscribe(ev.ToolApprovalRequired) as channel:
        async for event in channel:
            assert isinstance(event, ev.ToolApprovalRequired)
            await trio.sleep(0.2)
            is_over = event.call_id in answered_calls(wire)
            assert not (await session.approve_tool_call(event.call_id) and is_over)


def interrupt_now(session: Session) -> None:
    """Interrupt synchronously, as the reader does when the user speaks."""
    session._runtime.feed(Interrupt())


def call_outputs(wire: LocalConnector) -> list[str]:
    """Return the outputs of the answered calls."""
    return [item["output"] for item in created_items(wire, "function_call_output")]


def count_late_results(wire: LocalConnector) -> int:
    """Return how many results were sent after an early answer."""
    return sum("Result of" in str(item["content"]) for item in created_items(wire, "message"))


@pytest.mark.parametrize("tool", TOOLS)
async def test_interruption_at_every_step_of_a_tool(tool: str, autojump_clock: MockClock) -> None:
    async def attempt(steps: int) -> bool:
        log = ToolLog()
        wire = local_connector(responder=FixedResponder([Call(tool), Call("plain")]), pacing=10.0)
        async with open_local(wire, log) as session, trio.open_nursery() as nursery:
            nursery.start_soon(approve_all, session, wire)
            with installed(
                StepTrigger(steps, matches_tool(tool), partial(interrupt_now, session))
            ) as counted:
                await session.send_message("Do it!")
                await trio.sleep(5)
            await check_valid(session, wire)
            # The outputs agree with what happened.
            has_handed_over = '"assistant"' in call_outputs(wire)[0]
            assert (session.current_agent.name == "B") == has_handed_over
            assert count_late_results(wire) == call_outputs(wire).count(EARLY)
            nursery.cancel_scope.cancel()
        check_answered(wire, log)
        assert task_count() == before
        return counted.was_reached

    before = task_count()
    await for_every_step(attempt, at_least=1)


@pytest.mark.parametrize("tool", TOOLS)
async def test_session_may_end_at_every_step_of_a_tool(
    tool: str, autojump_clock: MockClock
) -> None:
    async def attempt(steps: int) -> bool:
        log = ToolLog()
        leave = trio.Event()
        # One call after another: a call that is under way when the block is left has no answer.
        wire = local_connector(
            responder=FixedResponder([Call(tool), Call("plain")]), pacing=10.0, interleave=False
        )
        async with open_local(wire, log) as session, trio.open_nursery() as nursery:
            nursery.start_soon(approve_all, session, wire)
            with installed(StepTrigger(steps, matches_tool(tool), leave.set)) as counted:
                await session.send_message("Do it!")
                with trio.move_on_after(5):
                    await leave.wait()
            nursery.cancel_scope.cancel()
        check_answered(wire, log)
        assert task_count() == before
        return counted.was_reached

    before = task_count()
    await for_every_step(attempt, at_least=1)
