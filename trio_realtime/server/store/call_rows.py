"""Tool calls as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from trio_realtime.server.rpc import RpcEvent

from .item_rows import item_of
from .row_builders import error_text, id_of, mapping_of, upsert
from .rows import Row, as_float, as_text

__all__ = ["CallRows"]


@final
class CallRows:
    """Makes the rows of ``tool_calls``. Methods return the rows that an event changes."""

    def __init__(self) -> None:
        self._waiting: set[str] = set()  # calls that wait for approval

    def approval_required(self, event: RpcEvent) -> list[Row]:
        """Return the row of a call that waits for approval."""
        call_id = id_of(event.data, "call_id")
        if call_id is not None:
            self._waiting.add(call_id)
        return self._row(event, {"state": "approval_required", "approval": "required"})

    def started(self, event: RpcEvent) -> list[Row]:
        """Return the row of a call whose tool runs."""
        values: dict[str, Any] = {"state": "running", "started_at": event.time}
        return self._row(event, {**values, **self._decision(event, "approved")})

    def answered_early(self, event: RpcEvent) -> list[Row]:
        """Return the row of a call that was answered before its tool ended."""
        output = as_text(event.data.get("output_text"))
        return self._row(event, {"state": "answered_early", "output": output})

    def ended(self, event: RpcEvent) -> list[Row]:
        """Return the row of a call that was answered."""
        outcome = as_text(event.data.get("outcome"))
        decision = "rejected" if outcome == "rejected" else "approved"
        values = {
            "state": outcome,
            "output": as_text(event.data.get("output_text")),
            "error": error_text(mapping_of(event.data, "error")),
            "ended_at": event.time,
            "duration": as_float(event.data.get("duration")),
        }
        return self._row(event, {**values, **self._decision(event, decision)})

    def cancelled(self, event: RpcEvent) -> list[Row]:
        """Return the row of a call that an interruption cancelled."""
        # The text is empty for a call that was answered early, whose answer stays.
        output = as_text(event.data.get("output_text")) or None
        self._waiting.discard(id_of(event.data, "call_id") or "")
        return self._row(event, {"state": "cancelled", "output": output, "ended_at": event.time})

    def hosted(self, event: RpcEvent) -> list[Row]:
        """Return the row of a call that the service made."""
        item = item_of(event)
        approval_id = id_of(item, "approval_request_id")
        call_id = approval_id or id_of(item, "id")
        if call_id is None:
            return []
        error = mapping_of(item, "error")
        self._waiting.discard(call_id)
        values = {
            "run_id": event.run_id,
            "name": as_text(item.get("name")),
            "server_label": as_text(item.get("server_label")),
            "arguments": as_text(item.get("arguments")),
            "state": "failed" if error else "completed",
            "output": as_text(item.get("output")),
            "error": error_text(error),
            "ended_at": event.time,
            "approval": None if approval_id is None else "approved",
        }
        key = {"session_id": event.session_id, "call_id": call_id}
        return [upsert("tool_calls", key, values, {"requested_at": event.time})]

    def _decision(self, event: RpcEvent, decision: str) -> Mapping[str, Any]:
        call_id = id_of(event.data, "call_id")
        if call_id is None or call_id not in self._waiting:
            return {}
        self._waiting.discard(call_id)
        return {"approval": decision}

    def _row(self, event: RpcEvent, values: Mapping[str, Any]) -> list[Row]:
        data = event.data
        call_id = id_of(data, "call_id")
        if call_id is None:
            return []
        common = {
            "run_id": event.run_id,
            "name": as_text(data.get("tool_name")) or as_text(data.get("tool")),
            "agent": as_text(data.get("agent")),
            "server_label": as_text(data.get("server_label")),
            "arguments": as_text(data.get("arguments")),
            "response_id": id_of(data, "response_id"),
        }
        key = {"session_id": event.session_id, "call_id": call_id}
        return [upsert("tool_calls", key, {**common, **values}, {"requested_at": event.time})]
