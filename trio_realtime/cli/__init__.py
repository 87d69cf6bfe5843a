"""The ``trio-realtime`` command: talk to an agent from a terminal, or run a local server.

The command uses the public API of the library, except for the doctor, which looks inside. It is the
only package that prints to the terminal. The ``cli`` extra installs its dependencies.
"""

from __future__ import annotations

import os
import sys

_EXTRA = frozenset({"cyclopts", "rich", "prompt_toolkit", "numpy", "soxr"})


def main() -> None:
    """Run the command line of this process, and exit.

    The exit status is 0 on success, 1 if the work failed, 2 if the user has to correct something
    first (a line on stderr says what), 130 after Ctrl-C, and 141 if the reader of a pipe has closed it.
    """
    try:
        from .app import CLOSED_PIPE, run
    except ModuleNotFoundError as exc:
        if exc.name not in _EXTRA:
            raise
        print(
            f"trio-realtime: the package {exc.name} is not installed; "
            "install it with: pip install 'trio-realtime[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    status = run(sys.argv[1:])
    if status == CLOSED_PIPE:
        # Otherwise the interpreter tries to write the rest at its exit, and reports that it cannot.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)
