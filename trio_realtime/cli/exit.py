"""How a command ends: exit statuses, signals, and error messages for users.

Ctrl-C and SIGTERM cancel the scope of the command, so its ``finally`` blocks run as in any cancelled
trio code. A second signal ends the process at once.
"""

from __future__ import annotations

import shutil
import signal
import sys
import textwrap
import traceback
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TextIO, cast

import trio

from trio_realtime import LocalServerWarning, ModelEndDateWarning, RealtimeError
from trio_realtime.errors import ClosedByService, InternalError, NetworkError, ResponseFailed

OK = 0
FAILED = 1
USER_ERROR = 2
INTERRUPTED = 128 + signal.SIGINT
CLOSED_PIPE = 128 + 13
"""The reader of the output has ended. Shells show this status after SIGPIPE, which has the number 13."""
NO_SERVICE = "no service is configured; using the local server (see --help)"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class UserFacingError(Exception):
    """An error that the user can correct. Its message is one line that says what to change."""


async def run_until_signal(
    command: Callable[[], Awaitable[int]], *, on_signal: int | None = None
) -> int:
    """Run a command until it returns or a signal cancels it, and return the exit status.

    Args:
        command: an async function that returns the exit status.
        on_signal: exit status after a signal; by default, 128 plus the signal number.
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
        nursery.cancel_scope.cancel(reason="the command has returned")
    return status


def print_message(line: str) -> None:
    """Print one line to stderr, prefixed with the name of the command. A terminal gets it wrapped."""
    text = f"trio-realtime: {line}"
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
    print(text, file=sys.stderr, flush=True)


@contextmanager
def warnings_on_stderr() -> Generator[None]:
    """Reword the library's warnings for users of the command, and print them to stderr."""
    original_showwarning = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, LocalServerWarning):
            print_message(NO_SERVICE)
        elif issubclass(category, ModelEndDateWarning):
            print_message(f"warning: {message}")
        else:
            original_showwarning(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        for category in (LocalServerWarning, ModelEndDateWarning):
            warnings.simplefilter("always", category)
        warnings.showwarning = show
        yield


# --- errors --------------------------------------------------------------------------------------


def report_error(error: BaseException, *, debug: bool) -> int:
    """Print an error to stderr and return the exit status. Unexpected exceptions are raised again.

    Args:
        error: the exception that ended the command.
        debug: also print the traceback.
    """
    cause = main_cause(error)
    if isinstance(cause, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(cause, BrokenPipeError):
        return CLOSED_PIPE
    if isinstance(cause, SystemExit) or not is_user_facing(cause):
        raise error
    if debug:
        traceback.print_exception(error)
    print_message(_one_line(cause))
    return FAILED if isinstance(cause, ResponseFailed) else USER_ERROR


def main_cause(error: BaseException) -> BaseException:
    """Return the most important exception of a group: an exit, then a bug, then the first one."""
    leaves = list(_leaves(error))
    return next(filter(_is_exit, leaves), None) or next(filter(_is_bug, leaves), leaves[0])


def _is_exit(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | SystemExit)


def _is_bug(error: BaseException) -> bool:
    return not isinstance(error, trio.Cancelled | BrokenPipeError) and not is_user_facing(error)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(inner)
    else:
        yield error


def is_user_facing(error: BaseException) -> bool:
    """Return whether the message of the error is enough for the user, without a traceback."""
    return isinstance(error, UserFacingError | RealtimeError) and not isinstance(
        error, InternalError
    )


def _one_line(error: BaseException) -> str:
    parts = [str(error), *getattr(error, "__notes__", ())]
    line = " ".join("; ".join(part.removesuffix(".") for part in parts).split())
    if isinstance(error, NetworkError) and not isinstance(error, ClosedByService):
        return f"{line}; check that the server is running and that the URL is correct"
    return line
