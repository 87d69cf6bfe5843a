"""The worst moment for anything: a cancellation at every step, a loss while anybody waits."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from itertools import count
from typing import NoReturn, TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events, drain_channel
from support.service import silence, start_call
from support.sessions import open_session_with, open_test_session, task_count
from support.tools import endless, make_cleanup_tool
from support.wire import CREATE, sent_outputs
from trio_realtime import RealtimeAgent, RealtimeSession, events, function_tool
from trio_realtime.errors import ConnectionLost, RealtimeError, SessionClosed
from trio_realtime.testing import ScriptedPeer

Session: TypeAlias = RealtimeSession[None]
Method: TypeAlias = Callable[[Session], Awaitable[object]]


# --- a cancellation at every step ---------------------------------------------------------------


class _Steps(trio.abc.Instrument):
    """Cancels a scope after so many steps of the task that made this."""

    def __init__(self, steps: int, scope: trio.CancelScope) -> None:
        self._left = steps
        self._scope = scope
        self._task = trio.lowlevel.current_task()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()


async def cancelled_after(steps: int, action: Callable[[], Awaitable[object]]) -> None:
    """Do this until so many steps of it are done; 0 to cancel it before it begins."""
    with trio.move_on_after(5 if steps else 0) as scope:
        instrument = _Steps(steps, scope)
        trio.lowlevel.add_instrument(instrument)
        try:
            await action()
        finally:
            trio.lowlevel.remove_instrument(instrument)


METHODS: dict[str, Method] = {
    "send_message": lambda session: session.send_message("Hello?"),
    "send_audio": lambda session: session.send_audio(b"\0\0" * 240, commit=True),
    "commit_audio": lambda session: session.commit_audio(),
    "clear_audio": lambda session: session.clear_audio(),
    "create_response": lambda session: session.create_response(),
    "ask": lambda session: session.ask("Hello?"),
    "interrupt": lambda session: session.interrupt(),
    "update_settings": lambda session: session.update_settings(speed=1.2),
    "update_agent": lambda session: session.update_agent(RealtimeAgent(name="B")),
    "approve": lambda session: session.approve_tool_call("call_1"),
    "drain": lambda session: session.drain(),
    "receive": lambda session: session.events.receive(),
}


async def answer_all(peer: ScriptedPeer) -> NoReturn:
    """To whatever is asked, the answer is the same."""
    for number in count(2):
        while (create := await peer.next())["type"] != CREATE:
            pass
        peer.begin_response(f"resp_{number}", create)
        peer.say(f"resp_{number}", f"item_{number}", "fine")
        peer.end_response(f"resp_{number}")
    raise AssertionError


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("steps", range(6))
async def test_a_cancelled_method_leaves_a_session_that_works(
    method: Method, steps: int, autojump_clock: MockClock
) -> None:
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session, trio.open_nursery() as nursery:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_0", "One moment.", pcm=silence(0.1))
        peer.call("resp_1", "item_1", "call_1", "careful")
        await wait_all_tasks_blocked()
        drain_channel(session.events)
        await cancelled_after(steps, lambda: method(session))
        peer.end_response("resp_1")
        await session.interrupt()
        assert careful.log == ["started", "cleaned up"]
        nursery.start_soon(answer_all, peer)
        assert (await session.ask("Still there?")).text == "fine"
        await session.drain()
        nursery.cancel_scope.cancel()
    assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1"]


@pytest.mark.parametrize("steps", range(6))
async def test_a_cancelled_close_is_a_close(steps: int, autojump_clock: MockClock) -> None:
    """Also for a tool that may finish: it has the time that it asked for."""
    log: list[str] = []

    @function_tool(finish_timeout=5)
    async def book() -> None:
        await trio.sleep(2)
        log.append("booked")

    peer = ScriptedPeer()
    before = task_count()
    async with open_test_session(peer, book) as session:
        await start_call(peer, "book")
        await cancelled_after(steps, session.aclose)
        await session.aclose()
        with pytest.raises(SessionClosed):
            await session.send_message("Hello?")
    assert log == ["booked"]
    assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1"]
    assert task_count() == before


async def test_of_many_that_close_some_may_be_cancelled(autojump_clock: MockClock) -> None:
    careful = make_cleanup_tool(0.2)
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session:
        await start_call(peer, "careful")
        with trio.move_on_after(0.1):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(session.aclose)
        await session.aclose()
        assert peer.closed is not None
        assert session.statistics().running_tools == 0


@pytest.mark.parametrize("steps", range(25))
async def test_opening_that_is_cancelled_anywhere_leaves_nothing(
    steps: int, autojump_clock: MockClock
) -> None:
    async def come_and_go() -> None:
        async with open_session_with(peer, endless) as session:
            await session.send_message("Hello?")
            await session.aclose()

    peer = ScriptedPeer()
    before = task_count()
    await cancelled_after(steps, come_and_go)
    assert task_count() == before
    assert not peer.connections or peer.closed is not None


async def test_a_block_that_swallows_its_cancellation_ends_all_the_same(
    autojump_clock: MockClock,
) -> None:
    before = task_count()
    with trio.move_on_after(1):
        async with open_session_with(ScriptedPeer()):
            with contextlib.suppress(trio.Cancelled):
                await trio.sleep_forever()
    assert task_count() == before


# --- the connection is lost while somebody waits ------------------------------------------------


async def _wait_for_response(session: Session) -> None:
    await (await session.create_response())


async def _read_all(session: Session) -> None:
    await collect_events(session, [])


WAITING: dict[str, Method] = {
    name: METHODS[name] for name in ("ask", "interrupt", "update_settings", "drain")
} | {
    "aclose": lambda session: session.aclose(),
    "read": _read_all,
    "response": _wait_for_response,
}


@pytest.mark.parametrize("code", [1000, 1011])
@pytest.mark.parametrize("method", WAITING.values(), ids=WAITING)
async def test_whoever_waits_when_the_connection_is_lost_comes_back(
    method: Method, code: int, autojump_clock: MockClock
) -> None:
    returned: list[str] = []
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    before, began = task_count(), trio.current_time()

    async def wait(session: Session, name: str) -> None:
        with contextlib.suppress(RealtimeError):
            await method(session)
        returned.append(name)

    # A loss that nobody was told of comes out here.
    with contextlib.suppress(ConnectionLost):
        async with open_test_session(peer, careful.tool) as session, trio.open_nursery() as nursery:
            peer.acknowledge = False
            await start_call(peer, "careful")
            for name in ("first", "second"):
                nursery.start_soon(wait, session, name)
            await wait_all_tasks_blocked()
            peer.close(code)
    assert sorted(returned) == ["first", "second"]
    assert trio.current_time() - began < 2
    assert careful.log == ["started", "cleaned up"]
    assert task_count() == before


@pytest.mark.parametrize("code", [1000, 1011])
async def test_a_loss_comes_out_plain_though_a_tool_fails_at_the_same_time(
    code: int, autojump_clock: MockClock
) -> None:
    @function_tool
    async def clumsy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError("cleaning up")

    async def stay() -> None:
        peer = ScriptedPeer()
        async with open_test_session(peer, clumsy) as session:
            await start_call(peer, "clumsy")
            peer.close(code)
            await wait_all_tasks_blocked()
            await session.send_message("Still there?")

    with pytest.raises(ConnectionLost):
        await stay()


async def test_a_nursery_of_the_user_gets_nothing_but_the_loss(autojump_clock: MockClock) -> None:
    async def chat(session: Session) -> None:
        while True:
            await session.send_message("Still there?", respond=False)
            await trio.sleep(1)

    peer = ScriptedPeer()
    with pytest.raises(ExceptionGroup) as caught:
        async with open_test_session(peer) as session, trio.open_nursery() as nursery:
            nursery.start_soon(collect_events, session, [])
            nursery.start_soon(chat, session)
            await trio.sleep(3)
            peer.close(1011)
    assert all(isinstance(error, ConnectionLost) for error in caught.value.exceptions)


@pytest.mark.parametrize("how", ["sending", "reading"])
async def test_an_end_that_is_told_often_does_not_grow(how: str, autojump_clock: MockClock) -> None:
    """Each telling has a traceback of its own, not all that were before it."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.close(1011)
        with contextlib.suppress(ConnectionLost):
            await collect_events(session, [])
        for _ in range(100):
            with pytest.raises(ConnectionLost) as caught:
                await (
                    session.send_message("Hello?") if how == "sending" else session.events.receive()
                )
    assert len(caught.traceback) < 20


async def test_a_channel_that_outlives_the_session_ends(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    with contextlib.ExitStack() as stack:
        async with open_test_session(peer) as session:
            channel = stack.enter_context(session.subscribe(events.ResponseStart))
            peer.begin_response("resp_1")
            await wait_all_tasks_blocked()
        seen: list[events.SessionEvent] = []
        await collect_events(channel, seen)
    assert [event.type for event in seen] == ["response_start"]


async def test_paced_audio_that_was_left_early_does_not_hold_up_drain(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "A long story.", pcm=silence(10))
        peer.end_response("resp_1")
        async with session.paced_audio() as frames:
            for _ in range(5):
                await frames.receive()
        with trio.fail_after(5):
            await session.drain()
