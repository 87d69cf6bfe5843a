"""The console that commands print with."""

from __future__ import annotations

import errno
import os
from typing import NoReturn

from rich.console import Console


class OutputConsole(Console):
    """A console of rich that leaves a closed pipe to the caller.

    Rich would end the process with status 1, which looks like a failure of the command.
    """

    def on_broken_pipe(self) -> NoReturn:
        """Raise the exception that :func:`print` raises.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
