"""A session whose connection fails: attempts, refusals, connectors that raise, and leaving meanwhile."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.reconnecting import POLICY, Service, lose_and_wait
from support.sessions import task_count
from trio_realtime import (
    RealtimeAgent,
    SessionConfig,
    errors,
    events as ev,
    function_tool,
    open_realtime_session,
)
from trio_realtime.local import Call
from trio_realtime.realtime_model import ConnectionOptions, ModelConnection
from trio_realtime.testing.faults import (
    Close,
    Delay,
    Drop,
    FailDial,
    Fault,
    FaultPlan,
    Freeze,
    Incoming,
    OneWay,
    Outgoing,
    RejectDial,
    SlowDial,
)
from trio_realtime.transports import ConnectOptions, Transport, TransportClosed
from trio_realtime.wire import ServerEvent, structure_server_event

# --- attempts ------------------------------------------------------------------------------------


async def test_the_next_connection_knows_the_conversation(autojump_clock: MockClock) -> None:
    service = Service()
    async with service.open() as s:
        await s.ask("One")
        event = await lose_and_wait(service, s)
        assert (event.attempts, event.items_sent, event.items_acknowledged) == (1, 2, 2)
        assert event.state_restored
        assert service.texts == ["One", "fine"]
        assert (await s.ask("Two")).text == "fine"
        assert service.texts == ["One", "fine", "Two", "fine"]
        assert [item.id for item in s.history] == [item["id"] for item in service.items]


async def test_each_attempt_waits_longer_and_the_last_failure_ends_the_session(
    autojump_clock: MockClock,
) -> None:
    service = Service()
    waiting: list[ev.Reconnecting] = []
    with pytest.raises(errors.ConnectFailed, match="refused"):
        async with service.open() as s:
            service.faults.plan = FaultPlan(every=[FailDial()])
            service.faults.link.drop()
            waiting += [event async for event in s if isinstance(event, ev.Reconnecting)]
    start = service.dial_times[0]
    assert [time - start for time in service.dial_times[1:]] == [0, 0.5, 1.5, 3.5]
    assert s.end is not None
    assert (s.end.by, s.end.reason) == ("network", "reconnect_failed")


async def test_the_attempts_are_events(autojump_clock: MockClock) -> None:
    service = Service([], FailDial(), SlowDial())
    async with service.open(connect_timeout=3) as s:
        with s.subscribe(ev.Reconnecting) as channel:
            event = await lose_and_wait(service, s)
            seen = drain_events(channel, ev.Reconnecting)
        assert event.attempts == 3
        assert [(e.attempt, e.delay, type(e.error)) for e in seen] == [
            (1, 0.0, errors.ConnectionLost),
            (2, 0.5, errors.ConnectFailed),
            (3, 1.0, errors.ConnectTimeout),
        ]


async def test_retry_after_is_kept(autojump_clock: MockClock) -> None:
    service = Service([], RejectDial(503, retry_after=20), RejectDial(429, retry_after=30))
    async with service.open() as s:
        await lose_and_wait(service, s)
    times = service.dial_times
    assert [round(b - a, 3) for a, b in pairwise(times[1:])] == [20, 30]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (RejectDial(401), errors.AuthenticationFailed),
        (RejectDial(404), errors.ModelNotAvailable),
        (RejectDial(400), errors.ConnectFailed),
        (Close(3000, at=Outgoing()), errors.AuthenticationFailed),
        (Close(4004, at=Outgoing()), errors.ModelNotAvailable),
    ],
)
async def test_a_refusal_is_not_tried_again(
    fault: Fault, expected: type[errors.RealtimeError], autojump_clock: MockClock
) -> None:
    service = Service([], fault)
    before = task_count()
    with pytest.raises(expected):
        async with service.open() as s:
            service.faults.link.drop()
            await s.ask("Hello")
    assert len(service.dial_times) == 2
    assert task_count() == before


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1010, 3000, 4000, 4004])
async def test_a_fatal_close_code_ends_the_session(code: int, autojump_clock: MockClock) -> None:
    service = Service()
    with pytest.raises(errors.ConnectionLost):
        async with service.open() as s:
            service.faults.link.apply(Close(code))
            async for _ in s:
                pass
    assert len(service.dial_times) == 1


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 4500])
async def test_another_close_code_does_not(code: int, autojump_clock: MockClock) -> None:
    service = Service()
    async with service.open() as s:
        with s.subscribe(ev.Reconnected) as channel:
            service.faults.link.apply(Close(code))
            await channel.receive()
        assert (await s.ask("Hello")).text == "fine"


@pytest.mark.parametrize(
    "fault", [Drop(Incoming(1)), Drop(Incoming(2)), Drop(Outgoing(1)), Close(1001, at=Incoming(2))]
)
async def test_a_service_that_drops_each_connection_is_not_called_without_a_pause(
    fault: Fault, autojump_clock: MockClock
) -> None:
    service = Service([], every=())
    with pytest.raises(errors.ConnectionLost):
        async with service.open() as s:
            service.faults.plan = FaultPlan(every=[fault])
            service.faults.link.drop()
            async for _ in s:
                pass
    assert len(service.dial_times) == 1 + 4
    assert service.dial_times[-1] - service.dial_times[0] >= 3.5


async def test_a_connection_that_has_worked_for_a_while_begins_a_new_count(
    autojump_clock: MockClock,
) -> None:
    service = Service()
    async with service.open() as s:
        for _ in range(6):
            await trio.sleep(11)
            event = await lose_and_wait(service, s)
            assert event.attempts == 1


async def test_the_attempts_of_a_session_are_limited(autojump_clock: MockClock) -> None:
    service = Service()
    policy = attrs.evolve(POLICY, max_attempts_in_session=3)
    with pytest.raises(errors.ConnectionLost):
        async with service.open(policy=policy) as s:
            for _ in range(4):
                await trio.sleep(11)
                service.faults.link.drop()
                await wait_all_tasks_blocked()
            async for _ in s:
                pass
    assert len(service.dial_times) == 4


async def test_without_a_policy_the_session_ends_with_its_connection(
    autojump_clock: MockClock,
) -> None:
    service = Service()
    with pytest.raises(errors.ConnectionLost):
        async with service.open(policy=None) as s:
            service.faults.link.drop()
            async for _ in s:
                pass
    assert len(service.dial_times) == 1


async def test_a_long_replay_takes_as_long_as_it_needs(autojump_clock: MockClock) -> None:
    """The limit is on the silence of the service, not on the replay."""
    service = Service()

    @asynccontextmanager
    async def connect(options: ConnectOptions) -> AsyncGenerator[Transport]:
        async with service.faults(options) as transport:
            if len(service.dial_times) > 1:
                service.faults.link.apply(Delay(1.0))
            yield transport

    async with service.open(transport=connect, connect_timeout=3) as s:
        for number in range(150):
            await s.send_message(f"Message {number}", respond=False)
        await trio.sleep(1)
        event = await lose_and_wait(service, s)
        assert event.items_acknowledged == 150
        assert event.duration > 5
        assert event.attempts == 1


# --- connectors and models of the user -----------------------------------------------------------


def failing(service: Service, error: BaseException | None) -> Any:
    """Return a connector whose later connections raise an error, or hang."""

    @asynccontextmanager
    async def connect(options: ConnectOptions) -> AsyncGenerator[Transport]:
        if service.faults.dials:
            if error is None:
                await trio.sleep_forever()
            else:
                raise error
        async with service.faults(options) as transport:
            yield transport

    return connect


async def test_a_connector_that_hangs_is_given_up(autojump_clock: MockClock) -> None:
    service = Service()
    began = trio.current_time()
    with pytest.raises(errors.ConnectTimeout):
        async with service.open(
            transport=failing(service, None), connect_timeout=2, policy=POLICY
        ) as s:
            service.faults.link.drop()
            async for _ in s:
                pass
    assert trio.current_time() - began == pytest.approx(4 * 2 + 3.5, abs=0.5)


async def test_a_connector_that_hangs_at_first_is_given_up(autojump_clock: MockClock) -> None:
    @asynccontextmanager
    async def connect(_options: ConnectOptions) -> AsyncGenerator[Transport]:
        await trio.sleep_forever()
        yield

    with pytest.raises(errors.ConnectTimeout):
        async with Service().open(transport=connect, connect_timeout=2):
            pass
    assert trio.current_time() == pytest.approx(2, abs=0.2)


async def test_an_os_error_of_a_connector_is_a_failed_attempt(autojump_clock: MockClock) -> None:
    service = Service()
    with pytest.raises(errors.ConnectFailed, match="no route"):
        async with service.open(transport=failing(service, OSError("no route"))) as s:
            service.faults.link.drop()
            async for _ in s:
                pass
    assert trio.current_time() == 3.5


async def test_another_exception_of_a_connector_ends_the_session(autojump_clock: MockClock) -> None:
    service = Service()
    before = task_count()
    with pytest.raises(errors.UserCodeError, match="LookupError") as caught:
        async with service.open(transport=failing(service, LookupError("bug"))) as s:
            service.faults.link.drop()
            async for _ in s:
                pass
    assert isinstance(caught.value.__cause__, LookupError)
    assert s.end is not None
    assert (s.end.by, s.end.reason) == ("user_code", "model_failed")
    assert task_count() == before


async def test_an_exception_of_a_connector_does_not_end_a_session_whose_connection_works(
    autojump_clock: MockClock,
) -> None:
    service = Service()
    async with service.open(transport=failing(service, LookupError("bug"))) as s:
        with pytest.raises(errors.UserCodeError):
            await s.reconnect()
        assert (await s.ask("Hello")).text == "fine"


async def test_a_keyboard_interrupt_while_connecting_ends_the_program(
    autojump_clock: MockClock,
) -> None:
    service = Service()
    before = task_count()
    with pytest.raises(KeyboardInterrupt):
        async with service.open(transport=failing(service, KeyboardInterrupt())) as s:
            service.faults.link.drop()
            async for _ in s:
                pass
    assert task_count() == before


class Broken:
    """A model of the user whose second connection fails where the test says."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.connections = 0
        self.lost = trio.Event()

    def encode(self, event: Any) -> Any:
        return event

    @asynccontextmanager
    async def connect(self, _options: ConnectionOptions) -> AsyncGenerator[ModelConnection]:
        self.connections += 1
        if self.connections > 1 and self.where == "connect":
            raise LookupError("bug")
        yield BrokenConnection(self, self.connections)


class BrokenConnection:
    def __init__(self, model: Broken, number: int) -> None:
        self._model = model
        self._number = number
        self._send, self._events = trio.open_memory_channel[ServerEvent](math.inf)

    async def send(self, message: Any) -> None:
        if self._number > 1 and self._model.where == "send":
            raise LookupError("bug")
        session = {"type": "realtime"}
        event = {"type": "session.updated", "event_id": "x", "session": session}
        self._send.send_nowait(structure_server_event(event))

    async def receive(self) -> ServerEvent:
        if self._number > 1 and self._model.where == "receive":
            raise LookupError("bug")
        if self._number == 1 and self._events.statistics().current_buffer_used == 0:
            with trio.move_on_after(5):
                return await self._events.receive()
            raise TransportClosed(1001)
        return await self._events.receive()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("where", ["connect", "send", "receive"])
async def test_a_model_that_raises_ends_the_session(where: str, autojump_clock: MockClock) -> None:
    model = Broken(where)
    before = task_count()
    with pytest.raises(errors.UserCodeError, match="LookupError"):
        async with open_realtime_session(
            RealtimeAgent[None](name="A"), model=model, config=SessionConfig(reconnect=POLICY)
        ) as s:
            async for _ in s:
                pass
    assert model.connections == 2
    assert s.end is not None
    assert s.end.by == "user_code"
    assert task_count() == before


# --- leaving -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "seconds"),
    [
        pytest.param(FaultPlan(every=[FailDial()]), 1.0, id="waiting"),
        pytest.param(FaultPlan(every=[SlowDial()]), 1.0, id="connecting"),
        pytest.param(FaultPlan(every=[Freeze()]), 1.0, id="before the greeting"),
        pytest.param(
            FaultPlan(every=[OneWay("incoming", at=Incoming(1))]), 1.0, id="before the settings"
        ),
        pytest.param(
            FaultPlan(every=[Freeze(Incoming(1, "conversation.item.added"))]), 1.0, id="items"
        ),
    ],
)
@pytest.mark.parametrize("how", ["leave", "aclose", "raise", "cancel", "drain"])
async def test_a_session_without_a_connection_can_be_left(
    plan: FaultPlan, seconds: float, how: str, autojump_clock: MockClock
) -> None:
    service = Service()
    before = task_count()
    left_at = math.inf
    with trio.CancelScope() as scope:
        try:
            async with service.open(close_timeout=1.0) as s:
                await s.ask("One")
                service.faults.plan = plan
                service.faults.link.drop()
                await trio.sleep(seconds)
                await s.send_message("Two", respond=False)
                left_at = trio.current_time()
                if how == "aclose":
                    await s.aclose()
                elif how == "raise":
                    raise LookupError
                elif how == "cancel":
                    scope.cancel()
                elif how == "drain":
                    with trio.move_on_after(0.1):
                        await s.drain()
        except LookupError:
            assert how == "raise"
    assert trio.current_time() - left_at <= 1.2
    assert task_count() == before
    assert s.end is not None
    assert s.end.by == "application"


# --- tools ---------------------------------------------------------------------------------------


async def test_a_tool_goes_on_and_its_answer_goes_to_the_next_connection(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def slow() -> str:
        await trio.sleep(10)
        return "done"

    service = Service()
    service.steps.append([Call("slow", call_id="call_1")])
    async with service.open(slow) as s, trio.open_nursery() as nursery:
        answers: list[str] = []

        async def ask() -> None:
            answers.append((await s.ask("Go")).text)

        nursery.start_soon(ask)
        await trio.sleep(5)
        await lose_and_wait(service, s)
        await trio.sleep(10)
        assert answers == ["fine"]
        kinds = [item["type"] for item in service.items]
        assert kinds == ["message", "function_call", "function_call_output", "message"]
        assert [item.id for item in s.history] == [item["id"] for item in service.items]
