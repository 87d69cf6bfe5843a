"""The load server, which answers every ``response.create`` with a burst of audio.

The bytes of a burst are built once, including the WebSocket framing; each response only replaces the
ids, and is one write. So clients never wait for the server, and it runs outside their CPU time.

``python -m benchmarks.burst.server FRAMES`` prints the port that it listens on, and serves until
end-of-file on stdin, so that it does not outlive its parent process.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any, final

from benchmarks.burst import frames as fr
from benchmarks.websocket_server import Connection, frames_of, serve

PLACEHOLDER_RESPONSE = "resp_" + "0" * 21
PLACEHOLDER_ITEM = "item_" + "0" * 21


def make_burst(frames: int) -> bytes:
    """Return the bytes of the deltas of one response, with placeholder ids."""
    return frames_of(*fr.burst_frames(PLACEHOLDER_RESPONSE, PLACEHOLDER_ITEM, frames))


@final
class BurstConnection(Connection):
    """The connection of one client."""

    def __init__(self, burst: bytes, frames: int) -> None:
        super().__init__()
        self._burst = burst
        self._frames = frames
        self._responses = 0

    def respond(self, metadata: Any) -> None:
        self._responses += 1
        response, item = f"resp_{self._responses:021}", f"item_{self._responses:021}"
        previous = self.add_item(item)
        burst = self._burst.replace(PLACEHOLDER_RESPONSE.encode(), response.encode())
        burst = burst.replace(PLACEHOLDER_ITEM.encode(), item.encode())
        opening = frames_of(*fr.opening_frames(response, item, previous, metadata))
        closing = frames_of(*fr.closing_frames(response, item, self._frames, metadata))
        self.transport.write(b"".join((opening, burst, closing)))


def main(frames: str) -> None:
    """Serve bursts of this many frames."""
    serve(partial(BurstConnection, make_burst(int(frames)), int(frames)))


if __name__ == "__main__":
    main(*sys.argv[1:])
