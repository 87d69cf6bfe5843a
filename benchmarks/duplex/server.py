"""The load server of sessions that send and receive.

``python -m benchmarks.duplex.server LOAD [CERTIFICATE]``, with the load as JSON, prints the port that it listens
on, and serves until end-of-file on stdin.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the server must be faster than every client
import base64
import json
import random
import sys
import time
from functools import partial
from itertools import count
from typing import Any, final

from benchmarks.burst import frames as fr
from benchmarks.duplex.load import STAMP, DuplexLoad
from benchmarks.percentiles import Latencies
from benchmarks.websocket_server import Connection, frame, serve

RESPONSE, ITEM = "resp_" + "0" * 21, "item_" + "0" * 21


class Deltas:
    """The frame of a delta, whose audio begins with the time."""

    def __init__(self, size: int) -> None:
        noise = random.Random(1).randbytes(size)
        audio = base64.b64encode(noise).decode()
        whole = frame(fr.encode(fr.audio_frame(RESPONSE, ITEM, noise)).encode())
        begin = whole.index(audio.encode())
        self._head, self._tail = whole[:begin], whole[begin + 12 :]
        self._ninth = noise[8:9]

    def next(self) -> bytes:
        """Return a frame with the current time."""
        stamp = base64.b64encode(STAMP.pack(time.monotonic()) + self._ninth)
        return self._head + stamp + self._tail


@final
class DuplexConnection(Connection):
    """The connection of one session."""

    _numbers = count()

    def __init__(self, load: DuplexLoad, deltas: Deltas, latencies: Latencies) -> None:
        super().__init__()
        self._latencies = latencies
        self._load = load
        self._deltas = deltas
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._left = load.frames

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._timer is not None:
            self._timer.cancel()

    def figures(self) -> dict[str, float]:
        return self._latencies.take()

    def respond(self, metadata: Any) -> None:
        previous = self.add_item(ITEM)
        self.send(*fr.opening_frames(RESPONSE, ITEM, previous, metadata))
        if self._load.mode == "lock":
            self._send_delta()

    def hear(self) -> None:
        """Answer a frame of the microphone; in ``paced`` mode, the first one starts the timer."""
        if self._load.mode == "lock":
            self._send_delta()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            # All sessions are spread over one interval.
            interval = self._load.frame_ms / 1000
            self._due = loop.time() + interval * (next(self._numbers) * 0.618 % 1)
            self._timer = loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._latencies.add("late", loop.time() - self._due)
        self._send_delta()
        self._left -= 1
        if not self._left:
            return
        self._due += self._load.frame_ms / 1000
        self._timer = loop.call_at(self._due, self._tick)

    def _send_delta(self) -> None:
        self.transport.write(self._deltas.next())


def main(settings: str, certificate: str | None = None) -> None:
    """Serve one load."""
    load = DuplexLoad(**json.loads(settings))
    deltas, latencies = Deltas(load.frame_bytes), Latencies()
    serve(partial(DuplexConnection, load, deltas, latencies), certificate)


if __name__ == "__main__":
    main(*sys.argv[1:])
