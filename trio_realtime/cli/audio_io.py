"""The two ends of a call: a microphone that plays recorded speech, and an ear that records replies."""

from __future__ import annotations

from collections import defaultdict

import trio

from trio_realtime import RealtimeSession, events

from .wav import BYTES_PER_MS

FRAME_MS = 20
_FRAME = FRAME_MS * BYTES_PER_MS
_GAP = bytes(300 * BYTES_PER_MS)


async def speak(
    session: RealtimeSession[None], pcm: bytes, *, silence_ms: int, realtime: bool = True
) -> None:
    """Send speech as a microphone does: frame by frame, then silence, so that the turn can end.

    Args:
        session: who listens.
        pcm: PCM16 24 kHz mono.
        silence_ms: milliseconds of silence after it.
        realtime: each frame at its time; else all as fast as it is taken.
    """
    sound = pcm + bytes(silence_ms * BYTES_PER_MS)
    start = trio.current_time()
    for number, offset in enumerate(range(0, len(sound), _FRAME)):
        if realtime:
            await trio.sleep_until(start + number * FRAME_MS / 1000)
        await session.send_audio(sound[offset : offset + _FRAME])


class Recorder:
    """What was heard of the agent, item by item in the order of their beginning."""

    def __init__(self) -> None:
        self._items: defaultdict[tuple[str, int], bytearray] = defaultdict(bytearray)

    def add(self, event: events.Audio) -> None:
        """More of an item."""
        self._items[event.item_id, event.content_index] += event.data

    def cut(self, item_id: str, content_index: int, ms: int) -> None:
        """Only this much of an item was heard."""
        del self._items[item_id, content_index][ms * BYTES_PER_MS :]

    def ms(self, item_id: str, content_index: int = 0) -> int:
        """How much of an item there is."""
        return len(self._items.get((item_id, content_index), b"")) // BYTES_PER_MS

    @property
    def total_ms(self) -> int:
        """How much there is of all items."""
        return sum(map(len, self._items.values())) // BYTES_PER_MS

    def pcm(self) -> bytes:
        """All of it, with a short pause between items."""
        return _GAP.join(bytes(item) for item in self._items.values() if item)
