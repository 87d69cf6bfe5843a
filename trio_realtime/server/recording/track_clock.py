"""Where the frames of a track belong on the time axis, from when they arrive.

A frame that arrives at a moment covers the time before it. Networks delay frames, and then deliver
many at once, so the moment of arrival is no position by itself. The rules are:

* Frames follow each other without a gap. The *offset* of a frame is how much later it arrived than its
  end on the track. A delay makes it larger. Nothing but a fast clock, or audio that is sent faster than
  real time, makes it smaller.
* A frame with an offset of more than :data:`GAP` is not placed at once. What arrives in the next
  :data:`SETTLE` seconds shows what has happened: after a delay, a burst brings the offset back to
  zero, and there is no gap. Otherwise the smallest offset is the length of the gap.
* The smallest offset of the last :data:`WINDOW` seconds is how far the clock of the sender has drifted.
  It is corrected by repeating or dropping samples in silent frames, and sample by sample in others.
* An offset that is suddenly much smaller belongs to audio that is sent faster than real time, such as a
  file. It is placed without a gap, and later audio follows it until real time has caught up.

Times are seconds since the beginning of the recording. Nothing here reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import attrs

from .tracks import TrackFormat

GAP: Final = 0.25
"""Seconds that a frame may be late before a gap is considered. Usual jitter is below."""
SETTLE: Final = 1.0
"""Seconds during which frames after a possible gap are collected before they are placed."""
MAX_STALL: Final = 5.0
"""Seconds of audio that may arrive as a burst after a delay; more is taken for a file."""
WINDOW: Final = 20
"""Seconds over which the smallest offset is taken. A clock that is 500 ppm off drifts by 10 ms."""
MATURE: Final = 4
"""Seconds of offsets that tell drift from jitter, and from audio that is sent faster than real time."""
AHEAD: Final = 0.25
"""Seconds by which audio may be early before it counts as sent faster than real time."""
MIN_GAP: Final = 0.06
"""Seconds of missing audio that become silence at once. Less is corrected like drift."""
QUIET_DRIFT: Final = 0.003
"""Seconds of drift that are corrected in silent frames."""
LOUD_DRIFT: Final = 0.005
"""Seconds of drift that are corrected in all frames."""
LOUD_SPEEDS: Final = ((0.03, 0.02), (0.012, 0.004), (LOUD_DRIFT, 0.001))
"""Seconds of drift, and the share of samples that are repeated or dropped in frames that are not silent."""


@attrs.frozen
class Source:
    """Where audio of the agent comes from: an item, and the position of its first sample there."""

    item_id: str
    content_index: int
    first: int


@attrs.frozen
class Placed:
    """Audio with its position on the track.

    Attributes:
        start: the position of the first sample.
        data: the audio, in the format of the track.
        received: samples of the frame as it arrived, before drift was corrected.
        source: the item that it belongs to, for audio of the agent.
    """

    start: int
    data: bytes = attrs.field(repr=False)
    received: int
    source: Source | None = None


@attrs.frozen
class _Frame:
    """A frame, with the moment at which it arrived."""

    data: bytes
    time: float
    source: Source | None


class _Offsets:
    """The smallest offset of the last seconds.

    It has at most one number per second, and only those that may become the smallest: they increase.
    """

    __slots__ = ("_minima", "_since")

    def __init__(self) -> None:
        self._minima: deque[tuple[int, float]] = deque()
        self._since = 0.0

    def reset(self) -> None:
        """Forget all offsets."""
        self._minima.clear()

    def add(self, offset: float, time: float) -> None:
        """Note the offset of a frame that arrived at ``time``."""
        if not self._minima:
            self._since = time
        second = int(time)
        minima = self._minima
        while minima and minima[-1][1] >= offset:
            minima.pop()
        if not minima or minima[-1][0] < second:
            minima.append((second, offset))
        while minima[0][0] <= second - WINDOW:
            minima.popleft()

    def shift(self, seconds: float) -> None:
        """Subtract from all offsets, because the track was moved back by ``seconds``."""
        self._minima = deque((second, offset - seconds) for second, offset in self._minima)

    def smallest(self) -> float:
        """Return the smallest offset."""
        return self._minima[0][1]

    def is_mature(self, time: float) -> bool:
        """Return whether the offsets go back far enough to see drift."""
        return time - self._since >= MATURE


class TrackClock:
    """Places the frames of a track.

    Args:
        track_format: the format of the frames.
        corrects: whether drift is corrected by repeating and dropping samples. If not, all samples stay
            as they are, and the time is only corrected where a frame begins a new item.
    """

    def __init__(self, track_format: TrackFormat, *, corrects: bool) -> None:
        self._format = track_format
        self._rate = track_format.rate
        self._corrects = corrects
        self._position = 0
        self._is_first = True
        self._collected: list[_Frame] = []
        self._collected_samples = 0
        self._begins_item = False
        self._offsets = _Offsets()
        self._early = 0.0
        self._credit = 0.0

    @property
    def position(self) -> int:
        """The end of what was placed, in samples."""
        return self._position

    @property
    def collected_bytes(self) -> int:
        """Bytes of frames that are not placed yet."""
        return self._collected_samples * self._format.sample_size

    def put(
        self,
        data: bytes,
        time: float,
        *,
        source: Source | None = None,
        begins_item: bool = False,
    ) -> Sequence[Placed]:
        """Add a frame that arrived at ``time``. Returns what can be placed now.

        Args:
            data: whole samples.
            time: seconds since the beginning of the recording.
            source: copied to what is placed.
            begins_item: whether a pause may precede the frame, however short.
        """
        placed = list(self.flush() if begins_item else self.advance(time))
        frame = _Frame(data, time, source)
        if self._collected:
            self._collect(frame)
        elif self._is_first or begins_item or self._offset(frame) > GAP:
            self._begins_item = self._is_first or begins_item
            self._collect(frame)
        else:
            placed.append(self._place(frame))
        if self._collected_samples > MAX_STALL * self._rate:
            placed += self.flush()
        return placed

    def advance(self, time: float) -> Sequence[Placed]:
        """Return what can be placed because time has passed."""
        if self._collected and time - self._collected[0].time >= SETTLE:
            return self.flush()
        return ()

    def flush(self) -> Sequence[Placed]:
        """Place all frames that were collected, with what is known now."""
        frames, self._collected, self._collected_samples = self._collected, [], 0
        if not frames:
            return ()
        self._open_gap(frames)
        return [self._place(frame) for frame in frames]

    def skip_to(self, time: float) -> None:
        """Place nothing before ``time``. Call :meth:`flush` first."""
        self._position = max(self._position, round(time * self._rate))
        self._is_first = True

    # --- gaps -----------------------------------------------------------------------------------

    def _collect(self, frame: _Frame) -> None:
        self._collected.append(frame)
        self._collected_samples += self._format.count(frame.data)

    def _open_gap(self, frames: Sequence[_Frame]) -> None:
        """Move the position to where the collected frames begin."""
        offsets: list[float] = []
        end = self._position
        for frame in frames:
            end += self._format.count(frame.data)
            offsets.append(frame.time - end / self._rate)
        smallest = min(offsets)
        if smallest <= (0 if self._begins_item else MIN_GAP):
            gap = 0.0
        else:
            gap = max(smallest, offsets[0] - MAX_STALL)
        if gap or self._is_first:
            self._position += round(gap * self._rate)
            self._offsets.reset()
            self._early = 0.0
        self._is_first = False

    # --- drift ----------------------------------------------------------------------------------

    def _offset(self, frame: _Frame) -> float:
        return frame.time - (self._position + self._format.count(frame.data)) / self._rate

    def _place(self, frame: _Frame) -> Placed:
        count = self._format.count(frame.data)
        self._note_offset(self._offset(frame), frame.time)
        data = self._corrected(frame, count) if self._corrects else frame.data
        placed = Placed(self._position, data, count, frame.source)
        self._position += self._format.count(data)
        return placed

    def _note_offset(self, offset: float, time: float) -> None:
        if offset < self._early - AHEAD:
            self._early = offset
            self._offsets.reset()
        self._offsets.add(offset, time)
        if self._early < 0 and self._offsets.is_mature(time):
            # Real time catches up with audio that was sent faster.
            self._early = min(0.0, max(self._early, self._offsets.smallest()))

    def _corrected(self, frame: _Frame, count: int) -> bytes:
        """Repeat or drop samples of a frame, so that the track follows real time."""
        drift = self._offsets.smallest() - self._early
        if abs(drift) < QUIET_DRIFT or not self._offsets.is_mature(frame.time):
            return frame.data
        if drift > MIN_GAP:
            # Audio is missing, and nothing can be repeated in its place.
            missing = round(drift * self._rate)
            self._position += missing
            self._offsets.shift(missing / self._rate)
            return frame.data
        change = self._change(drift, frame.data, count)
        self._offsets.shift(change / self._rate)
        size = self._format.sample_size
        if change > 0:
            return frame.data[: change * size] + frame.data
        return frame.data[-change * size :]

    def _change(self, drift: float, data: bytes, count: int) -> int:
        """Return how many samples to repeat (more than 0) or to drop (less than 0)."""
        wanted = round(drift * self._rate)
        if self._format.is_quiet(data):
            return max(-count // 2, min(wanted, count // 2))
        speed = next((speed for limit, speed in LOUD_SPEEDS if abs(drift) >= limit), 0.0)
        self._credit = min(self._credit + count * speed, max(count * speed, 4.0))
        allowed = int(self._credit)
        self._credit -= allowed
        return max(-allowed, min(wanted, allowed))
