"""Trio in a thread of an asyncio program, and sessions in it."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import trio

from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    open_realtime_session,
)
from trio_realtime.errors import SessionClosed, UsageError
from trio_realtime.transports import Connector

from .channels import Pump
from .crossing import (
    AsyncioSide,
    Deliver,
    Outcome,
    Raised,
    Returned,
    TrioSide,
    asyncio_side,
    bridge_closed,
    wait_outcome,
)
from .session import AsyncioSession

if TYPE_CHECKING:
    from trio_realtime.items import HistoryItem
    from trio_realtime.realtime_model import RealtimeModel

__all__ = ["AsyncioBridge"]

ContextT = TypeVar("ContextT")
T = TypeVar("T")

OpenSession = Callable[[], AbstractAsyncContextManager[RealtimeSession[Any]]]


class AsyncioBridge:
    """Sessions in an asyncio program: one thread that runs trio, for all sessions of the process.

    Enter it with ``async with``, for example in the lifespan of a web application. Leaving the block closes
    the sessions that are open, and waits for the thread. Where another task uses such a session, iteration
    ends, and methods raise :class:`~trio_realtime.errors.SessionClosed`. A bridge is used once, and belongs to
    the loop of asyncio that has entered it: on another one, calls raise
    :class:`~trio_realtime.errors.UsageError`.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._trio: TrioSide | None = None
        self._sessions: _Sessions | None = None

    async def __aenter__(self) -> Self:
        if self._thread is not None:
            raise UsageError("a bridge is used once: make another AsyncioBridge")
        side = AsyncioSide(asyncio.get_running_loop())
        started: asyncio.Future[Outcome[_Sessions]] = side.future()
        self._finished: asyncio.Future[Outcome[None]] = side.future()
        # A daemon: a program whose loop was stopped without leaving the block can still exit.
        self._thread = threading.Thread(
            target=_run_trio,
            args=(side, side.deliver_to(started), side.deliver_to(self._finished)),
            name="trio_realtime bridge",
            daemon=True,
        )
        self._thread.start()
        try:
            outcome = await wait_outcome(started, lambda: None)
        except asyncio.CancelledError:
            # Nothing here needs a shield: asyncio cancels a task once.
            await self._stop(started.result().unwrap())  # noqa: ASYNC102
            raise
        sessions = outcome.unwrap()
        self._sessions, self._trio = sessions, sessions.side
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._sessions is not None
        self._side().asyncio_side.check()
        await self._stop(self._sessions)  # noqa: ASYNC102 - asyncio cancels a task once

    async def _stop(self, sessions: _Sessions) -> None:
        assert self._thread is not None
        with suppress(SessionClosed):  # trio's run has crashed; the outcome says why
            sessions.side.post(sessions.stop.set)
        cancel = functools.partial(sessions.side.post, sessions.cancel)
        try:
            outcome = await wait_outcome(self._finished, cancel)
        finally:
            # The outcome is the last thing that the thread does. Without it, asyncio has abandoned this
            # coroutine, and the thread may never end.
            if self._finished.done():
                self._thread.join()
        outcome.unwrap()

    def _side(self) -> TrioSide:
        if self._trio is None:
            raise UsageError("enter the bridge with `async with AsyncioBridge() as bridge:` first")
        return self._trio

    async def run(self, async_fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run an async function on trio, and return what it returns.

        Cancelling this cancels the function. Leaving the block of the bridge cancels it too.

        Raises:
            SessionClosed: the bridge was closed first.
            UsageError: the block of the bridge was not entered, or it was entered on another loop.
        """
        return await self._side().call(functools.partial(async_fn, *args))

    @overload
    def open_session(
        self,
        agent: RealtimeAgent[None],
        *,
        endpoint: Endpoint | None = None,
        config: SessionConfig | None = None,
        transport: Connector | None = None,
        model: RealtimeModel | None = None,
        history: Sequence[HistoryItem] | None = None,
    ) -> AbstractAsyncContextManager[AsyncioSession[None]]: ...

    @overload
    def open_session(
        self,
        agent: RealtimeAgent[ContextT],
        *,
        endpoint: Endpoint | None = None,
        config: SessionConfig | None = None,
        context: ContextT,
        transport: Connector | None = None,
        model: RealtimeModel | None = None,
        history: Sequence[HistoryItem] | None = None,
    ) -> AbstractAsyncContextManager[AsyncioSession[ContextT]]: ...

    def open_session(
        self, agent: RealtimeAgent[Any], **options: Any
    ) -> AbstractAsyncContextManager[AsyncioSession[Any]]:
        """Open a session for the duration of an ``async with`` block, on asyncio.

        The exceptions are those of :func:`~trio_realtime.open_realtime_session`, in the same places. If the
        block raises, the session ends as ``block_raised``; if its task is cancelled, as ``cancelled``.
        Leaving waits until the session is closed, also when it is cancelled meanwhile.

        Args:
            agent: the agent. Its tools run on trio, except those made with :func:`asyncio_tool`.
            options: as in :func:`~trio_realtime.open_realtime_session`.

        Raises:
            SessionClosed: the bridge was closed while the session was opening.
            UsageError: the block of the bridge was not entered, or it was entered on another loop.
        """
        return self._open(functools.partial(open_realtime_session, agent, **options))

    @asynccontextmanager
    async def _open(self, open_session: OpenSession) -> AsyncGenerator[AsyncioSession[Any]]:
        side = self._side()
        assert self._sessions is not None
        opened: asyncio.Future[Outcome[RealtimeSession[Any]]] = side.asyncio_side.future()
        ended: asyncio.Future[Outcome[None]] = side.asyncio_side.future()
        host = _SessionHost(
            open_session,
            functools.partial(asyncio_side, side.asyncio_side, copy_context()),
            side.asyncio_side.deliver_to(opened),
            side.asyncio_side.deliver_to(ended),
        )
        side.post(self._sessions.start, host)
        cancel = functools.partial(side.post, host.cancel)
        try:
            session = (await wait_outcome(opened, cancel)).unwrap()
        except BaseException:
            await wait_outcome(ended, cancel)  # noqa: ASYNC102 - asyncio cancels a task once
            raise
        try:
            yield AsyncioSession(side, session, host.start_pump)
        except BaseException as exc:
            await _leave_with(exc, side, host, ended)  # noqa: ASYNC102 - asyncio cancels a task once
            raise
        _post_if_open(side, host.leave)
        (await wait_outcome(ended, cancel)).unwrap()


async def _leave_with(
    exc: BaseException,
    side: TrioSide,
    host: _SessionHost,
    ended: asyncio.Future[Outcome[None]],
) -> None:
    """End a session whose block has raised.

    Raises:
        BaseException: what else went wrong.
    """
    cancel = functools.partial(side.post, host.cancel)
    traceback = exc.__traceback__
    if isinstance(exc, asyncio.CancelledError):
        _post_if_open(side, host.cancel)
        await wait_outcome(ended, cancel)
        return
    _post_if_open(side, host.fail, exc)
    outcome = await wait_outcome(ended, cancel)
    exc.__traceback__ = traceback  # without the frames of trio
    if isinstance(outcome, Raised) and outcome.error is not exc:
        raise outcome.error


def _post_if_open(side: TrioSide, function: Callable[..., object], *args: Any) -> None:
    with suppress(SessionClosed):  # trio's run has ended, so the session has too
        side.post(function, *args)


# --- on trio ----------------------------------------------------------------------------------------


def _run_trio(side: AsyncioSide, started: Deliver[_Sessions], finished: Deliver[None]) -> None:
    """Run trio in this thread until the bridge stops."""
    outcome: Outcome[None]
    try:
        trio.run(_main, side, started)
        outcome = Returned(None)
    except BaseException as exc:  # noqa: ASYNC103, BLE001 - it is raised where the bridge is left
        outcome = Raised(exc)
        started(outcome)
    finished(outcome)
    side.post(side.end_waits)


async def _main(side: AsyncioSide, started: Deliver[_Sessions]) -> None:
    async with trio.open_nursery() as calls:
        trio_side = TrioSide(trio.lowlevel.current_trio_token(), side, calls)
        async with trio.open_nursery() as nursery:
            sessions = _Sessions(trio_side, nursery)
            started(Returned(sessions))
            await sessions.stop.wait()
            sessions.close()
        trio_side.stop_calls()


class _Sessions:
    """The sessions of a bridge. All methods run on trio.

    Attributes:
        side: the run.
        stop: set to close the bridge.
    """

    def __init__(self, side: TrioSide, nursery: trio.Nursery) -> None:
        self.side = side
        self.stop = trio.Event()
        self._nursery: trio.Nursery | None = nursery
        self._scope = nursery.cancel_scope
        self._hosts: set[_SessionHost] = set()

    def start(self, host: _SessionHost) -> None:
        """Open a session, or refuse to."""
        if self._nursery is None:
            host.refuse()
        else:
            self._hosts.add(host)
            self._nursery.start_soon(self._run, host)

    async def _run(self, host: _SessionHost) -> None:
        try:
            await host.run()
        finally:
            self._hosts.discard(host)

    def close(self) -> None:
        """Close the sessions, and refuse new ones."""
        self._nursery = None
        for host in self._hosts:
            host.close()

    def cancel(self) -> None:
        """Close the sessions without waiting for tools that finish."""
        self.stop.set()
        self._scope.cancel(reason="the task that closes the bridge was cancelled")


class _SessionHost:
    """Holds a session open in a task of trio, for a block on asyncio.

    All methods run on trio, except the constructor.

    Args:
        open_session: opens the session.
        prepare: sets context variables of the task.
        opened: gets the session, or the exception that opening it raised.
        ended: gets what the block of the session raised. It comes after ``opened``.
    """

    def __init__(
        self,
        open_session: OpenSession,
        prepare: Callable[[], None],
        opened: Deliver[RealtimeSession[Any]],
        ended: Deliver[None],
    ) -> None:
        self._open_session = open_session
        self._prepare = prepare
        self._opened = opened
        self._ended = ended
        self._scope = trio.CancelScope()
        self._left = trio.Event()
        self._failure: BaseException | None = None
        self._pumps: trio.Nursery | None = None
        self._is_open = False

    async def run(self) -> None:
        """Open the session, and close it when the block is left."""
        self._prepare()
        outcome: Outcome[None] = Raised(bridge_closed())
        try:
            # Around the session: a nursery in its block would wrap a cancellation in a group.
            async with trio.open_nursery() as pumps:
                self._pumps = pumps
                outcome = await self._run_session()
                self._pumps = None
                pumps.cancel_scope.cancel(reason="the block of the session was left")
        finally:
            self._pumps = None
            self._deliver(outcome)

    async def _run_session(self) -> Outcome[None]:
        try:
            with self._scope:
                await self._hold()
        except trio.Cancelled:
            raise
        except BaseException as exc:  # noqa: BLE001 - it is raised where the block is left
            return Raised(exc)
        return Returned(None)

    def _deliver(self, outcome: Outcome[None]) -> None:
        if not self._is_open:
            self._opened(outcome if isinstance(outcome, Raised) else Raised(bridge_closed()))
            outcome = Returned(None)
        self._ended(outcome)

    async def _hold(self) -> None:
        async with self._open_session() as session:
            self._is_open = True
            self._opened(Returned(session))
            await self._left.wait()
            if self._failure is not None:
                raise self._failure
            # While the pumps run: those that wait for an event get the end of the session.
            await session.aclose()

    def start_pump(self, pump: Pump[Any]) -> None:
        """Start a pump of one of the session's channels."""
        if self._pumps is None:
            pump.refuse()
        else:
            self._pumps.start_soon(pump.run)

    def leave(self) -> None:
        """Leave the block of the session."""
        self._left.set()

    def fail(self, error: BaseException) -> None:
        """Leave the block of the session with an exception."""
        self._failure = error
        self._left.set()

    def cancel(self) -> None:
        """Cancel the block of the session, or the attempt to open it."""
        self._scope.cancel(reason="the task of asyncio was cancelled")

    def close(self) -> None:
        """Close the session because the bridge closes."""
        if self._is_open:
            self._left.set()
        else:
            self._scope.cancel(reason="the bridge was closed")

    def refuse(self) -> None:
        """Do not open the session: the bridge closes."""
        self._opened(Raised(bridge_closed()))
        self._ended(Returned(None))
