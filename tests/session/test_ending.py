"""Both sides may end a session: consumers get all earlier events, and every caller the reason."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events, collect_types, text_deltas
from support.service import send_call_and_wait, start_call
from support.sessions import PassivePeer, open_test_session, task_count
from support.tools import endless, make_cleanup_tool
from trio_realtime import (
    AgentContext,
    RealtimeAgent,
    RealtimeSession,
    SessionHooks,
    events,
    function_tool,
)
from trio_realtime.errors import (
    ClosedByService,
    ConnectionLost,
    NetworkError,
    RealtimeError,
    SessionClosed,
)
from trio_realtime.testing import ScriptedPeer

Session: TypeAlias = RealtimeSession[None]


# --- the service ends it -----------------------------------------------------------------------


Method: TypeAlias = Callable[[Session], Awaitable[object]]


async def read_all(session: Session) -> None:
    await collect_events(session, [])


async def wait_for_response(session: Session) -> None:
    await (await session.create_response())


WAITING: dict[str, Method] = {
    "ask": lambda session: session.ask("Hello?"),
    "interrupt": lambda session: session.interrupt(),
    "update_settings": lambda session: session.update_settings(speed=1.2),
    "drain": lambda session: session.drain(),
    "aclose": lambda session: session.aclose(),
    "read": read_all,
    "response": wait_for_response,
}


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 4321])
async def test_events_before_a_close_are_delivered_before_it_is_raised(
    code: int, autojump_clock: MockClock
) -> None:
    peer = PassivePeer()
    seen: list[events.SessionEvent] = []
    raised: list[RealtimeError] = []
    async with open_test_session(peer) as session:
        for number in range(3):
            response = {"id": f"resp_{number}", "object": "realtime.response"}
            await peer.far.send(json.dumps({"type": "response.created", "response": response}))
        if code == 1006:
            peer.far.drop()
        else:
            await peer.far.aclose(code, "going away")
        await wait_all_tasks_blocked()
        try:
            await collect_events(session, seen)
        except RealtimeError as exc:
            raised.append(exc)
    assert [event.type for event in seen].count("response_start") == 3
    (error,) = raised
    assert type(error) is (ConnectionLost if code == 1006 else ClosedByService)
    assert error.code == code


async def test_clean_close_by_the_service_is_raised_after_the_earlier_events(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "Bye")
        peer.end_response("resp_1")
        peer.close(1000)
        await wait_all_tasks_blocked()
        seen = await collect_types(session.events)
    assert seen == ["history_added", "text_delta", "history_updated", "history_updated"]


async def test_events_before_a_connection_loss_are_read_before_it_is_raised(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    seen: list[events.SessionEvent] = []
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        for word in ("one", "two", "three", "four", "five"):
            peer.text("resp_1", "item_1", word)
        peer.close(1011, "internal error")
        await wait_all_tasks_blocked()
        with pytest.raises(ConnectionLost, match="1011") as caught:
            await collect_events(session, seen)
    assert text_deltas(seen) == ["one", "two", "three", "four", "five"]
    assert (caught.value.code, caught.value.reason) == (1011, "internal error")


async def test_channels_raise_the_loss_repeatedly(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with session.subscribe(events.Audio) as early:
            peer.close(1011)
            await wait_all_tasks_blocked()
            with session.subscribe(events.Audio) as late:
                for channel in (early, late, early, late):
                    with pytest.raises(ConnectionLost):
                        await channel.receive()


@pytest.mark.parametrize("code", [1000, 1011])
async def test_pending_and_later_calls_raise_the_reason_of_the_loss(
    code: int, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    errors: list[Exception] = []

    async def expect_loss(wait: Callable[[], Awaitable[Any]]) -> None:
        with pytest.raises(NetworkError) as caught:
            await wait()
        errors.append(caught.value)

    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        handle = await session.create_response()
        nursery.start_soon(expect_loss, handle.wait)
        nursery.start_soon(expect_loss, lambda: session.ask("Hello?"))
        nursery.start_soon(expect_loss, session.drain)
        await wait_all_tasks_blocked()
        peer.close(code, "gone fishing")
        await wait_all_tasks_blocked()
        nursery.start_soon(expect_loss, lambda: session.send_message("Hello?"))
        nursery.start_soon(expect_loss, lambda: session.send_audio(b"\0\0"))
        nursery.start_soon(expect_loss, session.interrupt)
    assert len(errors) == 6
    assert all(isinstance(error, ConnectionLost) for error in errors)
    assert all(error.code == code for error in errors if isinstance(error, ConnectionLost))
    assert all("gone fishing" in str(error) for error in errors)


@pytest.mark.parametrize("code", [1000, 1011])
@pytest.mark.parametrize("method", WAITING.values(), ids=WAITING)
async def test_pending_calls_return_when_the_connection_is_lost(
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

    # An undelivered loss is raised here.
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


async def test_update_agent_raises_if_the_connection_is_lost_while_it_evaluates_instructions(
    autojump_clock: MockClock,
) -> None:

    async def slow(_about: AgentContext[None]) -> str:
        await trio.sleep(1)
        return "Be brief."

    peer = ScriptedPeer()
    timed_out: list[bool] = []

    async def update(session: RealtimeSession[None]) -> None:
        with trio.move_on_after(30) as timeout:
            with pytest.raises(RealtimeError):
                await session.update_agent(RealtimeAgent(name="Next", instructions=slow))
        timed_out.append(timeout.cancelled_caught)

    async with trio.open_nursery() as nursery:
        with pytest.raises(ConnectionLost):
            async with open_test_session(peer) as session:
                nursery.start_soon(update, session)
                await trio.sleep(0.5)
                peer.close(1011)
                async for _ in session:
                    pass
    assert timed_out == [False]


# --- who raises the loss -----------------------------------------------------------------------


async def test_undelivered_loss_is_raised_when_the_block_ends(
    autojump_clock: MockClock,
) -> None:
    """The loss does not cancel the block."""
    peer = ScriptedPeer()
    slept = False
    with pytest.raises(ConnectionLost) as caught:
        async with open_test_session(peer):
            peer.close(1011)
            await trio.sleep(60)
            slept = True
    assert slept
    assert caught.value.code == 1011


@pytest.mark.parametrize("how", ["reading", "sending"])
async def test_delivered_loss_is_not_raised_again_when_the_block_ends(
    how: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.close(1011)
        with pytest.raises(ConnectionLost):
            await trio.sleep(1)
            await (
                session.events.receive() if how == "sending" else collect_events(session.events, [])
            )
            await session.send_message("still there?")


class SendingHooks(SessionHooks[None]):
    session: RealtimeSession[None]

    async def on_tool_start(self, context: Any, agent: Any, tool: Any, event: Any) -> None:
        await trio.sleep(1)
        await self.session.send_message("A tool runs")


async def test_loss_that_only_a_hook_received_is_raised_when_the_block_ends(
    autojump_clock: MockClock,
) -> None:
    peer, hooks = ScriptedPeer(), SendingHooks()
    with pytest.raises(ConnectionLost):
        async with open_test_session(peer, endless, hooks=hooks, close_timeout=5) as session:
            hooks.session = session
            await send_call_and_wait(peer, "endless")
            peer.close(1011)
            await trio.sleep(3)


async def test_exception_of_the_block_takes_precedence_over_the_loss(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    with pytest.raises(LookupError):
        async with open_test_session(peer):
            peer.close(1011)
            await trio.sleep(1)
            raise LookupError("raised by the block")


async def test_each_caller_gets_its_own_copy_of_the_loss(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    got: list[ConnectionLost] = []
    async with open_test_session(peer) as session:
        peer.close(1011, "gone")
        await trio.sleep(1)
        for _ in range(3):
            try:
                await session.send_message("hello?")
            except ConnectionLost as lost:
                got.append(lost)
    assert len({id(lost) for lost in got}) == 3
    assert {(lost.code, lost.reason, str(lost)) for lost in got} == {(1011, "gone", str(got[0]))}


@pytest.mark.parametrize("how", ["sending", "reading"])
async def test_repeated_raises_do_not_grow_the_traceback(
    how: str, autojump_clock: MockClock
) -> None:
    """Each raised copy has its own traceback."""
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


@pytest.mark.parametrize("code", [1000, 1011])
async def test_loss_propagates_unwrapped_although_a_tool_fails(
    code: int, autojump_clock: MockClock
) -> None:
    @function_tool
    async def clumsy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError("cleaning up")

    async def run_session() -> None:
        peer = ScriptedPeer()
        async with open_test_session(peer, clumsy) as session:
            await start_call(peer, "clumsy")
            peer.close(code)
            await wait_all_tasks_blocked()
            await session.send_message("Still there?")

    with pytest.raises(ConnectionLost):
        await run_session()


async def test_nursery_of_the_user_gets_only_the_loss(autojump_clock: MockClock) -> None:
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


# --- this side ends it -------------------------------------------------------------------------


async def test_methods_raise_session_closed_after_the_close(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response()
    uses: list[Callable[[], Awaitable[Any]]] = [
        lambda: session.send_message("Hello"),
        lambda: session.send_audio(b"\0\0"),
        session.commit_audio,
        session.clear_audio,
        session.create_response,
        lambda: session.ask("Hello"),
        session.interrupt,
        session.drain,
        handle.wait,
    ]
    for use in uses:
        with pytest.raises(SessionClosed):
            await use()
    await session.aclose()
    await collect_events(session, [])
    with pytest.raises(trio.EndOfChannel):
        await session.events.receive()
    assert session.history == ()
    handle.cancel()


async def test_aclose_wakes_pending_calls_and_consumers(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    ended: list[str] = []

    async def consume(session: RealtimeSession[None]) -> None:
        async for _ in session:
            pass
        ended.append("consumer")

    async def wait(session: RealtimeSession[None]) -> None:
        with pytest.raises(SessionClosed):
            await session.ask("Hello")
        ended.append("asker")

    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        nursery.start_soon(consume, session)
        nursery.start_soon(wait, session)
        await wait_all_tasks_blocked()
        await session.aclose()
    assert sorted(ended) == ["asker", "consumer"]
