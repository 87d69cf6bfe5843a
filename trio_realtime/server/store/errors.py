"""What the history store raises."""

from __future__ import annotations

from trio_realtime.errors import RealtimeError

__all__ = ["HistoryStoreError"]


class HistoryStoreError(RealtimeError):
    """The database could not be opened, read or changed. Trying again may help.

    The message has what the driver reports, without the password and without the values of rows.
    """
