"""The send queue writes at once what nothing waits before, and keeps the order of everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import wait_all_tasks_blocked

from trio_realtime.session.connection.send_queue import SendQueue
from trio_realtime.session.connection.writer import write_messages
from trio_realtime.session.ending import EndState
from trio_realtime.transports import TransportClosed


@attrs.define(eq=False)
class Socket:
    """A connection whose kernel takes as many characters at once as the test allows."""

    space: int = 1000
    written: str = ""
    rest: str = ""
    can_try: bool = True
    fails: bool = False
    has_space: trio.Event = attrs.field(factory=trio.Event)

    @property
    def direct(self) -> Socket | None:
        return self if self.can_try else None

    @property
    def has_rest(self) -> bool:
        return bool(self.rest)

    def try_send(self, message: str) -> bool:
        assert not self.rest
        if not self.space:
            return False
        self._take(message)
        return True

    def _take(self, message: str) -> None:
        self.written += message[: self.space]
        self.rest = message[self.space :]
        self.space = max(self.space - len(message), 0)

    async def send(self, message: str) -> None:
        await trio.lowlevel.checkpoint()
        assert not self.rest
        self.rest = message
        await self.flush()

    async def flush(self) -> None:
        while self.rest:
            if self.fails:
                raise TransportClosed
            if not self.space:
                self.has_space = trio.Event()
                await self.has_space.wait()
            self._take(self.rest)

    def grow(self, space: int) -> None:
        self.space += space
        self.has_space.set()


@attrs.define(eq=False)
class Runtime:
    send_queue: SendQueue
    failures: list[Exception] = attrs.field(factory=list)

    def fail(self, failure: Exception) -> None:
        self.failures.append(failure)


def make_queue() -> SendQueue:
    return SendQueue(EndState(), max_audio=1000, max_text=1000)


async def with_writer(
    socket: Socket, act: Callable[[SendQueue], None], queue: SendQueue | None = None
) -> SendQueue:
    """Run a writer, act, and give the socket space until everything is written."""
    queue = make_queue() if queue is None else queue
    runtime: Any = Runtime(queue)
    connection: Any = socket
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_messages, connection, runtime)
        await wait_all_tasks_blocked()
        act(queue)
        while queue.waiting:
            socket.grow(3)
            await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return queue


async def test_a_message_that_nothing_waits_before_is_written_at_once() -> None:
    socket = Socket()

    def act(queue: SendQueue) -> None:
        queue.put("one,", text=4)
        queue.put("two,", audio=4)
        assert socket.written == "one,two,"
        assert (queue.sent, queue.waiting, queue.audio, queue.text) == (2, 0, 0, 0)

    await with_writer(socket, act)


async def test_a_message_that_is_partly_written_counts_as_waiting() -> None:
    socket = Socket(space=2)

    def act(queue: SendQueue) -> None:
        queue.put("one,", audio=4)
        queue.put("two,", text=5)
        assert socket.written == "on"
        assert (queue.sent, queue.waiting, queue.audio, queue.text) == (0, 2, 4, 5)

    queue = await with_writer(socket, act)
    assert socket.written == "one,two,"
    assert (queue.sent, queue.waiting, queue.audio, queue.text) == (2, 0, 0, 0)


async def test_nothing_is_written_at_once_without_a_writer() -> None:
    socket = Socket()
    queue = make_queue()
    queue.put("early,", text=6)
    await with_writer(socket, lambda queue: queue.put("late,", text=5), queue)
    queue.put("after,", text=6)
    assert (socket.written, queue.waiting) == ("early,late,", 1)


async def test_a_connection_that_breaks_ends_the_writer_and_the_writes() -> None:
    socket = Socket(space=2)
    queue = make_queue()
    runtime: Any = Runtime(queue)
    connection: Any = socket
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_messages, connection, runtime)
        await wait_all_tasks_blocked()
        socket.fails = True
        queue.put("one,", text=4)
    assert (queue.connection, runtime.failures) == (None, [])
    queue.clear()  # the reader reports the loss
    assert queue.waiting == 0


def two_connections() -> tuple[SendQueue, Any, Any, Any]:
    queue = make_queue()
    return queue, Runtime(queue), Socket(), Socket()


async def test_a_queue_that_is_cleared_writes_nothing_to_its_old_connection() -> None:
    queue, runtime, old, new = two_connections()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_messages, old, runtime)
        await wait_all_tasks_blocked()
        queue.clear()  # another connection takes over, and the old writer has not ended
        queue.put("one,", text=4)
        assert queue.waiting == 1
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_messages, new, runtime)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert (old.written, new.written) == ("", "one,")


async def test_a_writer_that_ends_late_leaves_the_next_connection_alone() -> None:
    queue, runtime, old, new = two_connections()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as old_scope:
            async with trio.open_nursery() as old_nursery:
                old_nursery.start_soon(write_messages, old, runtime)
                await wait_all_tasks_blocked()
                queue.clear()
                nursery.start_soon(write_messages, new, runtime)
                await wait_all_tasks_blocked()
                old_scope.cancel()
        assert queue.connection is not None
        queue.put("two,", text=4)
        assert (queue.waiting, new.written) == (0, "two,")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("urgent", [False, True])
async def test_an_urgent_message_overtakes_audio_but_no_rest(urgent: bool) -> None:
    socket = Socket(space=1)

    def act(queue: SendQueue) -> None:
        queue.put("AAAA", audio=4)
        queue.put("BBBB", audio=4)
        queue.put("cancel", text=6, urgent=urgent)

    await with_writer(socket, act)
    assert socket.written == ("AAAAcancelBBBB" if urgent else "AAAABBBBcancel")


@given(st.lists(st.integers(1, 9) | st.just(-4), max_size=40), st.integers(0, 30))
def test_all_messages_arrive_whole_and_in_order(steps: list[int], space: int) -> None:
    """A positive number is a message of this length; a negative one lets the socket take some."""

    async def run() -> None:
        socket = Socket(space=space)
        queue = make_queue()
        runtime: Any = Runtime(queue)
        connection: Any = socket
        expected = ""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_messages, connection, runtime)
            await wait_all_tasks_blocked()
            for number, step in enumerate(steps):
                if step < 0:
                    socket.grow(-step)
                    await trio.lowlevel.checkpoint()
                    continue
                message = chr(65 + number % 26) * step
                expected += message
                queue.put(message, text=step)
            while queue.waiting:
                socket.grow(7)
                await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert socket.written == expected
        assert queue.sent == sum(step > 0 for step in steps)

    trio.run(run)
