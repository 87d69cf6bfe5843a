"""The demo's verdict: it holds for a good run, and each broken promise alone turns it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from trio_realtime.cli.report import CallFigures, Interruption, Report, TurnFigures, TurnKind


def turn(kind: TurnKind, status: str = "completed", audio_ms: int = 2000) -> TurnFigures:
    return TurnFigures(kind=kind, status=status, text="words", audio_ms=audio_ms)


CUT = Interruption(
    item_id="item_1",
    truncated_at_ms=1060,
    heard_ms=1060,
    stale_audio_events=0,
    played_ms=1080,
    cleaned_up=True,
)
DONE = CallFigures(name="quick", call_id="call_1", outcome="completed", outputs_sent=1)
CANCELLED = CallFigures(name="slow", call_id="call_2", outcome="cancelled", outputs_sent=1)
TURNS = (
    turn("text", audio_ms=0),
    turn("tool"),
    turn("speech"),
    turn("barge_in", "cancelled"),
)
GOOD = Report(
    turns=TURNS,
    tool_calls=(DONE, CANCELLED),
    interrupted=CUT,
    leftover_tasks=0,
    errors=(),
    reply_wav="reply.wav",
)


def test_a_good_run_is_ok_and_its_object_has_the_documented_keys() -> None:
    assert list(GOOD.problems()) == []
    told = GOOD.as_json()
    assert told["ok"] is True
    assert list(told) == [
        "ok",
        "turns",
        "tool_calls",
        "interrupted",
        "leftover_tasks",
        "errors",
        "reply_wav",
    ]
    assert list(told["turns"][0]) == ["kind", "status", "text", "audio_ms"]
    assert list(told["tool_calls"][0]) == ["name", "call_id", "outcome", "outputs_sent"]
    assert list(told["interrupted"]) == [
        "item_id",
        "truncated_at_ms",
        "heard_ms",
        "stale_audio_events",
    ]


def cut(**changes: Any) -> dict[str, Any]:
    return {"interrupted": attrs.evolve(CUT, **changes)}


def calls(*figures: CallFigures) -> dict[str, Any]:
    return {"tool_calls": figures}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"turns": TURNS[:3]}, "the barge_in turn did not take place"),
        ({"turns": (*TURNS, turn("speech", "failed"))}, "the speech turn ended failed"),
        ({"turns": (*TURNS, turn("barge_in"))}, "the barge_in turn ended completed"),
        ({"turns": (*TURNS, turn("speech", audio_ms=0))}, "the speech turn had 0 ms of audio"),
        ({"turns": (*TURNS, attrs.evolve(TURNS[1], text=""))}, "nothing was said"),
        (calls(DONE), "expected one completed and one cancelled call"),
        (calls(DONE, DONE), "expected one completed and one cancelled call"),
        (calls(DONE, attrs.evolve(CANCELLED, outputs_sent=0)), "slow was answered 0 times"),
        (calls(DONE, attrs.evolve(CANCELLED, outputs_sent=2)), "slow was answered 2 times"),
        ({"interrupted": None}, "nothing was interrupted"),
        (cut(stale_audio_events=1), r"1 audio event\(s\) came after"),
        (cut(truncated_at_ms=1061), "heard 1060 ms, but the server kept 1061"),
        (cut(truncated_at_ms=None), "the server kept None"),
        (cut(played_ms=1100), "the ear got 1100 ms"),
        (cut(played_ms=1059), "the ear got 1059 ms"),
        (cut(cleaned_up=False), "finally block of the cancelled tool did not run"),
        ({"leftover_tasks": 1}, r"1 task\(s\) were left"),
        ({"leftover_tasks": None}, "were not counted"),
        ({"reply_wav": None}, "was not written"),
        ({"errors": ("it broke",)}, "it broke"),
    ],
)
def test_each_broken_promise_is_told_and_the_run_is_not_ok(
    change: dict[str, Any], problem: str
) -> None:
    report = attrs.evolve(GOOD, **change)
    told = report.as_json()
    assert told["ok"] is False
    assert len(told["errors"]) == 1
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(told["errors"][0])
