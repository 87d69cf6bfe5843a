"""Plain functions run in the library's own threads, not in those of the application.

The tests use the real clock: threads do not wait for a virtual one.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from support.sessions import open_test_session
from support.wire import ITEM
from trio_realtime import FunctionTool, function_tool
from trio_realtime.agents.tools import _tool_threads
from trio_realtime.errors import ConfigurationError
from trio_realtime.testing import ScriptedPeer


class BlockingTool:
    """A tool whose calls block in their threads until :meth:`release`."""

    def __init__(self, limiter: trio.CapacityLimiter | None = None) -> None:
        self.begun = threading.Semaphore(0)
        self._go_on = threading.Event()
        self.tool: FunctionTool = function_tool(name="block", limiter=limiter)(self._block)

    def _block(self) -> str:
        self.begun.release()
        self._go_on.wait(30)
        return "done"

    def release(self) -> None:
        self._go_on.set()

    def wait_begun(self, count: int) -> None:
        for _ in range(count):
            assert self.begun.acquire(timeout=30)


def send_calls(peer: ScriptedPeer, count: int) -> None:
    peer.begin_response("resp_1")
    for number in range(count):
        peer.call("resp_1", f"item_{number}", f"call_{number}", "block")
    peer.end_response("resp_1")


async def test_blocked_tools_use_no_threads_of_the_application() -> None:
    blocked = BlockingTool()
    peer = ScriptedPeer()
    async with open_test_session(peer, blocked.tool):
        try:
            send_calls(peer, 41)
            # In a thread of trio's default limiter, all of whose threads would be in use.
            with trio.fail_after(20):
                await trio.to_thread.run_sync(blocked.wait_begun, 40, abandon_on_cancel=True)
            limiter = trio.to_thread.current_default_thread_limiter()
            assert limiter.borrowed_tokens == 0
            await wait_all_tasks_blocked()
            statistics = _tool_threads().statistics()
            assert (statistics.borrowed_tokens, statistics.tasks_waiting) == (40, 1)
        finally:
            blocked.release()
        for _ in range(41):
            assert (await peer.expect(ITEM))["item"]["output"] == "done"


async def test_tool_may_have_its_own_limiter() -> None:
    own = trio.CapacityLimiter(1)
    blocked = BlockingTool(own)
    peer = ScriptedPeer()
    async with open_test_session(peer, blocked.tool):
        try:
            send_calls(peer, 2)
            await trio.to_thread.run_sync(blocked.wait_begun, 1)
            await wait_all_tasks_blocked()
            assert (own.borrowed_tokens, own.statistics().tasks_waiting) == (1, 1)
        finally:
            blocked.release()
        for _ in range(2):
            await peer.expect(ITEM)
    assert own.borrowed_tokens == 0


async def test_thread_sees_the_context_variables_of_the_session() -> None:
    who: ContextVar[str] = ContextVar("who")

    @function_tool
    def ask() -> str:
        return who.get()

    peer = ScriptedPeer()
    who.set("me")
    async with open_test_session(peer, ask):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "ask")
        assert (await peer.expect(ITEM))["item"]["output"] == "me"


def test_limiter_must_be_a_capacity_limiter() -> None:
    with pytest.raises(ConfigurationError, match="limiter"):
        function_tool(limiter=3, name="tool")(lambda: None)  # type: ignore[call-overload]
