"""Entering and leaving the block of a session."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeAlias, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, is_initial_history
from support.service import start_call
from support.sessions import open_session_with, open_test_session, task_count
from support.tools import endless
from trio_realtime import (
    AgentContext,
    Endpoint,
    RealtimeAgent,
    SessionConfig,
    errors,
    events,
    function_tool,
    handoff,
    open_realtime_session,
)
from trio_realtime.errors import ConfigurationError, ConnectionLost, ConnectTimeout
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer
from trio_realtime.transports import ConnectOptions, Transport

# --- before connecting -------------------------------------------------------------------------


@function_tool
async def refund() -> str:
    return "refunded"


BILLING = RealtimeAgent[None](name="Billing Team", instructions="Bill.", tools=[refund])


async def test_duplicate_tool_names_are_rejected_before_connecting() -> None:
    @function_tool(name="same")
    async def one() -> None:
        """One."""

    @function_tool(name="same")
    async def two() -> None:
        """Another."""

    peer = ScriptedPeer()
    with pytest.raises(ConfigurationError, match="same"):
        async with open_test_session(peer, one, two):
            pytest.fail("the block must not run")
    assert peer.connections == []


async def test_duplicate_handoff_names_are_rejected_before_connecting() -> None:
    agent = RealtimeAgent[None](name="A", handoffs=[BILLING, BILLING])
    peer = ScriptedPeer()
    with pytest.raises(errors.ConfigurationError, match="transfer_to_billing_team"):
        async with open_realtime_session(agent, endpoint=TEST_ENDPOINT, transport=peer.connect):
            raise AssertionError("the session opened")
    assert not peer.connections


async def test_duplicate_names_of_a_reachable_agent_are_rejected_before_connecting() -> None:
    """Otherwise the session would start, and the handoff to its third agent would fail."""
    clash = handoff(BILLING, name="refund")
    third = RealtimeAgent[None](name="Third", tools=[refund], handoffs=[clash])
    second = RealtimeAgent[None](name="Second", handoffs=lambda: [first, third])
    first = RealtimeAgent[None](name="First", handoffs=[second])
    peer = ScriptedPeer()
    with pytest.raises(errors.ConfigurationError, match=r"'Third' has more than one .* refund"):
        async with open_realtime_session(first, endpoint=TEST_ENDPOINT, transport=peer.connect):
            raise AssertionError("the session opened")
    assert not peer.connections


async def test_handoffs_that_create_agents_without_end_are_accepted(
    autojump_clock: MockClock,
) -> None:
    def another() -> RealtimeAgent[None]:
        return RealtimeAgent(name="Another", handoffs=lambda: [another()])

    async with open_test_session(ScriptedPeer(), agent=another()):
        pass


async def test_invalid_handoff_is_rejected_before_connecting() -> None:
    agent = RealtimeAgent[None](name="A", handoffs=["Billing"])
    peer = ScriptedPeer()
    with pytest.raises(errors.ConfigurationError, match="no agent and no handoff"):
        async with open_realtime_session(agent, endpoint=TEST_ENDPOINT, transport=peer.connect):
            raise AssertionError("the session opened")


async def test_invalid_endpoint_is_rejected() -> None:
    with pytest.raises(ConfigurationError, match="expected endpoint to be an Endpoint"):
        async with open_realtime_session(
            RealtimeAgent[None](name="A"),
            endpoint=cast("Any", "http://localhost"),
        ):
            raise AssertionError("the session opened")


async def test_connect_timeout_covers_instructions_key_and_connection(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(greet=False, acknowledge=False)

    async def write(_: AgentContext[None]) -> str:
        await trio.sleep(3)
        return "Be brief."

    async def fetch_key() -> str:
        await trio.sleep(3)
        return "test-key"

    @asynccontextmanager
    async def connect(dial: ConnectOptions) -> AsyncGenerator[Transport]:
        await trio.sleep(3)
        async with peer.connect(dial) as transport:
            yield transport

    began = trio.current_time()
    with pytest.raises(ConnectTimeout, match="10 s"):
        async with open_realtime_session(
            RealtimeAgent[None](name="Assistant", instructions=write),
            endpoint=Endpoint.compatible("ws://test.invalid/v1", api_key=fetch_key),
            transport=connect,
            config=SessionConfig(connect_timeout=10),
        ):
            pytest.fail("the block must not run")
    assert trio.current_time() - began == pytest.approx(10)
    assert [dial.connect_timeout for dial in peer.connections] == [pytest.approx(4)]


@pytest.mark.parametrize(("writing", "slow"), [(600, "agent"), (6, "key")])
async def test_connect_timeout_applies_before_the_connection_attempt(
    writing: float, slow: str, autojump_clock: MockClock
) -> None:
    async def write(_: AgentContext[None]) -> str:
        await trio.sleep(writing)
        return "Be brief."

    async def fetch_key() -> str:
        await trio.sleep(600)
        return "test-key"

    peer = ScriptedPeer()
    began = trio.current_time()
    with pytest.raises(ConnectTimeout, match=slow):
        async with open_realtime_session(
            RealtimeAgent[None](name="Assistant", instructions=write),
            endpoint=Endpoint.compatible("ws://test.invalid/v1", api_key=fetch_key),
            transport=peer.connect,
            config=SessionConfig(connect_timeout=10),
        ):
            pytest.fail("the block must not run")
    assert trio.current_time() - began == pytest.approx(10)
    assert peer.connections == []


# --- leaving the block -------------------------------------------------------------------------


Situation: TypeAlias = Callable[[ScriptedPeer], Awaitable[None]]


async def idle(peer: ScriptedPeer) -> None:
    """Do nothing."""


async def tool_runs(peer: ScriptedPeer) -> None:
    await start_call(peer, "endless")


async def connection_was_lost(peer: ScriptedPeer) -> None:
    peer.close(1011)
    await wait_all_tasks_blocked()


async def connection_is_being_lost(peer: ScriptedPeer) -> None:
    """Close the connection; the session has not read the close yet."""
    peer.close(1011)


async def tool_runs_and_connection_is_being_lost(peer: ScriptedPeer) -> None:
    await start_call(peer, "endless")
    peer.close(1011)


in_every_situation = pytest.mark.parametrize(
    "situation",
    [
        idle,
        tool_runs,
        connection_was_lost,
        connection_is_being_lost,
        tool_runs_and_connection_is_being_lost,
    ],
)


@in_every_situation
@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
async def test_exception_of_the_block_propagates_unwrapped(
    situation: Situation, kind: type[BaseException], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    exception = kind("raised by the block")
    before = task_count()

    async def fail_in_a_session() -> None:
        async with open_test_session(peer, endless):
            await situation(peer)
            raise exception

    with pytest.raises(kind) as caught:
        await fail_in_a_session()
    assert caught.value is exception
    assert exception.__cause__ is None
    assert task_count() == before


@in_every_situation
async def test_outer_cancellation_propagates(
    situation: Situation, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    before = task_count()
    with trio.move_on_after(2) as scope:
        async with open_session_with(peer, endless):
            await situation(peer)
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert peer.closed is not None
    assert task_count() == before


@in_every_situation
async def test_leaving_the_block_ends_all_tasks(
    situation: Situation, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    before = task_count()
    # An undelivered loss is raised here.
    with contextlib.suppress(ConnectionLost):
        async with open_test_session(peer, endless) as session:
            await situation(peer)
    assert task_count() == before
    assert peer.closed is not None
    assert session.statistics().running_tools == 0


async def test_keyboard_interrupt_in_a_tool_propagates_unwrapped(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def unlucky() -> None:
        """Raise as if the key were pressed while this tool runs."""
        raise KeyboardInterrupt

    peer = ScriptedPeer()

    async def run_session() -> None:
        async with open_test_session(peer, unlucky):
            await start_call(peer, "unlucky")
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        await run_session()
    assert peer.closed is not None


async def test_keyboard_interrupt_takes_precedence_over_an_error_of_the_block(
    autojump_clock: MockClock,
) -> None:
    """Even when a nursery of a tool raises it."""

    async def unlucky() -> NoReturn:
        raise KeyboardInterrupt

    @function_tool
    async def look_up() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(unlucky)
            nursery.start_soon(trio.sleep_forever)

    async def run_session() -> None:
        peer = ScriptedPeer()
        async with open_test_session(peer, look_up):
            await start_call(peer, "look_up")
            try:
                await trio.sleep(5)
            finally:
                raise LookupError("raised by the block")

    with pytest.raises(KeyboardInterrupt):
        await run_session()


async def test_tool_that_fails_during_shutdown_does_not_replace_the_blocks_exception(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def clumsy() -> None:
        """Fail during the cleanup."""
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError("broken cleanup")

    peer = ScriptedPeer()

    async def leave(error: Exception | None) -> None:
        async with open_test_session(peer, clumsy):
            await start_call(peer, "clumsy")
            if error is not None:
                raise error

    await leave(None)
    assert "broken cleanup" in peer.received[-1]["item"]["output"]
    with pytest.raises(ZeroDivisionError):
        await leave(ZeroDivisionError())


async def test_block_that_suppresses_its_cancellation_still_ends(
    autojump_clock: MockClock,
) -> None:
    before = task_count()
    with trio.move_on_after(1):
        async with open_session_with(ScriptedPeer()):
            with contextlib.suppress(trio.Cancelled):
                await trio.sleep_forever()
    assert task_count() == before


async def test_aclose_ends_iteration(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.aclose()
        seen = [event.type async for event in session]
    assert seen == ["history_updated", "settings_updated", "session_ended"]
    assert peer.closed is not None
    assert peer.closed.code == 1000


async def test_first_event_has_the_initial_history(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with session.subscribe() as channel:
            await wait_all_tasks_blocked()
            assert drain_channel(channel) == []
        first, *others = drain_channel(session.events)
        assert is_initial_history(first)
        assert isinstance(first, events.HistoryUpdated)
        assert first.history == ()
        assert not any(isinstance(event, events.HistoryUpdated) for event in others)
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "Hello")
        await wait_all_tasks_blocked()
        assert first.history == session.history
        assert len(first.history) == 1


async def test_session_without_problems_logs_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    peer = ScriptedPeer()
    with caplog.at_level(logging.INFO):
        async with open_test_session(peer, endless):
            await start_call(peer, "endless")
    assert caplog.records == []
