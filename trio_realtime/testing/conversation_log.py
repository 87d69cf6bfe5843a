"""A conversation as text: who said and did what, with times. Assertions show it when they fail.

The log is a function of the session's events and their times, so it does no I/O.
"""

from __future__ import annotations

import attrs

from trio_realtime import events as ev
from trio_realtime.items import HistoryItem, item_text
from trio_realtime.wire import MessageItem

__all__ = ["ConversationLog", "LogEntry"]

USER = "user"
"""The speaker of what the user says and does."""


@attrs.frozen
class LogEntry:
    """One line of a :class:`ConversationLog`.

    Attributes:
        time: seconds since the log began.
        speaker: ``user``, the name of the agent or the tool, or empty.
        text: what was said, or what happened.
    """

    time: float
    speaker: str
    text: str

    def __str__(self) -> str:
        said = f"{self.speaker}: {self.text}" if self.speaker else f"({self.text})"
        return f"{self.time:9.3f}  {said}"


class ConversationLog:
    """The conversation of a session as text, made from its events.

    Args:
        start: the time that the log shows as 0, in seconds of the clock whose times :meth:`add` gets.
    """

    def __init__(self, start: float) -> None:
        self._start = start
        self._entries: list[LogEntry] = []
        self._places: dict[str, int] = {}
        self._speakers: dict[str, str] = {}

    @property
    def entries(self) -> tuple[LogEntry, ...]:
        """The lines so far, oldest first. The line of an item grows until the item is complete."""
        return tuple(self._entries)

    def __str__(self) -> str:
        return "\n".join(map(str, self._entries)) or "(nothing was said)"

    def add(self, event: ev.SessionEvent, now: float) -> None:
        """Add an event. Many events add no line.

        Args:
            event: the event.
            now: when it was received, in seconds.
        """
        match event:
            case ev.ResponseStart(agent=agent, response_id=response_id):
                self._speakers[response_id] = agent.name
            case ev.TextDelta() | ev.TranscriptDelta():
                speaker = self._speakers.get(event.response_id, "agent")
                self._extend(event.item_id, now, speaker, event.delta)
            case ev.HistoryAdded(item=MessageItem(role="user") as item):
                self._add_user_message(item, now)
            case ev.UserTranscript(item_id=item_id, transcript=transcript):
                self._replace(item_id, now, USER, transcript)
            case _:
                self._add_line(event, now)

    def _add_user_message(self, item: HistoryItem, now: float) -> None:
        if item.id not in self._places:
            self._replace(item.id or "", now, USER, item_text(item) or "(audio)")

    def _add_line(self, event: ev.SessionEvent, now: float) -> None:
        call = _call_line(event)
        if call is not None:
            self._append(now, *call)
        elif (text := _happening(event)) is not None:
            self._append(now, "", text)

    def _append(self, now: float, speaker: str, text: str) -> int:
        self._entries.append(LogEntry(now - self._start, speaker, text))
        return len(self._entries) - 1

    def _extend(self, item_id: str, now: float, speaker: str, delta: str) -> None:
        place = self._places.get(item_id)
        self._replace(
            item_id, now, speaker, delta if place is None else self._entries[place].text + delta
        )

    def _replace(self, item_id: str, now: float, speaker: str, text: str) -> None:
        place = self._places.get(item_id)
        if place is None:
            self._places[item_id] = self._append(now, speaker, text)
        else:
            self._entries[place] = attrs.evolve(self._entries[place], text=text)


def _call_line(event: ev.SessionEvent) -> tuple[str, str] | None:
    """Return the speaker and the text of an event of a call."""
    match event:
        case ev.ToolStart(agent=agent, tool=tool, arguments=arguments):
            return agent.name, f"calls {tool.name} {_one_line(arguments)}"
        case ev.ToolApprovalRequired(agent=agent, tool_name=name, arguments=arguments):
            return agent.name, f"needs approval to call {name} {_one_line(arguments)}"
        case ev.ToolEnd(tool_name=name, outcome=outcome, output_text=text):
            return name, f"{outcome}: {text}"
        case ev.ToolAnsweredEarly(tool=tool, output_text=text):
            return tool.name, f"answered early: {text}"
        case ev.ToolCancelled(tool_name=name):
            return name, "cancelled"
        case ev.McpToolCallCompleted(item=item):
            return item.name, f"completed: {item.output}"
        case _:
            return None


def _happening(event: ev.SessionEvent) -> str | None:
    """Return the text of what happened in the conversation; ``None`` for other events."""
    match event:
        case ev.AgentEnd(agent=agent, status=status, reason=reason, message=message):
            why = ", ".join(filter(None, (reason, message)))
            return f"the turn of {agent.name} was {status}: {why}" if why else None
        case ev.Handoff(from_agent=old, to_agent=new):
            return f"handoff from {old.name} to {new.name}"
        case ev.AudioInterrupted(played_ms=played_ms):
            return f"interrupted: {played_ms} ms were heard"
        case ev.SpeechStarted():
            return "the user begins to speak"
        case ev.SpeechIgnored(resumed=resumed):
            return "the user's speech was ignored" + (", and the agent goes on" if resumed else "")
        case ev.GuardrailTripped(guardrail_results=results):
            return f"guardrail {', '.join(result.name for result in results)} tripped"
        case _:
            return _problem(event)


def _problem(event: ev.SessionEvent) -> str | None:
    match event:
        case ev.Error(error=error):
            return f"error: {type(error).__name__}: {error}"
        case ev.UserTranscriptFailed(message=message):
            return f"the user's audio was not transcribed: {message}"
        case ev.Reconnecting(error=error):
            return f"connecting again: {error}"
        case ev.SessionEnded(end=end) if end.error is not None:
            return f"the session ended: {type(end.error).__name__}: {end.error}"
        case _:
            return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
