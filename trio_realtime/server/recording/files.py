"""The files of one run: their names, the lock, and how they are written durably.

::

    DIRECTORY/SESSION_ID/RUN_ID/
        lock                         locked as long as the run is recorded, rendered or swept
        manifest.jsonl               one JSON object per line, see the module manifest
        user-000001-0.pcm            a segment: raw audio; its number and its first sample
        agent-000001-24000.pcm
        recording.wav                the result

All functions block.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from trio_realtime.errors import ConfigurationError, UsageError

from .tracks import Track

LOCK: Final = "lock"
MANIFEST: Final = "manifest.jsonl"
STEREO: Final = "recording.wav"
TEMPORARY: Final = ".tmp"
"""The suffix of files that are being written."""

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_SEGMENT = re.compile(r"(user|agent)-(\d{6,})-(\d+)\.pcm")


def run_directory(directory: str | os.PathLike[str], session_id: str, run_id: str) -> Path:
    """Return the directory of a run.

    Raises:
        UsageError: an id cannot be the name of a directory.
    """
    return Path(directory) / check_id("session_id", session_id) / check_id("run_id", run_id)


def check_id(name: str, value: str) -> str:
    """Return an id that can be the name of a directory.

    Raises:
        UsageError: it cannot. ``name`` is the name of the argument, for the message.
    """
    given: Any = value
    if not isinstance(given, str) or not _ID.fullmatch(given):
        raise UsageError(
            f"{name} must have 1 to 128 letters, digits, '.', '_' and '-', "
            f"and must not begin with '.' or '-', got {value!r:.80}"
        )
    return value


def is_id(value: str) -> bool:
    """Return whether a name can be the id of a session or a run."""
    return bool(_ID.fullmatch(value))


def segment_name(track: Track, index: int, first: int) -> str:
    """Return the name of a segment, which has all that is needed to place it after a crash."""
    return f"{track}-{index:06}-{first}.pcm"


def parse_segment_name(name: str) -> tuple[Track, int, int] | None:
    """Return the track, the index and the first sample of a segment; ``None`` for another file."""
    match = _SEGMENT.fullmatch(name)
    if match is None:
        return None
    track: Track = "user" if match[1] == "user" else "agent"
    return track, int(match[2]), int(match[3])


class DirectoryLock:
    """An exclusive lock on the directory of a run. It ends with the process, also after SIGKILL."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, directory: Path) -> DirectoryLock | None:
        """Lock a directory. Returns ``None`` if it is locked already, also by this process.

        Raises:
            OSError: the lock file cannot be opened.
            ConfigurationError: the operating system has no ``flock``.
        """
        try:
            import fcntl
        except ImportError as exc:
            raise ConfigurationError(
                "recordings need flock, which this operating system does not have"
            ) from exc
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Unlock the directory. A second call has no effect."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Make the names of new, renamed and removed files durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replaced_file(path: Path) -> Generator[Path]:
    """Provide a temporary path, which replaces ``path`` at the end of the block.

    The file is durable before it gets its name. If the block raises, the temporary file is removed.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
