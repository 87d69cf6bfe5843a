"""The exceptions of recordings."""

from __future__ import annotations

from trio_realtime.errors import RealtimeError


class RecordingFailed(RealtimeError):
    """A recording could not be written or read. The cause is the error of the operating system.

    What was written stays in its directory. Free space or correct the permissions, then call
    :func:`~trio_realtime.server.recording.sweep`.
    """
