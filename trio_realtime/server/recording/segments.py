"""Writes the segments and the manifest of a run. Everything here blocks: call it in a thread.

A segment is raw audio in the format of its track. It is appended to without a buffer, so that what was written
survives the process. A new one begins after some seconds of audio, and after a gap: the name of a segment has
the position of its first sample, so that long silence takes no space.

An error of the operating system drops audio and goes on: the segment ends, and the next one is tried when its
time has come.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import attrs

from trio_realtime.wire import AudioFormat

from .files import MANIFEST, segment_name, sync_directory
from .manifest import Header, SegmentLine, line, silence_line
from .timeline import Output, PlacedAudio, SilencedRange
from .tracks import Track, TrackFormat

MAX_STORED_SILENCE: Final = 1.0
"""Seconds of silence that are stored as samples. A longer gap ends the segment."""


@attrs.frozen(kw_only=True)
class AudioChunk:
    """A piece of audio that was written to a segment. Frames that follow each other are one piece.

    Attributes:
        track: ``user`` or ``agent``.
        item_id, content_index: the item, on the agent's track.
        item_ms: the position in the item, in milliseconds, on the agent's track.
        file: the name of the segment, relative to the directory of the run.
        offset: the position of its first byte in the file.
        size: the number of its bytes.
        audio_format: the format of the bytes.
        position_ms: its beginning on the time axis of the recording.
        duration_ms: how long it is in the file.
        delta_ms: how long it was when it was received or heard. It differs from ``duration_ms`` by the
            samples that correct the drift of a clock.
    """

    track: Track
    item_id: str | None
    content_index: int | None
    item_ms: float | None
    file: str
    offset: int
    size: int
    audio_format: AudioFormat
    position_ms: float
    duration_ms: float
    delta_ms: float


class SegmentFile(Protocol):
    """An open file without a buffer. A test can replace it with one that fails."""

    def write(self, data: bytes, /) -> int | None:
        """Append bytes. Returns how many were written."""
        ...

    def fileno(self) -> int:
        """Return the file descriptor."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


OpenFile = Callable[[Path], SegmentFile]
"""Opens a file for appending."""


def open_unbuffered(path: Path) -> SegmentFile:
    """Open a file for appending, without a buffer."""
    return path.open("ab", buffering=0)


def write_all(file: SegmentFile, data: bytes) -> None:
    """Write all bytes. A disk that becomes full may take a part of them.

    Raises:
        OSError: not everything could be written.
    """
    view = memoryview(data)
    while view:
        written = file.write(bytes(view))
        if not written:
            raise OSError("the file takes no more bytes")
        view = view[written:]


def _close_anyway(file: SegmentFile) -> None:
    """Close a file. Its data is durable or lost already, so an error does not matter."""
    with suppress(OSError):
        file.close()


class _Segment:
    """The open segment of a track."""

    __slots__ = ("digest", "file", "first", "index", "name", "samples")

    def __init__(self, name: str, index: int, first: int, file: SegmentFile) -> None:
        self.name = name
        self.index = index
        self.first = first
        self.file = file
        self.samples = 0
        self.digest = hashlib.sha256()

    @property
    def end(self) -> int:
        return self.first + self.samples


class _TrackState:
    """What the writer knows of a track. After an error, nothing is written before ``retry_at``."""

    __slots__ = ("format", "index", "retry_at", "segment")

    def __init__(self, track_format: TrackFormat) -> None:
        self.format = track_format
        self.segment: _Segment | None = None
        self.index = 0
        self.retry_at = 0


@attrs.frozen
class Written:
    """The result of a call of :meth:`SegmentWriter.write`.

    Attributes:
        chunks: the audio that was written.
        error: the first error, if there was one.
    """

    chunks: Sequence[AudioChunk]
    error: OSError | None


class SegmentWriter:
    """Writes the segments and the manifest of one run.

    Args:
        directory: the directory of the run, which exists.
        header: the first line of the manifest. It is written with the first segment.
        segment_seconds: seconds of audio in a segment.
        open_file: opens a file for appending.

    Attributes:
        dropped_bytes: bytes of audio that could not be written.
    """

    def __init__(
        self,
        directory: Path,
        header: Header,
        *,
        segment_seconds: float,
        open_file: OpenFile = open_unbuffered,
    ) -> None:
        self._directory = directory
        self._seconds = segment_seconds
        self._open_file = open_file
        self._manifest: SegmentFile | None = None
        self._lines: list[bytes] = [header.line()]
        self._tracks: dict[Track, _TrackState] = {
            "user": _TrackState(header.track_format("user")),
            "agent": _TrackState(header.track_format("agent")),
        }
        self.dropped_bytes: int = 0

    def write(self, outputs: Sequence[Output]) -> Written:
        """Write audio and ranges. Nothing is raised for an error of the operating system."""
        chunks: list[AudioChunk] = []
        errors: list[OSError] = []
        for output in self._joined(outputs):
            match output:
                case PlacedAudio():
                    chunk = self._write_audio(output, errors)
                    if chunk is not None:
                        chunks.append(chunk)
                case SilencedRange():
                    self._add_line(silence_line(output), errors)
        return Written(chunks, errors[0] if errors else None)

    def _joined(self, outputs: Iterable[Output]) -> Iterator[Output]:
        """Join pieces of audio that follow each other, so that frames of 20 ms are not written one by one."""
        pieces: dict[Track, list[PlacedAudio]] = {}
        for output in outputs:
            if isinstance(output, SilencedRange):
                yield from map(_joined_pieces, pieces.values())
                pieces.clear()
                yield output
                continue
            earlier = pieces.get(output.track)
            if earlier is None:
                pieces[output.track] = [output]
            elif self._continues(earlier, output):
                earlier.append(output)
            else:
                yield _joined_pieces(earlier)
                pieces[output.track] = [output]
        yield from map(_joined_pieces, pieces.values())

    def _continues(self, pieces: Sequence[PlacedAudio], audio: PlacedAudio) -> bool:
        """Return whether audio follows these pieces of one item, which stay shorter than a second."""
        first, last, track_format = pieces[0], pieces[-1], self._tracks[audio.track].format
        if (audio.item_id, audio.content_index) != (first.item_id, first.content_index):
            return False
        count = track_format.count(last.data)
        is_next_in_item = audio.item_sample is None or (
            last.item_sample is not None and audio.item_sample == last.item_sample + count
        )
        is_short = audio.start - first.start < track_format.rate
        return audio.start == last.start + count and is_next_in_item and is_short

    def open(self) -> OSError | None:
        """Create the manifest. Returns the error if that fails; it is tried again with each segment."""
        errors: list[OSError] = []
        self._write_lines(errors)
        return errors[0] if errors else None

    def close(self, *, end: bytes = b"") -> OSError | None:
        """Complete the open segments, and add a last line. Returns the first error."""
        errors: list[OSError] = []
        for track, state in self._tracks.items():
            self._complete(track, state, errors)
        if end:
            self._lines.append(end)
        self._write_lines(errors)
        if self._manifest is not None:
            _close_anyway(self._manifest)
            self._manifest = None
        return errors[0] if errors else None

    # --- segments -------------------------------------------------------------------------------

    def _write_audio(self, audio: PlacedAudio, errors: list[OSError]) -> AudioChunk | None:
        state = self._tracks[audio.track]
        if audio.start < state.retry_at:
            self.dropped_bytes += len(audio.data)
            return None
        try:
            segment = self._segment_for(audio, state, errors)
            gap = state.format.silence(audio.start - segment.end)
            self._append(segment, gap + audio.data, state.format)
        except OSError as exc:
            self._fail(audio, state, exc, errors)
            return None
        size = len(audio.data)
        samples = state.format.count(audio.data)
        item_ms = None if audio.item_sample is None else state.format.ms(audio.item_sample)
        return AudioChunk(
            track=audio.track,
            item_id=audio.item_id,
            content_index=audio.content_index,
            item_ms=item_ms,
            file=segment.name,
            offset=segment.samples * state.format.sample_size - size,
            size=size,
            audio_format=state.format.audio_format,
            position_ms=state.format.ms(audio.start),
            duration_ms=state.format.ms(samples),
            delta_ms=state.format.ms(audio.received),
        )

    def _segment_for(
        self, audio: PlacedAudio, state: _TrackState, errors: list[OSError]
    ) -> _Segment:
        """Return the segment that the audio belongs to. Opens a new one if it is time for it."""
        segment = state.segment
        if segment is not None:
            is_long = segment.samples >= self._seconds * state.format.rate
            if is_long or audio.start - segment.end > MAX_STORED_SILENCE * state.format.rate:
                self._complete(audio.track, state, errors)
        if state.segment is None:
            if self._manifest is None:
                self._write_lines(errors)
            index = state.index + 1
            name = segment_name(audio.track, index, audio.start)
            file = self._open_file(self._directory / name)
            state.index = index
            state.segment = _Segment(name, index, audio.start, file)
        return state.segment

    def _append(self, segment: _Segment, data: bytes, track_format: TrackFormat) -> None:
        write_all(segment.file, data)
        segment.digest.update(data)
        segment.samples += track_format.count(data)

    def _fail(
        self, audio: PlacedAudio, state: _TrackState, exc: OSError, errors: list[OSError]
    ) -> None:
        """Give up the open segment. What it has is used as far as it goes."""
        errors.append(exc)
        self.dropped_bytes += len(audio.data)
        if state.segment is not None:
            _close_anyway(state.segment.file)
            state.segment = None
        state.retry_at = audio.start + round(self._seconds * state.format.rate)

    def _complete(self, track: Track, state: _TrackState, errors: list[OSError]) -> None:
        """Make the open segment durable, and add its line."""
        segment, state.segment = state.segment, None
        if segment is None:
            return
        try:
            os.fsync(segment.file.fileno())
            segment.file.close()
        except OSError as exc:
            errors.append(exc)
            _close_anyway(segment.file)
            return
        done = SegmentLine(
            track=track,
            index=segment.index,
            file=segment.name,
            first=segment.first,
            samples=segment.samples,
            sha256=segment.digest.hexdigest(),
        )
        self._add_line(done.line(), errors)

    # --- manifest -------------------------------------------------------------------------------

    def _add_line(self, text: bytes, errors: list[OSError]) -> None:
        self._lines.append(text)
        self._write_lines(errors)

    def _write_lines(self, errors: list[OSError]) -> None:
        """Write the lines that are waiting. After an error they wait for the next attempt."""
        if not self._lines:
            return
        try:
            if self._manifest is None:
                self._manifest = self._open_file(self._directory / MANIFEST)
            write_all(self._manifest, b"".join(self._lines))
            os.fsync(self._manifest.fileno())
            self._lines = []
            sync_directory(self._directory)
        except OSError as exc:
            errors.append(exc)
            # A part of the first line may be in the file. An empty line ends it.
            self._lines[0] = b"\n" + self._lines[0].lstrip(b"\n")


def end_line(duration_ms: float, dropped_bytes: int) -> bytes:
    """Return the line that says that a run was finished."""
    members: dict[str, Any] = {"duration_ms": duration_ms, "dropped_bytes": dropped_bytes}
    return line("end", **members)


def _joined_pieces(pieces: Sequence[PlacedAudio]) -> PlacedAudio:
    if len(pieces) == 1:
        return pieces[0]
    return attrs.evolve(
        pieces[0],
        data=b"".join(piece.data for piece in pieces),
        received=sum(piece.received for piece in pieces),
    )
