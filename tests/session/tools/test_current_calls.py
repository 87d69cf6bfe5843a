"""A call of one session says nothing about another session, also where the call ids are equal."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.sessions import open_test_session
from trio_realtime import FunctionTool, RealtimeSession, errors, function_tool
from trio_realtime.testing import ScriptedPeer


@function_tool
async def endless() -> None:
    await trio.sleep_forever()


async def start_call(peer: ScriptedPeer, name: str) -> None:
    peer.begin_response("resp_1")
    peer.call("resp_1", "item_1", "call_1", name)
    await wait_all_tasks_blocked()


class OtherSession:
    """A tool of session A that uses session B, which runs a call with the same id."""

    def __init__(self) -> None:
        self.b: RealtimeSession[None] | None = None
        self.error: BaseException | None = None
        self.done = trio.Event()

    def tool(self, method: str) -> FunctionTool:
        @function_tool(name="use_other")
        async def use_other() -> None:
            assert self.b is not None
            try:
                if method == "ask":
                    await self.b.ask("Hi")
                else:
                    await getattr(self.b, method)()
            except errors.RealtimeError as exc:
                self.error = exc
            finally:
                self.done.set()

        return use_other


async def test_drain_of_another_session_is_allowed(autojump_clock: MockClock) -> None:
    other = OtherSession()
    peer_a, peer_b = ScriptedPeer(), ScriptedPeer()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(open_test_session(peer_a, other.tool("drain")))
        other.b = await stack.enter_async_context(open_test_session(peer_b, endless))
        await start_call(peer_b, "endless")
        await start_call(peer_a, "use_other")
        assert not other.done.is_set()  # it waits for the call of B
        await other.b.interrupt()
        peer_b.end_response("resp_1", "cancelled")
        await other.done.wait()
        assert other.error is None


async def test_interrupt_of_another_session_waits_for_its_calls(autojump_clock: MockClock) -> None:
    cleaned: list[str] = []

    @function_tool
    async def slow_cleanup() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            cleaned.append("call_1")

    other = OtherSession()
    peer_a, peer_b = ScriptedPeer(), ScriptedPeer()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(open_test_session(peer_a, other.tool("interrupt")))
        other.b = await stack.enter_async_context(open_test_session(peer_b, slow_cleanup))
        await start_call(peer_b, "slow_cleanup")
        await start_call(peer_a, "use_other")
        await other.done.wait()
        assert cleaned == ["call_1"]


async def test_a_prompt_to_another_session_waits_for_the_turns_there(
    autojump_clock: MockClock,
) -> None:
    other = OtherSession()
    peer_a, peer_b = ScriptedPeer(), ScriptedPeer()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(open_test_session(peer_a, other.tool("ask")))
        other.b = await stack.enter_async_context(open_test_session(peer_b, endless))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.b.ask, "First")
            create = None
            while create is None:
                frame = await peer_b.next()
                create = frame if frame["type"] == "response.create" else None
            peer_b.begin_response("resp_1", create)
            peer_b.call("resp_1", "item_1", "call_1", "endless")
            peer_b.end_response("resp_1")
            await wait_all_tasks_blocked()
            await start_call(peer_a, "use_other")
            await peer_b.expect_nothing()  # the turn of "First" is not over
            nursery.cancel_scope.cancel()


async def test_drain_inside_its_own_session_is_still_rejected(autojump_clock: MockClock) -> None:
    other = OtherSession()
    peer = ScriptedPeer()
    async with open_test_session(peer, other.tool("drain")) as session:
        other.b = session
        await start_call(peer, "use_other")
        await other.done.wait()
    assert isinstance(other.error, errors.UsageError)
    with pytest.raises(errors.UsageError, match="inside a tool"):
        raise other.error
