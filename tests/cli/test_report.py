"""The checks of a demo run: a good run passes, and each guarantee that is not met fails it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from trio_realtime.cli.report import (
    CallMetrics,
    DemoReport,
    InterruptionMetrics,
    TurnKind,
    TurnMetrics,
)


def turn(kind: TurnKind, status: str = "completed", audio_ms: int = 2000) -> TurnMetrics:
    return TurnMetrics(kind=kind, status=status, text="words", audio_ms=audio_ms)


INTERRUPTED = InterruptionMetrics(
    item_id="item_1",
    truncated_at_ms=1060,
    heard_ms=1060,
    stale_audio_events=0,
    played_ms=1080,
    cleaned_up=True,
)
DONE = CallMetrics(name="quick", call_id="call_1", outcome="completed", outputs_sent=1)
CANCELLED = CallMetrics(name="slow", call_id="call_2", outcome="cancelled", outputs_sent=1)
TURNS = (
    turn("text", audio_ms=0),
    turn("tool"),
    turn("speech"),
    turn("barge_in", "cancelled"),
)
GOOD = DemoReport(
    turns=TURNS,
    tool_calls=(DONE, CANCELLED),
    interrupted=INTERRUPTED,
    leftover_tasks=0,
    errors=(),
    reply_wav="reply.wav",
)


def test_a_good_run_is_ok_and_its_json_has_the_documented_keys() -> None:
    assert list(GOOD.problems()) == []
    result = GOOD.as_json()
    assert result["ok"] is True
    assert list(result) == [
        "ok",
        "turns",
        "tool_calls",
        "interrupted",
        "leftover_tasks",
        "errors",
        "reply_wav",
    ]
    assert list(result["turns"][0]) == ["kind", "status", "text", "audio_ms"]
    assert list(result["tool_calls"][0]) == ["name", "call_id", "outcome", "outputs_sent"]
    assert list(result["interrupted"]) == [
        "item_id",
        "truncated_at_ms",
        "heard_ms",
        "stale_audio_events",
    ]


def interruption(**changes: Any) -> dict[str, Any]:
    return {"interrupted": attrs.evolve(INTERRUPTED, **changes)}


def calls(*metrics: CallMetrics) -> dict[str, Any]:
    return {"tool_calls": metrics}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"turns": TURNS[:3]}, "the barge_in turn did not take place"),
        ({"turns": (*TURNS, turn("speech", "failed"))}, "the speech turn ended with status failed"),
        ({"turns": (*TURNS, turn("barge_in"))}, "the barge_in turn ended with status completed"),
        ({"turns": (*TURNS, turn("speech", audio_ms=0))}, "the speech turn had 0 ms of audio"),
        ({"turns": (*TURNS, attrs.evolve(TURNS[1], text=""))}, "the tool turn had no text"),
        (calls(DONE), "expected one completed and one cancelled call"),
        (calls(DONE, DONE), "expected one completed and one cancelled call"),
        (calls(DONE, attrs.evolve(CANCELLED, outputs_sent=0)), "slow was answered 0 times"),
        (calls(DONE, attrs.evolve(CANCELLED, outputs_sent=2)), "slow was answered 2 times"),
        ({"interrupted": None}, "no item was interrupted"),
        (interruption(stale_audio_events=1), r"1 audio event\(s\) came after"),
        (
            interruption(truncated_at_ms=1061),
            "1060 ms were heard, but the server truncated the item at 1061",
        ),
        (interruption(truncated_at_ms=None), "the server truncated the item at None"),
        (interruption(played_ms=1100), "the client played 1100 ms"),
        (interruption(played_ms=1059), "the client played 1059 ms"),
        (interruption(cleaned_up=False), "finally block of the cancelled tool did not run"),
        ({"leftover_tasks": 1}, r"1 task\(s\) were left"),
        ({"leftover_tasks": None}, "were not counted"),
        ({"reply_wav": None}, "was not written"),
        ({"errors": ("it broke",)}, "it broke"),
    ],
)
def test_each_problem_is_reported_and_the_run_is_not_ok(
    change: dict[str, Any], problem: str
) -> None:
    report = attrs.evolve(GOOD, **change)
    result = report.as_json()
    assert result["ok"] is False
    assert len(result["errors"]) == 1
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(result["errors"][0])
