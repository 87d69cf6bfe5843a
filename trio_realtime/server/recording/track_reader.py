"""Reads a track of a run from its segments, in order and in bounded memory. The functions block."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from .files import parse_segment_name
from .manifest import Manifest
from .timeline import SilencedRange
from .tracks import Track, TrackFormat


@attrs.frozen
class StoredSegment:
    """A segment that can be read.

    Attributes:
        path: the file.
        first: the position of its first sample.
        samples: the number of whole samples that it has.
    """

    path: Path
    first: int
    samples: int

    @property
    def end(self) -> int:
        """The position after its last sample."""
        return self.first + self.samples


@attrs.frozen
class StoredTrack:
    """A track of a run.

    Attributes:
        track_format: the format of the samples.
        segments: the segments, in order.
        silenced: the ranges to read as silence.
        problems: what is wrong with the files, for a report.
    """

    track_format: TrackFormat
    segments: Sequence[StoredSegment]
    silenced: Sequence[SilencedRange]
    problems: Sequence[str]

    @property
    def end(self) -> int:
        """The position after the last sample."""
        return max((segment.end for segment in self.segments), default=0)

    def read(self, total: int, block: int) -> Iterator[bytes]:
        """Yield ``total`` samples in blocks of ``block`` samples; the last may be shorter.

        Gaps are silence. What two segments have in common is read from the first.

        Raises:
            OSError: a segment cannot be read.
        """
        position = 0
        pending = bytearray()
        size = self.track_format.sample_size
        for piece in self._pieces(total, block):
            piece_start = position
            position += len(piece) // size
            pending += self._with_silence(piece, piece_start)
            while len(pending) >= block * size:
                yield bytes(pending[: block * size])
                del pending[: block * size]
        if pending:
            yield bytes(pending)

    def _pieces(self, total: int, block: int) -> Iterator[bytes]:
        """Yield the samples of the segments and of the gaps between them."""
        size = self.track_format.sample_size
        position = 0
        for segment in self.segments:
            gap = min(segment.first, total) - position
            if gap > 0:
                yield from self._gap(gap, block)
                position += gap
            end = min(segment.end, total)
            if end <= position:
                continue
            with segment.path.open("rb") as file:
                file.seek((position - segment.first) * size)
                while position < end:
                    data = file.read(min(block, end - position) * size)
                    data = data[: len(data) // size * size]
                    if not data:
                        break  # a gap, because the file has become shorter
                    yield data
                    position += len(data) // size
        yield from self._gap(total - position, block)

    def _gap(self, count: int, block: int) -> Iterator[bytes]:
        while count > 0:
            yield self.track_format.silence(min(count, block))
            count -= block

    def _with_silence(self, piece: bytes, start: int) -> bytes:
        """Return a piece of the track with the ranges in it that are silenced."""
        size = self.track_format.sample_size
        end = start + len(piece) // size
        for silenced in self.silenced:
            first, last = max(silenced.start, start), min(silenced.start + silenced.count, end)
            if first < last:
                silence = self.track_format.silence(last - first)
                piece = piece[: (first - start) * size] + silence + piece[(last - start) * size :]
        return piece


def open_track(directory: Path, manifest: Manifest, track: Track) -> StoredTrack:
    """Find the segments of a track, also those that have no line because of a crash.

    Raises:
        OSError: the directory cannot be read.
    """
    track_format = manifest.header.track_format(track)
    problems: list[str] = []
    segments: list[StoredSegment] = []
    for path in directory.iterdir():
        parsed = parse_segment_name(path.name)
        if parsed is None or parsed[0] != track or not path.is_file():
            continue
        samples = path.stat().st_size // track_format.sample_size
        problem = _compare(path, samples, manifest)
        if problem:
            problems.append(problem)
        segments.append(StoredSegment(path, parsed[2], samples))
    names = {segment.path.name for segment in segments}
    problems += [
        f"{line.file} is missing"
        for line in manifest.segments.values()
        if line.track == track and line.file not in names
    ]
    segments.sort(key=lambda segment: (segment.first, segment.path.name))
    silenced = [silenced for silenced in manifest.silenced if silenced.track == track]
    return StoredTrack(track_format, segments, silenced, problems)


def _compare(path: Path, samples: int, manifest: Manifest) -> str | None:
    """Return what is wrong with a segment. One without a line was being written during a crash."""
    line = manifest.segments.get(path.name)
    if line is None:
        return None
    if samples < line.samples:
        return f"{path.name} has {samples} samples instead of {line.samples}"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return None if digest == line.sha256 else f"{path.name} was changed"
