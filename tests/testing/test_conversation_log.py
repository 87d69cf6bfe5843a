"""The conversation as text, made from events without a session."""

from __future__ import annotations

import pytest

from trio_realtime import RealtimeAgent, errors, events
from trio_realtime.testing import ConversationLog
from trio_realtime.wire import InputAudio, InputText, MessageItem

AGENT = RealtimeAgent[None](name="Clerk")


def said(delta: str, item_id: str) -> events.TranscriptDelta:
    return events.TranscriptDelta(delta=delta, response_id="r1", item_id=item_id, content_index=0)


def user_item(item_id: str, *content: InputText | InputAudio) -> events.HistoryAdded:
    return events.HistoryAdded(item=MessageItem(id=item_id, role="user", content=content))


def log_of(*given: tuple[float, events.SessionEvent]) -> list[tuple[float, str, str]]:
    log = ConversationLog(start=10.0)
    for now, event in given:
        log.add(event, now)
    return [(entry.time, entry.speaker, entry.text) for entry in log.entries]


def test_an_empty_conversation_has_a_text() -> None:
    assert str(ConversationLog(0.0)) == "(nothing was said)"


def test_deltas_of_one_item_are_one_line_at_the_time_of_the_first() -> None:
    lines = log_of(
        (11.0, events.ResponseStart(agent=AGENT, response_id="r1")),
        (11.5, said("Hello", "i1")),
        (12.0, said("Second", "i2")),
        (12.5, said(" there", "i1")),
    )
    assert lines == [(1.5, "Clerk", "Hello there"), (2.0, "Clerk", "Second")]


def test_a_delta_of_an_unknown_response_is_the_agents() -> None:
    assert log_of((10.0, said("Hello", "i1"))) == [(0.0, "agent", "Hello")]


def test_a_spoken_message_gets_its_transcript_also_when_it_comes_first() -> None:
    transcript = events.UserTranscript(transcript="Good day", item_id="i1", content_index=0)
    spoken = user_item("i1", InputAudio())
    assert log_of((11.0, spoken)) == [(1.0, "user", "(audio)")]
    assert log_of((11.0, spoken), (12.0, transcript)) == [(1.0, "user", "Good day")]
    assert log_of((11.0, transcript), (12.0, spoken)) == [(1.0, "user", "Good day")]


def test_messages_of_the_assistant_are_logged_once() -> None:
    item = MessageItem(id="i1", role="assistant", content=())
    assert log_of((10.0, events.HistoryAdded(item=item))) == []


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            events.ToolApprovalRequired(
                agent=AGENT, tool=None, tool_name="pay", call_id="c", arguments='{\n "a": 1}'
            ),
            'Clerk: needs approval to call pay { "a": 1}',
        ),
        (
            events.ToolCancelled(
                agent=AGENT,
                tool_name="pay",
                call_id="c",
                arguments="{}",
                output_text="",
                response_id="r",
            ),
            "pay: cancelled",
        ),
        (
            events.AudioInterrupted(response_id="r", item_id="i", content_index=0, played_ms=1200),
            "(interrupted: 1200 ms were heard)",
        ),
        (
            events.AgentEnd(
                agent=AGENT,
                turn_id="t",
                response_id="r",
                status="failed",
                reason="server_error",
                message="Sorry",
            ),
            "(the turn of Clerk was failed: server_error, Sorry)",
        ),
        (
            events.Handoff(from_agent=AGENT, to_agent=RealtimeAgent[None](name="Boss")),
            "(handoff from Clerk to Boss)",
        ),
        (
            events.SpeechIgnored(item_id="i", resumed=True),
            "(the user's speech was ignored, and the agent goes on)",
        ),
        (
            events.GuardrailTripped(
                guardrail_results=(events.GuardrailTrip(name="a"), events.GuardrailTrip(name="b")),
                message="x",
                response_id="r",
            ),
            "(guardrail a, b tripped)",
        ),
        (
            events.Error(error=errors.ProtocolViolation("no type")),
            "(error: ProtocolViolation: no type)",
        ),
    ],
)
def test_what_happens_has_a_line(event: events.SessionEvent, line: str) -> None:
    log = ConversationLog(start=0.0)
    log.add(event, 1.25)
    assert str(log) == f"    1.250  {line}"


def test_the_plain_end_of_a_turn_adds_no_line() -> None:
    end = events.AgentEnd(agent=AGENT, turn_id="t", response_id="r", status="completed")
    assert log_of((10.0, end)) == []
