"""Create the tables.

Revision ID: 0001
"""

# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final[str | None] = None
branch_labels: Final[str | None] = None
depends_on: Final[str | None] = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "artifacts",
        sa.Column("id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("content_type", sa.String(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=True),
        sa.Column("state", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
    )
    op.create_index(op.f("ix_artifacts_session_id"), "artifacts", ["session_id"], unique=False)
    op.create_table(
        "audio_chunks",
        sa.Column("session_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("track", sa.String(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("item_id", sa.String(), nullable=True),
        sa.Column("content_index", sa.BigInteger(), nullable=True),
        sa.Column("file", sa.String(), nullable=True),
        sa.Column("offset", sa.BigInteger(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("format", sa.String(), nullable=True),
        sa.Column("position_ms", sa.Double(), nullable=True),
        sa.Column("duration_ms", sa.Double(), nullable=True),
        sa.Column("delta_ms", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("session_id", "run_id", "track", "n", name=op.f("pk_audio_chunks")),
    )
    op.create_table(
        "connections",
        sa.Column("session_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("provider_session_id", sa.String(), nullable=True),
        sa.Column("opened_at", sa.Double(), nullable=True),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.Column("close_code", sa.BigInteger(), nullable=True),
        sa.Column("close_reason", sa.Text(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), nullable=True),
        sa.Column("items_sent", sa.BigInteger(), nullable=True),
        sa.Column("items_acknowledged", sa.BigInteger(), nullable=True),
        sa.Column("lost_audio_ms", sa.BigInteger(), nullable=True),
        sa.Column("state_restored", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("session_id", "run_id", "n", name=op.f("pk_connections")),
    )
    op.create_table(
        "events",
        sa.Column("session_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=True),
        sa.Column("response_id", sa.String(), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("session_id", "seq", name=op.f("pk_events")),
    )
    op.create_table(
        "items",
        sa.Column("session_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("item_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("ord", sa.Double(), nullable=True),
        sa.Column("role", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("heard_text", sa.Text(), nullable=True),
        sa.Column("audio_start_ms", sa.BigInteger(), nullable=True),
        sa.Column("audio_end_ms", sa.BigInteger(), nullable=True),
        sa.Column("interrupted_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("response_id", sa.String(), nullable=True),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=True),
        sa.Column("deleted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "item_id", name=op.f("pk_items")),
    )
    op.create_table(
        "responses",
        sa.Column("session_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("response_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("first_audio_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("tool_calls", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("session_id", "response_id", name=op.f("pk_responses")),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("connected_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("end_by", sa.String(), nullable=True),
        sa.Column("end_reason", sa.String(), nullable=True),
        sa.Column("end_detail", sa.Text(), nullable=True),
        sa.Column("close_code", sa.BigInteger(), nullable=True),
        sa.Column("close_reason", sa.Text(), nullable=True),
        sa.Column("duration", sa.Double(), nullable=True),
        sa.Column("unheard_audio_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_session_id"), "runs", ["session_id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.String(), nullable=True),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("project", sa.String(), nullable=True),
        sa.Column("transport", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("end_by", sa.String(), nullable=True),
        sa.Column("end_reason", sa.String(), nullable=True),
        sa.Column("end_detail", sa.Text(), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("endpoint", sa.String(), nullable=True),
        sa.Column("parent_session_id", sa.String(), nullable=True),
        sa.Column("owner_node", sa.String(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("last_seq", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index(
        op.f("ix_sessions_created_at_id"), "sessions", ["created_at", "id"], unique=False
    )
    op.create_index(
        op.f("ix_sessions_status_owner_node"), "sessions", ["status", "owner_node"], unique=False
    )
    op.create_index(
        op.f("ix_sessions_tenant_created_at"), "sessions", ["tenant", "created_at"], unique=False
    )
    op.create_table(
        "tool_calls",
        sa.Column("session_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("call_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("server_label", sa.String(), nullable=True),
        sa.Column("arguments", sa.Text(), nullable=True),
        sa.Column("state", sa.String(), nullable=True),
        sa.Column("output", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("requested_at", sa.Double(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("duration", sa.Double(), nullable=True),
        sa.Column("response_id", sa.String(), nullable=True),
        sa.Column("approval", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("session_id", "call_id", name=op.f("pk_tool_calls")),
    )
    op.create_table(
        "usage",
        sa.Column("session_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("response_id", sa.String(), nullable=True),
        sa.Column("item_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("total_tokens", sa.BigInteger(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("input_text_tokens", sa.BigInteger(), nullable=True),
        sa.Column("input_audio_tokens", sa.BigInteger(), nullable=True),
        sa.Column("input_image_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_text_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_audio_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_image_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_text_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_audio_tokens", sa.BigInteger(), nullable=True),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("price", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("session_id", "run_id", "n", name=op.f("pk_usage")),
    )


def downgrade() -> None:
    """Delete the tables."""
