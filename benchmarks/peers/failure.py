"""How a client of another project fails."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def give_up(message: str) -> NoReturn:
    """End the process at once.

    For errors that a package reports beside its interface: it catches exceptions in callbacks and goes on, and
    its other tasks may not end.
    """
    print(message, file=sys.stderr, flush=True)
    os._exit(1)
