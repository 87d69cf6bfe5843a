"""The load server of tool calls.

``python -m benchmarks.tools.server CALLS`` prints the port that it listens on, and serves until end-of-file on
stdin.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from typing import Any, Final, final

from benchmarks.burst import frames as fr
from benchmarks.conversation import END, TOOL
from benchmarks.percentiles import Latencies
from benchmarks.websocket_server import Connection, frames_of, serve

WARM_UP: Final = 20
"""Calls of each session before those that are measured."""


@final
class ToolConnection(Connection):
    """The connection of one session."""

    def __init__(self, calls: int, latencies: Latencies) -> None:
        super().__init__()
        self._calls = calls + WARM_UP
        self._called = 0
        self._latencies = latencies
        self._called_at = 0.0

    def figures(self) -> dict[str, float]:
        return self._latencies.take()

    def respond(self, metadata: Any) -> None:
        self._called += 1
        number = f"{self._called:021}"
        response = f"resp_{number}"
        if self._called > self._calls:
            item = f"item_{number}"
            opening = fr.opening_frames(response, item, self.add_item(item), metadata)
            self.send(*opening, fr.audio_frame(response, item, END))
            return
        call = f"call_{number}"
        previous = self.add_item(f"item_{call}")
        arguments = json.dumps({"number": self._called})
        frames = frames_of(*fr.call_frames(response, call, TOOL, arguments, previous, metadata))
        self._called_at = time.perf_counter()
        self.transport.write(frames)

    def take(self, message: dict[str, Any]) -> None:
        if message.get("item", {}).get("type") != "function_call_output":
            return
        if self._called > WARM_UP:
            self._latencies.add("output", time.perf_counter() - self._called_at)


if __name__ == "__main__":
    serve(partial(ToolConnection, int(sys.argv[1]), Latencies()))
