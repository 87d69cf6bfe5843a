"""Follows a demo's session: counts what comes, shows it, and lets others wait for it.

It only measures. The figures come from events and frames of this run; nothing is assumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs
import trio

from trio_realtime import EventChannel, events
from trio_realtime.wire import ConversationItemTruncated

from .event_log import Timeline
from .wav import BYTES_PER_MS


@attrs.define
class Call:
    """A call, as far as its events tell."""

    name: str
    outcome: str = "unanswered"


class DemoMetrics:
    """See the module.

    Attributes:
        ended: how each turn of the agent ended, in order.
        calls: all calls, by their ids.
        cut: the interruption of an item that was playing.
        truncated: where the server cut items, by their ids.
        stale: audio events after the interruption of their response.
        errors: ``error`` events.
        stopped_speaking: how often the service heard the user come to an end.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.ended: list[events.AgentEnd] = []
        self.calls: dict[str, Call] = {}
        self.cut: events.AudioInterrupted | None = None
        self.truncated: dict[str, int] = {}
        self.stale: int = 0
        self.errors: list[str] = []
        self.stopped_speaking: int = 0
        self._audio: Counter[str] = Counter()
        self._interrupted: set[str] = set()
        self._timeline = timeline
        self._changed = trio.lowlevel.ParkingLot()

    def audio_ms(self, response_id: str) -> int:
        """Audio that was received of a response."""
        return self._audio[response_id] // BYTES_PER_MS

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds of what was observed."""
        while not condition():
            await self._changed.park()

    def notice(self) -> None:
        """Something happened that somebody may wait for."""
        self._changed.unpark_all()

    async def follow(self, channel: EventChannel) -> None:
        """Take in all events of a channel, as they come."""
        async for event in channel:
            self.take(event)

    def take(self, event: events.SessionEvent) -> None:
        """Take in one event."""
        match event:
            case events.Audio():
                self._take_audio(event)
            case events.AudioInterrupted():
                self._take_cut(event)
            case events.AgentEnd():
                self._take_end(event)
            case events.SpeechStarted():
                self._timeline.say("you", "(begin to speak)")
            case events.SpeechStopped():
                self.stopped_speaking += 1
                self._timeline.say("you", "(fall silent)")
            case events.RawModelEvent(data=ConversationItemTruncated() as truncated):
                self.truncated[truncated.item_id] = truncated.audio_end_ms
                self._timeline.say("", f"the server keeps {truncated.audio_end_ms} ms of it")
            case events.Error():
                self.errors.append(str(event.error))
                self._timeline.say("!", str(event.error))
            case _:
                self._take_call(event)
        self.notice()

    def _take_audio(self, event: events.Audio) -> None:
        if event.response_id in self._interrupted:
            self.stale += 1
        if event.response_id not in self._audio:
            self._timeline.say("agent", "(begins to speak)")
        self._audio[event.response_id] += len(event.data)

    def _take_cut(self, event: events.AudioInterrupted) -> None:
        self._interrupted.add(event.response_id)
        self.cut = event
        self._timeline.say("agent", f"(falls silent after {event.played_ms} ms)")

    def _take_end(self, event: events.AgentEnd) -> None:
        self.ended.append(event)
        if event.status == "completed" and event.output:
            self._timeline.say("agent", event.output)
        elif event.status != "completed":
            self._timeline.say("agent", f"({event.status}: {event.reason})")

    def _take_call(self, event: events.SessionEvent) -> None:
        match event:
            case events.ToolStart():
                self.calls[event.call_id] = Call(event.tool.name)
                self._timeline.say("tool", f"{event.tool.name} {event.arguments} …")
            case events.ToolEnd():
                self.calls.setdefault(event.call_id, Call(event.tool_name)).outcome = event.outcome
                self._timeline.say("tool", f"{event.tool_name}: {event.output_text}")
            case events.ToolCancelled():
                self.calls.setdefault(event.call_id, Call(event.tool_name)).outcome = "cancelled"
                self._timeline.say("tool", f"{event.tool_name}: cancelled, and answered so")
            case _:
                pass
