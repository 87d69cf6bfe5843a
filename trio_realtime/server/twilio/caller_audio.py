"""The caller's audio: short frames are joined, and lost frames are counted."""

from __future__ import annotations

from typing import Final

from .stream import Media

__all__ = ["BYTES_PER_MS", "CallerAudio"]

BYTES_PER_MS: Final = 8
"""Bytes of one millisecond of mu-law at 8 kHz."""


class CallerAudio:
    """Joins the frames of the caller's track.

    The audio is passed on in the order of its arrival, whatever its numbers say: a WebSocket does not
    change the order. The timestamps only tell what is missing.

    Args:
        frame_ms: milliseconds of audio to join.

    Attributes:
        received_ms: milliseconds of audio that arrived.
        lost_ms: milliseconds that are missing, by the timestamps.
        out_of_order: frames whose timestamp is earlier than the end of the frame before.
    """

    def __init__(self, frame_ms: int) -> None:
        self.received_ms: float = 0.0
        self.lost_ms: float = 0.0
        self.out_of_order: int = 0
        self._size = frame_ms * BYTES_PER_MS
        self._waiting = bytearray()
        self._next_timestamp: float | None = None

    def add(self, media: Media) -> bytes | None:
        """Add a frame. Returns the joined audio once there is enough of it.

        Other tracks than the caller's are ignored.
        """
        if media.track != "inbound" or not media.audio:
            return None
        duration = len(media.audio) / BYTES_PER_MS
        self.received_ms += duration
        if media.timestamp is not None:
            self._compare(media.timestamp, duration)
        self._waiting += media.audio
        return self.take() if len(self._waiting) >= self._size else None

    def _compare(self, timestamp: int, duration: float) -> None:
        end = timestamp + duration
        expected = self._next_timestamp
        # Timestamps are whole milliseconds of Twilio's clock, so they may be off by a part of a frame.
        if expected is not None and timestamp > expected + duration / 2:
            self.lost_ms += timestamp - expected
        elif expected is not None and timestamp < expected - duration / 2:
            self.out_of_order += 1
            end = max(end, expected)
        self._next_timestamp = end

    def take(self) -> bytes | None:
        """Remove and return what waits to be joined; ``None`` if there is nothing."""
        audio = bytes(self._waiting)
        self._waiting.clear()
        return audio or None
