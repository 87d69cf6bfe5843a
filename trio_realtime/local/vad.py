"""Voice activity detection: the input audio buffer and the detector of speech in it.

All times are audio time: milliseconds of audio appended since the session started, however fast it
arrived. The detector reads frames of 32 ms, counted from the start of the session. If ``k`` is the
first frame of speech and ``e`` the end of the last one, in frames, then::

    audio_start_ms = max(0, k * 32 - prefix_padding_ms)
    audio_end_ms = e * 32 + ceil(silence_duration_ms / 32) * 32

A frame is speech if its RMS level reaches the threshold: -60 dBFS for a ``threshold`` of 0, -40
dBFS for 0.5 (the default) and -20 dBFS for 1. Two consecutive frames of speech start a turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import attrs

from . import audio
from .audio import AudioFormat
from .types import Json

__all__ = ["InputAudioBuffer", "SpeechDetector", "SpeechStarted", "SpeechStopped"]

FRAME_MS: Final = 32
_FRAMES_TO_START: Final = 2
#: How much silence the buffer retains with turn detection; the audio of an idle user is cut from it.
_RETAINED_MS: Final = 60_000
#: Audio in the buffer, in bytes: more than five minutes of PCM.
MAX_BUFFER_BYTES: Final = 16 * 1024 * 1024
#: The live service decides by the words when a turn ends. Here a turn ends after this silence.
_EAGERNESS_SILENCE_MS: Final = {"low": 1200, "medium": 600, "auto": 600, "high": 400}


@attrs.frozen
class SpeechStarted:
    """A turn starts at ``start_ms``, padding included."""

    start_ms: int


@attrs.frozen
class SpeechStopped:
    """A turn lasted from ``start_ms`` to ``end_ms``, padding and silence included."""

    start_ms: int
    end_ms: int


@attrs.define
class SpeechDetector:
    """Finds the start and the end of speech, frame by frame.

    Args:
        level: minimum RMS level of a frame of speech.
        prefix_ms: audio before the first frame of speech that belongs to the turn.
        silence_frames: number of consecutive silent frames that end a turn.
    """

    level: float
    prefix_ms: int
    silence_frames: int
    _first: int | None = None
    _last: int = -1
    _start_ms: int | None = None

    @classmethod
    def from_settings(cls, turn_detection: Json) -> SpeechDetector:
        """Return the detector for a ``turn_detection`` object."""
        eagerness = turn_detection.get("eagerness", "auto")
        silence = turn_detection.get("silence_duration_ms", _EAGERNESS_SILENCE_MS[eagerness])
        return cls(
            level=32768 * 10 ** ((-60 + 40 * turn_detection.get("threshold", 0.5)) / 20),
            prefix_ms=turn_detection.get("prefix_padding_ms", 300),
            silence_frames=math.ceil(silence / FRAME_MS),
        )

    @property
    def start_ms(self) -> int | None:
        """Where the current turn started; None outside of a turn."""
        return self._start_ms

    def reconfigure(self, other: SpeechDetector) -> None:
        """Copy the settings of another detector without ending the current turn."""
        self.level = other.level
        self.prefix_ms = other.prefix_ms
        self.silence_frames = other.silence_frames

    def reset(self) -> None:
        """Discard the current turn."""
        self._first = self._start_ms = None

    def process_frame(self, index: int, level: float) -> SpeechStarted | SpeechStopped | None:
        """Process the frame with this number, counted from the start of the session."""
        if level >= self.level:
            return self._process_speech(index)
        return self._process_silence(index)

    def _process_speech(self, index: int) -> SpeechStarted | None:
        self._first = index if self._first is None else self._first
        self._last = index
        if self._start_ms is not None or index - self._first + 1 < _FRAMES_TO_START:
            return None
        self._start_ms = max(0, self._first * FRAME_MS - self.prefix_ms)
        return SpeechStarted(self._start_ms)

    def _process_silence(self, index: int) -> SpeechStopped | None:
        if self._start_ms is None:
            self._first = None
            return None
        if index - self._last < self.silence_frames:
            return None
        end_ms = (self._last + 1 + self.silence_frames) * FRAME_MS
        stopped = SpeechStopped(self._start_ms, end_ms)
        self.reset()
        return stopped


class InputAudioBuffer:
    """Audio that was appended and not committed, with its position in audio time."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._audio_format = audio_format
        self._data = bytearray()
        self._base_ms = 0  # audio time at which the current format started
        self._dropped = 0  # in bytes, because integers do not drift
        self._frames_processed = 0

    @property
    def audio_format(self) -> AudioFormat:
        """The format of the audio."""
        return self._audio_format

    @property
    def appended_ms(self) -> float:
        """Duration of all appended audio. Never decreases."""
        return self._base_ms + self._audio_format.duration_ms(self._dropped + len(self._data))

    @property
    def processed_ms(self) -> int:
        """Audio time up to which the detector has processed frames."""
        return self._frames_processed * FRAME_MS

    @property
    def buffered_ms(self) -> float:
        """Duration of the audio in the buffer."""
        return self._audio_format.duration_ms(len(self._data))

    def has_space(self, size: int) -> bool:
        """Return whether this many more bytes fit into the buffer."""
        return len(self._data) + size <= MAX_BUFFER_BYTES

    def change_format(self, audio_format: AudioFormat) -> None:
        """Change the format. Discards the buffered audio if the format differs."""
        if audio_format == self._audio_format:
            return
        self._frames_processed = math.ceil(self.appended_ms / FRAME_MS)
        self._base_ms = self.processed_ms
        self._dropped = 0
        self._data.clear()
        self._audio_format = audio_format

    def append(self, data: bytes) -> None:
        """Append audio. :meth:`new_frames` yields the frames that it completes."""
        self._data += data

    def new_frames(self) -> Iterator[tuple[int, float]]:
        """Yield the number and the RMS level of each frame that was not processed yet."""
        size = self._audio_format.size(FRAME_MS)
        while (offset := self._offset(self.processed_ms)) + size <= len(self._data):
            index = self._frames_processed
            self._frames_processed += 1
            frame = self._data[offset : offset + size]
            yield index, audio.loudness(frame, self._audio_format) if any(frame) else 0.0

    def skip_new_frames(self) -> None:
        """Mark new frames as processed."""
        self._frames_processed = max(self._frames_processed, int(self.appended_ms // FRAME_MS))

    def peek(self, start_ms: int, end_ms: int) -> bytes:
        """Return the buffered audio of this period without removing it."""
        with memoryview(self._data) as view:
            return bytes(view[self._offset(start_ms) : self._offset(end_ms)])

    def take_turn(self, start_ms: int, end_ms: int) -> bytes:
        """Remove and return the audio of a turn, and discard what precedes it."""
        turn = self.peek(start_ms, end_ms)
        self.drop_before(end_ms)
        return turn

    def take_from(self, start_ms: int = 0) -> bytes:
        """Return the audio from ``start_ms`` on, and clear the buffer."""
        with memoryview(self._data) as view:
            turn = bytes(view[self._offset(start_ms) :])
        self.clear()
        return turn

    def drop_before(self, time_ms: int) -> None:
        """Discard the audio before this time."""
        offset = min(self._offset(time_ms), len(self._data))
        del self._data[:offset]
        self._dropped += offset

    def drop_stale(self) -> None:
        """Discard audio that no later turn can include."""
        self.drop_before(self.processed_ms - _RETAINED_MS)

    def drop_excess(self) -> None:
        """Discard the oldest audio if the buffer is too large."""
        excess = self._audio_format.duration_ms(len(self._data) - MAX_BUFFER_BYTES)
        if excess > 0:
            start_ms = self.appended_ms - self.buffered_ms
            self.drop_before(math.ceil(start_ms + excess))

    def clear(self) -> None:
        """Discard all audio. Audio time is not reset."""
        whole = self._audio_format.bytes_per_sample
        self._dropped += -(-len(self._data) // whole) * whole
        self._data.clear()

    def _offset(self, time_ms: int) -> int:
        return max(0, self._audio_format.size(time_ms - self._base_ms) - self._dropped)
