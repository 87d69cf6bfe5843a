"""What the writer of the history reports to the program."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import attrs

__all__ = [
    "Outage",
    "Recovery",
    "RowRefused",
    "RowsDropped",
    "RowsLost",
    "StoreReport",
    "log_report",
]

logger: Final = logging.getLogger("trio_realtime.server.store")


@attrs.frozen(kw_only=True)
class Outage:
    """A batch was not written, and is written again later. There is one report for each outage.

    Attributes:
        error: what the driver reports, without the values of rows.
        queued_rows: the rows that wait.
    """

    error: str
    queued_rows: int


@attrs.frozen(kw_only=True)
class RowsDropped:
    """The queue is full, and rows are being dropped. There is one report until the queue has space again.

    Attributes:
        table: the table of the first row that was dropped.
        error: why no rows are written; empty if they are written too slowly.
    """

    table: str
    error: str


@attrs.frozen(kw_only=True)
class Recovery:
    """Rows are written again, or the queue has space again.

    Attributes:
        duration: seconds since the first failed write or the first dropped row.
        dropped: the number of rows that were dropped in this time, for each table.
    """

    duration: float
    dropped: Mapping[str, int]


@attrs.frozen(kw_only=True)
class RowRefused:
    """The database, or the redaction, refused a row. The other rows were written.

    Attributes:
        table: the table.
        key: the primary key.
        error: why, without the values of the row.
    """

    table: str
    key: tuple[Any, ...]
    error: str


@attrs.frozen(kw_only=True)
class RowsLost:
    """The store was closed before these rows were written.

    Attributes:
        rows: the number of rows for each table.
        error: why they were not written; empty if the time was too short.
    """

    rows: Mapping[str, int]
    error: str


StoreReport: TypeAlias = Outage | RowsDropped | Recovery | RowRefused | RowsLost
"""Everything that the writer reports."""


def log_report(report: StoreReport) -> None:
    """Log a report, with the logger ``trio_realtime.server.store``."""
    level = logging.INFO if isinstance(report, Recovery) else logging.WARNING
    logger.log(level, "%s", report)
