"""The text that the terminal shows."""

from __future__ import annotations

import pytest

from trio_realtime import RealtimeAgent, errors, events
from trio_realtime.cli.console import Terminal

AGENT = RealtimeAgent[None](name="Clerk")


def text(delta: str, item_id: str = "item_1") -> events.TextDelta:
    return events.TextDelta(delta=delta, response_id="resp_1", item_id=item_id, content_index=0)


def end() -> events.AgentEnd:
    return events.AgentEnd(agent=AGENT, turn_id="resp_1", response_id="resp_1", status="completed")


def test_the_terminal_streams_each_item_on_its_own_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal("Clerk", prompt=False)
    for event in (text("Good "), text("day"), text("Bye", "item_2"), end()):
        terminal.show(event)
    assert capsys.readouterr().out == "Clerk: Good day\nClerk: Bye\n"


def test_the_terminal_ends_at_the_beginning_of_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal("Clerk", prompt=True)
    terminal.show_prompt()
    terminal.finish()
    assert capsys.readouterr().out == "you> \n"
    terminal.show_prompt()
    terminal.line_entered()
    terminal.finish()
    assert capsys.readouterr().out == "you> "


def test_errors_go_to_stderr_and_end_the_current_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal("Clerk", prompt=False)
    terminal.show(text("Hel"))
    terminal.show(events.Error(error=errors.RequestRejected("no such voice")))
    terminal.show(text("lo"))
    printed = capsys.readouterr()
    assert printed.out == "Clerk: Hel\nClerk: lo"
    assert printed.err == "trio-realtime: no such voice\n"
