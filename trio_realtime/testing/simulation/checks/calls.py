"""Invariants 1 and 2: each call is answered once, and its tool runs at most once."""

from __future__ import annotations

from collections import Counter

from trio_realtime.testing.simulation.log import Entry, InvariantViolation, Log

from .frames import answered_call, completed_call

__all__ = ["CallCheck"]


class CallCheck:
    """Checks invariants 1 and 2.

    A later response may use the id of an earlier call again. That call is answered too, if the first
    one was answered by then; its tool does not run.
    """

    def __init__(self, log: Log) -> None:
        self._owners: dict[str, str] = {}
        self._uses: set[tuple[str, str]] = set()
        self._due: Counter[str] = Counter()
        self._most: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._started: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._rejected: set[str] = set()
        log.observe(self._received, "in")
        log.observe(self._sent, "out")
        log.observe(self._tool, "started", "ended", "rejected", "raw answer")
        log.observe(self._quiet, "quiet")
        log.observe(self._left, "left")
        log.observe(self._connected, "connected")

    def _connected(self, _entry: Entry) -> None:
        """An answer that the previous connection has not acknowledged is sent again."""
        for call_id in {*self._owners, *self._most}:
            self._most[call_id] += 1

    def _received(self, entry: Entry) -> None:
        call = completed_call(entry.about)
        if call is None:
            return
        use = (str(entry.about["response_id"]), str(call["call_id"]))
        if use in self._uses:
            return  # the server repeats itself
        self._uses.add(use)
        response_id, call_id = use
        self._most[call_id] += 1
        if call_id not in self._owners:
            self._owners[call_id] = response_id
            self._due[call_id] = 1
        elif self._answered[call_id]:
            self._due[call_id] += 1

    def _sent(self, entry: Entry) -> None:
        call_id = answered_call(entry.about)
        if call_id is None:
            return
        self._answered[call_id] += 1
        if call_id not in self._owners and not self._most[call_id]:
            raise InvariantViolation(1, f"an output for the unknown call {call_id}")
        if self._answered[call_id] > self._most[call_id]:
            raise InvariantViolation(1, f"call {call_id} was answered twice")

    def _tool(self, entry: Entry) -> None:
        call_id: str = entry.about
        match entry.what:
            case "started":
                self._started[call_id] += 1
                if self._started[call_id] > 1:
                    raise InvariantViolation(2, f"the tool of call {call_id} ran twice")
                if call_id not in self._owners:
                    raise InvariantViolation(2, f"the tool of the unknown call {call_id} ran")
                if call_id in self._rejected:
                    raise InvariantViolation(2, f"the tool of the rejected call {call_id} ran")
            case "ended":
                self._ended[call_id] += 1
            case "rejected":
                self._rejected.add(call_id)
            case _:
                self._most[call_id] += 1

    def _quiet(self, _entry: Entry) -> None:
        for call_id, due in self._due.items():
            if self._answered[call_id] < due:
                raise InvariantViolation(1, f"call {call_id} was not answered")

    def _left(self, _entry: Entry) -> None:
        if self._started != self._ended:
            left = {*(self._started - self._ended)}
            raise InvariantViolation(7, f"tools did not run to their ends: {sorted(left)}")
