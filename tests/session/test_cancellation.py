"""A cancellation at each of the first steps of a method leaves a working session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import NoReturn, TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.cancellation import cancel_after_steps
from support.events import drain_channel
from support.service import silence, start_call
from support.sessions import open_session_with, open_test_session, task_count
from support.tools import endless, make_cleanup_tool
from support.wire import CREATE, sent_outputs
from trio_realtime import RealtimeAgent, RealtimeSession, function_tool
from trio_realtime.errors import SessionClosed
from trio_realtime.testing import ScriptedPeer

Session: TypeAlias = RealtimeSession[None]

Method: TypeAlias = Callable[[Session], Awaitable[object]]

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


async def answer_all_creates(peer: ScriptedPeer) -> NoReturn:
    """Answer each ``response.create`` with the same message."""
    for number in count(2):
        while (create := await peer.next())["type"] != CREATE:
            pass
        peer.begin_response(f"resp_{number}", create)
        peer.say(f"resp_{number}", f"item_{number}", "fine")
        peer.end_response(f"resp_{number}")
    raise AssertionError


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("steps", range(6))
async def test_session_works_after_a_cancelled_method(
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
        await cancel_after_steps(steps, lambda: method(session))
        peer.end_response("resp_1")
        await session.interrupt()
        assert careful.log == ["started", "cleaned up"]
        nursery.start_soon(answer_all_creates, peer)
        assert (await session.ask("Still there?")).text == "fine"
        await session.drain()
        nursery.cancel_scope.cancel()
    assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1"]


@pytest.mark.parametrize("steps", range(6))
async def test_cancelled_aclose_still_closes_the_session(
    steps: int, autojump_clock: MockClock
) -> None:
    """A tool with a ``finish_timeout`` still has that time."""
    log: list[str] = []

    @function_tool(finish_timeout=5)
    async def book() -> None:
        await trio.sleep(2)
        log.append("booked")

    peer = ScriptedPeer()
    before = task_count()
    async with open_test_session(peer, book) as session:
        await start_call(peer, "book")
        await cancel_after_steps(steps, session.aclose)
        await session.aclose()
        with pytest.raises(SessionClosed):
            await session.send_message("Hello?")
    assert log == ["booked"]
    assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1"]
    assert task_count() == before


@pytest.mark.parametrize("steps", range(25))
async def test_cancelled_opening_leaves_no_task_and_no_connection(
    steps: int, autojump_clock: MockClock
) -> None:
    async def come_and_go() -> None:
        async with open_session_with(peer, endless) as session:
            await session.send_message("Hello?")
            await session.aclose()

    peer = ScriptedPeer()
    before = task_count()
    await cancel_after_steps(steps, come_and_go)
    assert task_count() == before
    assert not peer.connections or peer.closed is not None
