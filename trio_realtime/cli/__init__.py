"""The ``trio-realtime`` command: talk to an agent from a terminal, or run a local server.

The command uses only the public API of the library, and is the only package that prints to the
terminal. The ``cli`` extra installs its dependencies.
"""

from __future__ import annotations

import sys

_EXTRA = frozenset({"cyclopts", "rich", "numpy", "soxr"})


def main() -> None:
    """Run the command line of this process, and exit.

    The exit status is 0 on success, 1 if the work failed, 2 if the user has to correct something
    first (a line on stderr says what), and 130 after Ctrl-C.
    """
    try:
        from .app import run
    except ModuleNotFoundError as exc:
        if exc.name not in _EXTRA:
            raise
        print(
            f"trio-realtime: the package {exc.name} is not installed; "
            "install it with: pip install 'trio-realtime[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))
