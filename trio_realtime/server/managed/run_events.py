"""The events of one run: numbered, and handed to the log, the history and the application."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, final

import trio

from trio_realtime.events import SessionEvent
from trio_realtime.server.rpc import RpcEncoder, RpcEvent
from trio_realtime.server.rpc.run_events import RunEvent

from .event_log import EventLog, EventReader
from .stores import RunHistory

__all__ = ["RunEvents"]

_log: Final = logging.getLogger("trio_realtime.server.managed")


@final
class RunEvents:
    """Numbers the events of a run, and hands each on. Nothing waits.

    Args:
        session_id, run_id: the ids of the session and the run.
        last_seq: the number of the last event of the run before this one.
        bytes_per_ms: bytes of a millisecond of the agent's audio.
        history: stores the events; ``None`` to store none.
        on_event: called with each event. What it raises is logged.
    """

    def __init__(
        self,
        session_id: str,
        run_id: str,
        *,
        last_seq: int,
        bytes_per_ms: float,
        history: RunHistory | None,
        on_event: Callable[[RpcEvent], None] | None,
    ) -> None:
        self._encoder = RpcEncoder(
            session_id, run_id, first_seq=last_seq + 1, bytes_per_ms=bytes_per_ms
        )
        self._log = EventLog(last_seq=last_seq)
        self._history = history
        self._on_event = on_event
        self._clock_offset = time.time() - trio.current_time()
        self._is_complete = False
        if history is not None:
            history.register(session_id, self._now())

    @property
    def last_seq(self) -> int:
        """The number of the latest event."""
        return self._log.last_seq

    def read(self, after: int | None) -> EventReader:
        """Return a reader; see :meth:`.EventLog.read`."""
        return self._log.read(after)

    def set_audio_rate(self, bytes_per_ms: float) -> None:
        """Set how many bytes a millisecond of the agent's audio has."""
        self._encoder.bytes_per_ms = bytes_per_ms

    def record(self, event: SessionEvent) -> None:
        """Add an event of the realtime session."""
        self._hand_on(self._encoder.encode(event, time=self._now()))

    def emit(self, event: RunEvent) -> None:
        """Add an event of the run. It has no effect after :meth:`finish`."""
        if not self._is_complete:
            self._hand_on(self._encoder.make(event.type, event, time=self._now()))

    def finish(self, event: RunEvent) -> None:
        """Add the last event, and let the readers end after it."""
        self._is_complete = True  # before it is handed on, because handing it on may fail a part
        self._hand_on(self._encoder.make(event.type, event, time=self._now()))
        self._log.finish()

    def _now(self) -> float:
        return trio.current_time() + self._clock_offset

    def _hand_on(self, event: RpcEvent) -> None:
        self._log.append(event)
        if self._history is not None:
            self._history.record(event)
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:  # noqa: BLE001 - the program's function may raise anything
                _log.exception("session %s: on_event raised", event.session_id)
