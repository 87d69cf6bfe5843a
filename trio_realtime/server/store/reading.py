"""The queries of the history. Each function runs in a thread, in one transaction."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
from sqlalchemy import Connection, Select, Table, and_, delete, false, func, or_, select, update

from trio_realtime.errors import UsageError

from .row_queue import GAP_TYPE
from .rows import as_text
from .tables import (
    METADATA,
    artifacts,
    audio_chunks,
    connections,
    events,
    items,
    responses,
    runs,
    sessions,
    tool_calls,
    usage,
)

__all__ = [
    "DeletedSessions",
    "delete_sessions",
    "list_sessions",
    "mark_interrupted",
    "read_artifacts",
    "read_audio_chunks",
    "read_events",
    "read_items",
    "read_last_seq",
    "read_session",
    "sessions_before",
]

JsonObject = dict[str, Any]

_UNFINISHED: Final = ("created", "running")
_TOKEN_COLUMNS: Final = tuple(
    column.name for column in usage.columns if column.name.endswith("_tokens")
)
_USAGE_COLUMNS: Final = (*_TOKEN_COLUMNS, "seconds", "price")


@attrs.frozen(kw_only=True)
class DeletedSessions:
    """What was deleted.

    Attributes:
        sessions: the ids of the sessions.
        artifacts: the rows of their artifacts. The files are not deleted: delete them at their ``url``.
    """

    sessions: tuple[str, ...] = ()
    artifacts: tuple[JsonObject, ...] = ()


def _all(connection: Connection, query: Select[Any]) -> list[JsonObject]:
    return [dict(row) for row in connection.execute(query).mappings()]


def _of_session(table: Table, session_id: str, *order: str) -> Select[Any]:
    query = select(table).where(table.c.session_id == session_id)
    return query.order_by(*(table.c[name] for name in order))


# --- lists -------------------------------------------------------------------------------------


def list_sessions(
    connection: Connection, filters: Mapping[str, str | None], limit: int, cursor: str | None
) -> JsonObject:
    """Return a page of sessions, newest first, and the cursor of the next one."""
    query = select(sessions).order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
    for name, value in filters.items():
        if value is not None:
            query = query.where(sessions.c[name] == value)
    if cursor is not None:
        created_at, session_id = _read_cursor(cursor)
        query = query.where(
            or_(
                sessions.c.created_at < created_at,
                and_(sessions.c.created_at == created_at, sessions.c.id < session_id),
            )
        )
    rows = _all(connection, query.limit(limit + 1))
    page = rows[:limit]
    more = len(rows) > limit
    return {"sessions": page, "next_cursor": _make_cursor(page[-1]) if more else None}


def _make_cursor(row: Mapping[str, Any]) -> str:
    text = json.dumps([row["created_at"], row["id"]])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(cursor: str) -> tuple[float, str]:
    try:
        created_at, session_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        text = as_text(session_id)
        if isinstance(created_at, float) and text is not None:
            return created_at, text
    except (ValueError, TypeError, RecursionError):
        pass
    raise UsageError("the cursor is not valid: pass the next_cursor of an earlier page")


# --- one session -------------------------------------------------------------------------------


def read_session(connection: Connection, session_id: str, tenant: str | None) -> JsonObject | None:
    """Return a session with everything but its events and its audio chunks; ``None`` if unknown."""
    query = select(sessions).where(sessions.c.id == session_id)
    if tenant is not None:
        query = query.where(sessions.c.tenant == tenant)
    found = _all(connection, query)
    if not found:
        return None
    session = found[0]
    history = read_items(connection, session_id)
    started, ended = session["started_at"], session["ended_at"]
    return {
        **session,
        "duration": None if started is None or ended is None else ended - started,
        "runs": _all(connection, _of_session(runs, session_id, "started_at", "run_id")),
        "connections": _all(
            connection, _of_session(connections, session_id, "opened_at", "run_id", "n")
        ),
        "items": history,
        "transcript": _transcript(history),
        "responses": _all(
            connection, _of_session(responses, session_id, "started_at", "response_id")
        ),
        "tool_calls": _all(
            connection, _of_session(tool_calls, session_id, "requested_at", "started_at", "call_id")
        ),
        "usage": _usage_totals(connection, session_id),
        "artifacts": read_artifacts(connection, session_id, None),
        "gaps": _all(
            connection,
            _of_session(events, session_id, "time").where(events.c.type == GAP_TYPE),
        ),
    }


def _transcript(history: Sequence[Mapping[str, Any]]) -> str:
    """Return what was said, one line for each message: of an interrupted one, what was heard."""
    lines: list[str] = []
    for item in history:
        text = item["text"] if item["heard_text"] is None else item["heard_text"]
        if item["kind"] == "message" and item["role"] in ("user", "assistant") and text:
            speaker = "User" if item["role"] == "user" else "Agent"
            lines.append(f"{speaker}: {text}")
    return "\n".join(lines)


def _usage_totals(connection: Connection, session_id: str) -> list[JsonObject]:
    """Return the totals for each kind and unit."""
    totals = [func.sum(usage.c[name]).label(name) for name in _USAGE_COLUMNS]
    query = (
        select(usage.c.kind, usage.c.unit, func.count().label("count"), *totals)
        .where(usage.c.session_id == session_id)
        .group_by(usage.c.kind, usage.c.unit)
        .order_by(usage.c.kind, usage.c.unit)
    )
    # PostgreSQL adds integers of 64 bits as decimals.
    return [
        {
            name: int(value) if name in _TOKEN_COLUMNS and value is not None else value
            for name, value in row.items()
        }
        for row in _all(connection, query)
    ]


def read_items(connection: Connection, session_id: str) -> list[JsonObject]:
    """Return the items of a session in order, without deleted ones."""
    query = _of_session(items, session_id, "ord", "item_id")
    return _all(connection, query.where(items.c.deleted.is_(False)))


def read_events(
    connection: Connection, session_id: str, after: int, limit: int
) -> list[JsonObject]:
    """Return the stored events of a session after a number, in order."""
    query = _of_session(events, session_id, "seq")
    return _all(connection, query.where(events.c.seq > after).limit(limit))


def read_last_seq(connection: Connection, session_id: str) -> int | None:
    """Return the number of the last event; ``None`` for an unknown session."""
    stored = select(func.max(events.c.seq)).where(events.c.session_id == session_id)
    known = select(sessions.c.last_seq).where(sessions.c.id == session_id)
    numbers = [connection.scalar(stored), connection.scalar(known)]
    return max((number for number in numbers if number is not None), default=None)


def read_artifacts(connection: Connection, session_id: str, kind: str | None) -> list[JsonObject]:
    """Return the artifacts of a session, oldest first."""
    query = _of_session(artifacts, session_id, "created_at", "id")
    return _all(connection, query if kind is None else query.where(artifacts.c.kind == kind))


def read_audio_chunks(
    connection: Connection, session_id: str, run_id: str | None
) -> list[JsonObject]:
    """Return the audio chunks of a session in order."""
    query = _of_session(audio_chunks, session_id, "run_id", "track", "n")
    return _all(
        connection, query if run_id is None else query.where(audio_chunks.c.run_id == run_id)
    )


# --- changes -----------------------------------------------------------------------------------


def mark_interrupted(
    connection: Connection, owner_node: str | None, lease_before: float | None
) -> list[str]:
    """Mark the unfinished sessions of a process that is gone. Return their ids."""
    owners = [] if owner_node is None else [sessions.c.owner_node == owner_node]
    expired = [] if lease_before is None else [sessions.c.lease_until < lease_before]
    query = select(sessions.c.id).where(
        sessions.c.status.in_(_UNFINISHED), or_(false(), *owners, *expired)
    )
    found = connection.scalars(query).all()
    for session_id in found:
        ended_at = connection.scalar(
            select(func.max(events.c.time)).where(events.c.session_id == session_id)
        )
        connection.execute(
            update(sessions)
            .where(sessions.c.id == session_id)
            .values(
                status="interrupted",
                ended_at=func.coalesce(ended_at, sessions.c.created_at),
                lease_until=None,
            )
        )
        connection.execute(
            update(runs)
            .where(runs.c.session_id == session_id, runs.c.ended_at.is_(None))
            .values(end_reason="interrupted", ended_at=func.coalesce(ended_at, runs.c.started_at))
        )
    return list(found)


def sessions_before(connection: Connection, time: float, limit: int) -> list[str]:
    """Return the ids of the oldest sessions that ended before a time."""
    ended_at = func.coalesce(sessions.c.ended_at, sessions.c.created_at)
    query = (
        select(sessions.c.id)
        .where(sessions.c.status.not_in(_UNFINISHED), ended_at < time)
        .order_by(sessions.c.created_at)
        .limit(limit)
    )
    return list(connection.scalars(query))


def delete_sessions(connection: Connection, ids: Sequence[str]) -> DeletedSessions:
    """Delete everything of these sessions."""
    found = connection.scalars(select(sessions.c.id).where(sessions.c.id.in_(ids))).all()
    removed = _all(connection, select(artifacts).where(artifacts.c.session_id.in_(ids)))
    for table in METADATA.tables.values():
        column = table.c.id if table is sessions else table.c.session_id
        connection.execute(delete(table).where(column.in_(ids)))
    return DeletedSessions(sessions=tuple(found), artifacts=tuple(removed))
