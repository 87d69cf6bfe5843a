"""Where a process spends its CPU time, by samples of its stack.

Unlike a tracing profiler, sampling adds no cost to calls. A signal arrives every millisecond of CPU time, and is
handled between two instructions of Python, so time in C and in the kernel counts for the function of Python that has
called there.
"""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Mapping
from types import FrameType
from typing import Final, final

INTERVAL: Final = 0.001
"""Seconds of CPU time between two samples."""

LAYERS: Final[Mapping[str, str]] = {
    "epoll": r"trio[/\\]_core[/\\]_io_epoll|[/\\]selectors\.py",
    "the socket": (
        r"trio_realtime[/\\]transports[/\\]_byte_streams|trio[/\\]_(highlevel_)?socket"
        r"|asyncio[/\\]selector_events|[/\\]ssl\.py"
    ),
    "tasks and scopes": r"-packages[/\\](trio|outcome)[/\\]|[/\\]asyncio[/\\]|<attrs generated \w+ trio",
    "frames of the WebSocket": (
        r"trio_realtime[/\\]transports|-packages[/\\](trio_websocket|wsproto|websockets)[/\\]"
    ),
    "JSON and base64": r"trio_realtime[/\\]wire|[/\\]json[/\\]|-packages[/\\]pydantic|[/\\]base64\.py",
    "session": r"trio_realtime[/\\](session|core|realtime_model|_\w+|events)|-packages[/\\](agents|openai)[/\\]",
    "application": r"[/\\]benchmarks[/\\]",
}
"""A pattern for the files of each layer; the first that matches counts."""

OTHER: Final = "other"


def layer_of(file: str) -> str | None:
    """Return the layer that a file of code belongs to; ``None`` for one that belongs to its caller."""
    for layer, pattern in LAYERS.items():
        if re.search(pattern, file):
            return layer
    return None


@final
class Sampler:
    """Samples the stack of the main thread while it runs."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._known: dict[str, str | None] = {}

    def start(self) -> None:
        """Begin to take samples."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def stop(self) -> None:
        """Take no more samples."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    def shares(self) -> dict[str, float]:
        """Return the share of the samples in each layer."""
        total = self._counts.total()
        return {layer: count / total for layer, count in self._counts.most_common()}

    def _sample(self, _signal: int, frame: FrameType | None) -> None:
        while frame is not None:
            file = frame.f_code.co_filename
            if file not in self._known:
                self._known[file] = layer_of(file)
            layer = self._known[file]
            if layer is not None:
                self._counts[layer] += 1
                return
            frame = frame.f_back
        self._counts[OTHER] += 1
