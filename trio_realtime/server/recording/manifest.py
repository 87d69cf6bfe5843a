"""The manifest of a run: one JSON object per line. This module does no I/O.

The first line is the header. The other lines say what became of the run::

    {"type": "header", "version": 1, "session_id": ..., "run_id": ..., "started_at": ..., ...}
    {"type": "segment", "track": "user", "index": 1, "file": ..., "first": 0, "samples": ..., "sha256": ...}
    {"type": "silence", "track": "agent", "first": ..., "samples": ...}
    {"type": "end", "duration_ms": ..., "dropped_bytes": ...}
    {"type": "recording", "file": "recording.wav", "bytes": ..., "sha256": ..., ...}

A segment has its line when it is complete and durable. A range that is silenced was cut by an interruption
or redacted. A line that a crash or a full disk has cut is skipped by the reader.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final

import attrs

from trio_realtime.errors import UsageError
from trio_realtime.wire import AudioFormat

from .timeline import SilencedRange
from .tracks import TRACKS, Track, TrackFormat

VERSION: Final = 1

_MAX_DURATION_MS: Final = 30 * 24 * 3600 * 1000
"""Milliseconds that a run may have: a damaged number must not make a recording that fills the disk."""


@attrs.frozen(kw_only=True)
class Header:
    """The first line of a manifest.

    Attributes:
        session_id, run_id: the ids of the session and the run.
        started_at: the beginning of both tracks, in seconds since the Unix epoch.
        input_format, output_format: the formats of the tracks of the user and the agent.
        keep_segments: whether the segments stay after the recording was made.
    """

    session_id: str
    run_id: str
    started_at: float
    input_format: AudioFormat
    output_format: AudioFormat
    keep_segments: bool = False

    def line(self) -> bytes:
        """Return the line of the manifest."""
        return line(
            "header",
            version=VERSION,
            session_id=self.session_id,
            run_id=self.run_id,
            started_at=self.started_at,
            user=_format_to_json(self.input_format),
            agent=_format_to_json(self.output_format),
            keep_segments=self.keep_segments,
        )

    def track_format(self, track: Track) -> TrackFormat:
        """Return the format of a track."""
        return TrackFormat.of(self.input_format if track == "user" else self.output_format)


@attrs.frozen(kw_only=True)
class SegmentLine:
    """A segment that is complete."""

    track: Track
    index: int
    file: str
    first: int
    samples: int
    sha256: str

    def line(self) -> bytes:
        """Return the line of the manifest."""
        return line("segment", **attrs.asdict(self))


@attrs.frozen(kw_only=True)
class Manifest:
    """What a manifest says.

    Attributes:
        header: the first line.
        segments: the complete segments, by file name.
        silenced: the ranges that became silence.
        duration_ms: how long the run was, if it was finished.
        dropped_bytes: bytes of audio that were received and not written.
        recording: the line of the recording, if it was made.
        damaged_lines: the number of lines that could not be read.
    """

    header: Header
    segments: dict[str, SegmentLine]
    silenced: Sequence[SilencedRange]
    duration_ms: float = 0.0
    dropped_bytes: int = 0
    recording: dict[str, Any] | None = None
    damaged_lines: int = 0


def line(type: str, /, **members: Any) -> bytes:  # noqa: A002 - the name of the JSON member
    """Return one line of a manifest."""
    return json.dumps({"type": type, **members}).encode() + b"\n"


def silence_line(silenced: SilencedRange) -> bytes:
    """Return the line of a range that became silence."""
    return line(
        "silence", track=silenced.track, first=silenced.start, samples=silenced.count
    )  # fmt: skip


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest. Lines that were cut are counted, and otherwise ignored.

    Raises:
        UsageError: there is no header that can be read. The message says why.
    """
    header: Header | None = None
    segments: dict[str, SegmentLine] = {}
    silenced: list[SilencedRange] = []
    rest: dict[str, Any] = {}
    damaged = 0
    for text in data.splitlines():
        if not text.strip():
            continue
        try:
            value = json.loads(text)
            match value["type"]:
                case "header":
                    header = header or _parse_header(value)
                case "segment":
                    segment = _parse_segment(value)
                    segments[segment.file] = segment
                case "silence":
                    silenced.append(_parse_silence(value))
                case "end":
                    rest |= {
                        "duration_ms": _parse_number(value["duration_ms"], _MAX_DURATION_MS),
                        "dropped_bytes": _parse_count(value["dropped_bytes"]),
                    }
                case "recording":
                    rest["recording"] = value
                case _:
                    damaged += 1
        except (ValueError, KeyError, TypeError, RecursionError, UsageError):
            damaged += 1
    if header is None:
        raise UsageError("the manifest has no header that can be read")
    return Manifest(
        header=header, segments=segments, silenced=silenced, damaged_lines=damaged, **rest
    )


def _format_to_json(audio_format: AudioFormat) -> dict[str, Any]:
    return {"type": audio_format.type, "rate": audio_format.rate}


def _parse_format(value: Any) -> AudioFormat:
    audio_format = AudioFormat(type=value["type"], rate=value["rate"])
    TrackFormat.of(audio_format)
    return audio_format


def _parse_header(value: dict[str, Any]) -> Header:
    if value["version"] != VERSION:
        raise UsageError(f"the manifest has version {value['version']!r:.20}")
    return Header(
        session_id=str(value["session_id"]),
        run_id=str(value["run_id"]),
        started_at=_parse_number(value["started_at"], math.inf),
        input_format=_parse_format(value["user"]),
        output_format=_parse_format(value["agent"]),
        keep_segments=value["keep_segments"] is True,
    )


def _parse_track(value: Any) -> Track:
    if value not in TRACKS:
        raise UsageError(f"there is no track {value!r:.20}")
    track: Track = value
    return track


def _parse_count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise UsageError(f"expected a number of samples, got {value!r:.20}")
    return value


def _parse_number(value: Any, largest: float) -> float:
    if type(value) not in (int, float) or not 0 <= value <= largest or math.isinf(value):
        raise UsageError(f"expected a number up to {largest}, got {value!r:.20}")
    return float(value)


def _parse_segment(value: dict[str, Any]) -> SegmentLine:
    return SegmentLine(
        track=_parse_track(value["track"]),
        index=_parse_count(value["index"]),
        file=str(value["file"]),
        first=_parse_count(value["first"]),
        samples=_parse_count(value["samples"]),
        sha256=str(value["sha256"]),
    )


def _parse_silence(value: dict[str, Any]) -> SilencedRange:
    first, count = _parse_count(value["first"]), _parse_count(value["samples"])
    return SilencedRange(_parse_track(value["track"]), first, count)
