"""The history on real databases: what is written behind can be read."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from support.session_rows import (
    RUN,
    SESSION,
    chunk_row,
    event_row,
    message,
    record_all,
    session_row,
)
from trio_realtime.errors import ConfigurationError, UsageError
from trio_realtime.server.store import (
    GAP_TYPE,
    HistoryStore,
    Recovery,
    Row,
    RowRefused,
    RowsDropped,
    SessionFacts,
    SessionJournal,
    StoreReport,
    WriteOptions,
    open_history_store,
    usage_row,
)

USAGE = {"total_tokens": 30, "input_tokens": 20, "output_tokens": 10}
CALL = {"call_id": "c", "tool": "lookup", "tool_name": "lookup", "arguments": "{}"}
CONVERSATION: list[tuple[str, Mapping[str, Any]]] = [
    ("run_started", {"agent": "support", "model": "m"}),
    ("run_connected", {}),
    ("realtime_history_added", {"item": message("u", "user", "Where is it?")}),
    ("realtime_response_start", {"agent": "support", "response_id": "r"}),
    ("realtime_audio_start", {"response_id": "r", "item_id": "a"}),
    ("realtime_history_added", {"item": message("a", "assistant", "", status="in_progress")}),
    ("realtime_audio", {"response_id": "r", "item_id": "a", "delta_ms": 1000.0}),
    ("realtime_history_updated", {"item": message("a", "assistant", "It is on its way to you.")}),
    ("realtime_audio_interrupted", {"response_id": "r", "item_id": "a", "played_ms": 500}),
    ("realtime_tool_start", {**CALL, "response_id": "r"}),
    ("realtime_tool_end", {**CALL, "outcome": "completed", "output_text": "ok", "duration": 0.2}),
    ("realtime_response_end", {"response_id": "r", "status": "cancelled", "usage": USAGE}),
    ("realtime_history_added", {"item": message("d", "user", "deleted")}),
    ("realtime_history_updated", {"deleted_item_id": "d"}),
    ("run_ended", {"by": "user", "reason": "hung_up", "duration": 12.0}),
]


async def put(store: HistoryStore, *rows: Row) -> None:
    store.writer.put(rows)
    await store.writer.flush()


async def test_a_session_can_be_read_as_it_was(database_url: str) -> None:
    journal = SessionJournal(SessionFacts(tenant="t", agent="support", metadata={"order": 7}))
    async with open_history_store(database_url) as store:
        await put(store, journal.session_row(SESSION, time=1000.0))
        await put(store, *record_all(journal, CONVERSATION))
        await put(store, usage_row(SESSION, RUN, 99, kind="session", unit="seconds", seconds=12.5))
        session = await store.get_session(SESSION)
        events = await store.events(SESSION)
        last_seq = await store.last_seq(SESSION)
    assert session is not None
    assert session["metadata"] == {"order": 7}
    assert (session["status"], session["end_reason"], session["duration"]) == (
        "ended",
        "hung_up",
        14,
    )
    assert [item["item_id"] for item in session["items"]] == ["u", "a"]
    assert session["transcript"] == "User: Where is it?\nAgent: It is on its"
    assert session["items"][1]["text"] == "It is on its way to you."
    assert session["items"][1]["response_id"] == "r"
    assert session["responses"][0]["status"] == "cancelled"
    assert (session["tool_calls"][0]["name"], session["tool_calls"][0]["output"]) == (
        "lookup",
        "ok",
    )
    assert [(run["run_id"], run["end_by"]) for run in session["runs"]] == [(RUN, "user")]
    assert [connection["closed_at"] for connection in session["connections"]] == [1015.0]
    assert session["gaps"] == []
    response, seconds = session["usage"]
    assert (response["kind"], response["count"], response["total_tokens"]) == ("response", 1, 30)
    assert isinstance(response["total_tokens"], int)
    assert (seconds["unit"], seconds["seconds"], seconds["total_tokens"]) == ("seconds", 12.5, None)
    # Audio and items in progress are not stored as events.
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5, 6, *range(8, 16)]
    assert events[2]["payload"]["item"]["content"][0]["transcript"] == "Where is it?"
    assert last_seq == 15


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
async def test_a_name_that_no_database_stores_is_no_outage(database_url: str, name: str) -> None:
    async with open_history_store(database_url) as store:
        await put(store, session_row(name, tenant=name))
        for tenant in (None, name):
            session = await store.get_session(name, tenant=tenant)
            assert session is not None
            assert session["id"] == "a\ufffdb"
        page = await store.list_sessions(tenant=name, status=name, agent=name)
        assert page == {"sessions": [], "next_cursor": None}
        assert await store.events(name) == await store.items(name) == []
        assert await store.artifacts(name, kind=name) == []
        assert await store.audio_chunks(name, run_id=name) == []
        assert await store.last_seq(name) is None
        assert await store.mark_interrupted_sessions(name) == []
        cursor = base64.urlsafe_b64encode(json.dumps([1.0, name]).encode()).decode()
        assert (await store.list_sessions(cursor=cursor))["sessions"] == []
        assert (await store.delete_session(name)).sessions == ("a\ufffdb",)
        for after in (2**63, -(2**70)):
            with pytest.raises(UsageError, match="64 bits"):
                await store.events(name, after=after)


async def test_unknown_sessions(database_url: str) -> None:
    async with open_history_store(database_url) as store:
        await put(store, session_row(tenant="t"))
        assert await store.get_session("other") is None
        assert await store.get_session(SESSION, tenant="other") is None
        assert await store.get_session(SESSION, tenant="t") is not None
        assert await store.last_seq("other") is None
        assert await store.last_seq(SESSION) is None
        assert await store.events("other") == []
        assert await store.items("other") == []


async def test_pages_of_sessions(database_url: str) -> None:
    async with open_history_store(database_url) as store:
        rows = [
            session_row(f"s{n}", created_at=float(n // 2), tenant="ab"[n % 2], status="ended")
            for n in range(9)
        ]
        await put(store, *rows, session_row("running", agent="x", created_at=100.0))
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await store.list_sessions(limit=4, cursor=cursor)
            found += [session["id"] for session in page["sessions"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == ["running", "s8", "s7", "s6", "s5", "s4", "s3", "s2", "s1", "s0"]
        page = await store.list_sessions(tenant="a", status="ended", limit=2)
        assert [session["id"] for session in page["sessions"]] == ["s8", "s6"]
        page = await store.list_sessions(agent="x", status="created")
        assert (len(page["sessions"]), page["next_cursor"]) == (1, None)
        deep = base64.urlsafe_b64encode(b"[" * 10_000).decode()
        for bad in ("x", "W10=", "é", deep):
            with pytest.raises(UsageError, match="cursor is not valid"):
                await store.list_sessions(cursor=bad)
        for limit in (0, 1001):
            with pytest.raises(UsageError, match="limit must be from 1 to 1000"):
                await store.list_sessions(limit=limit)


async def test_pages_of_events(database_url: str) -> None:
    async with open_history_store(database_url) as store:
        await put(store, *(event_row(seq) for seq in range(1, 8)))
        page = await store.events(SESSION, after=2, limit=3)
        assert [event["seq"] for event in page] == [3, 4, 5]
        assert page[0]["payload"] is None
        with pytest.raises(UsageError, match="limit"):
            await store.events(SESSION, limit=0)


async def test_audio_chunks_are_in_order(database_url: str) -> None:
    async with open_history_store(database_url) as store:
        await put(store, *(chunk_row(n) for n in (10, 2, 1)))
        assert [chunk["n"] for chunk in await store.audio_chunks(SESSION)] == [1, 2, 10]
        assert await store.audio_chunks(SESSION, run_id="other") == []


async def test_artifacts(database_url: str) -> None:
    async with open_history_store(database_url, now=lambda: 77.0) as store:
        first = await store.add_artifact(
            SESSION, kind="recording", url="file:///a", state="pending"
        )
        await store.add_artifact(
            SESSION, kind="recording", url="s3://b/a", artifact_id=first, size=2**40, sha256="ab"
        )
        await store.add_artifact(SESSION, kind="transcript", url="file:///t", created_at=80.0)
        recording, transcript = await store.artifacts(SESSION)
        assert recording["id"] == first
        assert (recording["url"], recording["state"]) == ("s3://b/a", "complete")
        assert (recording["bytes"], recording["created_at"]) == (2**40, 77.0)
        assert await store.artifacts(SESSION, kind="transcript") == [transcript]
        with pytest.raises(UsageError, match="too long"):
            await store.add_artifact(SESSION, kind="x", url="x", artifact_id="x" * 501)


async def test_sessions_of_a_crashed_process_are_interrupted(database_url: str) -> None:
    async with open_history_store(database_url) as store:
        await put(
            store,
            session_row("mine", status="running", owner_node="n1"),
            session_row("created", owner_node="n1"),
            session_row("ended", status="ended", owner_node="n1", ended_at=2.0),
            session_row("other", status="running", owner_node="n2", lease_until=50.0),
            Row(table="runs", values={"run_id": "r", "session_id": "mine", "started_at": 1.0}),
            event_row(8, "mine"),
        )
        assert sorted(await store.mark_interrupted_sessions("n1")) == ["created", "mine"]
        assert await store.mark_interrupted_sessions("n1") == []
        session = await store.get_session("mine")
        assert session is not None
        assert (session["status"], session["ended_at"]) == ("interrupted", 8.0)
        assert (session["runs"][0]["end_reason"], session["runs"][0]["ended_at"]) == (
            "interrupted",
            8.0,
        )
        other = await store.get_session("other")
        assert other is not None
        assert other["status"] == "running"
        await put(store, session_row("nobody", status="running"))
        assert await store.mark_interrupted_sessions(None) == []
        assert await store.mark_interrupted_sessions("n1", lease_before=50.0) == []
        assert await store.mark_interrupted_sessions("n1", lease_before=51.0) == ["other"]


def rows_of_every_table(session_id: str) -> list[Row]:
    link = {"session_id": session_id}
    return [
        session_row(session_id, status="ended", ended_at=10.0),
        event_row(1, session_id),
        chunk_row(1, session_id),
        usage_row(session_id, RUN, 1, kind="session", unit="seconds"),
        Row(table="runs", values={"run_id": session_id, **link}),
        Row(table="connections", values={**link, "run_id": RUN, "n": 1}),
        Row(table="items", values={**link, "item_id": "i", "kind": "message"}),
        Row(table="responses", values={**link, "response_id": "r"}),
        Row(table="tool_calls", values={**link, "call_id": "c"}),
        Row(table="artifacts", values={**link, "id": session_id, "url": f"u:{session_id}"}),
    ]


async def test_a_deleted_session_leaves_nothing(database_url: str) -> None:
    async with open_history_store(database_url) as store:
        store.writer.put([*rows_of_every_table("s1"), *rows_of_every_table("s2")])
        deleted = await store.delete_session("s1")
        assert deleted.sessions == ("s1",)
        assert [artifact["url"] for artifact in deleted.artifacts] == ["u:s1"]
        assert await store.get_session("s1") is None
        assert (await store.delete_session("s1")).sessions == ()
        for session_id, count in (("s1", 0), ("s2", 1)):
            assert len(await store.events(session_id)) == count
            assert len(await store.items(session_id)) == count
            assert len(await store.artifacts(session_id)) == count
            assert len(await store.audio_chunks(session_id)) == count
        session = await store.get_session("s2")
        assert session is not None
        for name in ("runs", "connections", "responses", "tool_calls", "usage"):
            assert len(session[name]) == 1


async def test_old_sessions_are_deleted_in_parts(database_url: str) -> None:
    async with open_history_store(database_url) as store:
        await put(
            store,
            *(session_row(f"s{n}", status="ended", ended_at=float(n)) for n in range(5)),
            session_row("running", status="running"),
            session_row("failed", status="failed", created_at=2.0),
        )
        assert len((await store.delete_before(3.0, limit=3)).sessions) == 3
        assert len((await store.delete_before(3.0, limit=3)).sessions) == 1
        assert (await store.delete_before(3.0)).sessions == ()
        page = await store.list_sessions()
        assert sorted(session["id"] for session in page["sessions"]) == ["running", "s3", "s4"]


# --- rows that are refused or redacted ---------------------------------------------------------


async def test_a_refused_row_does_not_block_the_others(database_url: str) -> None:
    reports: list[StoreReport] = []
    async with open_history_store(database_url, on_report=reports.append) as store:
        await put(
            store,
            event_row(1),
            Row(
                table="usage",
                values={"session_id": SESSION, "run_id": RUN, "n": 1, "response_id": "private"},
            ),
            Row(table="nothing", values={"private": "private"}),
            session_row(last_seq="private"),
            event_row(2, payload={"text": "a\x00b\ud800", "number": math.nan}),
            Row(table="items", values={"session_id": SESSION, "item_id": "i" * 400}),
            event_row(3, payload="x" * 100_000),
        )
        await put(store, event_row(3, payload="another"), event_row(1), event_row(4))
        assert [event["seq"] for event in await store.events(SESSION)] == [1, 2, 3, 4]
        second = (await store.events(SESSION, after=1, limit=1))[0]
        assert second["payload"] == {"text": "a\ufffdb\ufffd", "number": None}
        assert store.writer.statistics().refused_rows == 4
    refused = [report for report in reports if isinstance(report, RowRefused)]
    assert refused == reports
    assert sorted(report.table for report in refused) == ["events", "nothing", "sessions", "usage"]
    assert [report.key for report in refused if report.table == "usage"] == [(SESSION, RUN, 1)]
    assert "private" not in repr(reports)


async def test_a_commit_that_was_not_acknowledged_is_repeated_without_a_refusal(
    database_url: str,
) -> None:
    reports: list[StoreReport] = []
    rows = record_all(SessionJournal(), CONVERSATION)
    async with open_history_store(database_url, on_report=reports.append) as store:
        await put(store, *rows)
        before = await store.get_session(SESSION)
        await put(store, *rows)
        assert await store.get_session(SESSION) == before
    assert reports == []


async def test_rows_are_redacted_before_they_are_stored(database_url: str) -> None:
    reports: list[StoreReport] = []

    def redact(row: Row) -> Row | None:
        if row.table == "audio_chunks":
            return None
        if row.values.get("seq") == 2:
            raise ValueError("private")
        if row.values.get("payload") == "private":
            return event_row(row.values["seq"], payload="***")
        return row

    async with open_history_store(database_url, redact=redact, on_report=reports.append) as store:
        await put(
            store,
            event_row(1, payload="private"),
            event_row(2, payload="private"),
            chunk_row(1),
        )
        (event,) = await store.events(SESSION)
        assert event["payload"] == "***"
        assert await store.audio_chunks(SESSION) == []
    assert reports == [
        RowRefused(table="events", key=(SESSION, 2), error="redact raised ValueError")
    ]


async def test_what_a_full_queue_lost_is_in_the_history(database_url: str) -> None:
    reports: list[StoreReport] = []
    options = WriteOptions(max_rows=10, batch_delay=0)
    async with open_history_store(database_url, options=options, on_report=reports.append) as store:
        # All rows come before the writer runs.
        store.writer.put([session_row(), *(event_row(seq) for seq in range(1, 20))])
        await store.writer.flush()
        await store.writer.flush()
        session = await store.get_session(SESSION)
        events = await store.events(SESSION)
    assert session is not None
    (gap,) = session["gaps"]
    assert gap["payload"] == {"first_seq": 9, "last_seq": 19, "rows": {"events": 11}}
    assert [event["seq"] for event in events] == list(range(1, 10))
    assert events[-1]["type"] == GAP_TYPE
    assert [type(report) for report in reports] == [RowsDropped, Recovery]


# --- the store ---------------------------------------------------------------------------------


async def test_readers_do_not_wait_for_each_other_or_the_writer(database_url: str) -> None:
    async with open_history_store(database_url) as store, trio.open_nursery() as nursery:

        async def write(first: int) -> None:
            for seq in range(first, first + 50):
                store.writer.put([event_row(seq), session_row(last_seq=seq)])
                await trio.lowlevel.checkpoint()
            await store.writer.flush()

        async def read() -> None:
            for _ in range(10):
                seqs = [event["seq"] for event in await store.events(SESSION)]
                assert seqs == sorted(set(seqs))

        for task in range(4):
            nursery.start_soon(write, 1 + task * 50)
            nursery.start_soon(read)
    async with open_history_store(database_url) as store:
        assert [event["seq"] for event in await store.events(SESSION)] == list(range(1, 201))


async def test_a_cancelled_block_stores_what_was_put(database_url: str) -> None:
    with trio.CancelScope() as scope:
        async with open_history_store(database_url) as store:
            store.writer.put([event_row(1)])
            scope.cancel()
            await trio.sleep_forever()
    async with open_history_store(database_url) as store:
        assert len(await store.events(SESSION)) == 1


async def test_two_processes_write_at_the_same_time(database_url: str) -> None:
    async with (
        open_history_store(database_url) as first,
        open_history_store(database_url) as second,
    ):
        for seq in range(1, 21):
            (first if seq % 2 else second).writer.put([event_row(seq), session_row(last_seq=seq)])
        await first.writer.flush()
        await second.writer.flush()
        assert [event["seq"] for event in await first.events(SESSION)] == list(range(1, 21))


async def test_a_database_in_memory() -> None:
    async with open_history_store("sqlite://") as store, trio.open_nursery() as nursery:
        for seq in range(1, 20):
            store.writer.put([event_row(seq)])
            nursery.start_soon(store.events, SESSION)
        await store.writer.flush()
        assert len(await store.events(SESSION)) == 19
        await store.check()


@pytest.mark.parametrize(("synchronous", "number"), [("normal", 1), ("full", 2)])
async def test_sqlite_writes_ahead(tmp_path: Path, synchronous: Any, number: int) -> None:
    async with open_history_store(tmp_path / "history.db", synchronous=synchronous) as store:
        with store._database.writer.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == number
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    # The last connection has written everything into the file of the database.
    files = await trio.Path(tmp_path).iterdir()
    assert [file.name for file in files] == ["history.db"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"synchronous": "off"}, "normal or full, got 'off'"),
        ({"readers": 0}, "readers must be at least 1"),
    ],
)
async def test_options_of_the_store_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        async with open_history_store("sqlite://", **options):
            raise AssertionError
