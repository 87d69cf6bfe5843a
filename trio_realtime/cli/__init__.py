"""The command ``trio-realtime``: talk to an agent from a terminal, or serve one.

It uses the public names of the library as any program does, and is the one room that talks to the
terminal. What it needs besides the library comes with the extra ``cli``.
"""

from __future__ import annotations

import sys

_EXTRA = frozenset({"cyclopts", "rich", "numpy", "soxr"})


def main() -> None:
    """Run the command line of this process, and exit.

    The exit status is 0 when all went well, 1 when the work failed, 2 when something has to be
    mended first (one line on stderr says what), 130 after Ctrl-C.
    """
    try:
        from .app import run
    except ModuleNotFoundError as exc:
        if exc.name not in _EXTRA:
            raise
        print(
            f"trio-realtime: the package {exc.name} is missing; "
            "install with the extra: pip install 'trio-realtime[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))
