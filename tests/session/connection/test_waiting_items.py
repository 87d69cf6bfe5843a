"""Messages that are sent while there is no connection: bounded, and sent to the next one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock

from support.sessions import open_test_session
from support.wire import ITEM
from trio_realtime import ReconnectPolicy
from trio_realtime.testing import ScriptedPeer
from trio_realtime.transports import ConnectOptions, Transport, TransportConnectError


class UnreachablePeer(ScriptedPeer):
    """A peer that can be made unreachable."""

    is_reachable = True

    @asynccontextmanager
    async def connect(self, options: ConnectOptions) -> AsyncGenerator[Transport]:
        if not self.is_reachable:
            raise TransportConnectError("unreachable")
        async with super().connect(options) as transport:
            yield transport


async def test_messages_wait_for_the_next_connection_up_to_the_bound(
    autojump_clock: MockClock,
) -> None:
    peer = UnreachablePeer()
    policy = ReconnectPolicy(initial_delay=10, jitter=0, max_attempts=3)
    async with open_test_session(peer, reconnect=policy, max_outgoing_text=1000) as session:
        peer.is_reachable = False
        peer.close(1011)
        await trio.sleep(1)
        began = trio.current_time()
        for number in range(3):  # the second one reaches the bound, so the third one waits
            if number == 2:
                peer.is_reachable = True
            await session.send_message(f"{number}" * 500, respond=False)
        assert trio.current_time() - began > 5
        received = [await peer.expect(ITEM) for _ in range(3)]
    texts = [frame["item"]["content"][0]["text"][0] for frame in received]
    assert texts == ["0", "1", "2"]
