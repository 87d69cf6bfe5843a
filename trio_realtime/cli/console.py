"""Prints a conversation to stdout as text, while it happens."""

from __future__ import annotations

import sys

from trio_realtime import events

from .exit import print_message


class Terminal:
    """Shows session events as text: streams the agent's words, gives each tool call its own line.

    Args:
        name: the name of the agent.
        prompt: whether to show a greeting and prompts, for a user at an interactive terminal.
    """

    def __init__(self, name: str, *, prompt: bool) -> None:
        self._name = name
        self._prompt = prompt
        self._item_id: str | None = None
        self._line_open = False
        self._is_away = False

    def show_greeting(self) -> None:
        """Say how to quit."""
        if self._prompt:
            self._write("Write to the agent. Quit with /quit or Ctrl-D.\n")

    def show_prompt(self) -> None:
        """Ask the user for a line."""
        if self._prompt:
            self._end_line()
            self._write("you> ")
            self._line_open = True

    def line_entered(self) -> None:
        """Record that the user entered a line; the terminal's echo ended that line."""
        self._line_open = False

    def finish(self) -> None:
        """End the current line, so that the shell's prompt starts on a new one."""
        self._end_line()

    def show(self, event: events.SessionEvent) -> None:
        """Show one event; most event types show nothing."""
        match event:
            case events.TextDelta() | events.TranscriptDelta():
                self._stream(event.item_id, event.delta)
            case events.ToolStart():
                self._print_line(f"[{event.tool.name} {event.arguments}]")
            case events.ToolEnd():
                self._print_line(f"[{event.tool_name}: {event.outcome}: {event.output_text}]")
            case events.ToolCancelled():
                self._print_line(f"[{event.tool_name}: cancelled]")
            case events.AgentEnd():
                self._end_line()
            case events.Error():
                self._end_line()
                print_message(str(event.error))
            case events.Reconnecting():
                self._end_line()
                self._is_away = True
                print_message(f"{event.error}; connecting again in {event.delay:.1f} s")
            case events.Reconnected() if self._is_away:
                # A connection that is replaced before its end needs no message.
                self._end_line()
                self._is_away = False
                print_message("connected again")
            case _:
                pass

    def _stream(self, item_id: str, delta: str) -> None:
        if item_id != self._item_id:
            self._end_line()
            self._write(f"{self._name}: ")
            self._item_id, self._line_open = item_id, True
        self._write(delta)

    def _print_line(self, text: str) -> None:
        self._end_line()
        self._write(f"{text}\n")

    def _end_line(self) -> None:
        if self._line_open:
            self._write("\n")
        self._item_id, self._line_open = None, False

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
