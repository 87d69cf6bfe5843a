"""The ear's first half: the input buffer, and the detector of speech that listens to it.

Time here is audio time: milliseconds of audio written since the session began, whenever they came.
The detector sees frames of 32 ms on a grid that starts with the session. With ``k`` the first
frame of speech and ``e`` the end of its last one (in frames), the law is::

    audio_start_ms = max(0, k * 32 - prefix_padding_ms)
    audio_end_ms = e * 32 + ceil(silence_duration_ms / 32) * 32

A frame counts as speech when it is loud enough; two in a row begin a turn. A threshold of 0 stands
for a loudness of -60 dBFS, 0.5 (the default) for -40 and 1 for -20.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import attrs

from . import audio
from .audio import AudioFormat
from .types import Json

__all__ = ["Detector", "InputBuffer", "SpeechStarted", "SpeechStopped"]

FRAME_MS: Final = 32
_FRAMES_TO_START: Final = 2
#: How much unspoken audio is kept when a detector listens; an idle timeout reaches back that far.
_KEEP_MS: Final = 60_000
#: The live model decides when a turn is over; here it is over after this much silence.
_EAGERNESS_SILENCE_MS: Final = {"low": 1200, "medium": 600, "auto": 600, "high": 400}


@attrs.frozen
class SpeechStarted:
    """A turn begins, with its padding, at ``start_ms``."""

    start_ms: int


@attrs.frozen
class SpeechStopped:
    """A turn lasted from ``start_ms`` to ``end_ms``, silence included."""

    start_ms: int
    end_ms: int


@attrs.define
class Detector:
    """Decides, frame by frame, where speech begins and ends.

    Args:
        level: root mean square from which a frame counts as speech.
        prefix_ms: how far back from its first frame a turn begins.
        silence_frames: so many quiet frames end a turn.
    """

    level: float
    prefix_ms: int
    silence_frames: int
    _first: int | None = None
    _last: int = -1
    _start_ms: int | None = None

    @classmethod
    def of(cls, turn_detection: Json) -> Detector:
        """The detector that a ``turn_detection`` object describes."""
        eagerness = turn_detection.get("eagerness", "auto")
        silence = turn_detection.get("silence_duration_ms", _EAGERNESS_SILENCE_MS[eagerness])
        return cls(
            level=32768 * 10 ** ((-60 + 40 * turn_detection.get("threshold", 0.5)) / 20),
            prefix_ms=turn_detection.get("prefix_padding_ms", 300),
            silence_frames=math.ceil(silence / FRAME_MS),
        )

    @property
    def start_ms(self) -> int | None:
        """Where the turn began that is going on; None in silence."""
        return self._start_ms

    def adjust(self, other: Detector) -> None:
        """Take over another's settings in the middle of whatever goes on."""
        self.level = other.level
        self.prefix_ms = other.prefix_ms
        self.silence_frames = other.silence_frames

    def forget(self) -> None:
        """Drop the turn that is going on."""
        self._first = self._start_ms = None

    def hear(self, index: int, level: float) -> SpeechStarted | SpeechStopped | None:
        """Take in frame number ``index`` of the session."""
        if level >= self.level:
            return self._loud(index)
        return self._quiet(index)

    def _loud(self, index: int) -> SpeechStarted | None:
        self._first = index if self._first is None else self._first
        self._last = index
        if self._start_ms is not None or index - self._first + 1 < _FRAMES_TO_START:
            return None
        self._start_ms = max(0, self._first * FRAME_MS - self.prefix_ms)
        return SpeechStarted(self._start_ms)

    def _quiet(self, index: int) -> SpeechStopped | None:
        if self._start_ms is None:
            self._first = None
            return None
        if index - self._last < self.silence_frames:
            return None
        end_ms = (self._last + 1 + self.silence_frames) * FRAME_MS
        stopped = SpeechStopped(self._start_ms, end_ms)
        self.forget()
        return stopped


class InputBuffer:
    """Audio that the client wrote and nobody committed yet, with its place in the session."""

    def __init__(self, form: AudioFormat) -> None:
        self._form = form
        self._data = bytearray()
        self._base_ms = 0  # where this format began, on the grid
        self._dropped = 0  # bytes of it that are gone: whole numbers, so the clock cannot drift
        self._frames_heard = 0

    @property
    def form(self) -> AudioFormat:
        """The format in which audio is written."""
        return self._form

    @property
    def start_ms(self) -> float:
        """Where the first byte in the buffer lies."""
        return self._base_ms + self._form.duration_ms(self._dropped)

    @property
    def written_ms(self) -> float:
        """All the audio ever written; never goes back."""
        return self._base_ms + self._form.duration_ms(self._dropped + len(self._data))

    @property
    def heard_ms(self) -> int:
        """The same on the detector's grid."""
        return self._frames_heard * FRAME_MS

    @property
    def held_ms(self) -> float:
        """How much audio the buffer holds."""
        return self._form.duration_ms(len(self._data))

    def change_format(self, form: AudioFormat) -> None:
        """Write in another format from now on; what was in the old one is dropped."""
        if form == self._form:
            return
        self._frames_heard = math.ceil(self.written_ms / FRAME_MS)
        self._base_ms = self.heard_ms
        self._dropped = 0
        self._data.clear()
        self._form = form

    def write(self, data: bytes) -> None:
        """Append audio; :meth:`unheard` then has the frames that it completed."""
        self._data += data

    def unheard(self) -> Iterator[tuple[int, float]]:
        """Number and loudness of each frame that nobody has heard yet."""
        size = self._form.size(FRAME_MS)
        while (offset := self._offset(self.heard_ms)) + size <= len(self._data):
            index = self._frames_heard
            self._frames_heard += 1
            frame = self._data[offset : offset + size]
            yield index, audio.loudness(frame, self._form) if any(frame) else 0.0

    def skip_unheard(self) -> None:
        """Pass over new frames without listening to them."""
        self._frames_heard = max(self._frames_heard, int(self.written_ms // FRAME_MS))

    def cut(self, start_ms: int, end_ms: int) -> bytes:
        """The audio of a turn, as far as it is held; the buffer keeps what comes after it."""
        turn = bytes(self._data[self._offset(start_ms) : self._offset(end_ms)])
        self.drop_before(end_ms)
        return turn

    def take(self, start_ms: int = 0) -> bytes:
        """Everything from there on; the buffer is empty then."""
        turn = bytes(self._data[self._offset(start_ms) :])
        self.clear()
        return turn

    def drop_before(self, time_ms: int) -> None:
        """Forget everything older."""
        offset = min(self._offset(time_ms), len(self._data))
        del self._data[:offset]
        self._dropped += offset

    def drop_stale(self) -> None:
        """Forget what no turn can reach any more."""
        self.drop_before(self.heard_ms - _KEEP_MS)

    def clear(self) -> None:
        """Forget everything; the clock goes on."""
        whole = self._form.bytes_per_sample
        self._dropped += -(-len(self._data) // whole) * whole
        self._data.clear()

    def _offset(self, time_ms: int) -> int:
        return max(0, self._form.size(time_ms - self._base_ms) - self._dropped)
