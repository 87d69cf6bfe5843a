"""Run the user's functions: tools, guardrails, hooks, and callbacks.

A user's function may raise anything, even an exception that is not an ``Exception`` (asyncio's
``CancelledError``, a panic of another language) or one whose ``str()`` raises. The library reports all of
these as failures, and they end nothing else. Only cancellation and the end of the program pass through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, Generic, TypeVar, cast

import attrs
import trio

from trio_realtime._nursery import leaves_of

T = TypeVar("T")

MAX_DESCRIBED: Final = 3
"""How many exceptions of a group are described. The model needs no more to correct a call."""

_CONTROL_FLOW = (trio.Cancelled, KeyboardInterrupt, SystemExit)


@attrs.frozen
class Returned(Generic[T]):
    """The user's function returned ``value``."""

    value: T


@attrs.frozen
class Raised:
    """The user's function raised ``failure``."""

    failure: BaseException


def _ignore(_failure: BaseException) -> None:
    """Report nothing."""


async def call_user_code(
    function: Callable[..., Awaitable[T]],
    *args: Any,
    report: Callable[[BaseException], None] = _ignore,
) -> Returned[T] | Raised:
    """Run an async function that calls the user's code.

    Args:
        function: the function, often one that also converts or checks what the user's code returns.
        args: its arguments.
        report: called with the failure, if there is one, before anything else happens.

    Returns:
        What the function returned or raised.

    Raises:
        BaseException: a cancellation or the end of the program. If the function raised a group that
            contains a failure too, the failure was reported.
    """
    try:
        return Returned(await function(*args))
    except trio.Cancelled:
        raise
    except BaseException as exc:
        failure, control_flow = split_exception(exc)
        if failure is not None:
            report(failure)
        if control_flow is exc:
            raise
        if control_flow is not None:
            raise control_flow from None
        assert failure is not None
        return Raised(failure)


def split_exception(exc: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Split an exception into a failure and control flow. A group may contain both."""
    if isinstance(exc, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", exc)
        control_flow, failures = group.split(_CONTROL_FLOW)
        return failures, control_flow
    return (None, exc) if isinstance(exc, _CONTROL_FLOW) else (exc, None)


def describe_exception(exc: BaseException) -> str:
    """Return an exception's class and text on one line.

    A nursery of the user wraps exceptions in groups, which say nothing about the cause: of a group, the
    exceptions inside are described, at most :data:`MAX_DESCRIBED` different ones.
    """
    described = list(dict.fromkeys(map(_describe_leaf, leaves_of(exc))))
    more = len(described) - MAX_DESCRIBED
    rest = [f"{more} more"] if more > 0 else []
    return "; ".join(described[:MAX_DESCRIBED] + rest)


def _describe_leaf(exc: BaseException) -> str:
    try:
        return f"{type(exc).__name__}: {exc}"
    except trio.Cancelled:
        raise
    except BaseException as failure:
        _, control_flow = split_exception(failure)
        if control_flow is not None:
            raise
        return type(exc).__name__


def as_text(value: Any) -> str:
    """Check the text that a callback of the user made for the model.

    Raises:
        TypeError: the value is not a str.
    """
    if not isinstance(value, str):
        raise TypeError(f"expected a str, got {value!r}")
    return value


# --- which call or hook a task works for ---------------------------------------------------------


@attrs.frozen(eq=False)
class _SupervisedTask:
    """A task whose exceptions the session answers or reports.

    ``session`` is the :class:`.ending.EndState` of the session; ``call_id`` is the call that the task
    works for, if it is a tool's.
    """

    session: object
    call_id: str | None


_supervised_tasks: Final[ContextVar[tuple[_SupervisedTask, ...]]] = ContextVar(
    "supervised_tasks", default=()
)


def supervise_task(session: object, call_id: str | None = None) -> None:
    """Mark this task, and the tasks that it starts later: the session handles what they raise."""
    _supervised_tasks.set((*_supervised_tasks.get(), _SupervisedTask(session, call_id)))


def is_supervised(session: object) -> bool:
    """Return whether this session handles what this task raises, so that no user receives it."""
    return any(task.session is session for task in _supervised_tasks.get())


def current_calls(session: object) -> set[str]:
    """Return the ids of the calls of this session that this task works for."""
    return {
        task.call_id
        for task in _supervised_tasks.get()
        if task.session is session and task.call_id is not None
    }
