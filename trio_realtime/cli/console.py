"""A conversation as text on stdout, streamed as it comes."""

from __future__ import annotations

import sys

from trio_realtime import events

from .exit import tell


class Terminal:
    """Shows events as text. Streams what the agent says; tool calls get lines of their own.

    Args:
        name: the agent's.
        prompt: whether a person sits there, who wants to see when it is their turn.
    """

    def __init__(self, name: str, *, prompt: bool) -> None:
        self._name = name
        self._prompt = prompt
        self._item: str | None = None
        self._open = False

    def greet(self) -> None:
        """Say how to leave."""
        if self._prompt:
            self._write("Write to the agent; /quit or Ctrl-D leaves.\n")

    def ask_for_line(self) -> None:
        """It is the user's turn."""
        if self._prompt:
            self._end_line()
            self._write("you> ")
            self._open = True

    def note_line(self) -> None:
        """The user wrote a line: the terminal's own echo ended it."""
        self._open = False

    def part(self) -> None:
        """Leave the terminal at the beginning of a line."""
        self._end_line()

    def show(self, event: events.SessionEvent) -> None:
        """Show one event, if there is something to see in it."""
        match event:
            case events.TextDelta() | events.TranscriptDelta():
                self._stream(event.item_id, event.delta)
            case events.ToolStart():
                self._line(f"[{event.tool.name} {event.arguments}]")
            case events.ToolEnd():
                self._line(f"[{event.tool_name}: {event.outcome}: {event.output_text}]")
            case events.ToolCancelled():
                self._line(f"[{event.tool_name}: cancelled]")
            case events.AgentEnd():
                self._end_line()
            case events.Error():
                self._end_line()
                tell(str(event.error))
            case _:
                pass

    def _stream(self, item_id: str, delta: str) -> None:
        if item_id != self._item:
            self._end_line()
            self._write(f"{self._name}: ")
            self._item, self._open = item_id, True
        self._write(delta)

    def _line(self, text: str) -> None:
        self._end_line()
        self._write(f"{text}\n")

    def _end_line(self) -> None:
        if self._open:
            self._write("\n")
        self._item, self._open = None, False

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
