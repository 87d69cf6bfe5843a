"""The tables of the history.

Times are seconds since the Unix epoch. Names that end in ``_ms`` are milliseconds of audio.

There are no foreign keys: rows are written behind the session, and under pressure some are dropped. A
row must not be refused because another one was dropped. Nothing requires that an item has a response,
or that usage is in tokens.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    MetaData,
    String,
    Table,
    Text,
    false,
)

__all__ = [
    "CONTENT_COLUMNS",
    "METADATA",
    "artifacts",
    "audio_chunks",
    "connections",
    "events",
    "items",
    "responses",
    "runs",
    "sessions",
    "tool_calls",
    "usage",
]

METADATA: Final = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
)
"""All tables of the history. Migrations create exactly these."""

_JSON: Final = JSON(none_as_null=True)


def _key(name: str, column_type: type[Any] = String) -> Column[Any]:
    return Column(name, column_type, primary_key=True, autoincrement=False)


sessions: Final = Table(
    "sessions",
    METADATA,
    _key("id"),
    Column("tenant", String),
    Column("agent", String),
    Column("project", String),
    Column("transport", String),  # web, twilio, openai, library
    Column("status", String, nullable=False),  # created, running, ended, failed, interrupted
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("end_by", String),
    Column("end_reason", String),
    Column("end_detail", Text),
    Column("metadata", _JSON),
    Column("model", String),
    Column("endpoint", String),  # redacted
    Column("parent_session_id", String),
    Column("owner_node", String),
    Column("lease_until", Double),
    Column("last_seq", BigInteger),
    Index(None, "created_at", "id"),
    Index(None, "tenant", "created_at"),
    Index(None, "status", "owner_node"),
)

runs: Final = Table(
    "runs",
    METADATA,
    _key("run_id"),
    Column("session_id", String, nullable=False),
    Column("started_at", Double),
    Column("connected_at", Double),
    Column("ended_at", Double),
    Column("end_by", String),
    Column("end_reason", String),
    Column("end_detail", Text),
    Column("close_code", BigInteger),
    Column("close_reason", Text),
    Column("duration", Double),  # seconds from the connection to the end
    Column("unheard_audio_ms", BigInteger),
    Index(None, "session_id"),
)

connections: Final = Table(
    "connections",
    METADATA,
    _key("session_id"),
    _key("run_id"),
    _key("n", BigInteger),
    Column("provider_session_id", String),
    Column("opened_at", Double),
    Column("closed_at", Double),
    Column("close_code", BigInteger),
    Column("close_reason", Text),
    Column("reason", String),  # initial, drop, refresh
    Column("attempts", BigInteger),
    Column("items_sent", BigInteger),
    Column("items_acknowledged", BigInteger),
    Column("lost_audio_ms", BigInteger),
    Column("state_restored", Boolean),
)

events: Final = Table(
    "events",
    METADATA,
    _key("session_id"),
    _key("seq", BigInteger),
    Column("run_id", String),
    Column("time", Double, nullable=False),
    Column("type", String, nullable=False),
    Column("item_id", String),
    Column("response_id", String),
    Column("payload", _JSON),
)

items: Final = Table(
    "items",
    METADATA,
    _key("session_id"),
    _key("item_id"),
    Column("ord", Double),
    Column("role", String),
    Column("kind", String),
    Column("status", String),
    Column("text", Text),
    Column("heard_text", Text),
    Column("audio_start_ms", BigInteger),
    Column("audio_end_ms", BigInteger),
    Column("interrupted_at_ms", BigInteger),
    Column("response_id", String),
    Column("agent", String),
    Column("created_at", Double),
    Column("deleted", Boolean, nullable=False, server_default=false()),
)

responses: Final = Table(
    "responses",
    METADATA,
    _key("session_id"),
    _key("response_id"),
    Column("run_id", String),
    Column("agent", String),
    Column("status", String),
    Column("reason", String),
    Column("message", Text),
    Column("started_at", Double),
    Column("first_audio_at", Double),
    Column("ended_at", Double),
    Column("tool_calls", BigInteger),
)

tool_calls: Final = Table(
    "tool_calls",
    METADATA,
    _key("session_id"),
    _key("call_id"),
    Column("run_id", String),
    Column("name", String),
    Column("agent", String),
    Column("server_label", String),  # of a hosted MCP server
    Column("arguments", Text),
    # approval_required, running, answered_early, cancelled, or the outcome
    Column("state", String),
    Column("output", Text),
    Column("error", Text),
    Column("requested_at", Double),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("duration", Double),  # seconds
    Column("response_id", String),
    Column("approval", String),  # required, approved, rejected
)

artifacts: Final = Table(
    "artifacts",
    METADATA,
    _key("id"),
    Column("session_id", String, nullable=False),
    Column("run_id", String),
    Column("kind", String),
    Column("url", Text),
    Column("bytes", BigInteger),
    Column("sha256", String),
    Column("content_type", String),
    Column("duration_ms", BigInteger),
    Column("created_at", Double),
    Column("state", String),
    Index(None, "session_id"),
)

audio_chunks: Final = Table(
    "audio_chunks",
    METADATA,
    _key("session_id"),
    _key("run_id"),
    _key("track"),
    _key("n", BigInteger),
    Column("item_id", String),
    Column("content_index", BigInteger),
    Column("file", String),
    Column("offset", BigInteger),
    Column("bytes", BigInteger),
    Column("format", String),
    Column("position_ms", Double),
    Column("duration_ms", Double),
    Column("delta_ms", Double),
)

usage: Final = Table(
    "usage",
    METADATA,
    _key("session_id"),
    _key("run_id"),
    _key("n", BigInteger),
    Column("response_id", String),
    Column("item_id", String),
    Column("kind", String, nullable=False),  # response, transcription, session
    Column("unit", String, nullable=False),  # tokens, seconds
    Column("total_tokens", BigInteger),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("input_text_tokens", BigInteger),
    Column("input_audio_tokens", BigInteger),
    Column("input_image_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cached_text_tokens", BigInteger),
    Column("cached_audio_tokens", BigInteger),
    Column("cached_image_tokens", BigInteger),
    Column("output_text_tokens", BigInteger),
    Column("output_audio_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("seconds", Double),
    Column("price", Double),
)

CONTENT_COLUMNS: Final[dict[str, frozenset[str]]] = {
    "sessions": frozenset({"end_detail"}),
    "runs": frozenset({"end_detail"}),
    "events": frozenset({"payload"}),
    "items": frozenset({"text", "heard_text"}),
    "responses": frozenset({"message"}),
    "tool_calls": frozenset({"arguments", "output", "error"}),
}
"""The columns that have what was said, called or answered. A session with ``opt_out`` stores none of
them: an error message may quote it."""
