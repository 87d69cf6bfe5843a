"""Whole sessions on a virtual clock, against the local server over an in-memory transport.

Hypothesis chooses the actions of the user and their times, the responses of the agent, the speed of a
consumer, and the end of the session. The checks assert the invariants that
:mod:`support.invariants` lists, and these:

7. After the block no task remains, within ``close_timeout``.
9. The history equals the server's conversation.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings, strategies as st

from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    errors,
    events as ev,
    function_tool,
    open_realtime_session,
)
from trio_realtime.local import Call, Fail, LocalConnector, Pause, Say, Turn, local_connector
from trio_realtime.testing import run_virtual

pytestmark = pytest.mark.slow

CLOSE_TIMEOUT = 1.0
SPEECH = b"\x00\x40\x00\xc0" * 12 * 700  # 700 ms
SILENCE = bytes(48 * 700)

ANSWERS: tuple[tuple[Any, ...], ...] = (
    (Say("Yes."),),
    (Say("A long story that goes on and on.", audio_ms=4000),),
    (Call("quick"),),
    (Call("slow"), Call("failing")),
    (Say("One moment."), Call("slow")),
    (Call("stubborn"),),
    (Call("unknown"),),
    (Pause(0.4), Say("After a thought.", audio_ms=900)),
    (Fail("server_error", "sorry"),),
)


HANG_UPS: tuple[tuple[Any, ...], ...] = (
    (Call("hang_up"),),
    (Say("That was all then."), Call("hang_up"), Call("slow")),
    (Call("hang_up"), Call("hang_up"), Call("failing")),
)


class FixedResponder:
    """Responds with the given answers in order, then with a short one."""

    def __init__(self, answers: Sequence[tuple[Any, ...]]) -> None:
        self._answers = list(answers)

    def respond(self, turn: Turn) -> tuple[Any, ...]:
        return self._answers.pop(0) if self._answers else ANSWERS[0]


class Tools:
    """Tools that count their starts and ends."""

    def __init__(self) -> None:
        self.started: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.session: RealtimeSession[None] | None = None

    def agent(self) -> RealtimeAgent[None]:
        @function_tool
        async def hang_up() -> str:
            self.started["hang_up"] += 1
            try:
                assert self.session is not None
                await self.session.end_call()
            finally:
                self.ended["hang_up"] += 1
            return "the user goes on"

        @function_tool
        async def quick() -> str:
            self.started["quick"] += 1
            self.ended["quick"] += 1
            return "done"

        @function_tool
        async def slow() -> str:
            self.started["slow"] += 1
            try:
                await trio.sleep(2.5)
            finally:
                self.ended["slow"] += 1
            return "done at last"

        @function_tool
        async def failing() -> None:
            self.started["failing"] += 1
            try:
                await trio.sleep(0.1)
                raise RuntimeError("no luck")
            finally:
                self.ended["failing"] += 1

        @function_tool
        async def stubborn() -> str:
            self.started["stubborn"] += 1
            try:
                await trio.sleep(1.5)
            finally:
                with trio.move_on_after(0.2, shield=True):
                    await trio.sleep(0.1)
                self.ended["stubborn"] += 1
            return "if you insist"

        return RealtimeAgent(name="A", tools=[hang_up, quick, slow, failing, stubborn])


@attrs.frozen
class Action:
    """An action of the user, and the seconds to wait after it."""

    kind: str
    wait: float


ACTIONS = st.builds(
    Action,
    st.sampled_from(("write", "write quietly", "ask", "speak", "interrupt", "nothing")),
    st.sampled_from((0.0, 0.05, 0.3, 1.0, 3.0)),
)


@attrs.define
class Consumer:
    """A consumer that records its events.

    Attributes:
        pause: The seconds that it takes for each event.
        received: The events.
        failure: The error that ended the channel.
    """

    pause: float = 0.0
    received: list[ev.SessionEvent] = attrs.field(factory=list)
    failure: BaseException | None = None

    async def consume(self, session: RealtimeSession[Any], types: tuple[Any, ...] = ()) -> None:
        with session.subscribe(*types) as channel:
            try:
                async for event in channel:
                    self.received.append(event)
                    await trio.sleep(self.pause)
            except errors.RealtimeError as exc:
                self.failure = exc

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.received if isinstance(event, kind)]


async def perform(
    session: RealtimeSession[Any], actions: Sequence[Action], nursery: trio.Nursery
) -> None:
    for number, step in enumerate(actions):
        match step.kind:
            case "write":
                await session.send_message(f"text {number}")
            case "write quietly":
                await session.send_message(f"note {number}", respond=False)
            case "ask":
                nursery.start_soon(ask, session, f"question {number}")
            case "speak":
                await session.send_audio(SPEECH)
                await session.send_audio(SILENCE)
            case "interrupt":
                await session.interrupt()
            case _:
                pass
        await trio.sleep(step.wait)


async def ask(session: RealtimeSession[Any], question: str) -> None:
    # It may fail or be interrupted, but it must not hang.
    with contextlib.suppress(errors.RealtimeError):
        await session.ask(question)


def check_audio(consumer: Consumer) -> None:
    interrupted: set[str] = set()
    for event in consumer.received:
        if isinstance(event, ev.AudioInterrupted):
            interrupted.add(event.response_id)
        elif isinstance(event, ev.Audio):
            assert event.response_id not in interrupted, "invariant 5: audio after its interruption"


def check_turns(consumer: Consumer) -> None:
    began = [event.turn_id for event in consumer.of(ev.AgentStart)]
    ended = [event.turn_id for event in consumer.of(ev.AgentEnd)]
    assert len(began) == len(set(began))
    assert Counter(began) == Counter(ended)


def check_errors(consumer: Consumer) -> None:
    codes = {getattr(event.error, "code", None) for event in consumer.of(ev.Error)}
    # Not an error of the client: the server could not respond to speech during the client's response.
    assert codes <= {"conversation_already_has_active_response"}


def check_calls(wire: LocalConnector) -> None:
    (connection,) = wire.connections
    completed = Counter(
        frame["item"]["call_id"]
        for frame in connection.sent
        if frame["type"] == "response.output_item.done"
        and frame["item"]["type"] == "function_call"
        and frame["item"]["status"] == "completed"
    )
    answered = Counter(
        frame["item"]["call_id"]
        for frame in connection.received
        if frame["type"] == "conversation.item.create"
        and frame["item"]["type"] == "function_call_output"
    )
    assert answered == completed, "invariant 1: not every call has exactly one output"


def check_history(wire: LocalConnector, history: Sequence[Any]) -> None:
    (connection,) = wire.connections
    order: list[str] = []
    for frame in connection.sent:
        if frame["type"] == "conversation.item.added":
            previous = frame["previous_item_id"]
            order.insert(order.index(previous) + 1 if previous else 0, frame["item"]["id"])
    assert [item.id for item in history] == order, "invariant 9: the order differs"


async def simulate(actions: Sequence[Action], answers: Sequence[Any], pause: float) -> None:
    tools = Tools()
    wire = local_connector(responder=FixedResponder(answers), pacing=10.0)
    before = trio.lowlevel.current_statistics().tasks_living
    fast, slow = Consumer(), Consumer(pause)
    async with trio.open_nursery() as nursery:
        async with open_realtime_session(
            tools.agent(),
            endpoint=wire.endpoint,
            transport=wire,
            config=SessionConfig(close_timeout=CLOSE_TIMEOUT),
        ) as session:
            nursery.start_soon(fast.consume, session)
            nursery.start_soon(slow.consume, session)
            async with trio.open_nursery() as questions:
                await perform(session, actions, questions)
            await trio.sleep(0.5)  # the last audio of the user is still being processed
            with trio.fail_after(120):
                await session.drain()
            history = session.history
            check_calls(wire)
        left_at = trio.current_time()
        await check_close_time(left_at)
    assert trio.lowlevel.current_statistics().tasks_living == before, "invariant 7: a task remains"
    assert tools.started == tools.ended, "invariant 7: a tool did not run to its end"
    for consumer in (fast, slow):
        check_audio(consumer)
        check_errors(consumer)
        assert consumer.failure is None
    check_turns(fast)
    check_history(wire, history)
    assert wire.connections[0].closed is not None
    assert wire.connections[0].closed.code == 1000


async def check_close_time(left_at: float) -> None:
    await trio.lowlevel.checkpoint()
    assert trio.current_time() - left_at <= CLOSE_TIMEOUT


@settings(max_examples=60, deadline=None)
@given(
    actions=st.lists(ACTIONS, max_size=8),
    answers=st.lists(st.sampled_from(ANSWERS), max_size=8),
    pause=st.sampled_from((0.0, 0.01, 0.2)),
)
def test_the_invariants_hold_in_whole_sessions(
    actions: list[Action], answers: list[Any], pause: float
) -> None:
    run_virtual(simulate, actions, answers, pause)


async def simulate_end(
    actions: Sequence[Action], answers: Sequence[Any], end: str, at: float
) -> None:
    tools = Tools()
    wire = local_connector(responder=FixedResponder(answers), pacing=10.0)
    before = trio.lowlevel.current_statistics().tasks_living
    consumer = Consumer()
    ended_at = trio.current_time() + at

    async def lose_connection() -> None:
        await trio.sleep_until(ended_at)
        wire.connections[0].scope.cancel()

    with trio.move_on_at(ended_at if end == "cancelled" else float("inf")) as outer:
        async with trio.open_nursery() as nursery:
            try:
                async with open_realtime_session(
                    tools.agent(),
                    endpoint=wire.endpoint,
                    transport=wire,
                    config=SessionConfig(close_timeout=CLOSE_TIMEOUT),
                ) as session:
                    nursery.start_soon(consumer.consume, session)
                    if end == "the connection is lost":
                        nursery.start_soon(lose_connection)
                    await perform(session, actions, nursery)
                    await trio.sleep_until(ended_at + 0.5)
                    if end == "the block raises":
                        raise LookupError("raised in the block")
            except errors.ConnectionLost as lost:
                assert end == "the connection is lost"
                assert lost.code == 1001
            except LookupError:
                assert end == "the block raises"
            nursery.cancel_scope.cancel()
    if end == "cancelled":
        assert outer.cancelled_caught
        assert trio.current_time() - ended_at <= CLOSE_TIMEOUT
    assert trio.lowlevel.current_statistics().tasks_living == before, "invariant 7: a task remains"
    assert tools.started == tools.ended, "invariant 7: a tool did not run to its end"
    check_audio(consumer)


@settings(max_examples=60, deadline=None)
@given(
    actions=st.lists(ACTIONS, max_size=5),
    answers=st.lists(st.sampled_from(ANSWERS), max_size=5),
    end=st.sampled_from(("cancelled", "the connection is lost", "the block raises")),
    at=st.floats(0.01, 6.0),
)
def test_no_task_remains_after_any_end(
    actions: list[Action], answers: list[Any], end: str, at: float
) -> None:
    run_virtual(simulate_end, actions, answers, end, at)


async def simulate_end_call(
    actions: Sequence[Action], answers: Sequence[Any], by_application: bool
) -> None:
    tools = Tools()
    wire = local_connector(responder=FixedResponder(answers), pacing=10.0)
    before = trio.lowlevel.current_statistics().tasks_living
    consumer = Consumer()
    async with (
        trio.open_nursery() as nursery,
        open_realtime_session(
            tools.agent(),
            endpoint=wire.endpoint,
            transport=wire,
            config=SessionConfig(close_timeout=CLOSE_TIMEOUT),
        ) as session,
    ):
        tools.session = session
        nursery.start_soon(consumer.consume, session)
        with trio.fail_after(240):
            async with trio.open_nursery() as caller:
                if by_application:
                    caller.start_soon(end_call_later, session)
                await perform_until_closed(session, actions)
            await trio.sleep(0.5)  # the last audio of the user may still interrupt
            await end_call_at_last(session)
        assert session.playback.remaining == 0, "the session ended before all was heard"
        check_calls(wire)
    assert trio.lowlevel.current_statistics().tasks_living == before, "invariant 7: a task remains"
    assert tools.started == tools.ended, "invariant 7: a tool did not run to its end"
    check_audio(consumer)
    check_errors(consumer)
    check_turns(consumer)
    assert consumer.failure is None, "iteration ends plainly"
    assert wire.connections[0].closed is not None
    assert wire.connections[0].closed.code == 1000


async def perform_until_closed(session: RealtimeSession[Any], actions: Sequence[Action]) -> None:
    async with trio.open_nursery() as questions:
        with contextlib.suppress(errors.SessionClosed):
            await perform(session, actions, questions)


async def end_call_later(session: RealtimeSession[Any]) -> None:
    await trio.sleep(1)
    with contextlib.suppress(errors.RealtimeError):
        await session.end_call()


async def end_call_at_last(session: RealtimeSession[Any]) -> None:
    with contextlib.suppress(errors.SessionClosed):
        while True:
            with contextlib.suppress(errors.ResponseFailed):
                if await session.end_call():
                    return


@settings(max_examples=60, deadline=None)
@given(
    actions=st.lists(ACTIONS, max_size=8),
    answers=st.lists(st.sampled_from((*HANG_UPS, *ANSWERS)), max_size=8),
    by_application=st.booleans(),
)
def test_the_invariants_hold_in_calls_that_end_with_a_goodbye(
    actions: list[Action], answers: list[Any], by_application: bool
) -> None:
    run_virtual(simulate_end_call, actions, answers, by_application)
