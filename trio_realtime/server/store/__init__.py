"""The history of sessions in a SQL database.

:class:`SessionJournal` turns events into rows, :class:`WriteBehind` writes them in batches without
blocking the sessions, and :class:`HistoryStore` reads them.
"""

from __future__ import annotations

from trio_realtime.server._extra import server_extra

with server_extra():
    from .errors import HistoryStoreError as HistoryStoreError
    from .history import HistoryStore as HistoryStore, open_history_store as open_history_store
    from .journal import (
        SessionFacts as SessionFacts,
        SessionJournal as SessionJournal,
        StoredEvents as StoredEvents,
    )
    from .migrations import upgrade as upgrade
    from .reading import DeletedSessions as DeletedSessions
    from .reports import (
        Outage as Outage,
        Recovery as Recovery,
        RowRefused as RowRefused,
        RowsDropped as RowsDropped,
        RowsLost as RowsLost,
        StoreReport as StoreReport,
        log_report as log_report,
    )
    from .row_builders import (
        artifact_row as artifact_row,
        audio_chunk_row as audio_chunk_row,
        usage_row as usage_row,
    )
    from .row_queue import GAP_TYPE as GAP_TYPE
    from .rows import Row as Row, without_content as without_content
    from .write_behind import (
        WriteBehind as WriteBehind,
        WriteOptions as WriteOptions,
        WriteStatistics as WriteStatistics,
    )

__all__ = [
    "GAP_TYPE",
    "DeletedSessions",
    "HistoryStore",
    "HistoryStoreError",
    "Outage",
    "Recovery",
    "Row",
    "RowRefused",
    "RowsDropped",
    "RowsLost",
    "SessionFacts",
    "SessionJournal",
    "StoreReport",
    "StoredEvents",
    "WriteBehind",
    "WriteOptions",
    "WriteStatistics",
    "artifact_row",
    "audio_chunk_row",
    "log_report",
    "open_history_store",
    "upgrade",
    "usage_row",
    "without_content",
]
