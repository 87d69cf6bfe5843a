"""The time axis of a call: what the user said and what the user heard, as samples of two tracks.

Positions are samples since the beginning of the recording, at the rate of each track. Nothing here does
I/O or reads a clock; ``now`` is a number of seconds of the caller's monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, assert_never

import attrs

from trio_realtime.errors import UsageError
from trio_realtime.wire import AudioFormat

from .track_clock import Placed, Source, TrackClock
from .tracks import TRACKS, Track, TrackFormat
from .unheard import ItemKey, UnheardAudio

AgentTrack: TypeAlias = Literal["heard", "generated"]
"""What the agent's track has: what the user heard, or all that the service generated."""

MAX_UNHEARD_BYTES: Final = 64 * 1024 * 1024
"""Bytes of the agent's audio that may wait to be heard: more than 20 minutes at 24 kHz."""

_MAX_SPANS: Final = 4096


@attrs.frozen
class PlacedAudio:
    """Audio with its position on a track. What lies between two of them is silence.

    Attributes:
        track: the track.
        start: the position of its first sample.
        data: the audio, in the format of the track. Each is placed after the one before it.
        received: samples that were received, before the drift of a clock was corrected.
        item_id, content_index: the item, on the agent's track.
        item_sample: the position of the first sample in the item.
    """

    track: Track
    start: int
    data: bytes = attrs.field(repr=False)
    received: int
    item_id: str | None = None
    content_index: int | None = None
    item_sample: int | None = None


@attrs.frozen
class SilencedRange:
    """A range of a track that becomes silence although it has been placed before."""

    track: Track
    start: int
    count: int


Output: TypeAlias = PlacedAudio | SilencedRange
"""What a :class:`CallTimeline` yields."""


class CallTimeline:
    """Places the audio of a call.

    The calls return what can be placed now, which may include what earlier calls left open.

    Args:
        input_format: the format of the user's audio: PCM16, G.711 µ-law or A-law.
        output_format: the format of the agent's audio.
        start: the moment at which both tracks begin.
        agent_track: ``heard`` for what the user heard, ``generated`` for all audio as it was received.
        max_unheard_bytes: the limit of the agent's audio that waits to be heard. The oldest is dropped.

    Raises:
        UsageError: a format is none of these.
    """

    def __init__(
        self,
        input_format: AudioFormat,
        output_format: AudioFormat,
        *,
        start: float,
        agent_track: AgentTrack = "heard",
        max_unheard_bytes: int = MAX_UNHEARD_BYTES,
    ) -> None:
        if agent_track not in ("heard", "generated"):
            raise UsageError(f"agent_track must be 'heard' or 'generated', got {agent_track!r:.80}")
        self._start = start
        self._formats: dict[Track, TrackFormat] = {
            "user": TrackFormat.of(input_format),
            "agent": TrackFormat.of(output_format),
        }
        self._clocks: dict[Track, TrackClock] = {
            "user": TrackClock(self._formats["user"], corrects=True),
            "agent": TrackClock(self._formats["agent"], corrects=False),
        }
        self._agent_track = agent_track
        self._unheard = UnheardAudio(self._formats["agent"], max_bytes=max_unheard_bytes)
        self._partial: dict[Track, bytes] = {"user": b"", "agent": b""}
        self._is_paused = False
        self._item: ItemKey | None = None
        # Where the samples of the current item are on the track: item sample, track sample, count.
        self._spans: deque[tuple[int, int, int]] = deque(maxlen=_MAX_SPANS)

    @property
    def dropped_bytes(self) -> int:
        """Bytes of the agent's audio that were dropped because too much waited to be heard."""
        return self._unheard.dropped

    @property
    def pending_bytes(self) -> int:
        """Bytes that are in memory: audio that was not heard, and frames that are not placed yet."""
        return self._unheard.size + sum(clock.collected_bytes for clock in self._clocks.values())

    def user_audio(self, data: bytes, now: float) -> Sequence[Output]:
        """Add audio that was received from the user. It covers the time before ``now``."""
        if self._is_paused:
            return self.advance(now)
        whole = self._whole_samples("user", data)
        if not whole:
            return self.advance(now)
        placed = self._clocks["user"].put(whole, self._seconds(now))
        return [*self._outputs("user", placed), *self._advance("agent", now)]

    def agent_audio(
        self, item_id: str, content_index: int, data: bytes, now: float
    ) -> Sequence[Output]:
        """Add audio that was received from the service. It is placed when it is heard."""
        if self._agent_track == "heard":
            self._unheard.add((item_id, content_index), data)
            return self.advance(now)
        whole = b"" if self._is_paused else self._whole_samples("agent", data)
        if not whole:
            return self.advance(now)
        source = Source(item_id, content_index, self._generated_samples((item_id, content_index)))
        placed = self._clocks["agent"].put(whole, self._seconds(now), source=source)
        self._spans.append((source.first, 0, self._formats["agent"].count(whole)))
        return [*self._outputs("agent", placed), *self._advance("user", now)]

    def agent_played(
        self, item_id: str, content_index: int, played_ms: float, now: float
    ) -> Sequence[Output]:
        """Note that ``played_ms`` milliseconds of an item were heard by ``now``, from its beginning.

        A report without progress, about an unknown item, or about one that is over has no effect. The
        items that arrived before the one that is heard are over, so report the end of an item before the
        beginning of the next one. An infinite ``played_ms`` stands for all that was received.
        """
        if self._agent_track == "generated":
            return self.advance(now)
        return [
            *self._hear((item_id, content_index), played_ms, now),
            *self._advance("user", now),
        ]

    def agent_interrupted(
        self, item_id: str, content_index: int, played_ms: float, now: float
    ) -> Sequence[Output]:
        """Cut an item at ``played_ms``. What follows of it is dropped.

        What was placed of it beyond ``played_ms``, because of an earlier report, becomes silence.
        """
        if self._agent_track == "generated":
            return self.advance(now)
        key = item_id, content_index
        outputs = self._hear(key, played_ms, now)
        self._unheard.end(key)
        outputs += self._outputs("agent", self._clocks["agent"].flush())
        if key == self._item:
            outputs += self._cut(self._formats["agent"].samples_in(max(played_ms, 0)))
        return [*outputs, *self._advance("user", now)]

    def pause(self, now: float) -> Sequence[Output]:
        """Record silence from now on, until :meth:`resume`. A second call has no effect."""
        outputs = self._flush()
        self._is_paused = True
        return [*outputs, *self.advance(now)]

    def resume(self, now: float) -> None:
        """Record audio again. Nothing of it is placed before ``now``."""
        if self._is_paused:
            self._is_paused = False
            self._partial = {"user": b"", "agent": b""}
            for clock in self._clocks.values():
                clock.skip_to(self._seconds(now))

    def advance(self, now: float) -> Sequence[Output]:
        """Return what can be placed because time has passed."""
        return [*self._advance("user", now), *self._advance("agent", now)]

    def finish(self) -> Sequence[Output]:
        """Return what is left: call this when no more audio follows. What was not heard is dropped."""
        return self._flush()

    def duration_ms(self, now: float) -> float:
        """Return the milliseconds from the beginning to ``now``, or to the end of the last audio."""
        ends = (self._formats[track].ms(self._clocks[track].position) for track in TRACKS)
        return round(max(self._seconds(now) * 1000, *ends), 3)

    def redacted(self, start_ms: float, end_ms: float) -> Sequence[SilencedRange]:
        """Return what becomes silence on both tracks if this range is redacted."""
        return [_range_of(track, self._formats[track], start_ms, end_ms) for track in TRACKS]

    # --- the agent ------------------------------------------------------------------------------

    def _hear(self, key: ItemKey, played_ms: float, now: float) -> list[Output]:
        heard = self._unheard.hear(key, played_ms)
        if heard is None or self._is_paused:
            return list(self._advance("agent", now))
        begins = key != self._item
        outputs: list[Output] = []
        if begins:
            outputs += self._outputs("agent", self._clocks["agent"].flush())
            self._item = key
            self._spans.clear()
        placed = self._clocks["agent"].put(
            heard.data,
            self._seconds(now),
            source=Source(*key, heard.first),
            begins_item=begins,
        )
        return [*outputs, *self._outputs("agent", placed)]

    def _cut(self, item_sample: int) -> list[Output]:
        """Return the ranges of the current item that lie beyond ``item_sample``."""
        ranges: list[Output] = []
        for first, start, count in self._spans:
            beyond = min(first + count - item_sample, count)
            if beyond > 0:
                ranges.append(SilencedRange("agent", start + count - beyond, beyond))
        return ranges

    def _generated_samples(self, key: ItemKey) -> int:
        """Return how many samples of an item were generated before, and note that it is the current one."""
        if key != self._item:
            self._item = key
            self._spans.clear()
        return self._spans[-1][0] + self._spans[-1][2] if self._spans else 0

    # --- both tracks ----------------------------------------------------------------------------

    def _seconds(self, now: float) -> float:
        return max(now - self._start, 0.0)

    def _whole_samples(self, track: Track, data: bytes) -> bytes:
        """Return the whole samples, and keep the rest for the next frame."""
        if self._partial[track]:
            data = self._partial[track] + data
        whole = self._formats[track].count(data) * self._formats[track].sample_size
        self._partial[track] = data[whole:]
        return data[:whole]

    def _advance(self, track: Track, now: float) -> Sequence[Output]:
        return self._outputs(track, self._clocks[track].advance(self._seconds(now)))

    def _flush(self) -> list[Output]:
        return [o for track in TRACKS for o in self._outputs(track, self._clocks[track].flush())]

    def _outputs(self, track: Track, placed: Sequence[Placed]) -> Sequence[Output]:
        return [self._output(track, piece) for piece in placed]

    def _output(self, track: Track, piece: Placed) -> Output:
        source = piece.source
        match track:
            case "user":
                return PlacedAudio(track, piece.start, piece.data, piece.received)
            case "agent":
                assert source is not None, "audio of the agent belongs to an item"
                if self._agent_track == "heard":
                    self._note_span(source.first, piece.start, piece.received)
                return PlacedAudio(
                    track, piece.start, piece.data, piece.received,
                    source.item_id, source.content_index, source.first,
                )  # fmt: skip
            case _:
                assert_never(track)

    def _note_span(self, first: int, start: int, count: int) -> None:
        """Note where audio of the current item is. Contiguous audio is one span."""
        if self._spans:
            last_first, last_start, last_count = self._spans[-1]
            if last_first + last_count == first and last_start + last_count == start:
                self._spans[-1] = (last_first, last_start, last_count + count)
                return
        self._spans.append((first, start, count))


def _range_of(
    track: Track, track_format: TrackFormat, start_ms: float, end_ms: float
) -> SilencedRange:
    start = track_format.samples_in(start_ms)
    return SilencedRange(track, start, track_format.samples_in(end_ms) - start)
