"""Turns the events of a session into rows. No I/O, and time comes with the events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, final

import attrs

from trio_realtime._redaction import redact_url
from trio_realtime.prices import PriceTable
from trio_realtime.server.rpc import RpcEvent

from .call_rows import CallRows
from .item_rows import ItemRows, is_in_progress, item_of, without_media
from .row_builders import error_text, id_of, mapping_of, price_of, sequence_of, upsert, usage_values
from .rows import Row, as_float, as_int, as_text, without_content

__all__ = ["SessionFacts", "SessionJournal", "StoredEvents"]

Handler: TypeAlias = Callable[[RpcEvent], list[Row]]

_DELTAS: Final = frozenset(
    {
        "realtime_text_delta",
        "realtime_transcript_delta",
        "realtime_tool_arguments_delta",
        "realtime_user_transcript_delta",
    }
)
_LAST_SEQ_INTERVAL: Final = 1.0  # seconds


@attrs.frozen(kw_only=True)
class StoredEvents:
    """Which events are stored as events. All others are; what they say is in the other tables.

    Attributes:
        deltas: more of a text, a transcript or arguments, and reports about items that still grow.
        audio: that audio was received. Its bytes are never stored.
        raw: that an event of the service was received. Its frame is never stored.
    """

    deltas: bool = False
    audio: bool = False
    raw: bool = False

    def includes(self, event: RpcEvent) -> bool:
        """Return whether the event is stored."""
        if event.type in _DELTAS:
            return self.deltas
        if event.type == "realtime_history_updated":
            return self.deltas or not is_in_progress(item_of(event))
        if event.type == "realtime_audio":
            return self.audio
        return self.raw or event.type != "realtime_raw_model_event"


def _redacted(url: str | None) -> str | None:
    return None if url is None else redact_url(url)


@attrs.frozen(kw_only=True)
class SessionFacts:
    """What is known about a session before it begins.

    Attributes:
        tenant, agent, project: names.
        transport: ``web``, ``twilio``, ``openai`` or ``library``.
        model: the model.
        endpoint: the URL of the service. Credentials in it are not stored.
        metadata: values of the application, as JSON.
        parent_session_id: the session that this one continues.
        owner_node: the process that runs the session.
        lease_until: until when it does, in seconds since the Unix epoch.
    """

    tenant: str | None = None
    agent: str | None = None
    project: str | None = None
    transport: str | None = None
    model: str | None = None
    endpoint: str | None = attrs.field(default=None, converter=_redacted)
    metadata: Mapping[str, Any] | None = None
    parent_session_id: str | None = None
    owner_node: str | None = None
    lease_until: float | None = None


@final
class SessionJournal:
    """Turns the events of one run of a session into rows.

    No method raises, whatever the events contain: their values come from a service. Events of unknown types
    are stored, and have no other effect.

    Args:
        facts: what is known about the session.
        stored: which events are stored as events.
        opt_out: store that things happened, and nothing of what was said, called or answered: no texts,
            arguments, outputs, payloads of events or messages of errors.
        earlier_items: the ids of the items of earlier runs that the session begins with. They are stored already.
        prices: what usage costs; without it, no prices are stored.
    """

    def __init__(
        self,
        facts: SessionFacts = SessionFacts(),
        *,
        stored: StoredEvents = StoredEvents(),
        opt_out: bool = False,
        earlier_items: Iterable[str] = (),
        prices: PriceTable | None = None,
    ) -> None:
        self._facts = {
            name: value
            for name, value in attrs.asdict(facts, recurse=False).items()
            if value is not None
        }
        self._stored = stored
        self._opt_out = opt_out
        self._prices = prices
        self._created_at: float | None = None
        self._last_seq_at = -float("inf")
        self._connection = 0
        self._connection_is_open = False
        self._provider_session_id: str | None = None
        self._items = ItemRows(earlier_items)
        self._calls = CallRows()
        self._handlers = self._all_handlers()

    def session_row(
        self, session_id: str, *, time: float, values: Mapping[str, Any] | None = None
    ) -> Row:
        """Return a row of ``sessions``: to create the session, or to change some of its columns.

        Args:
            session_id: the session.
            time: now, in seconds since the Unix epoch.
            values: the columns to change, such as ``status``, ``metadata`` or ``lease_until``.
        """
        if self._created_at is None:
            self._created_at = time
        # The row exists and has its facts even if an earlier one was dropped.
        initial = {"status": "created", "created_at": self._created_at, **self._facts}
        changes = values or {}
        row = Row(
            table="sessions",
            values={"id": session_id, **changes},
            initial={name: value for name, value in initial.items() if name not in changes},
        )
        return without_content(row) if self._opt_out else row

    def record(self, event: RpcEvent) -> list[Row]:
        """Return the rows that an event inserts or changes.

        The last row has the number of the event as the session's ``last_seq``. Of events without rows of
        their own, only one in a second has one.
        """
        handler = self._handlers.get(event.type)
        rows = [] if handler is None else handler(event)
        if self._stored.includes(event):
            rows.append(_event_row(event))
        if rows or abs(event.time - self._last_seq_at) >= _LAST_SEQ_INTERVAL:
            self._last_seq_at = event.time
            rows.append(self._session(event, {"last_seq": event.seq}))
        return [without_content(row) for row in rows] if self._opt_out else rows

    def _all_handlers(self) -> dict[str, Handler]:
        items, calls = self._items, self._calls
        return {
            "run_started": self._run_started,
            "run_connected": self._run_connected,
            "run_ended": self._run_ended,
            "realtime_session_ended": self._session_ended,
            "realtime_settings_updated": self._settings_updated,
            "realtime_reconnecting": self._reconnecting,
            "realtime_reconnected": self._reconnected,
            "realtime_agent_start": self._agent_started,
            "realtime_handoff": self._handed_off,
            "realtime_response_start": self._response_started,
            "realtime_response_end": self._response_ended,
            "realtime_history_added": self._history_added,
            "realtime_history_updated": self._history_updated,
            "realtime_text_delta": items.of_response,
            "realtime_transcript_delta": items.of_response,
            "realtime_audio_start": self._audio_started,
            "realtime_audio": self._audio_received,
            "realtime_audio_interrupted": items.interrupted,
            "realtime_speech_started": items.spoken_by_user,
            "realtime_speech_stopped": items.spoken_by_user,
            "realtime_user_transcript": self._user_transcript,
            "realtime_tool_approval_required": calls.approval_required,
            "realtime_tool_start": calls.started,
            "realtime_tool_answered_early": calls.answered_early,
            "realtime_tool_end": calls.ended,
            "realtime_tool_cancelled": calls.cancelled,
            "realtime_mcp_tool_call_completed": calls.hosted,
        }

    # --- the session and its runs --------------------------------------------------------------

    def _session(self, event: RpcEvent, values: Mapping[str, Any]) -> Row:
        return self.session_row(event.session_id, time=event.time, values=values)

    def _run(self, event: RpcEvent, values: Mapping[str, Any]) -> Row:
        return upsert("runs", {"run_id": event.run_id}, values, {"session_id": event.session_id})

    def _run_started(self, event: RpcEvent) -> list[Row]:
        for name in ("agent", "tenant", "model", "endpoint"):
            value = as_text(event.data.get(name))
            if value is not None:
                self._facts.setdefault(name, redact_url(value) if name == "endpoint" else value)
        # A session that is continued has not ended.
        ends = dict.fromkeys(("ended_at", "end_by", "end_reason", "end_detail"))
        session = self._session(event, {"status": "running", **ends})
        session = attrs.evolve(session, initial={**session.initial, "started_at": event.time})
        return [session, self._run(event, {"started_at": event.time})]

    def _run_connected(self, event: RpcEvent) -> list[Row]:
        connection = self._open_connection(event, {"reason": "initial"})
        return [self._run(event, {"connected_at": event.time}), *connection]

    def _session_ended(self, event: RpcEvent) -> list[Row]:
        end = mapping_of(event.data, "end")
        closing = {
            "close_code": as_int(end.get("code")),
            "close_reason": as_text(end.get("close_reason")) or None,
        }
        unheard = as_int(end.get("unheard_audio_ms"))
        rows = self._ended(event, end, {**closing, "unheard_audio_ms": unheard})
        return [*rows, *self._close_connection(event, closing)]

    def _run_ended(self, event: RpcEvent) -> list[Row]:
        return [*self._ended(event, event.data, {}), *self._close_connection(event, {})]

    def _ended(
        self, event: RpcEvent, end: Mapping[str, Any], run_values: Mapping[str, Any]
    ) -> list[Row]:
        error = mapping_of(end, "error")
        values = {
            "ended_at": event.time,
            "end_by": as_text(end.get("by")),
            "end_reason": as_text(end.get("reason")),
            "end_detail": as_text(end.get("message")) or error_text(error),
        }
        duration = as_float(end.get("duration"))
        known = {name: value for name, value in values.items() if value is not None}
        return [
            self._session(event, {"status": "failed" if error else "ended", **known}),
            self._run(event, {**values, "duration": duration, **run_values}),
        ]

    # --- connections ---------------------------------------------------------------------------

    def _connection_row(self, event: RpcEvent, values: Mapping[str, Any]) -> Row:
        key = {"session_id": event.session_id, "run_id": event.run_id, "n": self._connection}
        return upsert("connections", key, values)

    def _open_connection(self, event: RpcEvent, values: Mapping[str, Any]) -> list[Row]:
        self._connection += 1
        self._connection_is_open = True
        opened = {"opened_at": event.time, "provider_session_id": self._provider_session_id}
        return [self._connection_row(event, {**opened, **values})]

    def _close_connection(self, event: RpcEvent, values: Mapping[str, Any]) -> list[Row]:
        if not self._connection_is_open:
            return []
        self._connection_is_open = False
        self._provider_session_id = None  # each connection has another one
        return [self._connection_row(event, {"closed_at": event.time, **values})]

    def _settings_updated(self, event: RpcEvent) -> list[Row]:
        provider_session_id = id_of(mapping_of(event.data, "session"), "id")
        if provider_session_id in (None, self._provider_session_id):
            return []
        self._provider_session_id = provider_session_id
        if not self._connection_is_open:
            return []
        return [self._connection_row(event, {"provider_session_id": provider_session_id})]

    def _reconnecting(self, event: RpcEvent) -> list[Row]:
        error = mapping_of(event.data, "error")
        code, message = as_int(error.get("code")), error_text(error)
        reason = error_text({"type": error.get("type")}) if self._opt_out else message
        return self._close_connection(event, {"close_code": code, "close_reason": reason})

    def _reconnected(self, event: RpcEvent) -> list[Row]:
        data = event.data
        restored = data.get("state_restored")
        # A refresh uses the old connection until the new one is ready.
        is_refresh = self._connection_is_open
        closed = self._close_connection(event, {})
        values = {
            "reason": "refresh" if is_refresh else "drop",
            "attempts": as_int(data.get("attempts")),
            "items_sent": as_int(data.get("items_sent")),
            "items_acknowledged": as_int(data.get("items_acknowledged")),
            "lost_audio_ms": as_int(data.get("lost_audio_ms")),
            "state_restored": restored if isinstance(restored, bool) else None,
        }
        return [*closed, *self._open_connection(event, values)]

    # --- agents and responses ------------------------------------------------------------------

    def _agent_started(self, event: RpcEvent) -> list[Row]:
        self._items.agent = as_text(event.data.get("agent"))
        return []

    def _handed_off(self, event: RpcEvent) -> list[Row]:
        self._items.agent = as_text(event.data.get("to_agent"))
        return []

    def _response_row(
        self, event: RpcEvent, values: Mapping[str, Any], initial: Mapping[str, Any] | None = None
    ) -> list[Row]:
        response_id = id_of(event.data, "response_id")
        if response_id is None:
            return []
        key = {"session_id": event.session_id, "response_id": response_id}
        return [upsert("responses", key, {"run_id": event.run_id, **values}, initial)]

    def _response_started(self, event: RpcEvent) -> list[Row]:
        agent = self._items.agent = as_text(event.data.get("agent"))
        values = {"agent": agent, "started_at": event.time}
        return self._response_row(event, values, {"status": "in_progress"})

    def _response_ended(self, event: RpcEvent) -> list[Row]:
        data = event.data
        values = {
            "agent": as_text(data.get("agent")),
            "status": as_text(data.get("status")),
            "reason": as_text(data.get("reason")),
            "message": as_text(data.get("message")),
            "tool_calls": as_int(data.get("tool_calls")),
            "ended_at": event.time,
        }
        return [*self._response_row(event, values), *self._usage(event, "response")]

    def _audio_started(self, event: RpcEvent) -> list[Row]:
        first = self._response_row(event, {}, {"first_audio_at": event.time})
        return [*first, *self._items.of_response(event)]

    def _audio_received(self, event: RpcEvent) -> list[Row]:
        self._items.audio(event)
        return []

    # --- items and usage -----------------------------------------------------------------------

    def _history_added(self, event: RpcEvent) -> list[Row]:
        return self._items.changed(event, item_of(event))

    def _history_updated(self, event: RpcEvent) -> list[Row]:
        rows: list[Row] = []
        for item in (*sequence_of(event.data, "history"), item_of(event)):
            rows += self._items.changed(event, item)
        deleted = id_of(event.data, "deleted_item_id")
        return rows if deleted is None else [*rows, *self._items.deleted(event, deleted)]

    def _user_transcript(self, event: RpcEvent) -> list[Row]:
        return [*self._items.transcribed(event), *self._usage(event, "transcription")]

    def _usage(self, event: RpcEvent, kind: str) -> list[Row]:
        usage = mapping_of(event.data, "usage")
        if not usage:
            return []
        # The number of the event makes the row the same whenever the event is recorded again.
        key = {"session_id": event.session_id, "run_id": event.run_id, "n": event.seq}
        links = {name: id_of(event.data, name) for name in ("response_id", "item_id")}
        values = usage_values(usage)
        if self._prices is not None:
            values["price"] = price_of(values, kind, self._prices)
        return [upsert("usage", key, {"kind": kind, **links, **values})]


def _event_row(event: RpcEvent) -> Row:
    data = event.data
    return Row(
        table="events",
        mode="insert",
        values={
            "session_id": event.session_id,
            "seq": event.seq,
            "run_id": event.run_id,
            "time": event.time,
            "type": event.type,
            "item_id": id_of(data, "item_id") or id_of(item_of(event), "id"),
            "response_id": id_of(data, "response_id"),
            "payload": _payload(event),
        },
    )


def _payload(event: RpcEvent) -> Mapping[str, Any]:
    """Return the data of an event without audio, images and frames."""
    payload = {name: value for name, value in event.data.items() if name not in ("audio", "frame")}
    if "item" in payload and isinstance(payload["item"], Mapping):
        payload["item"] = without_media(item_of(event))
    if "history" in payload:
        payload["history"] = [without_media(item) for item in sequence_of(event.data, "history")]
    return payload
