"""The load server of interruptions.

``python -m benchmarks.interruption.server COUNT CANCELS`` prints the port that it listens on, and serves until
end-of-file on stdin. CANCELS says who cancels responses, ``client`` or ``service``.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the server must be faster than every client
import random
import sys
import time
from functools import partial
from typing import Any, Final, final

from benchmarks.burst import frames as fr
from benchmarks.conversation import END
from benchmarks.percentiles import Latencies
from benchmarks.websocket_server import Connection, serve

WARM_UP: Final = 10
"""Interruptions of each session before those that are measured."""

DELTAS: Final = 10
"""Deltas of 20 ms in each response: more than plays until the user speaks."""

PLAYED: Final = 0.01
"""Seconds from the last delta to the barge-in."""

QUIET: Final = 0.01
"""Seconds without a frame after which a client has sent all frames of an interruption."""

PATIENCE: Final = 1.0
"""Seconds after which a barge-in counts as unanswered."""

AUDIO: Final = random.Random(1).randbytes(960)
"""20 ms of noise."""


@final
class InterruptedConnection(Connection):
    """The connection of one session."""

    def __init__(self, interruptions: int, cancels: str, latencies: Latencies) -> None:
        super().__init__(interrupts=cancels == "service")
        self._left = interruptions + WARM_UP
        self._measured = interruptions
        self._latencies = latencies
        self._number = 0
        self._metadata: Any = None
        self._spoken_at: float | None = None
        self._answers: list[float] = []
        self._timer: asyncio.TimerHandle | None = None

    def figures(self) -> dict[str, float]:
        return {"unanswered_count": 0, **self._latencies.take()}

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _response(self) -> str:
        return f"resp_{self._number:021}"

    @property
    def _item(self) -> str:
        return f"item_{self._number:021}"

    def respond(self, metadata: Any) -> None:
        self._number += 1
        self._metadata = metadata
        previous = self.add_item(self._item)
        opening = fr.opening_frames(self._response, self._item, previous, metadata)
        if self._left == 0:
            self.send(*opening, fr.audio_frame(self._response, self._item, END))
            return
        self.send(*opening, *[fr.audio_frame(self._response, self._item, AUDIO)] * DELTAS)
        self._call_later(PLAYED, self._speak)

    def _speak(self) -> None:
        item = f"item_user{self._number:017}"
        started = {"audio_start_ms": self._number * 1000, "item_id": item}
        self._answers.clear()
        self._spoken_at = time.perf_counter()
        self.send({"type": "input_audio_buffer.speech_started", **started})
        self._call_later(PATIENCE, self._go_on)

    def take(self, message: dict[str, Any]) -> None:
        if self._spoken_at is None:
            return
        if message["type"] in {"conversation.item.truncate", "response.cancel"}:
            self._answers.append(time.perf_counter() - self._spoken_at)
            self._call_later(QUIET, self._go_on)

    def _go_on(self) -> None:
        """Note the latencies, end the response, and answer what the user said."""
        self._spoken_at = None
        self._left -= 1
        if self._left < self._measured:
            self._note()
        item = f"item_user{self._number:017}"
        previous = self.add_item(item)
        spoken = {"id": item, "type": "message", "role": "user"}
        content = [{"type": "input_audio", "transcript": None}]
        part = {"item_id": self._item, "content_index": 0}
        self.send(
            fr.done_frame(
                self._response, self._metadata, [], status="cancelled", reason="turn_detected"
            ),
            {"type": "conversation.item.truncated", **part, "audio_end_ms": 10},
            {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 0, "item_id": item},
            {
                "type": "input_audio_buffer.committed",
                "previous_item_id": previous,
                "item_id": item,
            },
            *fr.item_frames({**spoken, "content": content}, previous),
        )
        self.respond(None)

    def _note(self) -> None:
        if not self._answers:
            self._latencies.add("unanswered", 0.0)
            return
        self._latencies.add("first", self._answers[0])
        self._latencies.add("last", self._answers[-1])
        self._latencies.add("frames", len(self._answers))

    def _call_later(self, seconds: float, function: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, function)


if __name__ == "__main__":
    serve(partial(InterruptedConnection, int(sys.argv[1]), sys.argv[2], Latencies()))
