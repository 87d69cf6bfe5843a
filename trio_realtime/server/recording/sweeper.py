"""Makes the recordings of runs that were not finished, for example because the process was killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

import trio

from trio_realtime.errors import RealtimeError, UsageError

from .errors import RecordingFailed
from .files import MANIFEST, TEMPORARY, DirectoryLock, is_id
from .render import Recording, failed, read_manifest, remove_segments, render
from .threads import default_limiter, run_steps


async def sweep(
    directory: str | os.PathLike[str],
    *,
    is_running: Callable[[str, str], bool] = lambda _session_id, _run_id: False,
    on_recording: Callable[[Recording], None] | None = None,
    on_failure: Callable[[Path, RealtimeError], None] | None = None,
    separate_tracks: bool = False,
    limiter: trio.CapacityLimiter | None = None,
) -> list[Recording]:
    """Make the recordings of all runs that were not finished. Call it when the process starts.

    A recording has everything up to the last byte that was written. A run that is being recorded, in any
    process of this machine, is left alone. Several sweepers at once do no harm, and neither does a second
    one: it finds nothing to do. A directory that cannot be read is reported and skipped.

    Cancellation leaves the segments of the run that was being worked on.

    Args:
        directory: the directory of all recordings. It need not exist.
        is_running: returns whether to leave a run alone, from its session id and run id.
        on_recording: called with each recording, as soon as it was made.
        on_failure: called with each directory that was skipped, and the reason.
        separate_tracks: also write ``user.wav`` and ``agent.wav``.
        limiter: limits the threads; by default, all recordings share eight.

    Returns:
        The recordings that this call has made.

    Raises:
        RecordingFailed: the directory itself cannot be read.
    """
    limiter = default_limiter() if limiter is None else limiter
    try:
        runs = await trio.to_thread.run_sync(_find_runs, Path(directory), limiter=limiter)
    except OSError as exc:
        raise RecordingFailed(f"recordings cannot be read from {directory}: {exc}") from exc
    recordings: list[Recording] = []
    for run in runs:
        if is_running(run.parent.name, run.name):
            continue
        try:
            steps = _sweep_run(run, separate_tracks=separate_tracks)
            recording = await run_steps(steps, limiter)
        except (OSError, UsageError) as exc:
            if on_failure is not None:
                on_failure(run, _explained(run, exc))
            continue
        if recording is not None:
            recordings.append(recording)
            if on_recording is not None:
                on_recording(recording)
    return recordings


def _explained(run: Path, exc: OSError | UsageError) -> RealtimeError:
    error = failed(run, exc)
    error.__cause__ = exc
    return error


def _find_runs(directory: Path) -> list[Path]:
    """Return the directories that have a manifest, oldest sessions by name first."""
    if not directory.exists():
        return []
    runs: list[Path] = []
    for session in directory.iterdir():
        if is_id(session.name) and session.is_dir():
            with suppress(FileNotFoundError):  # another process has deleted the session
                runs += filter(_has_manifest, session.iterdir())
    return sorted(runs)


def _has_manifest(run: Path) -> bool:
    return is_id(run.name) and run.is_dir() and (run / MANIFEST).exists()


def _sweep_run(run: Path, *, separate_tracks: bool) -> Generator[None, None, Recording | None]:
    """Make the recording of a run, unless it is locked, has one, or was deleted meanwhile."""
    if not _has_manifest(run):
        return None
    lock = DirectoryLock.acquire(run)
    if lock is None:
        return None
    try:
        manifest = read_manifest(run)
        for path in run.glob(f"*{TEMPORARY}"):
            path.unlink(missing_ok=True)
        if manifest.recording is None:
            return (yield from render(run, separate_tracks=separate_tracks))
        if not manifest.header.keep_segments:
            remove_segments(run)
        return None
    finally:
        lock.release()
