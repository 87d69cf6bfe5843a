"""The soak of sessions under faults: a tiny run, and what its report complains about."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import attrs
import pytest

from benchmarks.commands import main
from benchmarks.soak.command import SoakReport, Usage
from benchmarks.soak.load import Counts

USAGE = Usage(memory=100_000_000, tasks=4, descriptors=10)
GOOD = Counts(
    asked=5,
    answered=3,
    failed=Counter(disconnected=2),
    calls=4,
    outputs=2,
    cancelled=1,
    unanswered=1,
)
REPORT = SoakReport(
    sessions=1,
    seconds=1.0,
    seed=1,
    before=USAGE,
    warm=USAGE,
    busy=USAGE,
    after=USAGE,
    counts=GOOD,
    faults={},
)


@pytest.mark.slow
def test_a_tiny_soak_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["soak", "--sessions", "10", "--seconds", "5", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (status, report["problems"]) == (0, [])
    assert report["counts"]["answered"] > 0
    assert sum(report["faults"].values()) > 0


def test_a_report_without_problems_is_a_success() -> None:
    assert (REPORT.exit_status, REPORT.problems) == (0, [])
    assert "everything adds up" in REPORT.to_text()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"asked": 6}, "6 asked"),
        ({"lost": 1, "asked": 6}, "no outcome"),
        ({"outputs": 3}, "4 calls"),
        ({"repeated_runs": 1}, "ran twice"),
        ({"repeated_outputs": 1}, "two outputs"),
        ({"unnamed_calls": 1}, "does not name"),
        ({"raised": Counter(InternalError=1)}, "1 internal errors"),
        ({"answered": 0, "asked": 2}, "nothing was answered"),
    ],
)
def test_counts_that_do_not_add_up_are_a_problem(changes: dict[str, Any], problem: str) -> None:
    report = attrs.evolve(REPORT, counts=attrs.evolve(GOOD, **changes))
    assert report.exit_status == 1
    assert problem in report.to_text()


@pytest.mark.parametrize(
    ("usages", "problem"),
    [
        ({"busy": attrs.evolve(USAGE, memory=130_000_000)}, "30.0 MB"),
        ({"after": attrs.evolve(USAGE, tasks=5)}, "1 tasks are left"),
        ({"after": attrs.evolve(USAGE, descriptors=12)}, "2 descriptors are left"),
    ],
)
def test_what_is_left_is_a_problem(usages: dict[str, Any], problem: str) -> None:
    report = attrs.evolve(REPORT, **usages)
    assert report.exit_status == 1
    assert problem in report.to_text()
