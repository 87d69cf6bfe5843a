"""Real processes and real sockets that fail: the session recovers, or ends with its reason in time.

The limits of these tests are a multiple of the configured ones, because the machine may be slow.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from support.server_process import ServerProcess, server_process
from support.sessions import task_count
from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    ReconnectPolicy,
    SessionConfig,
    ToolContext,
    errors,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.items import FunctionCallItem, FunctionCallOutputItem, item_text
from trio_realtime.testing.faults import TcpFaultConnection, TcpFaultProxy, serve_tcp_faults
from trio_realtime.wire import MessageItem

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("default_connector")]

PING_LIMIT = 1.0
REQUEST_LIMIT = 2.0
SLACK = 10.0
"""How much longer than configured anything may take."""

CONFIG = SessionConfig(
    ping_interval=PING_LIMIT / 2,
    ping_timeout=PING_LIMIT / 2,
    request_timeout=REQUEST_LIMIT,
    connect_timeout=5.0,
    # The server that is killed needs a while to start again.
    reconnect=ReconnectPolicy(initial_delay=0.1, max_delay=0.5, max_attempts=200),
)
LONG = "Please say " + "one two three four five six seven eight nine ten " * 20


@attrs.define(eq=False)
class Call:
    """A session, what its tool did, and what its consumer got."""

    session: RealtimeSession[None]
    runs: Counter[str]
    tool_runs: trio.Event
    tool_may_end: trio.Event
    seen: list[events.AnyEvent]
    changed: trio.lowlevel.ParkingLot

    async def wait_for(self, kind: type[Any], count: int = 1) -> Any:
        """Wait until so many events of a class have arrived, and return the last of them."""
        with trio.fail_after(60):
            while True:
                found = [event for event in self.seen if isinstance(event, kind)]
                if len(found) >= count:
                    return found[count - 1]
                await self.changed.park()

    async def read(self) -> None:
        """Consume all events."""
        async for event in self.session:
            self.seen.append(event)
            self.changed.unpark_all()

    async def ask(self, text: str) -> str:
        """Ask, and ask again if the answer was cut off by the loss of the connection."""
        with trio.fail_after(60):
            while True:
                try:
                    return (await self.session.ask(text)).text
                except errors.ResponseFailed as exc:
                    assert exc.reason == "disconnected"

    def check_calls(self, count: int) -> None:
        """Check that each call ran once, and that it was answered once."""
        assert [*self.runs.values()] == [1] * count
        history = self.session.history
        calls = [item.call_id for item in history if isinstance(item, FunctionCallItem)]
        outputs = [item.call_id for item in history if isinstance(item, FunctionCallOutputItem)]
        assert Counter(calls) == Counter(outputs) == self.runs

    def said(self) -> list[str]:
        """Return what the user has said, as the history has it."""
        messages = [item for item in self.session.history if isinstance(item, MessageItem)]
        return [item_text(item) for item in messages if item.role == "user"]


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@asynccontextmanager
async def open_call(
    server: ServerProcess, proxy: TcpFaultProxy | None = None
) -> AsyncGenerator[Call]:
    """Open a session, and check that it leaves no task and no descriptor."""
    runs: Counter[str] = Counter()
    tool_runs, tool_may_end = trio.Event(), trio.Event()

    @function_tool
    async def get_weather(context: ToolContext[None], city: str) -> str:
        """Return the weather."""
        runs[context.call_id] += 1
        tool_runs.set()
        await tool_may_end.wait()
        return "Sunny"

    agent = RealtimeAgent[None](name="A", tools=[get_weather])
    endpoint = server.endpoint_at(server.port if proxy is None else proxy.port)
    tasks, open_files = task_count(), descriptors()
    with trio.fail_after(150):
        async with (
            trio.open_nursery() as nursery,
            open_realtime_session(agent, endpoint=endpoint, config=CONFIG) as session,
        ):
            call = Call(session, runs, tool_runs, tool_may_end, [], trio.lowlevel.ParkingLot())
            nursery.start_soon(call.read)
            yield call
        if proxy is not None:
            # The proxy has tasks and descriptors of its own.
            for connection in proxy.connections:
                connection.reset()
                await connection.closed.wait()
        await wait_all_tasks_blocked()
    assert task_count() == tasks
    assert descriptors() <= open_files


# --- the server ----------------------------------------------------------------------------------


async def test_the_server_is_killed_while_the_agent_speaks() -> None:
    async with server_process(pace="1") as server, open_call(server) as call:
        await call.session.send_message(LONG)
        await call.wait_for(events.Audio, 3)
        await server.restart()
        await call.wait_for(events.Reconnected)
        assert (await call.wait_for(events.AudioInterrupted)).played_ms >= 0
        assert (await call.wait_for(events.ResponseEnd)).reason == "disconnected"
        assert "next" in await call.ask("next")
        assert call.said() == [LONG, "next"]


async def test_the_server_is_killed_while_a_tool_runs() -> None:
    async with server_process() as server, open_call(server) as call:
        await call.session.send_message("What is the weather in Oslo?")
        await call.tool_runs.wait()
        await server.restart()
        await call.wait_for(events.Reconnected)
        call.tool_may_end.set()
        await call.wait_for(events.ToolEnd)
        assert "next" in await call.ask("next")
        call.check_calls(1)


async def test_the_server_is_killed_while_it_is_told_of_the_conversation() -> None:
    async with (
        server_process() as server,
        serve_tcp_faults("127.0.0.1", server.port) as proxy,
        open_call(server, proxy) as call,
    ):
        call.tool_may_end.set()
        for number in range(4):
            await call.ask(f"number {number}")
        await call.ask("What is the weather in Oslo?")
        known = len(call.session.history)
        proxy.trickle(3_000, "outgoing")  # the replay takes seconds
        proxy.refuse_connections()
        await server.restart()
        proxy.accept_connections()
        replaying = await proxy.wait_connection(len(proxy.connections) + 1)
        with trio.fail_after(30):
            # The proxy has no event for this.
            while replaying.transferred("outgoing") < 1_500:  # noqa: ASYNC110
                await trio.sleep(0.01)
        await server.kill()
        assert [event for event in call.seen if isinstance(event, events.Reconnected)] == []
        proxy.resume()
        await server.start()
        await call.wait_for(events.Reconnected)
        assert "next" in await call.ask("next")
        assert len(call.session.history) == known + 2
        call.check_calls(1)


@pytest.mark.parametrize("seconds", [0.2, 10.0])
async def test_a_server_that_stops_is_noticed_and_may_go_on(seconds: float) -> None:
    async with server_process() as server, open_call(server) as call:
        await call.ask("first")
        server.signal(signal.SIGSTOP)
        stopped = trio.current_time()
        with trio.move_on_after(seconds) as waiting:
            await call.wait_for(events.Reconnecting)
        noticed = trio.current_time() - stopped
        if seconds > PING_LIMIT:
            assert not waiting.cancelled_caught
            assert noticed < PING_LIMIT * SLACK
            await trio.sleep_until(stopped + seconds)
        server.signal(signal.SIGCONT)
        assert "second" in await call.ask("second")
        assert call.said() == ["first", "second"]


async def test_a_server_that_stops_for_good_ends_the_session_with_its_reason() -> None:
    policy = ReconnectPolicy(initial_delay=0.1, max_delay=0.2, max_attempts=2)
    config = attrs.evolve(CONFIG, reconnect=policy, connect_timeout=1.0)
    agent = RealtimeAgent[None](name="A")
    async with server_process() as server:
        with trio.fail_after(60):
            with pytest.raises(errors.RealtimeError) as caught:
                async with open_realtime_session(
                    agent, endpoint=server.endpoint, config=config
                ) as session:
                    server.signal(signal.SIGSTOP)
                    stopped = trio.current_time()
                    await session.ask("anybody?")
    # Noticed after a ping or a request, then two attempts of at most one second each.
    assert trio.current_time() - stopped < (PING_LIMIT + 2.4) * SLACK
    assert session.end is not None
    assert session.end.reason == "reconnect_failed"
    assert session.end.error is not None
    assert str(caught.value)


# --- the connection ------------------------------------------------------------------------------

Fault = Callable[[TcpFaultConnection], None]

FAULTS: dict[str, Fault] = {
    "reset": lambda connection: connection.reset(),
    "close": lambda connection: connection.close(),
    "stall": lambda connection: connection.freeze(),
    "stall of the server's bytes": lambda connection: connection.freeze("incoming"),
    "stall of the client's bytes": lambda connection: connection.freeze("outgoing"),
    "one-way, to the server": lambda connection: connection.lose("incoming"),
    "one-way, to the client": lambda connection: connection.lose("outgoing"),
    "cut in a frame of the server": lambda connection: connection.cut_frame("incoming"),
    "cut in a frame of the client": lambda connection: connection.cut_frame("outgoing"),
    "almost nothing passes": lambda connection: connection.trickle(1.0),
}


@pytest.fixture
async def proxied() -> AsyncGenerator[tuple[ServerProcess, TcpFaultProxy]]:
    async with server_process() as server, serve_tcp_faults("127.0.0.1", server.port) as proxy:
        yield server, proxy


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_connection_that_fails_is_replaced(
    fault: Fault, proxied: tuple[ServerProcess, TcpFaultProxy]
) -> None:
    server, proxy = proxied
    async with open_call(server, proxy) as call:
        call.tool_may_end.set()
        await call.ask("What is the weather in Oslo?")
        failing = await proxy.wait_connection()
        begun = trio.current_time()
        fault(failing)
        assert "second" in await call.ask("second")
        assert call.session.history
        await call.wait_for(events.Reconnected)
        assert trio.current_time() - begun < (PING_LIMIT + REQUEST_LIMIT) * SLACK
        assert call.said() == ["What is the weather in Oslo?", "second"]
        call.check_calls(1)
        failing.reset()


async def test_a_slow_connection_is_not_lost(proxied: tuple[ServerProcess, TcpFaultProxy]) -> None:
    server, proxy = proxied
    async with open_call(server, proxy) as call:
        (await proxy.wait_connection()).trickle(200_000)
        assert "first" in await call.ask("first")
        assert [event for event in call.seen if isinstance(event, events.Reconnecting)] == []
