"""Invariants 7, 8 and 11: what remains after the block, and what was delivered before the end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import trio

from trio_realtime import errors, events as ev
from trio_realtime.testing.simulation.agents import FINISH_TIMEOUT
from trio_realtime.testing.simulation.consumers import Consumer
from trio_realtime.testing.simulation.log import Entry, InvariantViolation
from trio_realtime.testing.simulation.network import DROP_ENDS_WITH
from trio_realtime.testing.simulation.subject import CLOSE_TIMEOUT, Subject

__all__ = ["DeliveryCheck", "EndCheck", "task_names"]

_TOLERANCE: Final = 1e-6


def task_names() -> Counter[str]:
    """Count the tasks of this trio run by name, without those of trio itself."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    return Counter(task.name for task in _tasks_below(root))


def _tasks_below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield child
            yield from _tasks_below(child)


class EndCheck:
    """Invariant 7: after the block there is no task, no transport and no thread, in time.

    Args:
        subject: the session to check.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._tasks = task_names()
        self._threads = threading.active_count()
        self._running: set[str] = set()
        self._extra_time: dict[str, float] = {}
        self._leaving_at: float | None = None
        self._allowed = CLOSE_TIMEOUT
        log = subject.log
        log.observe(self._received, "in")
        log.observe(self._tool, "started", "ended")
        log.observe(self._leaving, "leaving")
        log.observe(self._left, "left")

    def _received(self, entry: Entry) -> None:
        item: Any = entry.about.get("item") or {}
        if item.get("type") == "function_call" and item.get("status") == "completed":
            self._extra_time[item["call_id"]] = _extra_time(item)

    def _tool(self, entry: Entry) -> None:
        if entry.what == "started":
            self._running.add(entry.about)
        else:
            self._running.discard(entry.about)

    def _leaving(self, entry: Entry) -> None:
        if self._leaving_at is None:
            self._leaving_at = entry.time
            # A tool that shields itself, or that has asked for time, takes that much longer.
            extra = [self._extra_time.get(call_id, 0.0) for call_id in self._running]
            self._allowed += max(extra, default=0.0)

    def _left(self, entry: Entry) -> None:
        if self._leaving_at is not None:
            took = entry.time - self._leaving_at
            if took > self._allowed + _TOLERANCE:
                raise InvariantViolation(
                    7, f"leaving took {took:g} s, and may take {self._allowed:g} s"
                )
        if self._subject.network.open_transports:
            raise InvariantViolation(7, "a transport was not closed")

    def check_tasks(self) -> None:
        """Check that no task and no thread is left."""
        left = task_names() - self._tasks
        if left:
            raise InvariantViolation(7, f"tasks are left: {sorted(left)}")
        if threading.active_count() > self._threads:
            raise InvariantViolation(7, "a thread is left")


def _extra_time(call: Any) -> float:
    """Return for how many seconds a tool may go on when the session ends."""
    try:
        arguments = msgspec.json.decode(call["arguments"])
        clean_up = float(arguments.get("clean_up", 0.0))
    except (msgspec.DecodeError, AttributeError):
        clean_up = 0.0
    return clean_up + (FINISH_TIMEOUT if call["name"] == "last_words" else 0.0)


class DeliveryCheck:
    """Invariants 8 and 11: consumers receive what arrived before the end, also what is unknown.

    Args:
        subject: the session to check.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        subject.log.observe(self._event, "event")

    def _event(self, entry: Entry) -> None:
        event = entry.about[1]
        if isinstance(event, ev.Error) and isinstance(event.error, errors.ProtocolViolation):
            if "used again" in str(event.error):
                return  # the plan makes the model use the id of a call twice
            raise InvariantViolation(11, f"an event of the server is an error: {event.error}")

    def check(self) -> None:
        """Check the consumers after the session has ended."""
        self._check_raw()
        for consumer in self._subject.consumers:
            self._check_failure(consumer)
        if self._subject.consumers:
            self._check_order()

    def _check_failure(self, consumer: Consumer) -> None:
        """A consumer ends with the loss of the session, or because it was too slow."""
        failure = consumer.failure
        if isinstance(failure, errors.ConsumerTooSlow) and consumer is self._subject.main:
            raise InvariantViolation(10, f"a consumer that only reads was too slow: {failure}")
        if failure is None or isinstance(failure, errors.ConsumerTooSlow):
            return
        if isinstance(failure, DROP_ENDS_WITH or ()):
            return
        if isinstance(failure, errors.SessionExpired | errors.ConnectionLost | errors.ToolFailed):
            return
        raise InvariantViolation(8, f"consumer {consumer.name} ended with {failure!r}")

    def _check_raw(self) -> None:
        """Each frame that was read is visible raw, unchanged and in order."""
        raw = self._subject.raw
        texts = self._subject.network.texts[raw.first_text :]
        if raw.received != texts[: len(raw.received)]:
            raise InvariantViolation(11, "the raw events are not the frames that were read")
        lost = isinstance(raw.failure, errors.ConnectionLost)
        if lost and len(raw.received) != len(texts):
            missing = len(texts) - len(raw.received)
            raise InvariantViolation(8, f"{missing} frames were not delivered before the failure")

    def _check_order(self) -> None:
        """Each consumer receives the same events, apart from audio, up to its own end."""
        main = [event for event in self._subject.main.received if type(event) is not ev.Audio]
        positions = {id(event): number for number, event in enumerate(main)}
        for consumer in self._subject.consumers[1:]:
            events = [event for event in consumer.received if type(event) is not ev.Audio]
            if not consumer.name.startswith("all") or not events:
                continue
            start = positions.get(id(events[0]))
            if start is None:
                raise InvariantViolation(
                    8, f"{consumer.name} received an event that others did not"
                )
            expected = main[start : start + len(events)]
            # What arrives after the end of the session reaches only those who have not read the end.
            known = events[: len(expected)] if self._subject.main.finished else events
            if list(map(id, known)) != list(map(id, expected)):
                raise InvariantViolation(10, f"{consumer.name} lost or reordered events")
            complete = consumer.finished and consumer.failure is None
            lost = isinstance(consumer.failure, errors.ConnectionLost)
            if (
                (complete or lost)
                and self._subject.main.finished
                and start + len(events) < len(main)
            ):
                missing = len(main) - start - len(events)
                raise InvariantViolation(
                    8, f"{consumer.name} did not receive {missing} last events"
                )
