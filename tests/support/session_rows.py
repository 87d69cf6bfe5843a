"""Rows and events of sessions, for tests of the history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trio_realtime.server.rpc import RpcEvent
from trio_realtime.server.store import Row, SessionJournal

SESSION = "session_1"
RUN = "run_1"


def event_row(seq: int, session_id: str = SESSION, payload: object = None) -> Row:
    values = {"session_id": session_id, "seq": seq, "run_id": RUN, "time": float(seq)}
    return Row(
        table="events",
        mode="insert",
        values={**values, "type": "realtime_agent_start", "payload": payload},
    )


def chunk_row(n: int, session_id: str = SESSION) -> Row:
    key = {"session_id": session_id, "run_id": RUN, "track": "user", "n": n}
    return Row(table="audio_chunks", values={**key, "bytes": 960})


def session_row(session_id: str = SESSION, **values: Any) -> Row:
    initial = {"status": "created", "created_at": 1.0}
    return Row(
        table="sessions",
        values={"id": session_id, **values},
        initial={name: value for name, value in initial.items() if name not in values},
    )


def rpc_event(seq: int, kind: str, data: Mapping[str, Any] | None = None, **more: Any) -> RpcEvent:
    values = {"session_id": SESSION, "run_id": RUN, "time": 1000.0 + seq, **more}
    return RpcEvent(type=kind, seq=seq, data=data or {}, **values)


def record_all(
    journal: SessionJournal,
    events: Iterable[tuple[str, Mapping[str, Any]]],
    *,
    first_seq: int = 1,
    **more: Any,
) -> list[Row]:
    """Return the rows of events that follow one another."""
    rows: list[Row] = []
    for seq, (kind, data) in enumerate(events, first_seq):
        rows += journal.record(rpc_event(seq, kind, data, **more))
    return rows


def apply(rows: Iterable[Row]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the rows of a database after writing rows one after the other. A model of the statements."""
    state: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        if row.key not in state:
            state[row.key] = {**row.initial, **row.values}
        elif row.mode == "upsert":
            stored = state[row.key]
            for name, value in row.initial.items():
                if stored.get(name) is None:
                    stored[name] = value
            stored.update(row.values)
    return {key: _known(values) for key, values in state.items()}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def table(rows: Sequence[Row], name: str) -> list[dict[str, Any]]:
    """Return the final rows of one table."""
    return [values for key, values in apply(rows).items() if key[0] == name]


def message(item_id: str, role: str, text: str, **more: Any) -> dict[str, Any]:
    part = {"type": "output_audio" if role == "assistant" else "input_audio", "transcript": text}
    return {
        "type": "message",
        "id": item_id,
        "role": role,
        "status": "completed",
        "content": [part],
        **more,
    }
