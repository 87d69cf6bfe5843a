"""Audio input and output of a call: send recorded speech, record the agent's audio."""

from __future__ import annotations

from collections import defaultdict

from trio_realtime import RealtimeSession, events
from trio_realtime.audio import PcmAudio

from .wav import BYTES_PER_MS

FRAME_MS = 20
_PAUSE = bytes(300 * BYTES_PER_MS)


async def send_speech(session: RealtimeSession[None], pcm: bytes, *, silence_ms: int) -> None:
    """Send speech in frames, as a microphone would, followed by silence that ends the turn.

    Args:
        session: the session to send to.
        pcm: PCM16 mono at 24 kHz.
        silence_ms: milliseconds of silence to send after the speech.
    """
    await session.send_file(PcmAudio(pcm), frame_ms=FRAME_MS, silence_ms=silence_ms)


class Recorder:
    """Records the agent's audio as far as it was heard, by item, in the order they began."""

    def __init__(self) -> None:
        self._items: defaultdict[tuple[str, int], bytearray] = defaultdict(bytearray)

    def add(self, event: events.Audio) -> None:
        """Append the audio of an event to its item."""
        self._items[event.item_id, event.content_index] += event.data

    def truncate(self, item_id: str, content_index: int, ms: int) -> None:
        """Discard the audio of an item after ``ms`` milliseconds."""
        del self._items[item_id, content_index][ms * BYTES_PER_MS :]

    def duration_ms(self, item_id: str, content_index: int = 0) -> int:
        """Return the recorded milliseconds of one item."""
        return len(self._items.get((item_id, content_index), b"")) // BYTES_PER_MS

    @property
    def total_ms(self) -> int:
        """The recorded milliseconds of all items."""
        return sum(map(len, self._items.values())) // BYTES_PER_MS

    def pcm(self) -> bytes:
        """Return the audio of all items, with a short pause between items."""
        return _PAUSE.join(bytes(item) for item in self._items.values() if item)
