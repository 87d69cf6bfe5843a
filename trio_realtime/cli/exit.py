"""How a command ends: exit statuses, signals, and errors told so that people can mend them.

Ctrl-C and SIGTERM cancel the command's scope, so it leaves through its ``finally`` blocks like any
cancelled trio code; a second one ends the process at once.
"""

from __future__ import annotations

import signal
import sys
import traceback
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TextIO, cast

import trio

from trio_realtime import LocalServerWarning, RealtimeError
from trio_realtime.errors import InternalError, NetworkError, ResponseFailed

OK = 0
FAILED = 1
MEND = 2
INTERRUPTED = 128 + signal.SIGINT
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class UserFacingError(Exception):
    """Something that the user of the command has to mend. The message is one line that says what."""


async def until_signal(
    command: Callable[[], Awaitable[int]], *, on_signal: int | None = None
) -> int:
    """Run a command until it returns or a signal stops it.

    Args:
        command: returns the exit status.
        on_signal: the exit status after a signal; by default 128 and the signal's number.
    """
    status = OK

    async def wait_signal(
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        nonlocal status
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            task_status.started()
            number = await anext(aiter(signals))
        status = 128 + number if on_signal is None else on_signal
        nursery.cancel_scope.cancel(reason=f"signal {number}")

    async with trio.open_nursery() as nursery:
        await nursery.start(wait_signal)
        status = await command()
        nursery.cancel_scope.cancel(reason="the command is done")
    return status


def tell(line: str) -> None:
    """One line on stderr."""
    print(f"trio-realtime: {line}", file=sys.stderr, flush=True)


@contextmanager
def notes_on_stderr() -> Generator[None]:
    """The library's advice to programs, reworded for those who run this one."""
    show_as_ever = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, LocalServerWarning):
            tell("no service is configured, so the local server answers; see --help")
        else:
            show_as_ever(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("always", LocalServerWarning)
        warnings.showwarning = show
        yield


# --- errors --------------------------------------------------------------------------------------


def report(error: BaseException, *, debug: bool) -> int:
    """Tell what went wrong; returns the exit status. What nobody foresaw is raised again."""
    cause = main_cause(error)
    if isinstance(cause, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(cause, SystemExit) or not is_for_people(cause):
        raise error
    if debug:
        traceback.print_exception(error)
    tell(_one_line(cause))
    return FAILED if isinstance(cause, ResponseFailed) else MEND


def main_cause(error: BaseException) -> BaseException:
    """The exception that matters most in a group: an exit, then a bug, then the first of all."""
    leaves = list(_leaves(error))
    return next(filter(_is_exit, leaves), None) or next(filter(_is_bug, leaves), leaves[0])


def _is_exit(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | SystemExit)


def _is_bug(error: BaseException) -> bool:
    return not isinstance(error, trio.Cancelled) and not is_for_people(error)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(inner)
    else:
        yield error


def is_for_people(error: BaseException) -> bool:
    """Whether its message tells its reader what to do, so that no traceback is needed."""
    return isinstance(error, UserFacingError | RealtimeError) and not isinstance(
        error, InternalError
    )


def _one_line(error: BaseException) -> str:
    line = " ".join(str(error).split())
    if isinstance(error, NetworkError):
        return f"{line}; is the server up, and is the URL right?"
    return line
