"""The connections of a session: one is used, and the next one takes its place.

Each connection is a task in a nursery of its own, inside the nursery of the session. The task opens the
connection, prepares it (the first one with the settings, each later one with a replay), makes it the current
one, and runs its reader and its writer until it ends. The task of this module waits until the current
connection is lost, reaches its maximum duration, or is to be replaced by hand, and starts the next one.

Until the next connection knows the conversation, the current one stays in use if it works. It may be lost in
the meantime: then the next one takes its place as soon as it is ready. The conversation may also go on in the
meantime. So the next connection is brought up to date before it is used: once while the current one still
works, and once more after that has ended, because its end may change the conversation.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import attrs
import trio

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.config import ReconnectPolicy
from trio_realtime.core import (
    ConnectionRestored,
    ReconnectSchedule,
    RefreshSchedule,
    Replay,
    is_transient,
)
from trio_realtime.errors import ConnectionLost, InternalError, RealtimeError, UsageError
from trio_realtime.events import Reconnecting
from trio_realtime.realtime_model import ConnectionOptions, ModelConnection, RealtimeModel
from trio_realtime.session.ending import copy_exception
from trio_realtime.session.runtime import SessionRuntime
from trio_realtime.transports import CallEnded, TransportClosed
from trio_realtime.wire import ClientEvent

from .errors import connect_failure, end_of_connection
from .handshake import keep_receiving, open_connection, replay_conversation
from .reader import read_events
from .writer import write_messages

Prepare: TypeAlias = Callable[["LiveConnection"], Awaitable[None]]

FLUSH_TIMEOUT: Final = 1.0
"""Seconds to wait until what is queued was written to a connection that is to be replaced."""


@attrs.define(eq=False)
class LiveConnection:
    """One connection of a session.

    Attributes:
        connection: the open connection.
        opened_at: when it was opened, on trio's clock.
        unix_time: the same as Unix time.
        used_since: when it became the current one, on trio's clock.
        serving: the scope of its reader and its writer.
        ended: set when it is no longer used.
        error: why it was lost; ``None`` if it was replaced or closed.
        dropped: why this side has dropped it, if it has.
        is_stopped: whether its reader and its writer are to end, because this side does not use it any more.
    """

    connection: ModelConnection
    opened_at: float = attrs.field(factory=trio.current_time)
    unix_time: float = attrs.field(factory=time.time)
    used_since: float = math.inf
    serving: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    ended: trio.Event = attrs.field(factory=trio.Event)
    error: RealtimeError | None = None
    dropped: str | None = None
    is_stopped: bool = False

    def stop(self, reason: str) -> None:
        """End its reader and its writer. No event that it receives counts from now on."""
        self.is_stopped = True
        self.serving.cancel(reason=reason)


@attrs.define(eq=False)
class ReconnectRequest:
    """A request to replace the current connection, with its outcome.

    Attributes:
        is_tried: whether an attempt was made for it, without a delay.
        is_done: whether it has its outcome.
        error: why the connection was not replaced.
    """

    is_tried: bool = False
    is_done: bool = False
    error: RealtimeError | None = None


class SessionConnections:
    """Keeps a session connected.

    Args:
        model: opens connections.
        runtime: feeds the core.
        options: the options of a connection, except its deadline.
        policy: when to connect again; ``None`` for never.
        is_replaceable: whether the conversation can go on with another connection at all.

    Attributes:
        current: the connection that is used; ``None`` before the first one.
    """

    def __init__(
        self,
        model: RealtimeModel,
        runtime: SessionRuntime,
        options: ConnectionOptions,
        policy: ReconnectPolicy | None,
        *,
        is_replaceable: bool = True,
    ) -> None:
        self._model = model
        self._runtime = runtime
        self._options = options
        self._policy = policy if is_replaceable else None
        self._is_replaceable = is_replaceable
        # Jitter needs no cryptographic randomness.
        self._schedule = ReconnectSchedule(policy or ReconnectPolicy(), random.random)  # noqa: S311
        self._refresh = RefreshSchedule(self._policy)
        self._wake = trio.Event()
        self._request: ReconnectRequest | None = None
        self.current: LiveConnection | None = None
        self._scope = trio.CancelScope()
        runtime.drop_connection = self.drop

    # --- for the rest of the session

    def drop(self, reason: str) -> None:
        """End the current connection, which is dead although it is open."""
        if self.current is not None and self.current.dropped is None:
            self.current.dropped = reason
            self.current.stop(reason)

    async def reconnect(self) -> None:
        """Replace the current connection, or connect at once where the session waits to do so.

        Raises:
            UsageError: the session has joined a call, which cannot be moved.
            RealtimeError: the next connection could not be opened, or the session ended first.
        """
        if not self._is_replaceable:
            raise UsageError("the session has joined a call, and its connection cannot be replaced")
        self._runtime.end.raise_if_set()
        if self._request is None:
            self._request = ReconnectRequest()
            self._wake.set()
            # A connection that is ready may be waiting for a quiet moment.
            self._runtime.notify()
            self._runtime.send_queue.wake()
        request = self._request
        while not request.is_done:
            await self._runtime.wait_change()
            self._runtime.end.raise_if_set()
        if request.error is not None:
            raise copy_exception(request.error)

    def _finish_request(self, error: RealtimeError | None = None) -> None:
        if self._request is not None:
            self._request.is_done, self._request.error = True, error
            self._request = None
            self._runtime.notify()

    async def aclose(self) -> None:
        """Close the current connection."""
        if self.current is not None:
            await self.current.connection.aclose()

    # --- the task

    @asynccontextmanager
    async def running(
        self, prepare: Callable[[ModelConnection], Awaitable[None]]
    ) -> AsyncGenerator[None]:
        """Open the first connection, and keep the session connected for the duration of the block.

        Leaving the block closes the connection.

        Args:
            prepare: teaches the first connection the settings.

        Raises:
            RealtimeError: the first connection could not be opened.
        """
        async with open_bare_nursery(InternalError) as nursery:
            await nursery.start(self._run, prepare, name="connections")
            try:
                yield
            finally:
                self._scope.cancel(reason="the session is over")

    async def _run(
        self,
        prepare: Callable[[ModelConnection], Awaitable[None]],
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Replace each connection that ends, until the session has ended."""
        with self._scope:
            async with open_bare_nursery(InternalError) as nursery:
                await nursery.start(self._hold_first, prepare, name="reader of connection 1")
                # One that was cancelled meanwhile is not taken over by the nursery of the session: it must end.
                await trio.lowlevel.checkpoint_if_cancelled()
                # From now on, no cancellation reaches the connections before the session has ended.
                self._scope.shield = True
                task_status.started()
                while not self._runtime.end.is_set:
                    await self._wait_for_reason()
                    if not self._runtime.end.is_set:
                        await self._replace(nursery)
                await trio.sleep_forever()  # until the block is left

    async def _wait_for_reason(self) -> None:
        """Wait until the current connection has to be replaced."""
        current = self.current
        assert current is not None
        while not (current.ended.is_set() or self._request is not None):
            self._wake = trio.Event()
            with trio.move_on_at(self._refresh.looks_at) as waiting:
                await self._wake.wait()
            if waiting.cancelled_caught:
                return

    async def _replace(self, nursery: trio.Nursery) -> None:
        """Connect again, until a connection is ready or the session has ended."""
        error = None if self.current is None else self.current.error
        while not self._runtime.end.is_set:
            if not self._runtime.core.link.is_open:
                delay = self._next_delay(error)
                if delay is None:
                    return
                await self._wait_before_attempt(delay)
                if self._runtime.end.is_set:
                    return
            try:
                name = f"reader of connection {self._runtime.core.link.number + 1}"
                await nursery.start(self._hold_next, name=name)
            except RealtimeError as exc:
                error = exc
            except TransportClosed as exc:
                error = end_of_connection(exc, None).loss
            else:
                self._finish_request()
                return
            if self._runtime.core.link.is_open:
                self._refresh.attempt_failed(trio.current_time())
                self._finish_request(error)
                return

    def _next_delay(self, error: RealtimeError | None) -> float | None:
        """Return the seconds until the next attempt. Without one, the session ends."""
        error = error if error is not None else ConnectionLost("the connection was lost")
        delay = None if self._policy is None else self._schedule.next_delay(error)
        if delay is None:
            self._runtime.connection_failed(error)
            return None
        attempt = self._schedule.attempts
        self._runtime.emit(Reconnecting(attempt=attempt, delay=delay, error=error))
        return delay

    async def _wait_before_attempt(self, delay: float) -> None:
        """Wait for the delay, or until somebody asks for an attempt: the first one follows at once."""
        with trio.move_on_after(delay):
            while self._request is None or self._request.is_tried:
                self._wake = trio.Event()
                await self._wake.wait()
        if self._request is not None:
            self._request.is_tried = True

    # --- one connection

    async def _hold_first(
        self,
        prepare: Callable[[ModelConnection], Awaitable[None]],
        *,
        task_status: trio.TaskStatus[LiveConnection],
    ) -> None:
        async def take(live: LiveConnection) -> None:
            await prepare(live.connection)
            self.current = live
            session = self._runtime.core.session
            expires_at = None if session is None else session.expires_at
            self._connected(live, expires_at if isinstance(expires_at, int) else None)

        await self._hold(take, self._options, task_status)

    async def _hold_next(self, *, task_status: trio.TaskStatus[LiveConnection]) -> None:
        timeout = self._options.connect_timeout
        options = attrs.evolve(self._options, deadline=trio.current_time() + timeout)
        is_open = False

        async def prepare(live: LiveConnection) -> None:
            nonlocal is_open
            is_open = True
            await self._take_over(live)

        try:
            await self._hold(prepare, options, task_status)
        except (RealtimeError, TransportClosed):
            raise
        except Exception as exc:
            if is_open:
                raise
            raise connect_failure(self._model, exc) from exc

    async def _hold(
        self,
        prepare: Prepare,
        options: ConnectionOptions,
        task_status: trio.TaskStatus[LiveConnection],
    ) -> None:
        """Open a connection, make it the current one, and keep it until it ends."""
        async with open_connection(self._model, options) as connection:
            live = LiveConnection(connection)
            await prepare(live)
            task_status.started(live)
            await self._serve(live)
            # Not after an exception: it ends the session, so no other connection may be opened.
            live.ended.set()
            self._wake.set()

    async def _serve(self, live: LiveConnection) -> None:
        """Read and write until the connection ends or is replaced."""
        failure: TransportClosed | None = None

        def is_used() -> bool:
            # Events may follow each other without a checkpoint at which the cancellation could end them.
            return self.current is live and not live.is_stopped

        with live.serving:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write_messages, live.connection, self._runtime, name="writer")
                failure = await read_events(live.connection, self._runtime, is_used)
                nursery.cancel_scope.cancel(reason="the connection has ended")
        if live.dropped is not None:
            failure = TransportClosed(reason=live.dropped)
        if failure is not None:
            self._lost(live, failure)

    def _lost(self, live: LiveConnection, closed: TransportClosed) -> None:
        """Decide whether a connection that has ended ends the session."""
        runtime = self._runtime
        if runtime.end.is_set or self.current is not live:
            return
        error = end_of_connection(closed, runtime.core.last_error, runtime.end.expected).loss
        live.error = error
        can_try = error is not None and is_transient(error) and not isinstance(closed, CallEnded)
        if self._policy is None or not can_try or runtime.end.expected is not None:
            runtime.connection_ended(closed)
            return
        self._schedule.connection_lost(trio.current_time() - live.used_since)
        runtime.connection_lost(str(error))

    # --- taking over

    def _connected(self, live: LiveConnection, expires_at: int | None) -> None:
        """Note that a connection is the current one.

        Args:
            live: the connection.
            expires_at: when the service ends it, as Unix time; ``None`` if it does not say so.
        """
        live.used_since = trio.current_time()
        ends_at = None
        if expires_at is not None and expires_at > live.unix_time:
            ends_at = live.opened_at + (expires_at - live.unix_time)
        self._refresh.connected(live.opened_at, ends_at, self._model_duration())

    def _model_duration(self) -> float:
        duration: float = getattr(self._model, "max_duration", math.inf)
        return duration

    async def _take_over(self, live: LiveConnection) -> None:
        """Teach a connection the conversation, and make it the current one at the right moment."""
        runtime = self._runtime
        replay = runtime.core.replay()
        await replay_conversation(live.connection, runtime, replay, self._options.connect_timeout)
        is_lost = not runtime.core.link.is_open
        if not is_lost:
            await self._wait_to_switch(live, replay)
            is_lost = not runtime.core.link.is_open
            self._let_go()
        self._raise_if_ended()
        while update := runtime.core.update_replay(replay):
            await self._update(live, replay, update)
        self._switch(live, replay, attempts=max(self._schedule.attempts, 1) if is_lost else 1)

    def _raise_if_ended(self) -> None:
        # Not ``end.raise_if_set``, which notes that the user has got the failure.
        if self._runtime.end.is_set:
            raise copy_exception(self._runtime.end.sender_error)

    async def _wait_to_switch(self, live: LiveConnection, replay: Replay) -> None:
        """Wait until the current connection may be replaced, or is lost.

        A connection that is replaced in a quiet moment is up to date by then.
        """
        runtime = self._runtime
        is_due = False
        while runtime.core.link.is_open:
            now = trio.current_time()
            if self._request is not None or now >= self._refresh.forced_at:
                is_due = True
                break
            if runtime.send_queue.waiting or not runtime.core.is_between_turns(now):
                await self._receive_until_quiet(live, replay, now)
            elif update := runtime.core.update_replay(replay):
                await self._update(live, replay, update)
            else:
                return
        if is_due:
            with trio.move_on_after(FLUSH_TIMEOUT):
                await runtime.send_queue.wait_empty()

    async def _receive_until_quiet(self, live: LiveConnection, replay: Replay, now: float) -> None:
        """Wait for a change, and notice meanwhile if the next connection is lost."""
        failure: RealtimeError | None = None

        async def receive() -> None:
            nonlocal failure
            try:
                await keep_receiving(replay, live.connection, self._runtime)
            except RealtimeError as exc:
                failure = exc
                nursery.cancel_scope.cancel(reason="the next connection was lost")

        async with open_bare_nursery(InternalError) as nursery:
            nursery.start_soon(receive, name="receive on the next connection")
            # No checkpoint comes before it waits, so it misses no change.
            await self._wait_for_quiet(now)
        if failure is not None:
            raise failure

    async def _wait_for_quiet(self, now: float) -> None:
        """Wait for a change of what keeps the current connection from being replaced."""
        heard_at = self._runtime.core.playback.finishes_at(now)
        soon = min(self._refresh.forced_at, heard_at if heard_at > now else math.inf)
        with trio.move_on_at(soon):
            if self._runtime.send_queue.waiting:
                await self._runtime.send_queue.wait_change()
            else:
                await self._runtime.wait_change()

    async def _update(
        self, live: LiveConnection, replay: Replay, update: Sequence[ClientEvent]
    ) -> None:
        timeout = self._options.connect_timeout
        await replay_conversation(live.connection, self._runtime, replay, timeout, update)

    def _let_go(self) -> None:
        """End the current connection: the next one knows nearly everything."""
        runtime, old = self._runtime, self.current
        if old is None or not runtime.core.link.is_open:
            return
        self._schedule.connection_lost(trio.current_time() - old.used_since)
        runtime.connection_lost("the connection is replaced")
        old.stop("another connection takes over")

    def _switch(self, live: LiveConnection, replay: Replay, *, attempts: int) -> None:
        """Make a connection the current one. Synchronous, so that nothing comes in between.

        Raises:
            RealtimeError: the session has ended.
        """
        self._raise_if_ended()
        runtime = self._runtime
        self.current = live
        runtime.feed(ConnectionRestored(replay=replay, attempts=attempts))
        for event in replay.others:
            runtime.feed(event)
        self._connected(live, replay.expires_at)
