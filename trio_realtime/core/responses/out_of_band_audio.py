"""The audio of out-of-band responses, which no event delivers: it is collected for the outcome."""

from __future__ import annotations

from .running import RunningResponse


class OutOfBandAudio:
    """Collects the audio of out-of-band responses.

    Args:
        max_size: bytes of one response's audio that are collected. What comes after that is dropped.

    Attributes:
        dropped: bytes of audio that were dropped.
    """

    def __init__(self, max_size: int) -> None:
        self.dropped: int = 0
        self._max_size = max_size

    def add(self, response: RunningResponse, audio: bytes) -> None:
        """Add audio to a response. A response that exceeds the limit gets no more audio."""
        size = response.audio_size + len(audio)
        if response.dropped_audio or size > self._max_size:
            response.dropped_audio += len(audio)
            self.dropped += len(audio)
        else:
            response.audio.append(audio)
            response.audio_size = size
