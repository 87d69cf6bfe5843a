"""The log of a session in order of time: frames, events, and what the tools and the user do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import attrs
import trio

__all__ = ["EntryKind", "Entry", "Frame", "InvariantViolation", "Log", "member"]

Frame: TypeAlias = dict[str, Any]


def member(frame: Frame, key: str) -> Frame:
    """Return an object in a frame; an empty one if it is missing or null."""
    value: Any = frame.get(key)
    return {} if value is None else value


EntryKind: TypeAlias = Literal[
    "in",  # a frame that the session is about to read
    "out",  # a frame that the session is about to send
    "event",  # an event that a consumer has received: the consumer's name and the event
    "started",  # a tool: its call id
    "cancelled",
    "ended",
    "request",  # a message whose answer is requested: its text
    "ask",  # a question: its text
    "interrupting",  # interrupt() was called: a number
    "interrupted",  # and has returned or was cancelled
    "stopped",  # and has returned
    "check",  # a guardrail has received a text
    "verdict",  # and its verdict: the text, and whether it trips, None if it has failed
    "decided",  # a call was approved or rejected: its id, and whether it was approved
    "rejected",  # a call was rejected: its id
    "answered early",  # a call was answered early: its id
    "raw answer",  # a call is about to be answered by a raw event: its id
    "withdrawn",  # a request for a response was cancelled
    "queued audio",  # send_audio has returned: bytes
    "cleared audio",  # clear_audio has returned
    "queued text",  # send_message has returned: the text
    "connected",  # a connection was opened: its number, from 0
    "fault",  # the network has failed: how
    "quiet",  # nothing is pending
    "ending",  # the session is about to end: how
    "leaving",  # the block is being left
    "left",  # it was left
]


@attrs.frozen
class Entry:
    """An entry of the log. What ``about`` is depends on ``what``; see :data:`EntryKind`."""

    time: float
    what: str
    about: Any


class InvariantViolation(AssertionError):
    """An invariant does not hold.

    Attributes:
        number: The number of the invariant, from 1 to 13. 0 for a crash.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(f"invariant {number}: {message}" if number else message)
        self.number = number


Observer: TypeAlias = Callable[[Entry], None]


class Log:
    """A log, and the observers that check each of its entries.

    Args:
        on_violation: called with the first violation. An observer runs in a task of the session, which
            must not see the exception.

    Attributes:
        entries: all entries.
        violation: the first violation.
    """

    def __init__(self, on_violation: Callable[[], None] = lambda: None) -> None:
        self.entries: list[Entry] = []
        self.violation: InvariantViolation | None = None
        self._on_violation = on_violation
        self._observers: dict[str, list[Observer]] = {}

    def observe(self, observer: Observer, *kinds: EntryKind) -> None:
        """Call an observer with each entry of these kinds."""
        for kind in kinds:
            self._observers.setdefault(kind, []).append(observer)

    def note(self, what: EntryKind, about: Any = None) -> None:
        """Add an entry, and let the observers check it."""
        entry = Entry(trio.current_time(), what, about)
        self.entries.append(entry)
        for observer in self._observers.get(what, ()):
            try:
                observer(entry)
            except InvariantViolation as violation:
                self.report(violation)

    def report(self, violation: InvariantViolation) -> None:
        """Record a violation. The first one counts."""
        if self.violation is None:
            self.violation = violation
            self._on_violation()

    def of(self, what: EntryKind) -> list[Any]:
        """Return what the entries of one kind are about."""
        return [entry.about for entry in self.entries if entry.what == what]
