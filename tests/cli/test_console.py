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


def test_a_lost_connection_is_reported_on_stderr_until_it_is_restored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal("Clerk", prompt=False)
    restored = events.Reconnected(
        attempts=2,
        duration=1.0,
        items_sent=0,
        items_acknowledged=0,
        lost_audio_ms=0,
        state_restored=True,
    )
    terminal.show(restored)  # a connection was replaced before its end
    assert capsys.readouterr().err == ""
    for attempt, delay in ((1, 0.0), (2, 0.5)):
        error = errors.ConnectionLost("the connection was lost")
        terminal.show(events.Reconnecting(attempt=attempt, delay=delay, error=error))
    terminal.show(restored)
    terminal.show(restored)
    assert capsys.readouterr().err.splitlines() == [
        "trio-realtime: the connection was lost; connecting again in 0.0 s",
        "trio-realtime: the connection was lost; connecting again in 0.5 s",
        "trio-realtime: connected again",
    ]
