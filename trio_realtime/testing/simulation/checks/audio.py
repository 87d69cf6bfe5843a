"""Invariant 5: no audio of a response after its interruption was delivered."""

from __future__ import annotations

from typing import Any

from trio_realtime import events as ev
from trio_realtime.testing.simulation.log import Entry, InvariantViolation, Log

__all__ = ["AudioCheck"]


class AudioCheck:
    """Checks invariant 5 for all consumers together.

    Once any consumer has received the interruption, none receives audio of that response: audio that a
    slower consumer has not read yet was discarded.
    """

    def __init__(self, log: Log) -> None:
        self._interrupted: set[str] = set()
        log.observe(self._event, "event")

    def _event(self, entry: Entry) -> None:
        event: Any = entry.about[1]
        if type(event) is ev.Audio:
            if event.response_id in self._interrupted:
                raise InvariantViolation(5, f"audio of {event.response_id} after its interruption")
        elif type(event) is ev.AudioInterrupted:
            self._interrupted.add(event.response_id)
