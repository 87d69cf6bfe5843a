"""Whatever user code raises, the session continues."""

from __future__ import annotations

import asyncio  # noqa: TID251 - tools that wrap asyncio code may raise its exceptions
from typing import Any, NoReturn

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.service import accept_create, send_call_and_wait, start_call
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, sent_outputs, sent_types
from trio_realtime import (
    AgentContext,
    FunctionTool,
    RealtimeAgent,
    events,
    function_tool,
    handoff,
)
from trio_realtime.session.user_code import describe_exception
from trio_realtime.testing import ScriptedPeer


class UnrelatedBaseException(BaseException):
    """Neither an ``Exception`` nor one of trio's or the interpreter's own."""


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise self


@pytest.mark.parametrize(
    "failure",
    [
        asyncio.CancelledError(),
        pytest.fail.Exception("failed inside a tool"),
        UnrelatedBaseException("odd"),
        UnprintableError(),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_every_kind_of_exception_of_a_tool_is_an_answer(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    @function_tool
    async def odd() -> NoReturn:
        raise failure

    peer = ScriptedPeer()
    async with open_test_session(peer, odd) as session:
        await start_call(peer, "odd")
        peer.end_response("resp_1")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        ((_, output),) = sent_outputs(peer)
        (ended,) = drain_events(session.events, events.ToolEnd)
    assert output.startswith(f"Tool odd failed: {type(failure).__name__}")
    assert ended.outcome == "failed"
    assert ended.error is failure


async def fail_in_nurseries(*failures: Exception) -> None:
    """Raise a group in a group, as nested nurseries of user code do."""

    async def fail(failure: Exception) -> None:
        raise failure

    async with trio.open_nursery(), trio.open_nursery() as nursery:
        for failure in failures:
            nursery.start_soon(fail, failure)


@function_tool
async def one() -> None:
    await fail_in_nurseries(LookupError("nothing there"))


@function_tool
async def two() -> None:
    await fail_in_nurseries(ValueError("same"), ValueError("same"))


@function_tool(format_error=lambda _context, exc: type(exc).__name__)
async def worded() -> None:
    await fail_in_nurseries(LookupError("nothing there"))


@pytest.mark.parametrize(
    ("tool", "output"),
    [
        (one, "Tool one failed: LookupError: nothing there"),
        (two, "Tool two failed: ValueError: same"),
        (worded, "ExceptionGroup"),
    ],
)
async def test_the_answer_names_the_exception_inside_a_group(
    tool: FunctionTool, output: str, autojump_clock: MockClock
) -> None:
    """A formatter of the application still gets the group."""
    peer = ScriptedPeer()
    async with open_test_session(peer, tool) as session:
        await send_call_and_wait(peer, tool.name)
        (ended,) = drain_events(session.events, events.ToolEnd)
        assert sent_outputs(peer) == [("call_1", output)]
        assert isinstance(ended.error, ExceptionGroup)
        assert await sent_types(peer) == [ITEM, CREATE]


async def fail_with_instructions(_context: AgentContext[None]) -> str:
    await fail_in_nurseries(LookupError("no customer"))
    return ""


async def fail_in_on_handoff(_context: AgentContext[None]) -> None:
    await fail_in_nurseries(LookupError("no customer"))


@pytest.mark.parametrize(
    "target",
    [
        RealtimeAgent[None](name="B", instructions=fail_with_instructions),
        handoff(RealtimeAgent[None](name="B"), on_handoff=fail_in_on_handoff),
    ],
    ids=["instructions", "on_handoff"],
)
async def test_a_failed_handoff_names_the_exception_inside_a_group(
    target: Any, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    agent = RealtimeAgent[None](name="A", handoffs=[target])
    async with open_test_session(peer, agent=agent):
        await send_call_and_wait(peer, "transfer_to_b")
        output = "The handoff failed: LookupError: no customer"
        assert sent_outputs(peer) == [("call_1", output)]


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (ExceptionGroup("", [ExceptionGroup("", [KeyError("x")])]), "KeyError: 'x'"),
        (ExceptionGroup("", [KeyError("x"), KeyError("x"), OSError()]), "KeyError: 'x'; OSError: "),
        (
            ExceptionGroup("", [ValueError(number) for number in range(5)]),
            "ValueError: 0; ValueError: 1; ValueError: 2; 2 more",
        ),
        (ExceptionGroup("", [UnprintableError(), OSError("x")]), "UnprintableError; OSError: x"),
    ],
)
def test_a_description_has_the_innermost_exceptions(failure: Exception, text: str) -> None:
    assert describe_exception(failure) == text


async def test_exception_group_of_a_cancelled_tool_is_an_answer(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def messy() -> None:
        """Run a child task that fails when it is cancelled."""

        async def child() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("broken pipe")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(trio.sleep_forever)

    peer = ScriptedPeer()
    async with open_test_session(peer, messy) as session:
        await send_call_and_wait(peer, "messy")
        await session.interrupt()
        await wait_all_tasks_blocked()
        ((call_id, _output),) = sent_outputs(peer)
        assert call_id == "call_1"
        await session.send_message("Go on.")
        assert (await sent_types(peer))[-1] == CREATE
