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
    terminal = Terminal("Clerk", prompt=False)
    terminal.show(text("Hel"))
    terminal.finish()
    terminal.finish()
    assert capsys.readouterr().out == "Clerk: Hel\n"


def test_a_user_at_a_terminal_sees_words_that_are_not_split(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal("Clerk", prompt=True)
    terminal.show_greeting()
    for event in (text("Good morn"), text("ing, dear"), text(" customer"), end()):
        terminal.show(event)
    greeting = "Write to Clerk.\n/help lists the\ncommands, Ctrl-D\nquits.\n"
    assert capsys.readouterr().out == f"{greeting}Clerk: Good morning,\ndear customer\n"


def test_a_handoff_and_a_guardrail_have_lines_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal("Clerk", prompt=False)
    terminal.show(events.Handoff(from_agent=AGENT, to_agent=RealtimeAgent(name="Boss")))
    terminal.show(text("Yes?"))
    trips = (events.GuardrailTrip(name="politeness"),)
    terminal.show(events.GuardrailTripped(guardrail_results=trips, message="", response_id=None))
    assert capsys.readouterr().out.splitlines() == [
        "[Clerk hands over to Boss]",
        "Boss: Yes?",
        "[stopped by the guardrail politeness]",
    ]


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
