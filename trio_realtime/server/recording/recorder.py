"""Records a call: takes audio without blocking, and writes it in a task."""

from __future__ import annotations

import math
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, final

import attrs
import trio

from trio_realtime.errors import ConfigurationError, UsageError
from trio_realtime.wire import AudioFormat

from .files import MANIFEST, DirectoryLock, run_directory
from .manifest import Header
from .render import Recording, failed, render
from .segments import AudioChunk, OpenFile, SegmentWriter, open_unbuffered
from .threads import default_limiter, run_steps
from .timeline import MAX_UNHEARD_BYTES, AgentTrack, CallTimeline
from .write_queue import WriteQueue

MAX_BUFFERED_BYTES: Final = 8 * 1024 * 1024
"""Bytes that may wait for the disk: more than a minute of both tracks at 24 kHz."""


@attrs.frozen(kw_only=True)
class RecorderStatistics:
    """What became of the audio of a recorder.

    Attributes:
        buffered_bytes: bytes that wait for the disk.
        pending_bytes: bytes of the agent's audio that were not heard yet, and of frames without a place.
        dropped_bytes: bytes that will be missing in the recording: the disk failed or was too slow, or too
            much audio waited to be heard.
    """

    buffered_bytes: int
    pending_bytes: int
    dropped_bytes: int


@final
class CallRecorder:
    """Records one call. :func:`open_recorder` makes it.

    All methods but :meth:`finish` return at once, raise nothing because of a disk, and use a bounded amount
    of memory. ``now`` is a number of seconds of the clock that was given to :func:`open_recorder`. After
    :meth:`finish`, audio has no effect.

    Attributes:
        directory: the directory of this run.
    """

    def __init__(
        self, directory: Path, timeline: CallTimeline, queue: WriteQueue, *, start: float
    ) -> None:
        self.directory: Path = directory
        self._timeline = timeline
        self._queue = queue
        self._start = start
        self._end: float | None = None

    def user_audio(self, data: bytes, now: float) -> None:
        """Record audio that was received from the user, in the input format."""
        if self._end is None:
            self._queue.put(self._timeline.user_audio(data, now))

    def agent_audio(self, item_id: str, content_index: int, data: bytes, now: float) -> None:
        """Take audio that was received from the service, in the output format, until it is heard."""
        if self._end is None:
            self._queue.put(self._timeline.agent_audio(item_id, content_index, data, now))

    def agent_played(self, item_id: str, content_index: int, played_ms: float, now: float) -> None:
        """Record what was heard of an item: ``played_ms`` milliseconds from its beginning by ``now``.

        Call this often, and at the end of an item before the next one begins: items that arrived before the
        one that is heard are over. An infinite ``played_ms`` stands for all that was received. A report
        without progress has no effect.
        """
        if self._end is None:
            self._queue.put(self._timeline.agent_played(item_id, content_index, played_ms, now))

    def agent_interrupted(
        self, item_id: str, content_index: int, played_ms: float, now: float
    ) -> None:
        """Cut an item at ``played_ms``. What follows of it is dropped."""
        if self._end is None:
            self._queue.put(
                self._timeline.agent_interrupted(item_id, content_index, played_ms, now)
            )

    def pause(self, now: float) -> None:
        """Record silence on both tracks until :meth:`resume`, for example without consent."""
        if self._end is None:
            self._queue.put(self._timeline.pause(now))

    def resume(self, now: float) -> None:
        """Record audio again. Audio that arrives from now on counts, even if it was delayed on its way."""
        if self._end is None:
            self._timeline.resume(now)

    def redact(self, start_ms: float, end_ms: float) -> None:
        """Make a range of both tracks silent when the recording is made.

        Until then, the segments have its audio. With ``keep_segments`` they have it for ever.

        Args:
            start_ms, end_ms: milliseconds since the beginning of the recording.

        Raises:
            UsageError: the range is empty or not finite.
        """
        if not (0 <= start_ms < end_ms and math.isfinite(end_ms)):
            raise UsageError(
                f"a redacted range must have 0 <= start_ms < end_ms, got {start_ms} and {end_ms}"
            )
        if self._end is None:
            self._queue.put(self._timeline.redacted(start_ms, end_ms))

    def position_ms(self, now: float) -> float:
        """Return the milliseconds since the beginning of the recording."""
        return max(now - self._start, 0.0) * 1000

    def statistics(self) -> RecorderStatistics:
        """Return what became of the audio."""
        return RecorderStatistics(
            buffered_bytes=self._queue.buffered_bytes,
            pending_bytes=self._timeline.pending_bytes,
            dropped_bytes=self._queue.dropped_bytes + self._timeline.dropped_bytes,
        )

    async def finish(self, now: float, *, separate_tracks: bool = False) -> Recording:
        """End the recording at ``now``, and make its WAV files.

        Cancellation leaves the segments, of which :func:`~trio_realtime.server.recording.sweep` makes the
        recording later. So does an error.

        Args:
            now: the end. What was not heard until then is not in the recording.
            separate_tracks: also write ``user.wav`` and ``agent.wav``.

        Raises:
            UsageError: it was called before.
            RecordingFailed: the disk is full, or there was another error of the operating system.
        """
        await trio.lowlevel.checkpoint()
        if self._end is not None:
            raise UsageError("finish was called before; call it once")
        self._queue.put(self._timeline.advance(now))
        self._queue.put(self._timeline.finish())
        self._end = now
        await self._queue.close(
            duration_ms=self._timeline.duration_ms(now),
            dropped_bytes=self._timeline.dropped_bytes,
        )
        steps = render(self.directory, separate_tracks=separate_tracks)
        try:
            return await run_steps(steps, self._queue.limiter)
        except (OSError, UsageError) as exc:
            raise failed(self.directory, exc) from exc


@asynccontextmanager
async def open_recorder(
    directory: str | os.PathLike[str],
    *,
    session_id: str,
    run_id: str,
    input_format: AudioFormat,
    output_format: AudioFormat,
    segment_seconds: float = 10.0,
    agent_track: AgentTrack = "heard",
    keep_segments: bool = False,
    on_chunk: Callable[[AudioChunk], None] | None = None,
    on_failure: Callable[[Exception], None] | None = None,
    max_buffered_bytes: int = MAX_BUFFERED_BYTES,
    max_unheard_bytes: int = MAX_UNHEARD_BYTES,
    clock: Callable[[], float] = trio.current_time,
    wall_clock: Callable[[], float] = time.time,
    limiter: trio.CapacityLimiter | None = None,
    open_file: OpenFile = open_unbuffered,
) -> AsyncGenerator[CallRecorder]:
    """Record a call during a block, in ``directory/session_id/run_id``.

    Both tracks begin when the block is entered. Audio is written about a second after it was placed, so that
    it survives the process. Call :meth:`CallRecorder.finish` at the end of the call. A block that is left
    without it leaves segments, of which :func:`~trio_realtime.server.recording.sweep` makes the recording.

    A disk that is full or fails does not end the call. It is reported once, audio is dropped and counted, and
    the next segment is tried when its time has come.

    Args:
        directory: the directory of all recordings.
        session_id, run_id: names of directories: letters, digits, ``.``, ``_`` and ``-``.
        input_format, output_format: the formats of the user's and the agent's audio.
        segment_seconds: seconds of audio in a segment. A file has its line in the manifest when it is
            complete.
        agent_track: ``heard`` for what the user heard, ``generated`` for all audio of the service.
        keep_segments: do not remove the segments after the recording was made.
        on_chunk: called in the task of trio with each piece of audio that was written. It must not raise.
        on_failure: called once, with the first error. It must not raise.
        max_buffered_bytes: bytes that may wait for the disk. More is dropped and counted.
        max_unheard_bytes: bytes of the agent's audio that may wait to be heard. The oldest is dropped.
        clock: the clock of the ``now`` of all methods, in seconds.
        wall_clock: seconds since the Unix epoch.
        limiter: limits the threads; by default, all recordings share eight.
        open_file: opens a file for appending.

    Raises:
        UsageError: an id cannot be the name of a directory, a format is unknown, or a number is not
            positive.
        ConfigurationError: the directory cannot be created, or the run is recorded by another recorder.
    """
    if not segment_seconds > 0 or not max_buffered_bytes > 0 or not max_unheard_bytes > 0:
        raise UsageError(
            "segment_seconds, max_buffered_bytes and max_unheard_bytes must be more than 0"
        )
    limiter = default_limiter() if limiter is None else limiter
    path = run_directory(directory, session_id, run_id)
    header = Header(
        session_id=session_id,
        run_id=run_id,
        started_at=wall_clock(),
        input_format=input_format,
        output_format=output_format,
        keep_segments=keep_segments,
    )
    start = clock()
    timeline = CallTimeline(
        input_format,
        output_format,
        start=start,
        agent_track=agent_track,
        max_unheard_bytes=max_unheard_bytes,
    )
    writer = SegmentWriter(path, header, segment_seconds=segment_seconds, open_file=open_file)
    queue = WriteQueue(
        writer,
        max_bytes=max_buffered_bytes,
        on_chunk=on_chunk,
        on_failure=on_failure,
        limiter=limiter,
    )
    lock = await trio.to_thread.run_sync(_lock_new_run, path, limiter=limiter)
    try:
        await queue.open()
        async with _task(queue.run):
            yield CallRecorder(path, timeline, queue, start=start)
    finally:
        queue.put(timeline.finish())
        with trio.CancelScope(shield=True):
            await queue.close()
        lock.release()


@asynccontextmanager
async def _task(run: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
    """Run a task during a block. The block's own exception is not wrapped in a group."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        try:
            yield
        except BaseException as exc:  # noqa: ASYNC103, BLE001 - raised below
            failure = exc
        nursery.cancel_scope.cancel(reason="the block of the recorder was left")
    if failure is not None:
        raise failure


def _lock_new_run(path: Path) -> DirectoryLock:
    """Create and lock the directory of a run. It must not have a manifest."""
    try:
        for directory in (
            path.parent.parent,
            path.parent,
            path,
        ):  # mkdir gives parents another mode
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = DirectoryLock.acquire(path)
    except OSError as exc:
        raise ConfigurationError(
            f"recordings cannot be written to {path}: {exc.strerror}; choose a directory that this "
            "process may write to"
        ) from exc
    if lock is None:
        raise ConfigurationError(f"another recorder or sweeper uses {path}; use a new run_id")
    if (path / MANIFEST).exists():
        lock.release()
        raise ConfigurationError(f"{path} has a recording already; use a new run_id")
    return lock
