"""Calls from asyncio to trio, and back. Each side runs in a thread of its own.

These invariants make sure that no wake-up is lost:

1. Every object belongs to one side: futures and tasks of asyncio to the loop's thread, scopes, events and
   nurseries of trio to trio's thread. The other side never touches them. What crosses is immutable, or is
   handed over for good.
2. Only messages cross: functions given to ``TrioToken.run_sync_soon`` or to
   ``loop.call_soon_threadsafe``. Both are thread-safe, wake the other side, and keep the order. So a
   cancellation, which is a message too, never overtakes the call that it cancels.
3. Trio runs each message that it has accepted, also while its run ends. A message that it does not accept
   raises ``RunFinishedError`` where it is sent. So a call is started, or fails at once.
4. A call that was started sends one outcome, however it ends: a result, an exception or a cancellation. A
   call that comes when the bridge closes is answered with an outcome instead of being started.
5. A task that waits for an outcome waits until it has arrived, also after a cancellation. So no call outlives
   the one that waits for it.
6. If trio's run crashes, its thread reports that to asyncio after all outcomes. What still waits then fails.
7. A message that asyncio does not accept is dropped: its loop is closed, so nobody waits for it.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, Generic, ParamSpec, TypeAlias, TypeVar

import attrs
import trio

from trio_realtime.errors import SessionClosed, UsageError

__all__ = [
    "AsyncioSide",
    "Deliver",
    "Outcome",
    "Raised",
    "Returned",
    "TrioSide",
    "asyncio_side",
    "asyncio_tool",
    "wait_outcome",
]

T = TypeVar("T")
P = ParamSpec("P")


@attrs.frozen
class Returned(Generic[T]):
    """A call returned a value."""

    value: T

    def unwrap(self) -> T:
        """Return the value."""
        return self.value


@attrs.frozen
class Raised:
    """A call raised an exception."""

    error: BaseException

    def unwrap(self) -> Any:
        """Raise the exception."""
        try:
            raise self.error
        finally:
            del self  # an exception that its own traceback refers to is a cycle


Outcome: TypeAlias = Returned[T] | Raised

Deliver: TypeAlias = Callable[[Outcome[T]], None]
"""Called on one side with the outcome that the other side waits for."""


def bridge_closed() -> SessionClosed:
    """Return the exception of a call that the bridge does not carry out any more."""
    return SessionClosed("the bridge to trio was closed")


class AsyncioSide:
    """The loop of asyncio, as trio uses it.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[Any]] = set()  # asyncio has only weak references
        self._waiting: set[asyncio.Future[Any]] = set()

    def check(self) -> None:
        """Check that this runs on the loop: a wait on another one would not be woken.

        Raises:
            UsageError: this runs on another loop, or on none.
        """
        try:
            is_right = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_right = False
        if not is_right:
            raise UsageError(
                "a bridge and its sessions belong to the loop of asyncio that has entered the bridge: call "
                "them in a task of that loop (asyncio.run_coroutine_threadsafe), or make another bridge"
            )

    def future(self) -> asyncio.Future[Outcome[T]]:
        """Return a future for an outcome. It never has an exception, so nothing logs that it was lost.

        Raises:
            UsageError: this runs on another loop, or on none.
        """
        self.check()
        future: asyncio.Future[Outcome[T]] = self._loop.create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        return future

    def end_waits(self) -> None:
        """Answer what still waits: trio's run is over. It runs on asyncio."""
        for future in self._waiting:
            if not future.done():
                future.set_result(Raised(bridge_closed()))

    def post(self, function: Callable[..., object], *args: Any) -> bool:
        """Send a message to asyncio, from any thread. Returns whether the loop accepts it."""
        try:
            self._loop.call_soon_threadsafe(functools.partial(function, *args))
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            return False
        return True

    def deliver_to(self, future: asyncio.Future[Outcome[T]]) -> Deliver[T]:
        """Return a function that trio calls with the outcome for a future."""

        def deliver(outcome: Outcome[T]) -> None:
            self.post(set_outcome, future, outcome)

        def set_outcome(future: asyncio.Future[Outcome[T]], outcome: Outcome[T]) -> None:
            if not future.done():
                future.set_result(outcome)

        return deliver

    async def run(self, function: Callable[[], Awaitable[T]], context: Context) -> T:
        """Run a function on asyncio, for a task of trio.

        Cancelling the task of trio cancels the task of asyncio. The wait goes on until that has ended.

        Args:
            function: the function.
            context: the context variables of asyncio. The function gets a copy.

        Raises:
            RuntimeError: asyncio has cancelled the task by itself, or its loop is closed.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        call = _AsyncioCall(self._tasks, function, context)
        if not self.post(call.start):
            raise RuntimeError("the loop of asyncio is closed")
        raise_cancel: list[Callable[[], Any]] = []

        def abort(raise_cancelled: Callable[[], Any]) -> trio.lowlevel.Abort:
            raise_cancel.append(raise_cancelled)
            self.post(call.cancel)
            return trio.lowlevel.Abort.FAILED

        await trio.lowlevel.wait_task_rescheduled(abort)
        outcome = call.outcome
        assert outcome is not None
        if outcome is not _CANCELLED:
            return outcome.unwrap()
        if raise_cancel:
            raise_cancel[0]()
        raise RuntimeError("asyncio has cancelled the task")


_CANCELLED: Final = Raised(asyncio.CancelledError())
"""The outcome of a task of asyncio that was cancelled."""


class _AsyncioCall(Generic[T]):
    """A call from trio to asyncio. All methods run on asyncio, except the constructor.

    Attributes:
        outcome: set before the task of trio runs again, and read after that.
    """

    def __init__(
        self, tasks: set[asyncio.Task[Any]], function: Callable[[], Awaitable[T]], context: Context
    ) -> None:
        self.outcome: Outcome[T] | None = None
        self._tasks = tasks
        self._function = function
        self._context = context
        self._task: asyncio.Task[T] | None = None
        self._trio_task = trio.lowlevel.current_task()
        self._trio_context = copy_context()
        self._token = trio.lowlevel.current_trio_token()

    def start(self) -> None:
        context = self._context.copy()
        context.run(_trio_context.set, self._trio_context)
        task = asyncio.get_running_loop().create_task(self._run(), context=context)
        self._task = task
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    async def _run(self) -> T:
        return await self._function()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _finish(self, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self.outcome = _CANCELLED
        else:
            error = task.exception()
            self.outcome = Returned(task.result()) if error is None else Raised(error)
        with suppress(
            trio.RunFinishedError, OSError
        ):  # trio's run has crashed, and its tasks are gone
            self._token.run_sync_soon(trio.lowlevel.reschedule, self._trio_task)


class TrioSide:
    """The run of trio, as asyncio uses it.

    Args:
        token: the run.
        asyncio_side: where outcomes go.
        calls: the nursery of the calls.
    """

    def __init__(
        self, token: trio.lowlevel.TrioToken, asyncio_side: AsyncioSide, calls: trio.Nursery
    ) -> None:
        self.asyncio_side = asyncio_side
        self._token = token
        self._calls: trio.Nursery | None = calls

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Send a message to trio, from any thread.

        Raises:
            SessionClosed: the run has ended.
        """
        try:
            self._token.run_sync_soon(functools.partial(function, *args))
        except (trio.RunFinishedError, OSError):  # OSError: the run has crashed
            raise bridge_closed() from None

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run a function on trio, for a task of asyncio.

        Cancelling the task of asyncio cancels the function. The wait goes on until it has ended.

        Raises:
            SessionClosed: the bridge closes.
            UsageError: this runs on another loop than that of the bridge.
        """
        future: asyncio.Future[Outcome[T]] = self.asyncio_side.future()
        call = _TrioCall(function, self.asyncio_side.deliver_to(future))
        self.post(self._start, call, _trio_context.get())
        return (await wait_outcome(future, functools.partial(self.post, call.cancel))).unwrap()

    def _start(self, call: _TrioCall[Any], context: Context | None) -> None:
        if self._calls is None:
            call.refuse()
        elif context is None:
            self._calls.start_soon(call.run)
        else:
            # A tool on asyncio calls: the session must know that.
            context.run(self._calls.start_soon, call.run)

    def stop_calls(self) -> None:
        """Cancel the calls that run, and refuse new ones. It runs on trio."""
        if self._calls is not None:
            self._calls.cancel_scope.cancel(reason="the bridge was closed")
            self._calls = None


class _TrioCall(Generic[T]):
    """A call from asyncio to trio. All methods run on trio, except the constructor."""

    def __init__(self, function: Callable[[], Awaitable[T]], deliver: Deliver[T]) -> None:
        self._function = function
        self._deliver = deliver
        self._scope: trio.CancelScope | None = None

    async def run(self) -> None:
        outcome: Outcome[T] = Raised(bridge_closed())
        try:
            with trio.CancelScope() as self._scope:
                outcome = Returned(await self._function())
        except trio.Cancelled:
            raise
        except BaseException as exc:  # noqa: BLE001 - it is raised where the call is awaited
            outcome = Raised(exc)
        finally:
            self._deliver(outcome)

    def cancel(self) -> None:
        if self._scope is not None:
            self._scope.cancel(reason="the task of asyncio was cancelled")
        else:
            # The task was started and has not run yet.
            self._function = _cancelled

    def refuse(self) -> None:
        self._deliver(Raised(bridge_closed()))


async def _cancelled() -> Any:
    raise bridge_closed()


async def wait_outcome(
    future: asyncio.Future[Outcome[T]], cancel: Callable[[], None]
) -> Outcome[T]:
    """Wait for an outcome of trio, also after a cancellation.

    Args:
        future: gets the outcome.
        cancel: called once when the task of asyncio is cancelled.

    Raises:
        asyncio.CancelledError: the task was cancelled. The outcome has arrived, and is lost.
    """
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as exc:  # noqa: ASYNC103 - it is raised below
            if cancelled is None:  # anyio cancels a task again and again until it ends
                with suppress(SessionClosed):  # the run has ended, so its outcome is on its way
                    cancel()
            cancelled = exc
    if cancelled is not None:
        raise cancelled
    return future.result()


# --- tools on asyncio -------------------------------------------------------------------------------


@attrs.frozen
class _Caller:
    """The side of asyncio that has opened a session, with its context variables."""

    side: AsyncioSide
    context: Context


_caller: Final[ContextVar[_Caller | None]] = ContextVar("asyncio_caller", default=None)
"""On trio: who has opened the session of this task."""

_trio_context: Final[ContextVar[Context | None]] = ContextVar("trio_context", default=None)
"""On asyncio: the context of the trio task that this task works for."""


def asyncio_side(side: AsyncioSide, context: Context) -> None:
    """Let functions of this task's session run on asyncio, with these context variables."""
    _caller.set(_Caller(side, context))


def asyncio_tool(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make an async function of asyncio usable as a tool, hook or guardrail of a session.

    The function runs as a task of the loop that has opened the session, with the context variables of the
    task that has opened it. If the call is cancelled, for example by an interruption, the task is
    cancelled, and the call waits until it has ended. What the function raises is raised in the call.

    For example::

        @function_tool
        @asyncio_tool
        async def lookup_order(number: int) -> str:
            \"\"\"Look up an order.\"\"\"
            return await database.fetch(number)

    Args:
        function: the function. Its signature and docstring stay.

    Raises:
        UsageError: in a call, the session was not opened by an :class:`AsyncioBridge`.
    """

    @functools.wraps(function)
    async def run_on_asyncio(*args: P.args, **kwargs: P.kwargs) -> T:
        caller = _caller.get()
        if caller is None:
            raise UsageError(
                f"{getattr(function, '__name__', function)!r} runs on asyncio: open the session with "
                "AsyncioBridge.open_session"
            )
        return await caller.side.run(functools.partial(function, *args, **kwargs), caller.context)

    return run_on_asyncio
