"""The journal: which rows the events of a session become."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from sqlalchemy import Engine, StaticPool, create_engine

from support.session_rows import (
    RUN,
    SESSION,
    apply,
    message,
    record_all,
    rpc_event,
    table,
)
from trio_realtime.prices import PriceTable
from trio_realtime.server.rpc import RpcEvent
from trio_realtime.server.store import (
    Row,
    SessionFacts,
    SessionJournal,
    StoredEvents,
    audio_chunk_row,
    usage_row,
)
from trio_realtime.server.store.item_rows import heard_text
from trio_realtime.server.store.rows import merge_rows, storable
from trio_realtime.server.store.tables import CONTENT_COLUMNS, METADATA
from trio_realtime.server.store.writing import BatchWriter

Events = list[tuple[str, Mapping[str, Any]]]

END = {
    "end": {
        "by": "service",
        "reason": "closed_by_service",
        "code": 1001,
        "close_reason": "going away",
        "duration": 12.5,
        "error": {"type": "ClosedByService", "message": "the service went away"},
        "unheard_audio_ms": 40,
    }
}


def rows_of(events: Events, journal: SessionJournal | None = None, **more: Any) -> list[Row]:
    return record_all(journal or SessionJournal(), events, **more)


def one(rows: list[Row], name: str) -> dict[str, Any]:
    (row,) = table(rows, name)
    return row


def item_events(*items: Mapping[str, Any], previous: str | None = None) -> Events:
    return [
        ("realtime_history_added", {"item": item, "previous_item_id": previous}) for item in items
    ]


# --- the session and its runs ------------------------------------------------------------------


def test_a_session_has_its_facts_from_the_beginning() -> None:
    facts = SessionFacts(
        tenant="t",
        agent="support",
        transport="web",
        endpoint="wss://user:secret@example.com/v1/realtime?key=secret&model=m",
        metadata={"order": 7},
        owner_node="node-1",
    )
    row = one([SessionJournal(facts).session_row(SESSION, time=5.0)], "sessions")
    assert row["endpoint"] == "wss://***@example.com/v1/realtime?***&model=m"
    assert (row["status"], row["created_at"], row["metadata"]) == ("created", 5.0, {"order": 7})


def test_any_row_of_the_session_creates_it_if_the_first_one_was_dropped() -> None:
    journal = SessionJournal(SessionFacts(tenant="t"))
    journal.session_row(SESSION, time=5.0)
    rows = journal.record(rpc_event(9, "realtime_speech_started"))
    session = one(rows, "sessions")
    assert (session["tenant"], session["created_at"], session["last_seq"]) == ("t", 5.0, 9)


def test_a_run_from_its_beginning_to_its_end() -> None:
    rows = rows_of(
        [
            ("run_started", {"agent": "a", "model": "m", "endpoint": "wss://u:p@host/"}),
            ("run_connected", {}),
            ("run_ended", {"by": "user", "reason": "hung_up", "duration": 3.5, "failures": []}),
        ]
    )
    session, run = one(rows, "sessions"), one(rows, "runs")
    assert session == {
        "id": SESSION,
        "agent": "a",
        "model": "m",
        "endpoint": "wss://***@host/",
        "status": "ended",
        "created_at": 1001.0,
        "started_at": 1001.0,
        "ended_at": 1003.0,
        "end_by": "user",
        "end_reason": "hung_up",
        "last_seq": 3,
    }
    assert run == {
        "run_id": RUN,
        "session_id": SESSION,
        "started_at": 1001.0,
        "connected_at": 1002.0,
        "ended_at": 1003.0,
        "end_by": "user",
        "end_reason": "hung_up",
        "duration": 3.5,
    }


def test_a_session_that_failed() -> None:
    rows = rows_of([("run_started", {}), ("run_connected", {}), ("realtime_session_ended", END)])
    session, run = one(rows, "sessions"), one(rows, "runs")
    assert session["status"] == "failed"
    assert session["end_detail"] == "ClosedByService: the service went away"
    assert (run["close_code"], run["close_reason"], run["unheard_audio_ms"]) == (
        1001,
        "going away",
        40,
    )
    connection = one(rows, "connections")
    assert (connection["closed_at"], connection["close_code"]) == (1003.0, 1001)


def test_a_session_that_is_continued_has_not_ended() -> None:
    first = rows_of([("run_started", {}), ("run_ended", {"by": "network", "reason": "x"})])
    second = rows_of([("run_started", {})], first_seq=3, run_id="run_2")
    session = one([*first, *second], "sessions")
    assert session["status"] == "running"
    assert session["started_at"] == 1001.0
    assert "ended_at" not in session
    assert "end_reason" not in session
    assert [run["run_id"] for run in table([*first, *second], "runs")] == [RUN, "run_2"]


def test_columns_of_the_session_can_be_changed() -> None:
    journal = SessionJournal(SessionFacts(owner_node="n", lease_until=1.0))
    rows = [
        journal.session_row(SESSION, time=1.0),
        journal.session_row(SESSION, time=2.0, values={"lease_until": 30.0}),
    ]
    session = one(rows, "sessions")
    assert (session["lease_until"], session["created_at"]) == (30.0, 1.0)


# --- connections -------------------------------------------------------------------------------


def test_connections_that_are_lost_and_replaced() -> None:
    restored = {"attempts": 2, "items_sent": 5, "items_acknowledged": 4, "lost_audio_ms": 120}
    rows = rows_of(
        [
            ("realtime_settings_updated", {"session": {"id": "sess_1"}}),
            ("run_connected", {}),
            ("realtime_settings_updated", {"session": {"id": "sess_1"}}),
            ("realtime_reconnecting", {"attempt": 1, "error": {"type": "ConnectionLost"}}),
            ("realtime_reconnecting", {"attempt": 2, "error": {"type": "ConnectFailed"}}),
            ("realtime_reconnected", {**restored, "duration": 2.0, "state_restored": True}),
            ("realtime_settings_updated", {"session": {"id": "sess_2"}}),
            ("realtime_reconnected", {"attempts": 1, "duration": 0.0, "state_restored": False}),
        ]
    )
    first, second, third = table(rows, "connections")
    key = {"session_id": SESSION, "run_id": RUN}
    assert first == {
        **key,
        "n": 1,
        "provider_session_id": "sess_1",
        "opened_at": 1002.0,
        "closed_at": 1004.0,
        "close_reason": "ConnectionLost",
        "reason": "initial",
    }
    assert second == {
        **key,
        **restored,
        "n": 2,
        "provider_session_id": "sess_2",
        "opened_at": 1006.0,
        "closed_at": 1008.0,
        "reason": "drop",
        "state_restored": True,
    }
    assert (third["n"], third["reason"], third["state_restored"]) == (3, "refresh", False)
    assert "provider_session_id" not in third


# --- items -------------------------------------------------------------------------------------


def ordered(rows: list[Row]) -> list[str]:
    found = [row for row in table(rows, "items") if not row.get("deleted") and "kind" in row]
    return [row["item_id"] for row in sorted(found, key=lambda row: (row["ord"], row["item_id"]))]


def test_items_are_in_the_order_of_the_conversation() -> None:
    events = [
        *item_events(message("a", "user", "A"), message("b", "assistant", "B")),
        *item_events(message("c", "user", "C"), previous="a"),
        *item_events(message("d", "user", "D"), previous="root"),
        *item_events(message("e", "user", "E"), previous="unknown"),
    ]
    assert ordered(rows_of(events)) == ["d", "a", "c", "b", "e"]


def test_any_number_of_items_can_be_put_in_one_place() -> None:
    # The ids sort in another order than the items.
    names = [f"c{n:03}" for n in range(200)]
    events = item_events(message("m", "user", "M"), message("b", "user", "B"))
    for name in names:
        events += item_events(message(name, "user", name), previous="m")
    assert ordered(rows_of(events)) == ["m", *reversed(names), "b"]


def test_items_of_a_later_run_come_later() -> None:
    first = rows_of(
        [
            (
                "realtime_history_updated",
                {"history": [message(f"i{n}", "user", "") for n in range(9)]},
            )
        ]
    )
    second = rows_of(item_events(message("last", "user", "")), first_seq=2, run_id="run_2")
    assert ordered([*second, *first])[-1] == "last"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(-1, 30)), max_size=40))
def test_the_order_is_that_of_a_list(insertions: list[tuple[int, int]]) -> None:
    expected: list[str] = []
    events: Events = []
    for number, previous in insertions:
        name, after = f"item_{number}", f"item_{previous}"
        if name not in expected:
            place = expected.index(after) + 1 if after in expected else len(expected)
            expected.insert(place, name)
        events += item_events(message(name, "user", "x"), previous=after)
    assert ordered(rows_of(events)) == expected


def test_an_item_without_a_response_and_an_item_with_one() -> None:
    rows = rows_of(
        [
            ("realtime_speech_started", {"item_id": "u", "audio_start_ms": 100}),
            ("realtime_speech_stopped", {"item_id": "u", "audio_end_ms": 900}),
            *item_events(message("u", "user", "", status="in_progress")),
            ("realtime_user_transcript", {"item_id": "u", "transcript": "Hi."}),
            ("realtime_agent_start", {"agent": "support", "turn_id": "r"}),
            ("realtime_transcript_delta", {"item_id": "a", "response_id": "r", "delta": "Hel"}),
            ("realtime_transcript_delta", {"item_id": "a", "response_id": "r", "delta": "lo."}),
            *item_events(message("a", "assistant", "Hello.")),
        ]
    )
    user, agent = table(rows, "items")
    assert (user["audio_start_ms"], user["audio_end_ms"], user["text"]) == (100, 900, "Hi.")
    assert "response_id" not in user
    assert "agent" not in user
    assert (agent["response_id"], agent["agent"], agent["text"]) == ("r", "support", "Hello.")


def test_a_changed_and_a_deleted_item() -> None:
    rows = rows_of(
        [
            *item_events(message("a", "assistant", "Hel", status="in_progress")),
            ("realtime_history_updated", {"item": message("a", "assistant", "Hello.")}),
            ("realtime_history_updated", {"deleted_item_id": "a"}),
        ]
    )
    item = one(rows, "items")
    assert (item["text"], item["status"], item["deleted"]) == ("Hello.", "completed", True)


def test_what_was_heard_of_an_interrupted_item() -> None:
    events: Events = [
        *item_events(message("a", "assistant", "one two three four", status="in_progress")),
        ("realtime_audio", {"item_id": "a", "response_id": "r", "delta_ms": 600.0}),
        ("realtime_audio", {"item_id": "a", "response_id": "r", "delta_ms": 400.0}),
        ("realtime_audio_interrupted", {"item_id": "a", "response_id": "r", "played_ms": 500}),
    ]
    item = one(rows_of(events), "items")
    assert (item["interrupted_at_ms"], item["heard_text"]) == (500, "one two")
    complete = message("a", "assistant", "one two three four five six seven eight")
    complete["content"][0]["heard_ms"] = 250
    item = one(rows_of([*events, ("realtime_history_updated", {"item": complete})]), "items")
    assert (item["interrupted_at_ms"], item["heard_text"]) == (250, "one two")
    assert item["text"] == "one two three four five six seven eight"


@pytest.mark.parametrize(
    ("played_ms", "total_ms", "expected"),
    [
        (0, 0, ""),
        (0, 1000, ""),
        (1, 1000, ""),
        (500, 1000, "one"),
        (550, 1000, "one two"),
        (999, 1000, "one two"),
        (1000, 1000, "one two three"),
        (2000, 1000, "one two three"),
        (500, 0, None),
    ],
)
def test_whole_words_were_heard(played_ms: float, total_ms: float, expected: str | None) -> None:
    assert heard_text("one two three", played_ms, total_ms) == expected


# --- responses, tool calls and usage -----------------------------------------------------------


def test_usage_has_its_price_if_there_are_prices() -> None:
    prices = PriceTable(
        input_text=4, input_audio=32, cached_audio=0.4, output_text=16, transcription_minute=0.006
    )
    usage = {
        "total_tokens": 1_300_000,
        "input_tokens": 1_200_000,
        "output_tokens": 100_000,
        "input_token_details": {
            "text_tokens": 200_000,
            "audio_tokens": 1_000_000,
            "cached_tokens": 500_000,
            "cached_tokens_details": {"audio_tokens": 500_000, "text_tokens": 0},
        },
        "output_token_details": {"text_tokens": 100_000},
    }

    def price_of(type_: str, usage: dict[str, Any], table: PriceTable | None = prices) -> Any:
        rows = rows_of([(type_, {"usage": usage})], SessionJournal(prices=table))
        return one(rows, "usage").get("price")

    assert price_of("realtime_response_end", usage) == pytest.approx(0.8 + 16 + 0.2 + 1.6)
    assert price_of("realtime_response_end", usage, PriceTable(input_text=4)) is None
    assert price_of("realtime_response_end", usage, None) is None
    spoken = {"type": "duration", "seconds": 90.0}
    assert price_of("realtime_user_transcript", spoken) == pytest.approx(0.009)
    heard = {"total_tokens": 3, "input_tokens": 1_000_000, "output_tokens": 0}
    of_tokens = PriceTable(transcription_input=6)
    assert price_of("realtime_user_transcript", heard, of_tokens) == pytest.approx(6)


def test_a_response_and_its_usage() -> None:
    usage = {
        "total_tokens": 30,
        "input_tokens": 20,
        "output_tokens": 10,
        "input_token_details": {"audio_tokens": 15, "cached_tokens_details": {"text_tokens": 3}},
        "output_token_details": {"reasoning_tokens": 2},
    }
    rows = rows_of(
        [
            ("realtime_response_start", {"agent": "a", "response_id": "r"}),
            ("realtime_audio_start", {"response_id": "r", "item_id": "i"}),
            ("realtime_audio_start", {"response_id": "r", "item_id": "i2"}),
            (
                "realtime_response_end",
                {
                    "agent": "b",
                    "response_id": "r",
                    "status": "cancelled",
                    "reason": "turn_detected",
                    "tool_calls": 1,
                    "usage": usage,
                },
            ),
        ]
    )
    assert one(rows, "responses") == {
        "session_id": SESSION,
        "response_id": "r",
        "run_id": RUN,
        "agent": "b",
        "status": "cancelled",
        "reason": "turn_detected",
        "started_at": 1001.0,
        "first_audio_at": 1002.0,
        "ended_at": 1004.0,
        "tool_calls": 1,
    }
    assert one(rows, "usage") == {
        "session_id": SESSION,
        "run_id": RUN,
        "n": 4,
        "response_id": "r",
        "kind": "response",
        "unit": "tokens",
        "total_tokens": 30,
        "input_tokens": 20,
        "output_tokens": 10,
        "input_audio_tokens": 15,
        "cached_text_tokens": 3,
        "reasoning_tokens": 2,
    }


def test_a_transcription_that_is_billed_by_seconds() -> None:
    usage = {"type": "duration", "seconds": 2.5, "total_tokens": 0}
    data = {"item_id": "i", "transcript": "Hi", "usage": usage}
    row = one(rows_of([("realtime_user_transcript", data)]), "usage")
    assert (row["unit"], row["seconds"], row["item_id"]) == ("seconds", 2.5, "i")
    assert "total_tokens" not in row


def test_a_session_that_is_billed_by_seconds_needs_no_response() -> None:
    row = usage_row(SESSION, RUN, 1, kind="session", unit="seconds", seconds=60.0, price=0.5)
    assert storable(row).values["seconds"] == 60.0
    assert "response_id" not in row.values


CALL = {"call_id": "c", "tool": "lookup", "arguments": '{"id": 1}', "response_id": "r"}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [
                ("realtime_tool_start", {**CALL, "agent": "a"}),
                (
                    "realtime_tool_end",
                    {
                        **CALL,
                        "tool_name": "lookup",
                        "outcome": "failed",
                        "output_text": "It failed.",
                        "error": {"type": "KeyError", "message": "1"},
                        "duration": 0.5,
                    },
                ),
            ],
            {
                "agent": "a",
                "state": "failed",
                "output": "It failed.",
                "error": "KeyError: 1",
                "started_at": 1001.0,
                "ended_at": 1002.0,
                "duration": 0.5,
            },
        ),
        (
            [
                ("realtime_tool_approval_required", CALL),
                ("realtime_tool_start", CALL),
                ("realtime_tool_answered_early", {**CALL, "output_text": "Soon."}),
                ("realtime_tool_cancelled", {**CALL, "output_text": ""}),
            ],
            {
                "state": "cancelled",
                "approval": "approved",
                "output": "Soon.",
                "started_at": 1002.0,
                "ended_at": 1004.0,
            },
        ),
        (
            [
                ("realtime_tool_approval_required", CALL),
                ("realtime_tool_end", {**CALL, "outcome": "rejected", "output_text": "No."}),
            ],
            {"state": "rejected", "approval": "rejected", "output": "No.", "ended_at": 1002.0},
        ),
        (
            [("realtime_tool_approval_required", CALL)],
            {"state": "approval_required", "approval": "required"},
        ),
    ],
)
def test_tool_calls(events: Events, expected: dict[str, Any]) -> None:
    call = {"call_id": "c", "name": "lookup", "arguments": '{"id": 1}', "response_id": "r"}
    common = {"session_id": SESSION, "run_id": RUN, "requested_at": 1001.0}
    assert one(rows_of(events), "tool_calls") == {**common, **call, **expected}


def test_a_hosted_call_that_was_approved() -> None:
    item = {
        "type": "mcp_call",
        "id": "m",
        "approval_request_id": "q",
        "name": "search",
        "server_label": "docs",
        "arguments": "{}",
        "output": "found",
    }
    rows = rows_of(
        [
            (
                "realtime_tool_approval_required",
                {"call_id": "q", "tool_name": "search", "server_label": "docs", "arguments": "{}"},
            ),
            ("realtime_mcp_tool_call_completed", {"item": item}),
        ]
    )
    call = one(rows, "tool_calls")
    assert (call["call_id"], call["state"], call["approval"]) == ("q", "completed", "approved")
    assert (call["server_label"], call["output"]) == ("docs", "found")


# --- events ------------------------------------------------------------------------------------

UNSTORED: Events = [
    ("realtime_audio", {"item_id": "i", "response_id": "r", "delta_ms": 20.0}),
    ("realtime_text_delta", {"item_id": "i", "response_id": "r", "delta": "x"}),
    ("realtime_transcript_delta", {"item_id": "i", "response_id": "r", "delta": "x"}),
    ("realtime_tool_arguments_delta", {"item_id": "i", "call_id": "c", "delta": "x"}),
    ("realtime_user_transcript_delta", {"item_id": "i", "delta": "x"}),
    ("realtime_history_updated", {"item": message("i", "user", "x", status="in_progress")}),
    ("realtime_raw_model_event", {"frame": {"type": "x", "delta": "private"}}),
]


def test_deltas_audio_and_frames_are_not_stored() -> None:
    events: Events = [("run_started", {}), *UNSTORED, ("realtime_surprise", {"new": [1]})]
    rows = table(rows_of(events), "events")
    assert [(row["seq"], row["type"]) for row in rows] == [
        (1, "run_started"),
        (9, "realtime_surprise"),
    ]
    assert rows[1]["payload"] == {"new": [1]}
    assert one(rows_of(events), "sessions")["last_seq"] == 9


def test_everything_can_be_stored_except_bytes_and_frames() -> None:
    journal = SessionJournal(stored=StoredEvents(deltas=True, audio=True, raw=True))
    rows = table(rows_of(UNSTORED, journal), "events")
    assert [row["seq"] for row in rows] == list(range(1, 8))
    assert rows[0]["payload"] == UNSTORED[0][1]
    assert rows[-1]["payload"] == {}


def test_audio_and_images_are_never_stored() -> None:
    journal = SessionJournal(stored=StoredEvents(audio=True))
    content = [
        {"type": "input_audio", "audio": "QUJD", "transcript": "x"},
        {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "low"},
        {"type": "input_image", "image_url": "https://example.com/a.png"},
    ]
    item = message("i", "user", "x", content=content)
    rows = rows_of(
        [
            *item_events(item),
            ("realtime_history_updated", {"history": [item]}),
            ("run_warning", {"audio": "QUJD"}),
        ],
        journal,
    )
    rows += journal.record(rpc_event(4, "realtime_audio", {"delta_ms": 1}, audio=b"ABC"))
    assert "QUJD" not in repr(rows)
    assert "ABC" not in repr(rows)
    assert "https://example.com/a.png" in repr(rows)


def test_events_that_are_not_stored_change_the_last_number_once_in_a_second() -> None:
    journal = SessionJournal()
    rows: list[Row] = []
    for seq in range(1, 201):
        data = {"item_id": "i", "delta_ms": 20.0}
        rows += journal.record(rpc_event(seq, "realtime_audio", data, time=1000 + seq * 0.02))
    assert 3 <= len(rows) <= 5
    assert {row.table for row in rows} == {"sessions"}


def test_a_session_can_opt_out_of_the_storage_of_content() -> None:
    journal = SessionJournal(SessionFacts(tenant="t"), opt_out=True)
    private = {"type": "Private", "message": "private"}
    events: Events = [
        ("run_started", {"agent": "a"}),
        ("run_connected", {}),
        *item_events(message("u", "user", "private")),
        ("realtime_user_transcript", {"item_id": "u2", "transcript": "private"}),
        ("realtime_reconnecting", {"error": private}),
        ("realtime_response_end", {"response_id": "r", "status": "failed", "message": "private"}),
        ("realtime_tool_end", {**CALL, "arguments": "private", "output_text": "private"}),
        ("realtime_tool_end", {**CALL, "output": "private", "error": private}),
        ("realtime_guardrail_tripped", {"message": "private"}),
        ("realtime_session_ended", {"end": {"by": "user", "error": private}}),
        ("run_ended", {"by": "user", "message": "private", "error": private}),
    ]
    rows = rows_of(events, journal)
    rows.append(journal.session_row(SESSION, time=2000.0, values={"end_detail": "private"}))
    assert "private" not in repr(rows)
    assert not [row for row in rows if CONTENT_COLUMNS.get(row.table, set()) & row.values.keys()]
    assert [row["seq"] for row in table(rows, "events")] == list(range(1, 12))
    assert one(rows, "tool_calls")["name"] == "lookup"
    assert one(rows, "sessions")["status"] == "failed"


def test_a_chunk_of_audio() -> None:
    row = audio_chunk_row(
        SESSION,
        RUN,
        "agent",
        3,
        file="agent.pcm",
        offset=960,
        size=480,
        audio_format="audio/pcm;rate=24000",
        position_ms=40.0,
        duration_ms=10.0,
        item_id="i",
        content_index=0,
    )
    assert storable(row).values["bytes"] == 480
    assert row.key == ("audio_chunks", SESSION, RUN, "agent", 3)


# --- any events --------------------------------------------------------------------------------

KINDS = sorted({*SessionJournal()._handlers, "client_attached", "realtime_unknown", "x"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(["a", "b", "c", "", "x" * 600, "\x00\ud800"])
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "id": NAMES | JSON,
        "type": st.just("message") | JSON,
        "role": st.sampled_from(["user", "assistant"]) | JSON,
        "status": st.sampled_from(["in_progress", "completed"]) | JSON,
        "content": JSON
        | st.lists(
            st.fixed_dictionaries(
                {}, optional={"text": st.text() | JSON, "heard_ms": JSON, "audio": JSON}
            ),
            max_size=2,
        ),
    },
)
DATA = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("item_id", "response_id", "call_id", "previous_item_id"), NAMES | JSON),
        **dict.fromkeys(("item", "end", "error", "usage", "session"), JSON | ITEM),
        "history": JSON | st.lists(ITEM, max_size=3),
        **dict.fromkeys(
            ("agent", "endpoint", "transcript", "outcome", "deleted_item_id"), NAMES | JSON
        ),
        **dict.fromkeys(("played_ms", "delta_ms", "tool_calls", "duration", "code"), JSON),
    },
)
EVENTS = st.lists(
    st.builds(
        RpcEvent,
        type=st.sampled_from(KINDS),
        session_id=st.just(SESSION),
        run_id=st.sampled_from([RUN, "run_2"]),
        seq=st.integers(1, 40),
        time=st.floats(allow_nan=False, allow_infinity=False),
        data=DATA.filter(lambda data: "audio" not in data),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def engine() -> Generator[Engine]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


def stored(engine: Engine, batches: list[list[Row]]) -> dict[str, list[str]]:
    """Return the tables after writing batches. Nothing is refused but other events with a number."""
    with engine.begin() as connection:
        for each in METADATA.tables.values():
            connection.execute(each.delete())
    writer = BatchWriter(engine, None, repr)
    refused = [refusal for batch in batches for refusal in writer.write(batch)]
    assert {refusal.table for refusal in refused} <= {"events"}
    with engine.connect() as connection:
        return {
            name: sorted(map(repr, connection.execute(each.select())))
            for name, each in METADATA.tables.items()
        }


@settings(deadline=None, max_examples=100)
@given(EVENTS, st.booleans(), st.booleans())
def test_no_event_makes_the_journal_raise_and_rows_are_valid(
    events: list[RpcEvent], opt_out: bool, everything: bool
) -> None:
    kinds = StoredEvents(deltas=everything, audio=everything, raw=everything)
    journal = SessionJournal(opt_out=opt_out, stored=kinds)
    for event in events:
        rows = journal.record(event)
        for row in rows:
            storable(row)
            assert row.mode == ("insert" if row.table == "events" else "upsert")
        if everything:
            assert [row.values["seq"] for row in rows if row.table == "events"] == [event.seq]
            assert rows[-1].values["last_seq"] == event.seq


@settings(deadline=None, max_examples=40)
@given(EVENTS, st.lists(st.integers(1, 5), min_size=1))
def test_the_rows_of_any_prefix_converge(
    engine: Engine, events: list[RpcEvent], sizes: list[int]
) -> None:
    journal = SessionJournal()
    steps = [journal.record(event) for event in events]
    singly = stored(engine, [[row] for step in steps for row in step])
    together = stored(engine, [[row for step in steps for row in step]])
    assert together == singly
    batches: list[list[Row]] = []
    position = 0
    for size in sizes * (len(steps) + 1):
        batches.append([row for step in steps[position : position + size] for row in step])
        position += size
    assert stored(engine, batches) == singly
    # A batch whose commit was not acknowledged is written again.
    assert stored(engine, [rows for batch in batches for rows in (batch, batch)]) == singly


def in_any_order(rows: list[Row]) -> list[str]:
    """Return the final rows as texts, because one NaN does not equal another."""
    return sorted(repr((key, sorted(values.items()))) for key, values in apply(rows).items())


@given(EVENTS)
def test_merging_is_the_same_in_the_model(events: list[RpcEvent]) -> None:
    journal = SessionJournal()
    rows = [row for event in events for row in journal.record(event) if row.mode == "upsert"]
    assert in_any_order(merge_rows(rows)) == in_any_order(rows)
