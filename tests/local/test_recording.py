"""Records of messages, and their bounds."""

from __future__ import annotations

import pytest

from trio_realtime.local import recording
from trio_realtime.local.recording import MessageRecord, RecordArchive


def test_the_latest_messages_are_recorded_unchanged() -> None:
    record = MessageRecord(2, 10_000)
    record.append("received", "one")
    record.append("sent", "two")
    record.append("received", b"three")
    assert list(record) == [("sent", "two"), ("received", b"three")]
    assert record.counts == {"received": 2, "sent": 1}


def test_a_record_is_bounded_in_bytes() -> None:
    record = MessageRecord(1000, 10_000)
    for number in range(100):
        record.append("sent", f"{number:04000}")
        assert record.size <= 10_000
    assert [int(message) for _, message in record] == [98, 99]


def test_a_message_that_is_too_large_is_only_counted() -> None:
    record = MessageRecord(1000, 10_000)
    record.append("received", "small")
    record.append("received", "x" * 20_000)
    assert list(record) == [("received", "small")]
    assert record.counts["received"] == 2


def test_records_of_the_connections_that_ended_first_are_cleared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recording, "_MAX_ARCHIVE_BYTES", 10_000)
    archive = RecordArchive()
    records = [MessageRecord(1000, 10_000) for _ in range(4)]
    for record in records:
        record.append("sent", "x" * 4000)
        archive.add(record)
    assert [record.is_cleared for record in records] == [True, True, False, False]
    assert [len(record) for record in records] == [0, 0, 1, 1]
    assert records[0].counts["sent"] == 1


def test_the_record_of_the_last_connection_is_complete() -> None:
    record = MessageRecord(1000, 100_000_000)
    record.append("sent", "x" * 50_000_000)
    RecordArchive().add(record)
    assert not record.is_cleared
