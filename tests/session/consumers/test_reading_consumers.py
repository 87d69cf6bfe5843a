"""A consumer that only reads is never too slow, and a slow consumer does not delay the reader."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.sessions import open_test_session
from trio_realtime import EventChannel, events
from trio_realtime.errors import ConsumerTooSlow
from trio_realtime.transports import ConnectOptions, Transport, memory_transport_pair

Consume = Callable[[EventChannel, int], Awaitable[int]]


@attrs.frozen
class EagerTransport:
    """A transport that returns messages without a checkpoint while it has any."""

    inner: Transport
    messages: list[str]

    async def receive(self) -> str | bytes:
        return self.messages.pop() if self.messages else await self.inner.receive()

    async def send(self, text: str) -> None:
        await self.inner.send(text)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self.inner.aclose(code, reason)


class BurstPeer:
    """A service that opens the session; then all its frames are available at once, and it closes.

    Args:
        frames: the frames of the burst.
        eager: whether the transport returns them without a checkpoint.
    """

    def __init__(self, frames: list[str], *, eager: bool) -> None:
        self._frames = frames
        self._eager = eager
        self._eager_messages: list[str] = []

    @asynccontextmanager
    async def connect(self, options: ConnectOptions) -> AsyncGenerator[Transport]:
        near, self._far = memory_transport_pair(
            max_messages=len(self._frames) + 10, close_timeout=options.close_timeout
        )
        self._far.ignore_close()
        for kind in ("session.created", "session.updated"):
            await self._far.send(json.dumps({"type": kind, "session": {"type": "realtime"}}))
        try:
            yield EagerTransport(near, self._eager_messages)
        finally:
            await near.aclose()

    async def burst(self) -> None:
        """Make the frames available."""
        if self._eager:
            self._eager_messages += reversed(self._frames[1:])
            await self._far.send(self._frames[0])
        else:
            for frame in self._frames:
                await self._far.send(frame)


def text_frames(count: int) -> list[str]:
    """Return deltas of a text; each becomes two events if the history reports all growth."""
    frame = {"type": "response.output_text.delta", "response_id": "resp_1", "item_id": "item_1"}
    item = {"id": "item_1", "type": "message", "role": "assistant", "content": []}
    added = {"type": "conversation.item.added", "item": item, "previous_item_id": None}
    return [json.dumps(added), *[json.dumps({**frame, "delta": "x"})] * count]


async def only_read(channel: EventChannel, expected: int) -> int:
    count = 0
    async for event in channel:
        count += isinstance(event, events.TextDelta)
        if count == expected:
            break
    return count


async def hand_on(channel: EventChannel, expected: int) -> int:
    """Hand each event to another task, which takes a step of its own."""
    count = 0
    send, receive = trio.open_memory_channel[events.AnyEvent](1)

    async def forward() -> None:
        async for event in channel:
            await send.send(event)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(forward)
        async for event in receive:
            count += isinstance(event, events.TextDelta)
            if count == expected:
                nursery.cancel_scope.cancel()
    return count


@pytest.mark.slow
@pytest.mark.parametrize(("consume", "count"), [(only_read, 30_000), (hand_on, 10_000)])
@pytest.mark.parametrize("eager", [False, True], ids=["yielding", "eager"])
async def test_a_consumer_that_only_reads_is_never_too_slow(
    consume: Consume, count: int, eager: bool, autojump_clock: MockClock
) -> None:
    peer = BurstPeer(text_frames(count), eager=eager)
    # Every delta is reported as a change of the history too: two events for each frame.
    async with open_test_session(
        peer, max_buffered_events=20, history_update_interval=0.0
    ) as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.burst)
            assert await consume(session.events, count) == count
        assert session.statistics().events.dropped_events == 0


@pytest.mark.parametrize("eager", [False, True], ids=["yielding", "eager"])
async def test_a_slow_consumer_does_not_delay_the_reader(
    eager: bool, autojump_clock: MockClock
) -> None:
    """All frames are read at once, although the consumer takes an event per second."""
    peer = BurstPeer(text_frames(1000), eager=eager)
    received: list[events.SessionEvent] = []

    async def read_slowly() -> None:
        with pytest.raises(ConsumerTooSlow):
            async for event in session.events:
                received.append(event)
                await trio.sleep(1)

    async with open_test_session(peer, max_buffered_events=20) as session:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_slowly)
            with session.subscribe(events.TextDelta) as quick:
                nursery.start_soon(peer.burst)
                for _ in range(1000):
                    await quick.receive()
            assert trio.current_time() == began
    assert len(received) <= 22


async def test_a_consumer_is_not_waited_for_while_it_does_something_else(
    autojump_clock: MockClock,
) -> None:
    """The reader goes on although the consumer would take more events after its sleep."""
    peer = BurstPeer(text_frames(15), eager=True)
    async with open_test_session(peer, max_buffered_events=100) as session:
        with session.subscribe(events.TextDelta) as channel:
            await peer.burst()
            await channel.receive()
            await wait_all_tasks_blocked()
            assert channel.statistics().buffered_events == 14
