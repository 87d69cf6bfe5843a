"""A cancellation at every step of a caller, in every state of the session's connections.

Afterwards the session is whole: a question is answered and the history is the service's conversation. Or it
has ended, and no task is left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.cancellation import (
    StepTrigger,
    cancel_after_steps,
    for_every_step,
    installed,
    matches_current_task,
)
from support.reconnecting import POLICY, Service
from support.sessions import task_count
from trio_realtime import RealtimeAgent, RealtimeSession, errors
from trio_realtime.testing.faults import FailDial, Fault, FaultPlan, Freeze, Incoming, SlowDial

pytestmark = pytest.mark.slow

Session: TypeAlias = RealtimeSession[None]
Action: TypeAlias = Callable[[Session], Awaitable[object]]


@attrs.frozen
class State:
    """A state of the connections.

    Attributes:
        faults: the faults of the next connection.
        loses: whether the current connection is lost.
        replaces: whether the current connection is being replaced.
    """

    faults: tuple[Fault, ...] = ()
    loses: bool = True
    replaces: bool = False


STATES = {
    "connected": State(loses=False),
    "waiting": State((FailDial(),)),
    "connecting": State((SlowDial(2.0),)),
    "before the settings": State((Freeze(Incoming(1), duration=2.0),)),
    "between items": State((Freeze(Incoming(1, "conversation.item.added"), duration=2.0),)),
    "refreshing": State(
        (Freeze(Incoming(1, "conversation.item.added"), duration=2.0),),
        loses=False,
        replaces=True,
    ),
}


async def create_and_wait(session: Session) -> None:
    await (await session.create_response())


async def drop_first(session: Session) -> None:
    await session.update_history(lambda items: items[1:])


ACTIONS: dict[str, Action] = {
    "send_message": lambda session: session.send_message("Hello?"),
    "send_audio": lambda session: session.send_audio(bytes(960)),
    "commit_audio": lambda session: session.commit_audio(),
    "clear_audio": lambda session: session.clear_audio(),
    "ask": lambda session: session.ask("Hello?"),
    "interrupt": lambda session: session.interrupt(),
    "update_settings": lambda session: session.update_settings(max_output_tokens=100),
    "update_history": drop_first,
    "update_agent": lambda session: session.update_agent(RealtimeAgent(name="B", instructions="b")),
    "create_response": create_and_wait,
    "drain": lambda session: session.drain(),
    "reconnect": lambda session: session.reconnect(),
    "aclose": lambda session: session.aclose(),
}


async def reconnect_if_possible(session: Session) -> None:
    with contextlib.suppress(errors.SessionClosed):
        await session.reconnect()


async def enter(service: Service, session: Session, state: State, nursery: trio.Nursery) -> None:
    """Bring the connections into a state."""
    await session.ask("One")
    await session.ask("Two")
    service.faults.plan = FaultPlan([(), state.faults])
    if state.loses:
        service.faults.link.drop()
    if state.replaces:
        nursery.start_soon(reconnect_if_possible, session)
    await wait_all_tasks_blocked()


async def check_whole(service: Service, session: Session) -> None:
    with trio.fail_after(60):
        assert (await session.ask("Still there?")).text == "fine"
        await session.drain()
    core = session._runtime.core
    known = [item.id for item in session.history if core.history.is_on_connection(item.id or "")]
    assert known == [item["id"] for item in service.items]
    sent = service.local.connections[-1].sent
    updated = [frame["session"] for frame in sent if frame["type"] == "session.updated"]
    assert updated[-1]["instructions"] == session.current_agent.instructions


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
async def test_a_caller_is_cancelled(
    action: Action, state: State, autojump_clock: MockClock
) -> None:
    async def attempt(steps: int) -> bool:
        service = Service()
        policy = attrs.evolve(POLICY, initial_delay=2.0)
        async with service.open(policy=policy) as session, trio.open_nursery() as nursery:
            await enter(service, session, state, nursery)
            reached = await cancel_after_steps(steps, partial(action, session))
            await trio.sleep(10)
            if session.end is None:
                await check_whole(service, session)
            else:
                assert session.end.by == "application"
        assert task_count() == before
        return reached

    before = task_count()
    await for_every_step(attempt, at_least=1)


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
async def test_leaving_the_block_is_cancelled(state: State, autojump_clock: MockClock) -> None:
    async def attempt(steps: int) -> bool:
        service = Service()
        policy = attrs.evolve(POLICY, initial_delay=2.0)
        scope = trio.CancelScope()
        counted = StepTrigger(steps, matches_current_task(), scope.cancel)
        async with trio.open_nursery() as nursery:
            with scope, contextlib.ExitStack() as stack:
                async with service.open(policy=policy, close_timeout=1.0) as session:
                    await enter(service, session, state, nursery)
                    left_at = trio.current_time()
                    stack.enter_context(installed(counted))
            assert trio.current_time() - left_at <= 1.1
        assert session.end is not None
        assert session.end.by == "application"
        assert task_count() == before
        return counted.was_reached

    before = task_count()
    await for_every_step(attempt, at_least=1)
