"""A session that is used from another thread or another trio run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from support.sessions import open_test_session
from support.wire import CREATE, ITEM
from trio_realtime import RealtimeSession, events
from trio_realtime.errors import UsageError
from trio_realtime.testing import ScriptedPeer

Session = RealtimeSession[None]

FOREIGN_CALLS: dict[str, Callable[[Session], Any]] = {
    "send_message": lambda s: trio.run(s.send_message, "x"),
    "send_audio": lambda s: trio.run(s.send_audio, bytes(480)),
    "send_raw": lambda s: trio.run(s.send_raw, {"type": "response.create"}),
    "ask": lambda s: trio.run(s.ask, "x"),
    "interrupt": lambda s: trio.run(s.interrupt),
    "drain": lambda s: trio.run(s.drain),
    "aclose": lambda s: trio.run(s.aclose),
    "events": lambda s: trio.run(s.events.receive),
    "subscribe": lambda s: s.subscribe(events.Audio).__enter__(),
    "played": lambda s: s.playback.played("item_1", 0, 20),
}


@pytest.mark.parametrize("call", FOREIGN_CALLS.values(), ids=FOREIGN_CALLS.keys())
async def test_a_foreign_thread_gets_an_error_and_the_session_goes_on(
    call: Callable[[Session], Any], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        autojump_clock.autojump_threshold = float("inf")  # a thread takes real time
        with pytest.raises(UsageError, match=r"another trio run.*trio\.from_thread"):
            await trio.to_thread.run_sync(call, session)
        autojump_clock.autojump_threshold = 0
        await session.send_message("Hello?")
        await peer.expect(ITEM)
        await peer.expect(CREATE)


async def test_a_thread_of_trio_calls_back_into_the_session(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        autojump_clock.autojump_threshold = float("inf")

        def work() -> None:
            trio.from_thread.run(session.send_message, "x")
            trio.from_thread.run_sync(session.playback.played, "item_1", 0, 20)

        await trio.to_thread.run_sync(work)
        await peer.expect(ITEM)
