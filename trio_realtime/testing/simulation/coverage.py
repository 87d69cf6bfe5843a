"""What simulated sessions covered: how often each part took part, and how it ended."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import attrs

from trio_realtime import events as ev

from .log import Entry
from .run import Result

__all__ = ["Coverage"]

_SECTIONS: Final = (
    ("calls", "calls by outcome"),
    ("guardrails", "checks by verdict"),
    ("approvals", "approvals"),
    ("handoffs", "handoffs"),
    ("faults", "faults"),
    ("consumers", "consumers by end"),
    ("ends", "ends of sessions"),
    ("actions", "actions by outcome"),
)


@attrs.define(eq=False)
class Coverage:
    """What a number of simulated sessions covered.

    Attributes:
        counts: the number of sessions, frames in each direction, events, responses, interruptions
            and trips.
        details: how often what happened, by section.
        virtual_seconds: the time on the virtual clocks.
        seconds: the time that the runs took.
    """

    counts: Counter[str] = attrs.field(factory=Counter[str])
    details: dict[str, Counter[str]] = attrs.field(factory=dict[str, Counter[str]])
    virtual_seconds: float = 0.0
    seconds: float = 0.0

    def add(self, result: Result) -> None:
        """Add one session."""
        self.counts["sessions"] += 1
        self.virtual_seconds += result.virtual_seconds
        self.seconds += result.seconds
        self._count("ends", result.end)
        for outcome, times in result.outcomes.items():
            self._section("actions")[outcome] += times
        for name in result.consumer_ends:
            self._count("consumers", name)
        for entry in result.log.entries:
            self._add_entry(entry)

    def merge(self, other: Coverage) -> None:
        """Add what other sessions covered."""
        self.counts += other.counts
        self.virtual_seconds += other.virtual_seconds
        self.seconds += other.seconds
        for name, counter in other.details.items():
            self._section(name).update(counter)

    def report(self) -> str:
        """Return a text with all counts."""
        rate = self.counts["sessions"] / self.seconds if self.seconds else 0.0
        first = ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        times = f"{self.virtual_seconds:,.0f} virtual seconds in {self.seconds:.1f} s"
        lines = [first, f"{times} ({rate:.1f} sessions per second)"]
        for name, title in _SECTIONS:
            counter = self.details.get(name)
            if counter:
                parts = ", ".join(f"{key} {count:,}" for key, count in sorted(counter.items()))
                lines.append(f"{title}: {parts}")
        return "\n".join(lines)

    def _section(self, name: str) -> Counter[str]:
        return self.details.setdefault(name, Counter())

    def _count(self, section: str, key: str) -> None:
        self._section(section)[key] += 1

    def _add_entry(self, entry: Entry) -> None:
        match entry.what:
            case "in":
                self.counts["frames received"] += 1
                if entry.about["type"] == "response.created":
                    self.counts["responses"] += 1
            case "out":
                self.counts["frames sent"] += 1
            case "interrupting":
                self.counts["interruptions"] += 1
            case "verdict":
                verdict = {True: "tripped", False: "passed", None: "raised or timed out"}
                self._count("guardrails", verdict[entry.about[1]])
            case "decided":
                self._count("approvals", "approved" if entry.about[1] else "rejected")
            case "fault":
                self._count("faults", entry.about)
            case "event":
                name, event = entry.about
                if name == "main":
                    self._add_event(event)
            case _:
                pass

    def _add_event(self, event: Any) -> None:
        self.counts["events"] += 1
        match event:
            case ev.ToolEnd():
                self._count("calls", event.outcome)
                if event.tool_name.startswith("transfer") and event.outcome == "failed":
                    self._count("handoffs", "refused")
            case ev.ToolCancelled():
                self._count("calls", "cancelled")
            case ev.ToolAnsweredEarly():
                self._count("calls", "answered early")
            case ev.GuardrailTripped():
                self.counts["trips"] += 1
            case ev.AudioInterrupted() | ev.SpeechStarted():
                self.counts[event.type] += 1
            case ev.Handoff():
                self._count("handoffs", "done")
            case _:
                pass
