"""Names the extra when one of its packages is missing."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["server_extra"]


@contextmanager
def server_extra() -> Generator[None]:
    """Import packages of the extra ``server`` in this block.

    Raises:
        ModuleNotFoundError: one of them is not installed. The message says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] == "trio_realtime":
            raise
        raise ModuleNotFoundError(
            f"{exc.name} is not installed: pip install 'trio-realtime[server]'", name=exc.name
        ) from None
