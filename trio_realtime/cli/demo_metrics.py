"""Collects the measurements of the demo from its session events, and logs the events.

Every figure comes from the events and frames of this run; none is assumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs
import trio

from trio_realtime import EventChannel, events
from trio_realtime.wire import ConversationItemTruncated

from .event_log import EventLog
from .wav import BYTES_PER_MS


@attrs.define
class CallRecord:
    """The tool name and the latest known outcome of one call."""

    name: str
    outcome: str = "unanswered"


class DemoMetrics:
    """Counts and logs session events, and wakes tasks that wait for a condition.

    Attributes:
        turn_ends: one event per finished turn of the agent, in order.
        calls: all tool calls, by call id.
        interruption: the interruption of an item that was playing.
        truncated_ms: where the server truncated items, by item id.
        stale_audio_events: number of audio events after the interruption of their response.
        errors: messages of ``error`` events.
    """

    def __init__(self, log: EventLog) -> None:
        self.turn_ends: list[events.AgentEnd] = []
        self.calls: dict[str, CallRecord] = {}
        self.interruption: events.AudioInterrupted | None = None
        self.truncated_ms: dict[str, int] = {}
        self.stale_audio_events: int = 0
        self.errors: list[str] = []
        self._audio_bytes: Counter[str] = Counter()
        self._interrupted_responses: set[str] = set()
        self._log = log
        self._changed = trio.lowlevel.ParkingLot()

    def audio_ms(self, response_id: str) -> int:
        """Return the milliseconds of audio received for a response."""
        return self._audio_bytes[response_id] // BYTES_PER_MS

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition is true; it is checked after each event and :meth:`notify`."""
        while not condition():
            await self._changed.park()

    def notify(self) -> None:
        """Check the conditions that tasks wait for."""
        self._changed.unpark_all()

    async def follow(self, channel: EventChannel) -> None:
        """Handle all events of a channel as they arrive."""
        async for event in channel:
            self.handle_event(event)

    def handle_event(self, event: events.SessionEvent) -> None:
        """Count and log one event."""
        match event:
            case events.Audio():
                self._handle_audio(event)
            case events.AudioInterrupted():
                self._handle_interruption(event)
            case events.AgentEnd():
                self._handle_turn_end(event)
            case events.SpeechStarted():
                self._log.write("you", "(you begin to speak; the voice is a recording)")
            case events.SpeechStopped():
                self._log.write("you", "(you stop speaking)")
            case events.RawModelEvent(data=ConversationItemTruncated() as truncated):
                self.truncated_ms[truncated.item_id] = truncated.audio_end_ms
                self._log.write(
                    "", f"the server keeps the {truncated.audio_end_ms} ms that were heard"
                )
            case events.Error():
                self.errors.append(str(event.error))
                self._log.write("!", str(event.error))
            case _:
                self._handle_call(event)
        self.notify()

    def _handle_audio(self, event: events.Audio) -> None:
        if event.response_id in self._interrupted_responses:
            self.stale_audio_events += 1
        if event.response_id not in self._audio_bytes:
            self._log.write("agent", "(begins to speak)")
        self._audio_bytes[event.response_id] += len(event.data)

    def _handle_interruption(self, event: events.AudioInterrupted) -> None:
        self._interrupted_responses.add(event.response_id)
        self.interruption = event
        self._log.write("agent", f"(stops after {event.played_ms} ms, because you speak)")

    def _handle_turn_end(self, event: events.AgentEnd) -> None:
        self.turn_ends.append(event)
        if event.status == "completed" and event.output:
            self._log.write("agent", event.output)
        elif event.status not in ("completed", "cancelled"):
            self._log.write("agent", f"({event.status}: {event.reason})")

    def _handle_call(self, event: events.SessionEvent) -> None:
        match event:
            case events.ToolStart():
                self.calls[event.call_id] = CallRecord(event.tool.name)
                self._log.write("tool", f"{event.tool.name} starts with {event.arguments}")
            case events.ToolEnd():
                self._record_of(event).outcome = event.outcome
                self._log.write("tool", f"{event.tool_name} returns: {event.output_text}")
            case events.ToolCancelled():
                self._record_of(event).outcome = "cancelled"
                self._log.write("tool", f"{event.tool_name} was stopped")
            case _:
                pass

    def _record_of(self, event: events.ToolEnd | events.ToolCancelled) -> CallRecord:
        return self.calls.setdefault(event.call_id, CallRecord(event.tool_name))
