"""Channels of a session for tasks of asyncio.

An event crosses when it is asked for, one at a time. So a consumer that is slow on asyncio leaves its
events in the session's channel, where the session's own limits and overflow policy apply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

import trio

from trio_realtime.errors import SessionClosed
from trio_realtime.events import HistoryUpdated

from .crossing import Deliver, Outcome, Raised, Returned, TrioSide

__all__ = ["AsyncioChannel", "Pump"]

EventT = TypeVar("EventT")


def _for_another_thread(event: Any) -> Any:
    """Return an event that reads nothing of the session."""
    if isinstance(event, HistoryUpdated):
        history = event.history
        return HistoryUpdated(
            item=event.item, deleted_item_id=event.deleted_item_id, read=lambda: history
        )
    return event


class Pump(Generic[EventT]):
    """Takes an event out of a channel each time that one is asked for. All of it runs on trio.

    Args:
        channel: the channel.
    """

    def __init__(self, channel: trio.abc.ReceiveChannel[EventT]) -> None:
        self._channel = channel
        # One request at a time, so one place is enough.
        self._requests, self._take = trio.open_memory_channel[Deliver[EventT]](1)
        self._scope = trio.CancelScope()
        self._is_closed = False

    def _refusal(self) -> Raised:
        """Return what a request gets that is not carried out: the session or the channel is over."""
        if self._is_closed:
            return Raised(trio.ClosedResourceError("this channel was closed"))
        return Raised(trio.EndOfChannel())

    def request(self, deliver: Deliver[EventT]) -> None:
        """Ask for the next event."""
        try:
            self._requests.send_nowait(deliver)
        except trio.BrokenResourceError:
            deliver(self._refusal())

    def stop(self) -> None:
        """Answer no further request, and end the one that waits."""
        self._is_closed = True
        self._scope.cancel(reason="the channel was closed")

    def refuse(self) -> None:
        """End a pump that cannot run."""
        self._take.close()

    async def run(self) -> None:
        """Answer requests, until it is stopped."""
        with self._scope:
            try:
                async for deliver in self._take:
                    await self._answer(deliver)
            finally:
                self._refuse_rest()

    async def _answer(self, deliver: Deliver[EventT]) -> None:
        try:
            event = await self._channel.receive()
        except trio.Cancelled:
            deliver(self._refusal())
            raise
        except Exception as exc:  # noqa: BLE001 - it is raised where the event was asked for
            deliver(Raised(exc))
        else:
            deliver(Returned(_for_another_thread(event)))

    def _refuse_rest(self) -> None:
        """Refuse what was asked for and not taken, and what will be asked for."""
        with suppress(trio.WouldBlock):
            self._take.receive_nowait()(self._refusal())
        self._take.close()


class AsyncioChannel(Generic[EventT]):
    """One consumer's events, in order, on asyncio. Iterate it or call :meth:`receive`."""

    def __init__(
        self, side: TrioSide, pump: Pump[EventT], read: Callable[[], Awaitable[Any]]
    ) -> None:
        self._side = side
        self._pump = pump
        self._read_statistics = read
        self._lock = asyncio.Lock()
        self._next: asyncio.Future[Outcome[EventT]] | None = None

    async def receive(self) -> EventT:
        """Return the next event.

        Cancelling the wait loses no event. Several tasks may receive; each event goes to one of them.

        Raises:
            trio.EndOfChannel: the session is over and all events were received, or the session's block or
                the bridge was left.
            trio.ClosedResourceError: the channel was closed.
            ConsumerTooSlow: too much was left unread.
            UsageError: this runs on another loop than that of the bridge.
            RealtimeError: what ended the session, after all events that came before it.
        """
        self._side.asyncio_side.check()
        async with self._lock:
            if self._next is None:
                future: asyncio.Future[Outcome[EventT]] = self._side.asyncio_side.future()
                try:
                    self._side.post(self._pump.request, self._side.asyncio_side.deliver_to(future))
                except SessionClosed:
                    raise trio.EndOfChannel from None  # the bridge was closed, and so the session
                self._next = future
            # After a cancellation, the next call waits for the same event.
            await asyncio.wait([self._next])
            outcome, self._next = self._next.result(), None
        return outcome.unwrap()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventT:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Stop consuming; unread events are dropped."""
        with suppress(SessionClosed):
            self._side.post(self._pump.stop)

    async def statistics(self) -> Any:
        """Return how full the session's buffer is now."""
        return await self._side.call(self._read_statistics)
