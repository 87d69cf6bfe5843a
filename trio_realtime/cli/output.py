"""The console that commands print with, and the name of the program in what they print."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
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


def program_name() -> str:
    """Return what the user writes to run the command: a path, if it is not on ``PATH``."""
    program = Path(sys.argv[0])
    if program.stem != "trio-realtime":
        return "python -m trio_realtime.cli"
    found = shutil.which(program.stem)
    on_path = found is not None and Path(found).resolve() == program.resolve()
    if on_path:
        return program.stem
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)
