"""Makes the WAV files of a run from its segments.

:func:`render` blocks, so it is a generator that a thread resumes step by step: between two steps the caller can
be cancelled. Memory is bounded by a second of audio.
"""

from __future__ import annotations

import hashlib
import os
import struct
from array import array
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

import attrs

from trio_realtime.audio.samples import samples, to_bytes
from trio_realtime.errors import UsageError

from .errors import RecordingFailed
from .files import MANIFEST, STEREO, parse_segment_name, replaced_file, sync_directory
from .manifest import Manifest, line, parse_manifest
from .resampler import make_resampler
from .segments import open_unbuffered, write_all
from .track_reader import StoredTrack, open_track

STEP_SECONDS: Final = 20
"""Seconds of audio that one step converts."""

_MAX_RIFF: Final = 0xFFFFFFFF


@attrs.frozen(kw_only=True)
class RecordingFile:
    """A file that is complete and durable.

    Attributes:
        path: where it is.
        size: its bytes.
        sha256: the hash of its bytes, in hexadecimal.
    """

    path: Path
    size: int
    sha256: str


@attrs.frozen(kw_only=True)
class Recording:
    """A recording of a run.

    Attributes:
        session_id, run_id: the ids of the session and the run.
        started_at: the beginning, in seconds since the Unix epoch.
        duration_ms: how long it is, in milliseconds.
        rate: samples per second of the stereo file.
        stereo: the WAV file with the user on the left and the agent on the right; PCM16.
        user, agent: WAV files of the tracks by themselves, if they were wanted.
        dropped_bytes: bytes of audio that were received and are missing.
        is_complete: whether the run was finished. ``False`` after a crash: the last second may be missing.
        problems: what was wrong with the files; empty if nothing was.
    """

    session_id: str
    run_id: str
    started_at: float
    duration_ms: float
    rate: int
    stereo: RecordingFile
    user: RecordingFile | None = None
    agent: RecordingFile | None = None
    dropped_bytes: int = 0
    is_complete: bool = True
    problems: tuple[str, ...] = ()


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a run.

    Raises:
        OSError: it cannot be read.
        UsageError: it has no header that can be read.
    """
    return parse_manifest((directory / MANIFEST).read_bytes())


def render(directory: Path, *, separate_tracks: bool) -> Generator[None, None, Recording]:
    """Make the recording of a run from its segments, and note that in the manifest.

    The caller has the lock. Closing the generator before its end removes what it has written, and leaves
    the segments.

    Args:
        directory: the directory of the run.
        separate_tracks: also write ``user.wav`` and ``agent.wav``.

    Raises:
        OSError: a file cannot be read or written.
        UsageError: the manifest has no header that can be read.
    """
    manifest = read_manifest(directory)
    user, agent = open_track(directory, manifest, "user"), open_track(directory, manifest, "agent")
    tracks = user, agent
    rate = max(track.track_format.rate for track in tracks)
    duration_ms = max(manifest.duration_ms, *(t.track_format.ms(t.end) for t in tracks))
    files: dict[str, RecordingFile] = {}
    with ExitStack() as stack:
        outputs: dict[str, _WavFile] = {}
        frames = round(duration_ms * rate / 1000)
        for name, channels in _names(separate_tracks=separate_tracks):
            path = stack.enter_context(replaced_file(directory / name))
            file = stack.enter_context(path.open("wb"))
            outputs[name] = _WavFile(file, channels, rate, frames)
        yield from _write_blocks(_pcm(user, rate, frames), _pcm(agent, rate, frames), outputs, rate)
        for name, output in outputs.items():
            files[name] = output.finish(directory / name)
    recording = Recording(
        session_id=directory.parent.name,  # the ids, also if the header is damaged
        run_id=directory.name,
        started_at=manifest.header.started_at,
        duration_ms=duration_ms,
        rate=rate,
        stereo=files[STEREO],
        user=files.get("user.wav"),
        agent=files.get("agent.wav"),
        dropped_bytes=manifest.dropped_bytes,
        is_complete=manifest.duration_ms > 0,
        problems=_problems(manifest, tracks),
    )
    _note_recording(directory, recording)
    if not manifest.header.keep_segments:
        remove_segments(directory)
    return recording


def remove_segments(directory: Path) -> None:
    """Remove the segments of a run whose recording was made."""
    for path in directory.iterdir():
        if parse_segment_name(path.name) is not None:
            path.unlink(missing_ok=True)


def _names(*, separate_tracks: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the files with the tracks that they have: 0 is the user, 1 the agent."""
    yield STEREO, (0, 1)
    if separate_tracks:
        yield "user.wav", (0,)
        yield "agent.wav", (1,)


def _write_blocks(
    user: Iterator[bytes], agent: Iterator[bytes], outputs: dict[str, _WavFile], rate: int
) -> Iterator[None]:
    written = 0
    for blocks in zip(user, agent, strict=True):
        for output in outputs.values():
            output.write(blocks)
        written += len(blocks[0]) // 2
        if written >= STEP_SECONDS * rate:
            written = 0
            yield


def _pcm(track: StoredTrack, rate: int, frames: int) -> Iterator[bytes]:
    """Yield a track as PCM16 at ``rate`` in blocks of a second, ``frames`` samples in total."""
    source_rate = track.track_format.rate
    total = -(-frames * source_rate // rate)
    resampler = make_resampler(source_rate, rate)
    pending = bytearray()
    position = 0
    left = frames * 2
    for block in track.read(total, source_rate):
        position += track.track_format.count(block)
        pcm = track.track_format.to_pcm(block)
        pending += resampler.convert(pcm, is_last=position >= total)
        while len(pending) >= rate * 2 and left >= rate * 2:
            yield bytes(pending[: rate * 2])
            del pending[: rate * 2]
            left -= rate * 2
    while left:
        # Rounding may leave a few samples more or less.
        size = min(left, rate * 2)
        yield bytes(pending[:size]).ljust(size, b"\0")
        del pending[:size]
        left -= size


class _WavFile:
    """A WAV file with PCM16 whose length is known before."""

    def __init__(self, file: IO[bytes], channels: tuple[int, ...], rate: int, frames: int) -> None:
        self._file = file
        self._channels = channels
        self._digest = hashlib.sha256()
        self._size = 0
        self._write(_wav_header(len(channels), rate, frames))

    def write(self, blocks: tuple[bytes, bytes]) -> None:
        """Write a block of both tracks."""
        if len(self._channels) == 1:
            self._write(blocks[self._channels[0]])
            return
        frames: array[int] = array("h", bytes(2 * len(blocks[0])))
        frames[0::2] = samples(blocks[0])
        frames[1::2] = samples(blocks[1])
        self._write(to_bytes(frames))

    def finish(self, path: Path) -> RecordingFile:
        """Write what is buffered, and describe the file with its later name."""
        self._file.flush()
        return RecordingFile(path=path, size=self._size, sha256=self._digest.hexdigest())

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)


def _wav_header(channels: int, rate: int, frames: int) -> bytes:
    """Return the header of a WAV file. A size that needs more than 32 bits is the largest one."""
    size = frames * channels * 2
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    return (
        b"RIFF" + struct.pack("<I", min(size + 36, _MAX_RIFF)) + b"WAVE"
        b"fmt " + struct.pack("<I", len(form)) + form
        + b"data" + struct.pack("<I", min(size, _MAX_RIFF))
    )  # fmt: skip


def _problems(manifest: Manifest, tracks: tuple[StoredTrack, ...]) -> tuple[str, ...]:
    problems = [problem for track in tracks for problem in track.problems]
    if manifest.damaged_lines:
        problems.append(f"{manifest.damaged_lines} lines of the manifest could not be read")
    return tuple(problems)


def _note_recording(directory: Path, recording: Recording) -> None:
    """Add the line that says that the recording is complete."""
    text = line(
        "recording",
        file=recording.stereo.path.name,
        bytes=recording.stereo.size,
        sha256=recording.stereo.sha256,
        duration_ms=recording.duration_ms,
        rate=recording.rate,
    )
    file = open_unbuffered(directory / MANIFEST)
    try:
        # The empty line ends one that a crash has cut.
        write_all(file, b"\n" + text)
        os.fsync(file.fileno())
    finally:
        file.close()
    sync_directory(directory)


def failed(directory: Path, exc: OSError | UsageError) -> RecordingFailed:
    """Return the exception for an error while a recording is made."""
    reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
    return RecordingFailed(
        f"the recording in {directory} could not be made: {reason}; its segments are still there"
    )
