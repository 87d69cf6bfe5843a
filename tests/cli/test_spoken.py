"""What the user said is shown before what the agent answered."""

from __future__ import annotations

import pytest

from trio_realtime import RealtimeAgent, events
from trio_realtime.cli.console import Terminal
from trio_realtime.cli.spoken import SpokenTerminal

AGENT = RealtimeAgent[None](name="Clerk")
SPEECH = events.SpeechStarted(item_id="item_1", audio_start_ms=0)
HEARD = events.UserTranscript(transcript=" Hello? ", item_id="item_1", content_index=0)
NOTHING = events.UserTranscript(transcript="", item_id="item_1", content_index=0)
UNCLEAR = events.UserTranscriptFailed(
    item_id="item_1", content_index=0, code=None, message="too quiet"
)
END = events.AgentEnd(agent=AGENT, turn_id="resp_1", response_id="resp_1", status="completed")


def says(text: str) -> events.TranscriptDelta:
    return events.TranscriptDelta(
        delta=text, response_id="resp_1", item_id="item_2", content_index=0
    )


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ([SPEECH, HEARD, says("Yes"), says("."), END], "you: Hello?\nClerk: Yes.\n"),
        ([SPEECH, says("Yes"), HEARD, says("."), END], "you: Hello?\nClerk: Yes.\n"),
        ([SPEECH, says("Yes"), NOTHING, says("."), END], "Clerk: Yes.\n"),
        ([SPEECH, says("Yes."), END, HEARD], "Clerk: Yes.\nyou: Hello?\n"),
        ([SPEECH, says("Yes"), UNCLEAR, says("."), END], "Clerk: Yes.\n"),
    ],
    ids=["in order", "late", "empty", "after the answer", "failed"],
)
def test_the_answer_waits_for_the_transcript(
    shown: list[events.SessionEvent], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = SpokenTerminal(Terminal("Clerk", prompt=False), transcribes=True)
    for event in shown:
        terminal.show(event)
    output = capsys.readouterr()
    assert output.out == text
    assert ("not transcribed: too quiet" in output.err) == (UNCLEAR in shown)
    assert not terminal.awaits_transcript


def test_without_transcripts_the_answer_is_shown_as_it_comes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = SpokenTerminal(Terminal("Clerk", prompt=False), transcribes=False)
    terminal.show(SPEECH)
    terminal.show(says("Yes"))
    assert capsys.readouterr().out == "Clerk: Yes"
    terminal.finish()
    assert capsys.readouterr().out == "\n"


def test_at_the_end_nothing_is_withheld(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = SpokenTerminal(Terminal("Clerk", prompt=False), transcribes=True)
    terminal.show(SPEECH)
    terminal.show(says("Yes"))
    assert terminal.awaits_transcript
    terminal.finish()
    assert capsys.readouterr().out == "Clerk: Yes\n"
