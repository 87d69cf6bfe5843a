"""The CPU time and the wall-clock time of a part of this process."""

from __future__ import annotations

import time
from typing import final


@final
class Stopwatch:
    """Runs from its creation. Time in the kernel counts as CPU time."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def cpu(self) -> float:
        """Return the seconds of CPU time of this process since then."""
        return time.process_time() - self._cpu

    def wall(self) -> float:
        """Return the seconds since then."""
        return time.perf_counter() - self._wall
