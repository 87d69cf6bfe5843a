"""Prints a conversation to stdout as text, while it happens."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable

from trio_realtime import events

from .exit import print_message
from .word_wrap import WordWrap

_BOLD, _NORMAL = "\033[1m", "\033[0m"


class Terminal:
    """Shows session events as text: streams the agent's words, gives each tool call its own line.

    Args:
        name: the name of the agent.
        prompt: whether a user sits at the terminal. Then a greeting is shown, and lines are wrapped
            between words.
    """

    def __init__(self, name: str, *, prompt: bool) -> None:
        self._name = name
        self._prompt = prompt
        self._wrap = WordWrap(shutil.get_terminal_size().columns if prompt else None)
        self._is_bold = prompt and not os.environ.get("NO_COLOR")
        self._item_id: str | None = None
        self._line_open = False
        self._is_away = False

    def show_greeting(self) -> None:
        """Say how to quit."""
        if self._prompt:
            self.show_lines([f"Write to {self._name}. /help lists the commands, Ctrl-D quits."])

    def show_lines(self, lines: Iterable[str]) -> None:
        """Show lines that are not part of the conversation."""
        for line in lines:
            self._print_line(line)

    def finish(self) -> None:
        """End the current line, so that what follows starts on a new one."""
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
            case events.Handoff():
                self._name = event.to_agent.name
                self._print_line(f"[{event.from_agent.name} hands over to {self._name}]")
            case events.GuardrailTripped():
                names = ", ".join(trip.name for trip in event.guardrail_results)
                self._print_line(f"[stopped by the guardrail {names}]")
            case events.AgentEnd():
                self._end_line()
            case _:
                self._show_problem(event)

    def _show_problem(self, event: events.SessionEvent) -> None:
        match event:
            case events.Error():
                self._end_line()
                print_message(str(event.error))
            case events.SessionWarning():
                self._end_line()
                print_message(f"warning: {event.message}")
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
            self._write(self._wrap.feed(f"{self._name}: "), bold=self._is_bold)
            self._item_id, self._line_open = item_id, True
        self._write(self._wrap.feed(delta))

    def _print_line(self, text: str) -> None:
        self._end_line()
        self._write(f"{self._wrap.feed(text)}{self._wrap.flush()}\n")
        self._wrap.start_line()

    def _end_line(self) -> None:
        if self._line_open:
            self._write(f"{self._wrap.flush()}\n")
            self._wrap.start_line()
        self._item_id, self._line_open = None, False

    def _write(self, text: str, *, bold: bool = False) -> None:
        if text:
            sys.stdout.write(f"{_BOLD}{text}{_NORMAL}" if bold else text)
            sys.stdout.flush()
