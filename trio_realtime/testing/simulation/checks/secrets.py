"""Invariant 12: the key never appears."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any, Final

from trio_realtime.testing.simulation.log import Entry, InvariantViolation
from trio_realtime.testing.simulation.subject import API_KEY, WRONG_KEY, Subject

__all__ = ["LogRecords", "SecretCheck"]

_ALWAYS: Final = frozenset({"error", "warning", "settings_updated"})
_SAMPLES: Final = 2


class LogRecords(logging.Handler):
    """Collects the texts of log records.

    Args:
        reports: the list to add the texts to.
    """

    def __init__(self, reports: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._reports = reports

    def emit(self, record: logging.LogRecord) -> None:
        """Add the message of a record, and its exception."""
        self._reports.append(record.getMessage())
        if record.exc_info:
            self._reports.append(repr(record.exc_info[1]))


class SecretCheck:
    """Checks invariant 12 for frames, events, exceptions and log records.

    Args:
        subject: the session to check.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._seen: Counter[str] = Counter()
        subject.log.observe(self._event, "event")
        subject.log.observe(self._frame, "in", "out")

    def _event(self, entry: Entry) -> None:
        event: Any = entry.about[1]
        self._seen[event.type] += 1
        if self._seen[event.type] <= _SAMPLES or event.type in _ALWAYS:
            _search(repr(event), f"the event {event.type}")

    def _frame(self, entry: Entry) -> None:
        frame: Any = entry.about
        if frame["type"] in ("session.update", "session.updated", "session.created", "error"):
            _search(repr(frame), f"the frame {frame['type']}")

    def check(self) -> None:
        """Check what remains after the session has ended."""
        subject = self._subject
        for report in subject.reports:
            _search(report, "a log record")
        failures = [subject.failure, *(consumer.failure for consumer in subject.consumers)]
        for failure in failures:
            current = failure
            while current is not None:
                _search(f"{current!r} {current}", "an exception")
                current = current.__cause__ or current.__context__
        if subject.session is not None:
            _search(f"{subject.session!r} {subject.session.statistics()}", "the session")


def _search(text: str, where: str) -> None:
    if API_KEY in text or WRONG_KEY in text:
        raise InvariantViolation(12, f"the key appears in {where}")
