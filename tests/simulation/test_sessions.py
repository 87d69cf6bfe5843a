"""Whole sessions on a virtual clock, against the local service over an in-memory wire.

Hypothesis says what the user does and when, what the agent answers, how the tools behave, how fast
events are consumed, and how it ends. Whatever it says, the promises hold.
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
    (Call("nobody"),),
    (Pause(0.4), Say("After a thought.", audio_ms=900)),
    (Fail("server_error", "sorry"),),
)


class FixedResponder:
    """Answers with what was chosen, in turn, and then with a plain word."""

    def __init__(self, answers: Sequence[tuple[Any, ...]]) -> None:
        self._answers = list(answers)

    def respond(self, turn: Turn) -> tuple[Any, ...]:
        return self._answers.pop(0) if self._answers else ANSWERS[0]


class Tools:
    """Tools that keep count of what happened to them."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()

    def agent(self) -> RealtimeAgent[None]:
        @function_tool
        async def quick() -> str:
            self.begun["quick"] += 1
            self.ended["quick"] += 1
            return "done"

        @function_tool
        async def slow() -> str:
            self.begun["slow"] += 1
            try:
                await trio.sleep(2.5)
            finally:
                self.ended["slow"] += 1
            return "done at last"

        @function_tool
        async def failing() -> None:
            self.begun["failing"] += 1
            try:
                await trio.sleep(0.1)
                raise RuntimeError("no luck")
            finally:
                self.ended["failing"] += 1

        @function_tool
        async def stubborn() -> str:
            self.begun["stubborn"] += 1
            try:
                await trio.sleep(1.5)
            finally:
                with trio.move_on_after(0.2, shield=True):
                    await trio.sleep(0.1)
                self.ended["stubborn"] += 1
            return "if you insist"

        return RealtimeAgent(name="A", tools=[quick, slow, failing, stubborn])


@attrs.frozen
class Act:
    what: str
    wait: float


ACTS = st.builds(
    Act,
    st.sampled_from(("write", "write quietly", "ask", "speak", "interrupt", "nothing")),
    st.sampled_from((0.0, 0.05, 0.3, 1.0, 3.0)),
)


@attrs.define
class Witness:
    """What one consumer saw."""

    pause: float = 0.0
    seen: list[ev.SessionEvent] = attrs.field(factory=list)
    end: BaseException | None = None

    async def watch(self, session: RealtimeSession[Any], types: tuple[Any, ...] = ()) -> None:
        with session.subscribe(*types) as channel:
            try:
                async for event in channel:
                    self.seen.append(event)
                    await trio.sleep(self.pause)
            except errors.RealtimeError as exc:
                self.end = exc

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kind)]


async def act(session: RealtimeSession[Any], acts: Sequence[Act], nursery: trio.Nursery) -> None:
    for number, step in enumerate(acts):
        match step.what:
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
    # It may fail or be interrupted; what it must not do is hang.
    with contextlib.suppress(errors.RealtimeError):
        await session.ask(question)


def check_audio(witness: Witness) -> None:
    silenced: set[str] = set()
    for event in witness.seen:
        if isinstance(event, ev.AudioInterrupted):
            silenced.add(event.response_id)
        elif isinstance(event, ev.Audio):
            assert event.response_id not in silenced, "audio after its interruption"


def check_turns(witness: Witness) -> None:
    began = [event.turn_id for event in witness.of(ev.AgentStart)]
    ended = [event.turn_id for event in witness.of(ev.AgentEnd)]
    assert len(began) == len(set(began))
    assert Counter(began) == Counter(ended)


def check_errors(witness: Witness) -> None:
    codes = {getattr(event.error, "code", None) for event in witness.of(ev.Error)}
    # What the user said may end while our own create is answered: nobody's mistake.
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
    assert answered == completed


def check_history(wire: LocalConnector, history: Sequence[Any]) -> None:
    (connection,) = wire.connections
    order: list[str] = []
    for frame in connection.sent:
        if frame["type"] == "conversation.item.added":
            previous = frame["previous_item_id"]
            order.insert(order.index(previous) + 1 if previous else 0, frame["item"]["id"])
    assert [item.id for item in history] == order


async def simulate(acts: Sequence[Act], answers: Sequence[Any], pause: float) -> None:
    tools = Tools()
    wire = local_connector(responder=FixedResponder(answers), pacing=10.0)
    before = trio.lowlevel.current_statistics().tasks_living
    fast, slow = Witness(), Witness(pause)
    async with trio.open_nursery() as nursery:
        async with open_realtime_session(
            tools.agent(),
            endpoint=wire.endpoint,
            transport=wire,
            config=SessionConfig(close_timeout=CLOSE_TIMEOUT),
        ) as session:
            nursery.start_soon(fast.watch, session)
            nursery.start_soon(slow.watch, session)
            async with trio.open_nursery() as questions:
                await act(session, acts, questions)
            await trio.sleep(0.5)  # what was said last is still under way
            with trio.fail_after(120):
                await session.drain()
            history = session.history
            check_calls(wire)
        left_at = trio.current_time()
        await fast_enough(left_at)
    assert trio.lowlevel.current_statistics().tasks_living == before
    assert tools.begun == tools.ended
    for witness in (fast, slow):
        check_audio(witness)
        check_errors(witness)
        assert witness.end is None
    check_turns(fast)
    check_history(wire, history)
    assert wire.connections[0].closed is not None
    assert wire.connections[0].closed.code == 1000


async def fast_enough(left_at: float) -> None:
    await trio.lowlevel.checkpoint()
    assert trio.current_time() - left_at <= CLOSE_TIMEOUT


@settings(max_examples=60, deadline=None)
@given(
    acts=st.lists(ACTS, max_size=8),
    answers=st.lists(st.sampled_from(ANSWERS), max_size=8),
    pause=st.sampled_from((0.0, 0.01, 0.2)),
)
def test_promises_hold_in_whole_sessions(acts: list[Act], answers: list[Any], pause: float) -> None:
    run_virtual(simulate, acts, answers, pause)


async def simulate_an_end(acts: Sequence[Act], answers: Sequence[Any], end: str, at: float) -> None:
    tools = Tools()
    wire = local_connector(responder=FixedResponder(answers), pacing=10.0)
    before = trio.lowlevel.current_statistics().tasks_living
    witness = Witness()
    ended_at = trio.current_time() + at

    async def cut() -> None:
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
                    nursery.start_soon(witness.watch, session)
                    if end == "the service goes":
                        nursery.start_soon(cut)
                    await act(session, acts, nursery)
                    await trio.sleep_until(ended_at + 0.5)
                    if end == "the block raises":
                        raise LookupError("the block's own")
            except errors.ConnectionLost as lost:
                assert end == "the service goes"
                assert lost.code == 1001
            except LookupError:
                assert end == "the block raises"
            nursery.cancel_scope.cancel()
    if end == "cancelled":
        assert outer.cancelled_caught
        assert trio.current_time() - ended_at <= CLOSE_TIMEOUT
    assert trio.lowlevel.current_statistics().tasks_living == before
    assert tools.begun == tools.ended
    check_audio(witness)


@settings(max_examples=60, deadline=None)
@given(
    acts=st.lists(ACTS, max_size=5),
    answers=st.lists(st.sampled_from(ANSWERS), max_size=5),
    end=st.sampled_from(("cancelled", "the service goes", "the block raises")),
    at=st.floats(0.01, 6.0),
)
def test_nothing_is_left_however_it_ends(
    acts: list[Act], answers: list[Any], end: str, at: float
) -> None:
    run_virtual(simulate_an_end, acts, answers, end, at)
